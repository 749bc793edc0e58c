//! The handle to one service: its settings, its HTTP client and its secrets.

use std::fmt;
use std::sync::atomic::AtomicBool;
#[cfg(feature = "fs")]
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
#[cfg(feature = "fs")]
use std::sync::{Mutex, MutexGuard};
#[cfg(feature = "fs")]
use std::thread;
use std::time::Duration;

use reqwest::header::HeaderValue;
use secrecy::SecretString;
use url::Url;

use super::origin::public_url;
use super::rate::MinRate;
use super::redact;
use super::service::Service;
use crate::attempt::Listener;
use crate::error::{Error, Result};
use crate::retry::RetryPolicy;
#[cfg(feature = "fs")]
use crate::sync::lock;

/// The maximum number of HTTP clients to keep for later transfers.
#[cfg(feature = "fs")]
const MAX_SPARE: usize = 8;

/// Time limits by what is waited for, and the minimum rate of bodies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) response: Duration,
    pub(crate) stall: Duration,
    pub(crate) min_rate: Option<MinRate>,
}

/// The handle that all calls of one client share; cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(super) inner: Arc<Inner>,
    /// Empty until the first request of a transfer that has connections of its own.
    http: Arc<OnceLock<reqwest::Client>>,
    retry: Arc<RetryPolicy>,
}

pub(crate) struct Inner {
    /// Makes an HTTP client with a connection pool of its own.
    pub(crate) http: Box<dyn Fn() -> Result<reqwest::Client> + Send + Sync>,
    /// HTTP clients of earlier transfers, without open connections.
    #[cfg(feature = "fs")]
    pub(crate) spare: Mutex<Vec<reqwest::Client>>,
    pub(crate) base: Url,
    pub(crate) authorization: Option<HeaderValue>,
    /// Texts that are never shown, even if the server sends them.
    pub(crate) secrets: Vec<SecretString>,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_pages: u64,
    /// The maximum size of a JSON response.
    pub(crate) max_response: usize,
    /// The server has responded in HTTP before.
    pub(crate) knows_http: AtomicBool,
    /// Called for every attempt.
    pub(crate) listener: Option<Listener>,
    pub(crate) service: &'static Service,
}

/// Shows the base URL only.
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

    /// Returns a handle that sends every request once.
    pub(crate) fn once(&self) -> Self {
        Self {
            retry: Arc::new(RetryPolicy::none()),
            ..self.clone()
        }
    }

    /// Returns a handle that tells of each error after which a request is repeated.
    pub(crate) fn heard(&self, listener: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        let retry = RetryPolicy::clone(&self.retry).heard(listener);
        Self {
            retry: Arc::new(retry),
            ..self.clone()
        }
    }

    /// Returns a handle with a connection pool of its own, for a runtime that ends before the client
    /// does: a connection ends with the runtime that opened it, even if another one uses it.
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
        let retry = RetryPolicy::clone(&self.retry).impatient();
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

    /// Returns how many round trips the next response will take: the first one comes on a
    /// connection that has yet to be made.
    #[cfg(feature = "fs")]
    pub(crate) fn round_trips(&self) -> u32 {
        let is_first = !self.inner.knows_http.load(Ordering::Relaxed);
        let is_tls = self.base().scheme() == "https";
        1 + u32::from(is_first) + u32::from(is_first && is_tls)
    }

    /// Makes the HTTP client meanwhile, on a thread of its own.
    #[cfg(feature = "fs")]
    pub(crate) fn prepare(&self) {
        if self.http.get().is_none() {
            let transport = self.clone();
            // An error is that of the first request.
            let _ = thread::Builder::new().spawn(move || transport.http().map(drop));
        }
    }

    /// Keeps the HTTP client of [`apart`](Self::apart) for the next transfer, since loading the
    /// system's certificates takes longer than a small image does. All runtimes that opened one of
    /// its connections must have ended.
    #[cfg(feature = "fs")]
    pub(crate) fn keep_for_next(self) {
        let mut spare = self.spare();
        if let Some(http) = self.http.get().filter(|_| spare.len() < MAX_SPARE) {
            spare.push(http.clone());
        }
    }

    #[cfg(feature = "fs")]
    fn spare(&self) -> MutexGuard<'_, Vec<reqwest::Client>> {
        lock(&self.inner.spare)
    }

    pub(crate) fn base(&self) -> &Url {
        &self.inner.base
    }

    pub(crate) fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Removes this client's secrets from a text that the server sent.
    pub(crate) fn redact(&self, text: String) -> String {
        self.inner.redact(text, &[])
    }

    /// Returns how long a transfer may go without moving a byte.
    pub(crate) fn patience(&self) -> Duration {
        self.inner.timeouts.stall
    }

    pub(crate) fn max_pages(&self) -> u64 {
        self.inner.max_pages
    }
}

impl Inner {
    /// Returns a URL without secrets. After a redirect the server may have put anything into the
    /// path; in the path of the request itself, no short text is a secret.
    pub(super) fn shown(&self, url: &Url, own: &Url, more: &[SecretString]) -> String {
        let text = public_url(url);
        match url == own {
            true => redact::redact_long(text, self.secrets.iter().chain(more)),
            false => self.redact(text, more),
        }
    }

    /// Removes this client's secrets, and `more`, from a text that the server sent.
    pub(super) fn redact(&self, text: String, more: &[SecretString]) -> String {
        redact::redact(text, self.secrets.iter().chain(more))
    }
}
