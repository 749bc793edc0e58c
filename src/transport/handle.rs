//! The handle to one service: its settings, its HTTP client and its secrets.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
#[cfg(feature = "fs")]
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use secrecy::SecretString;
use url::Url;

use super::origin::public_url;
use super::rate::MinRate;
use super::redact;
use super::service::Service;
use crate::attempt::Listener;
#[cfg(feature = "fs")]
use crate::error::Error;
use crate::error::Result;
use crate::retry::RetryPolicy;

/// HTTP clients that are kept for transfers to come.
#[cfg(feature = "fs")]
const MAX_SPARE: usize = 8;

/// The longest a client waits, by what it waits for, and the least that a body must move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) response: Duration,
    pub(crate) stall: Duration,
    pub(crate) min_rate: Option<MinRate>,
}

/// What both clients are made of; cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(super) inner: Arc<Inner>,
    /// Empty until the first request of a transfer that has connections of its own.
    http: Arc<OnceLock<reqwest::Client>>,
    retry: Arc<RetryPolicy>,
}

pub(crate) struct Inner {
    /// Makes a client with connections of its own.
    pub(crate) http: Box<dyn Fn() -> Result<reqwest::Client> + Send + Sync>,
    /// Made for earlier transfers, and without connections by now.
    #[cfg(feature = "fs")]
    pub(crate) spare: Mutex<Vec<reqwest::Client>>,
    pub(crate) base: Url,
    pub(crate) authorization: Option<HeaderValue>,
    /// Never to be shown, whoever says them.
    pub(crate) secrets: Vec<SecretString>,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_pages: u64,
    /// The most that is read of a JSON answer.
    pub(crate) max_answer: usize,
    /// Whether the server has answered in HTTP.
    pub(crate) knows_http: AtomicBool,
    /// Hears of every attempt.
    pub(crate) listener: Option<Listener>,
    pub(crate) service: &'static Service,
}

/// Says where it goes, and nothing of what it carries.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("base", &self.base().as_str())
            .finish_non_exhaustive()
    }
}

impl Transport {
    pub(crate) fn new(inner: Inner, http: reqwest::Client, retry: RetryPolicy) -> Self {
        Self {
            inner: Arc::new(inner),
            http: Arc::new(OnceLock::from(http)),
            retry: Arc::new(retry),
        }
    }

    /// The same, but every request is sent once.
    pub(crate) fn once(&self) -> Self {
        Self {
            retry: Arc::new(RetryPolicy::none()),
            ..self.clone()
        }
    }

    /// The same with connections of its own, for a runtime that ends before the client does: a
    /// connection ends with the runtime that made it, whoever uses it by then.
    #[cfg(feature = "fs")]
    pub(crate) fn apart(&self) -> Self {
        let spare = self.spare().pop();
        let http = spare.map_or_else(OnceLock::new, OnceLock::from);
        Self {
            http: Arc::new(http),
            ..self.clone()
        }
    }

    /// The same, but a server that is too busy is not asked again.
    #[cfg(feature = "fs")]
    pub(crate) fn impatient(&self) -> Self {
        let retry = RetryPolicy::clone(&self.retry).unless(Error::is_too_many);
        Self {
            retry: Arc::new(retry),
            ..self.clone()
        }
    }

    /// Returns the HTTP client, and makes it if this is the first request.
    pub(super) fn http(&self) -> Result<&reqwest::Client> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        // One at a time, as several connections of a transfer may begin at once.
        #[cfg(feature = "fs")]
        let _making = self.spare();
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let http = (self.inner.http)()?;
        Ok(self.http.get_or_init(|| http))
    }

    /// Keeps what [`apart`](Self::apart) gave for the next, as reading the system's certificates
    /// takes longer than a small image does. All runtimes that made a connection of it have ended.
    #[cfg(feature = "fs")]
    pub(crate) fn keep_for_next(self) {
        let mut spare = self.spare();
        if let Some(http) = self.http.get().filter(|_| spare.len() < MAX_SPARE) {
            spare.push(http.clone());
        }
    }

    #[cfg(feature = "fs")]
    fn spare(&self) -> MutexGuard<'_, Vec<reqwest::Client>> {
        let spare = self.inner.spare.lock();
        spare.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn base(&self) -> &Url {
        &self.inner.base
    }

    pub(crate) fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Removes this client's secrets from a text of the server's.
    pub(crate) fn redact(&self, text: String) -> String {
        self.inner.redact(text, &[])
    }

    /// How long a transfer may stand still.
    pub(crate) fn patience(&self) -> Duration {
        self.inner.timeouts.stall
    }

    pub(crate) fn max_pages(&self) -> u64 {
        self.inner.max_pages
    }
}

impl Inner {
    /// A URL without what may be secret in it. Where a redirect led, a server may have put
    /// anything into the path; in this client's own path no short text is a secret.
    pub(super) fn shown(&self, url: &Url, own: &Url, more: &[SecretString]) -> String {
        let text = public_url(url);
        match url == own {
            true => redact::redact_long(text, self.secrets.iter().chain(more)),
            false => self.redact(text, more),
        }
    }

    /// Removes this client's secrets from a text that came from elsewhere.
    pub(super) fn redact(&self, text: String, more: &[SecretString]) -> String {
        redact::redact(text, self.secrets.iter().chain(more))
    }
}
