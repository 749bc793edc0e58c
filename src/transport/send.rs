//! One request, and the head of its response.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::TryStreamExt;
use futures::future::{Either, select};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use tracing::Span;
use url::Url;

use super::body::{Sending, UploadBody};
use super::failure;
use super::handle::{Timeouts, Transport};
use super::rate::MinRate;
use super::request::{Payload, Request};
use super::response::Response;
use crate::attempt::Observed;
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::source::Chunks;

/// The reason for no response.
enum Interrupted {
    Timeout(ErrorKind, String),
    Http(reqwest::Error),
}

impl Transport {
    pub(super) async fn exchange(
        &self,
        request: &mut Request,
        url: &Url,
        mut observed: Observed,
    ) -> Result<Response> {
        let mut outgoing = reqwest::Request::new(request.method.clone(), url.clone());
        let headers = outgoing.headers_mut();
        headers.clone_from(&request.headers);
        if let Some(authorization) = &self.inner.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let Timeouts {
            stall, min_rate, ..
        } = self.inner.timeouts;
        let sending = attach(request, &mut outgoing, min_rate, stall).await?;
        let answer = self.watch(self.http()?.execute(outgoing), &sending).await;
        observed.attempt.sent = sending.sent();
        let span = Span::current();
        let cause = match (answer, sending.take_failure()) {
            (_, Some(error)) => Cause::Source(error),
            // A success before the whole request was sent is not a success.
            (Ok(answer), None) if answer.status().is_success() && !sending.is_done() => not_sent(
                request,
                "the server responded before the whole request was sent".into(),
            ),
            (Ok(answer), None) => {
                self.inner.knows_http.store(true, Ordering::Relaxed);
                let status = answer.status();
                span.record("http.response.status_code", status.as_u16());
                if status.is_client_error() || status.is_server_error() {
                    span.record("error.type", status.as_str());
                }
                observed.attempt.status = Some(status.as_u16());
                let may_be_done = !request.is_idempotent() && sending.is_done();
                return Ok(Response::new(
                    self,
                    request,
                    url,
                    answer,
                    observed,
                    may_be_done,
                ));
            }
            (Err(interrupted), None) => {
                let knows_http = self.inner.knows_http.load(Ordering::Relaxed);
                cause(interrupted, request, url, sending.is_done(), knows_http)
            }
        };
        let error = Error::new(cause)
            .at(observed.attempt.url.clone())
            .with_sent(observed.attempt.sent);
        span.record("error.type", error.kind().as_str());
        observed.attempt.error = Some(error.kind());
        Err(error)
    }

    /// Waits for the head of the response: as long as the request's body moves, and then for the
    /// response timeout. The total time is not limited.
    async fn watch(
        &self,
        answer: impl Future<Output = reqwest::Result<reqwest::Response>>,
        sending: &Sending,
    ) -> Result<reqwest::Response, Interrupted> {
        let Timeouts {
            response,
            stall,
            min_rate,
        } = self.inner.timeouts;
        let mut answer = std::pin::pin!(answer);
        loop {
            let (moved, done) = sending.progress();
            let limit = if done { response } else { stall };
            let left = limit.saturating_sub(moved.elapsed());
            if left.is_zero() {
                if done {
                    let message = format!("no response within {response:?}");
                    return Err(Interrupted::Timeout(ErrorKind::Timeout, message));
                }
                if sending.waits_for_source() {
                    let message = format!("no data for {stall:?}");
                    sending.fail(io::Error::new(io::ErrorKind::TimedOut, message.clone()));
                    return Err(Interrupted::Timeout(ErrorKind::Source, message));
                }
                let message = format!("the upload stalled for {stall:?}");
                return Err(Interrupted::Timeout(ErrorKind::Stalled, message));
            }
            let patience = sending.patience().unwrap_or(left);
            if let Some(rate) = min_rate.filter(|_| patience.is_zero()) {
                return Err(Interrupted::Timeout(ErrorKind::Stalled, rate.too_slow()));
            }
            // Once the body is sent, the other limit applies.
            let sleep = std::pin::pin!(tokio::time::sleep(left.min(response).min(patience)));
            if let Either::Left((answer, _)) = select(answer.as_mut(), sleep).await {
                return answer.map_err(Interrupted::Http);
            }
        }
    }
}

/// Checks that a source of length 0 is empty.
async fn is_empty(chunks: &mut Chunks) -> io::Result<()> {
    while let Some(chunk) = chunks.try_next().await? {
        if !chunk.is_empty() {
            let message = "it has more than its 0 bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
    }
    Ok(())
}

/// Attaches the body to the request.
async fn attach(
    request: &mut Request,
    outgoing: &mut reqwest::Request,
    min_rate: Option<MinRate>,
    stall: Duration,
) -> Result<Sending> {
    match &mut request.body {
        Payload::None => Ok(Sending::of_bytes(0)),
        Payload::Bytes(bytes) => {
            *outgoing.body_mut() = Some(bytes.clone().into());
            Ok(Sending::of_bytes(bytes.len()))
        }
        Payload::Upload(source, meter) => {
            let opened = match source.take() {
                Some(source) => source.open().await,
                None => Err(std::io::Error::other("the source can be read only once")),
            };
            let failed = |error| Error::new(Cause::Source(error));
            let (mut opened, again) = opened.map_err(failed)?;
            if opened.length == Some(0) {
                // An empty body is never polled.
                let empty = tokio::time::timeout(stall, is_empty(&mut opened.chunks));
                empty.await.unwrap_or(Ok(())).map_err(failed)?;
            }
            *source = again;
            if let Some(length) = opened.length {
                let headers = outgoing.headers_mut();
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            let (body, sending) = UploadBody::new(opened, meter.clone(), min_rate);
            *outgoing.body_mut() = Some(reqwest::Body::wrap(body));
            Ok(sending)
        }
    }
}

fn cause(
    interrupted: Interrupted,
    request: &Request,
    url: &Url,
    is_sent: bool,
    knows_http: bool,
) -> Cause {
    let has_arrived = match &interrupted {
        Interrupted::Timeout(..) => false,
        Interrupted::Http(error) => failure::is_other_protocol(error),
    };
    let cause = match interrupted {
        Interrupted::Timeout(kind, message) => Cause::Plain(kind, message),
        Interrupted::Http(error) => failure::cause(error, url, knows_http),
    };
    let never_sent = matches!(
        cause,
        Cause::Network(ErrorKind::Connect | ErrorKind::Tls | ErrorKind::Proxy, ..)
            | Cause::Plain(ErrorKind::InvalidInput, _)
    );
    if (never_sent && !has_arrived) || request.is_idempotent() {
        cause
    } else if is_sent {
        Cause::OutcomeUnknown {
            is_missing: false,
            source: failure::line(&cause).into(),
        }
    } else {
        not_sent(request, failure::line(&cause))
    }
}

/// Returns the cause of a creation that was not sent to its end.
fn not_sent(request: &Request, reason: String) -> Cause {
    Cause::NotSent {
        is_replayable: request.is_replayable(),
        source: reason.into(),
    }
}
