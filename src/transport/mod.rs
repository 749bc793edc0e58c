//! The only place that speaks HTTP: credentials, retries, timeouts, redirects and what a status
//! means, for both services.

mod body;
mod content_range;
mod failure;
mod link;
mod rate;
mod redact;
mod request;
mod response;
mod retry_after;
mod send;
mod service;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
#[cfg(feature = "fs")]
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use tracing::{Instrument, Span, debug_span, field};
use url::Url;

pub(crate) use content_range::ContentRange;
pub(crate) use link::Links;
pub(crate) use rate::MinRate;
pub(crate) use request::{JSON, Request, check_segment};
pub(crate) use response::Response;
pub(crate) use retry_after::http_date;
pub(crate) use service::{Meaning, Refused, Service};

use crate::attempt::{Listener, Observed};
use crate::error::{Error, ErrorKind, Result};
use crate::retry::{Retries, RetryPolicy};

/// Redirects of one request that are followed within the origin.
const MAX_REDIRECTS: usize = 10;

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
    inner: Arc<Inner>,
    http: reqwest::Client,
    retry: Arc<RetryPolicy>,
}

pub(crate) struct Inner {
    /// Makes a client with connections of its own.
    #[cfg_attr(
        not(feature = "fs"),
        expect(dead_code, reason = "for transfers of files")
    )]
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
            http,
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
    pub(crate) fn apart(&self) -> Result<Self> {
        let http = match self.spare().pop() {
            Some(http) => http,
            None => (self.inner.http)()?,
        };
        Ok(Self {
            http,
            ..self.clone()
        })
    }

    /// Keeps what [`apart`](Self::apart) gave for the next, as reading the system's certificates
    /// takes longer than a small image does. All runtimes that made a connection of it have ended.
    #[cfg(feature = "fs")]
    pub(crate) fn keep_for_next(self) {
        let mut spare = self.spare();
        if spare.len() < MAX_SPARE {
            spare.push(self.http.clone());
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

    /// Sends the request and leaves the body of the answer to be read. A transfer that continues
    /// brings its retries along.
    pub(crate) async fn open(&self, request: Request, retries: &mut Retries) -> Result<Response> {
        self.repeat(request, retries, false).await
    }

    /// Sends the request and reads the answer's body, too; one that breaks counts as no answer.
    pub(crate) async fn fetch(&self, request: Request) -> Result<Response> {
        let mut retries = self.retry.start();
        self.repeat(request, &mut retries, true).await
    }

    async fn repeat(
        &self,
        mut request: Request,
        retries: &mut Retries,
        read: bool,
    ) -> Result<Response> {
        loop {
            let answer = match self.attempt(&mut request, retries.attempt()).await {
                Ok(response) if read => response.read().await.map_err(|error| {
                    // It was done, but what came of it is lost.
                    let lost = !request.is_idempotent() && error.is_retryable();
                    if lost { error.outcome_unknown() } else { error }
                }),
                answer => answer,
            };
            match answer {
                Ok(response) => return Ok(response),
                Err(error) => {
                    let again = may_repeat(&request, &error);
                    retries.wait(error, again).await?;
                }
            }
        }
    }

    async fn attempt(&self, request: &mut Request, number: u32) -> Result<Response> {
        let own = request.url(&self.inner.base);
        let mut url = own.clone();
        for _ in 0..=MAX_REDIRECTS {
            let shown = self.inner.shown(&url, &own, &request.secrets);
            let span = attempt_span(request, &url, &shown, number);
            let listener = self.inner.listener.clone();
            let observed = Observed::new(listener, request.method.as_str(), &shown, number);
            let response = self
                .exchange(request, &url, observed)
                .instrument(span)
                .await?;
            let Some(target) = redirect(&response) else {
                return response.checked().await;
            };
            url = self.follow(request, &response, target)?;
        }
        let message = format!("more than {MAX_REDIRECTS} redirects");
        let error = Error::plain(ErrorKind::Redirect, message);
        Err(error.at(self.inner.shown(&url, &own, &request.secrets)))
    }

    /// Where a redirect leads, if it may be followed.
    fn follow(&self, request: &Request, response: &Response, target: Url) -> Result<Url> {
        let see_other = response.status() == StatusCode::SEE_OTHER;
        let why = if request.method != Method::GET || see_other {
            "; the base URL may want https or another host, or the token is refused"
        } else if !same_origin(&target, &self.inner.base) {
            ", which is another origin"
        } else if !keeps_query(response.url(), &target) {
            ", which lacks a part of the query, and so asks for something else"
        } else {
            return Ok(target);
        };
        Err(response.refused(format!("redirected to {}{why}", public_url(&target))))
    }
}

/// The span of one request, its fields named as OpenTelemetry names them for HTTP clients.
fn attempt_span(request: &Request, url: &Url, shown: &str, number: u32) -> Span {
    debug_span!(
        "request",
        "http.request.method" = %request.method,
        "server.address" = url.host_str(),
        "server.port" = url.port_or_known_default(),
        "url.full" = shown,
        "http.request.resend_count" = number.saturating_sub(1),
        "http.response.status_code" = field::Empty,
        "error.type" = field::Empty,
    )
}

/// The target of a redirect. 304 and the like are none.
fn redirect(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.header(&LOCATION)?;
    response.url().join(location).ok()
}

/// Whether a redirect still asks for the same: without its page or search a list is another.
fn keeps_query(from: &Url, to: &Url) -> bool {
    let kept: Vec<_> = to.query_pairs().collect();
    from.query_pairs().all(|pair| kept.contains(&pair))
}

/// Whether sending the request again does no harm.
fn may_repeat(request: &Request, error: &Error) -> bool {
    let never_sent = error.kind() == ErrorKind::Connect;
    request.is_replayable() && (request.is_idempotent() || never_sent)
}

pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin()
}

/// A URL without what may be secret in it.
pub(crate) fn public_url(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs that have no userinfo.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

impl Inner {
    /// A URL without what may be secret in it. Where a redirect led, a server may have put
    /// anything into the path; in this client's own path no short text is a secret.
    fn shown(&self, url: &Url, own: &Url, more: &[SecretString]) -> String {
        let text = public_url(url);
        match url == own {
            true => redact::redact_long(text, self.secrets.iter().chain(more)),
            false => self.redact(text, more),
        }
    }

    /// Removes this client's secrets from a text that came from elsewhere.
    fn redact(&self, text: String, more: &[SecretString]) -> String {
        redact::redact(text, self.secrets.iter().chain(more))
    }
}
