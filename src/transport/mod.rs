//! The only place that speaks HTTP: credentials, retries, timeouts, redirects and what a status
//! means, for both services.

mod body;
mod content_range;
mod link;
mod request;
mod response;
mod retry_after;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub(crate) use content_range::ContentRange;
pub(crate) use link::Links;
pub(crate) use request::{JSON, Request, check_segment};
pub(crate) use response::Response;
pub(crate) use retry_after::http_date;

use crate::error::{Cause, Error, ErrorKind, Result};
use crate::retry::RetryPolicy;
use body::{Sending, UploadBody};
use request::Payload;

/// Redirects of one request that are followed within the origin.
const MAX_REDIRECTS: usize = 10;

/// The longest a client waits, by what it waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) response: Duration,
    pub(crate) stall: Duration,
}

/// What both clients are made of; cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) http: reqwest::Client,
    pub(crate) base: Url,
    pub(crate) authorization: Option<HeaderValue>,
    /// Never to be shown, whoever says them.
    pub(crate) secrets: Vec<SecretString>,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: RetryPolicy,
    pub(crate) max_pages: u64,
    /// What a 404 means to this service.
    pub(crate) not_found: ErrorKind,
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
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    pub(crate) fn base(&self) -> &Url {
        &self.0.base
    }

    pub(crate) fn retry(&self) -> &RetryPolicy {
        &self.0.retry
    }

    pub(crate) fn max_pages(&self) -> u64 {
        self.0.max_pages
    }

    /// Sends the request and leaves the body of the answer to be read.
    pub(crate) async fn open(&self, mut request: Request) -> Result<Response> {
        let mut retries = self.0.retry.start();
        loop {
            match self.attempt(&mut request).await {
                Ok(response) => return Ok(response.after(retries.sent())),
                Err(error) => {
                    let again = may_repeat(&request, &error);
                    retries.wait(error, again).await?;
                }
            }
        }
    }

    /// Sends the request and reads the answer's body, too; one that breaks counts as no answer.
    pub(crate) async fn fetch(&self, mut request: Request) -> Result<Response> {
        let mut retries = self.0.retry.start();
        loop {
            let answer = match self.attempt(&mut request).await {
                Ok(response) => response.read().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(response) => return Ok(response.after(retries.sent())),
                Err(error) => {
                    let again = may_repeat(&request, &error);
                    retries.wait(error, again).await?;
                }
            }
        }
    }

    async fn attempt(&self, request: &mut Request) -> Result<Response> {
        let mut url = request.url(&self.0.base);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send_once(request, &url).await?;
            let Some(target) = redirect(&response) else {
                return response.checked().await;
            };
            url = self.follow(request, &response, target)?;
        }
        let message = format!("more than {MAX_REDIRECTS} redirects");
        Err(Error::plain(request.operation, ErrorKind::Redirect, message).at(&url))
    }

    async fn send_once(&self, request: &mut Request, url: &Url) -> Result<Response> {
        let (operation, method) = (request.operation, request.method.clone());
        let mut outgoing = reqwest::Request::new(method, url.clone());
        outgoing.headers_mut().clone_from(&request.headers);
        if let Some(authorization) = &self.0.authorization {
            outgoing
                .headers_mut()
                .insert(AUTHORIZATION, authorization.clone());
        }
        let sending = match &mut request.body {
            Payload::None => Sending::done(),
            Payload::Bytes(bytes) => {
                *outgoing.body_mut() = Some(bytes.clone().into());
                Sending::done()
            }
            Payload::Upload(source, meter) => {
                let opened = match source.take() {
                    Some(source) => source.open().await,
                    None => Err(std::io::Error::other("the source can be read only once")),
                };
                let (opened, again) =
                    opened.map_err(|error| Error::new(operation, Cause::Source(error)))?;
                *source = again;
                if let Some(length) = opened.length {
                    outgoing
                        .headers_mut()
                        .insert(CONTENT_LENGTH, HeaderValue::from(length));
                }
                let (body, sending) = UploadBody::new(opened, meter.clone());
                *outgoing.body_mut() = Some(reqwest::Body::wrap(body));
                sending
            }
        };
        let answer = self.watch(self.0.http.execute(outgoing), &sending).await;
        let failure = sending.take_failure();
        let cause = match (answer, failure) {
            (_, Some(error)) => Cause::Source(error),
            (Ok(answer), None) => {
                // A success for bytes that were never sent is no success.
                if answer.status().is_success() && !sending.progress().1 {
                    Cause::OutcomeUnknown("the server answered before it had the image".into())
                } else {
                    return Ok(Response::new(self, request, url, answer));
                }
            }
            (Err(Interrupted::Timeout(cause)), None) if request.is_idempotent() => cause,
            (Err(Interrupted::Timeout(cause)), None) => {
                Cause::OutcomeUnknown(cause.to_string().into())
            }
            (Err(Interrupted::Http(error)), None) => {
                let connecting = error.is_connect() || error.is_builder();
                let error = Box::new(error.without_url());
                match connecting {
                    true => Cause::Connect(error),
                    false if request.is_idempotent() => Cause::Broken(error),
                    false => Cause::OutcomeUnknown(error),
                }
            }
        };
        Err(Error::new(operation, cause).at(url))
    }

    /// Waits for the answer's head: as long as the request's body moves, and then for the response
    /// timeout. There is no limit on the whole.
    async fn watch(
        &self,
        answer: impl Future<Output = reqwest::Result<reqwest::Response>>,
        sending: &Sending,
    ) -> Result<reqwest::Response, Interrupted> {
        let Timeouts { response, stall } = self.0.timeouts;
        let mut answer = std::pin::pin!(answer);
        loop {
            let (moved, done) = sending.progress();
            let limit = if done { response } else { stall };
            let left = limit.saturating_sub(moved.elapsed());
            let sleep = std::pin::pin!(tokio::time::sleep(left));
            match select(answer.as_mut(), sleep).await {
                Either::Left((answer, _)) => return answer.map_err(Interrupted::Http),
                Either::Right(_) if sending.progress() == (moved, done) => {
                    let what = if done {
                        ErrorKind::Timeout
                    } else {
                        ErrorKind::Stalled
                    };
                    let message = match done {
                        true => format!("no answer within {response:?}"),
                        false => format!("the upload did not move for {stall:?}"),
                    };
                    return Err(Interrupted::Timeout(Cause::Plain(what, message)));
                }
                Either::Right(_) => {}
            }
        }
    }

    /// Where a redirect leads, if it may be followed.
    fn follow(&self, request: &Request, response: &Response, target: Url) -> Result<Url> {
        let see_other = response.status() == StatusCode::SEE_OTHER;
        let why = if request.method != Method::GET || see_other {
            "; the base URL may want https or another host, or the token is refused"
        } else if !same_origin(&target, &self.0.base) {
            ", which is another origin"
        } else {
            return Ok(target);
        };
        Err(response.refused(Some(format!("redirected to {}{why}", public_url(&target)))))
    }
}

/// Why no answer came.
enum Interrupted {
    Timeout(Cause),
    Http(reqwest::Error),
}

/// The target of a redirect. 304 and the like are none.
fn redirect(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.header(&LOCATION)?;
    response.url().join(location).ok()
}

/// Whether sending the request again does no harm and may help.
fn may_repeat(request: &Request, error: &Error) -> bool {
    let never_sent = error.kind() == ErrorKind::Connect;
    error.is_retryable() && request.is_replayable() && (request.is_idempotent() || never_sent)
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
    /// Removes this client's secrets from a text that came from elsewhere.
    fn redact(&self, mut text: String, more: &[SecretString]) -> String {
        for secret in self.secrets.iter().chain(more) {
            let secret = secret.expose_secret();
            if text.contains(secret) {
                text = text.replace(secret, "[redacted]");
            }
        }
        text
    }
}
