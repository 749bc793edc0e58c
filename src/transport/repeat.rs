//! Sending a request until there is a response: retries and redirects.

use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};
use tracing::{Instrument, Span, debug_span, field};
use url::Url;

use super::handle::Transport;
use super::origin::{public_url, same_origin};
use super::request::Request;
use super::response::Response;
use crate::attempt::Observed;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::Retries;

/// The maximum number of redirects of one request.
const MAX_REDIRECTS: usize = 10;

impl Transport {
    /// Sends the request, and leaves the body of the response to be read. A transfer that continues
    /// passes its retries on.
    pub(crate) async fn open(&self, request: Request, retries: &mut Retries) -> Result<Response> {
        self.repeat(request, retries, false).await
    }

    /// Sends the request and reads the body of the response; a broken body counts as no response.
    pub(crate) async fn fetch(&self, request: Request) -> Result<Response> {
        let mut retries = self.retry().start();
        self.repeat(request, &mut retries, true).await
    }

    async fn repeat(
        &self,
        mut request: Request,
        retries: &mut Retries,
        read: bool,
    ) -> Result<Response> {
        loop {
            let response = match self.attempt(&mut request, retries).await {
                Ok(response) if read => response.read().await.map_err(|error| {
                    // It was done, but its result is unknown.
                    let unknown = !request.is_idempotent() && error.is_retryable();
                    if unknown {
                        error.outcome_unknown()
                    } else {
                        error
                    }
                }),
                response => response,
            };
            match response {
                Ok(response) => return Ok(response),
                Err(error) => {
                    let again = may_repeat(&request, &error);
                    retries.wait(error, again).await?;
                }
            }
        }
    }

    async fn attempt(&self, request: &mut Request, retries: &Retries) -> Result<Response> {
        let own = request.url(&self.inner.base);
        let mut url = own.clone();
        for _ in 0..=MAX_REDIRECTS {
            let shown = self.inner.shown(&url, &own, &request.secrets);
            let span = attempt_span(request, &url, &shown, retries.attempt());
            let listener = self.inner.listener.clone();
            let observed = Observed::new(listener, request.method.as_str(), &shown, retries);
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

    /// Returns the target of a redirect that may be followed.
    fn follow(&self, request: &Request, response: &Response, target: Url) -> Result<Url> {
        let see_other = response.status() == StatusCode::SEE_OTHER;
        let why = if request.method != Method::GET || see_other {
            "; the base URL may need https or another host, or the token may be wrong"
        } else if !same_origin(&target, &self.inner.base) {
            ", which is another origin"
        } else if !keeps_query(response.url(), &target) {
            ", which lacks a part of the query"
        } else {
            return Ok(target);
        };
        Err(response.refused(format!("redirected to {}{why}", public_url(&target))))
    }
}

/// Returns the span of one request, with the field names of OpenTelemetry.
fn attempt_span(request: &Request, url: &Url, shown: &str, number: u32) -> Span {
    debug_span!(
        target: "machine_images::transport",
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

/// Returns the target of a redirect; 304 and the like are none.
fn redirect(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.header(&LOCATION)?;
    response.url().join(location).ok()
}

/// Returns `true` if a redirect keeps the query: without its page or search a list is another.
fn keeps_query(from: &Url, to: &Url) -> bool {
    let kept: Vec<_> = to.query_pairs().collect();
    from.query_pairs().all(|pair| kept.contains(&pair))
}

/// Returns `true` if sending the request again is safe.
fn may_repeat(request: &Request, error: &Error) -> bool {
    let never_sent = error.kind() == ErrorKind::Connect;
    request.is_replayable() && (request.is_idempotent() || never_sent)
}
