//! One request and the head of its answer.

use futures::future::{Either, select};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use tracing::Span;
use url::Url;

use super::body::{Sending, UploadBody};
use super::request::Payload;
use super::{MinRate, Request, Response, Timeouts, Transport};
use crate::error::{Cause, Error, ErrorKind, Result};

/// Why no answer came.
enum Interrupted {
    Timeout(ErrorKind, String),
    Http(reqwest::Error),
}

impl Transport {
    pub(super) async fn exchange(&self, request: &mut Request, url: &Url) -> Result<Response> {
        let mut outgoing = reqwest::Request::new(request.method.clone(), url.clone());
        let headers = outgoing.headers_mut();
        headers.clone_from(&request.headers);
        if let Some(authorization) = &self.inner.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let min_rate = self.inner.timeouts.min_rate;
        let sending = attach(request, &mut outgoing, min_rate).await?;
        let answer = self.watch(self.http.execute(outgoing), &sending).await;
        let span = Span::current();
        let cause = match (answer, sending.take_failure()) {
            (_, Some(error)) => Cause::Source(error),
            // A success for bytes that were never sent is no success.
            (Ok(answer), None) if answer.status().is_success() && !sending.is_done() => {
                Cause::OutcomeUnknown("the server answered before it had everything".into())
            }
            (Ok(answer), None) => {
                let status = answer.status();
                span.record("http.response.status_code", status.as_u16());
                if status.is_client_error() || status.is_server_error() {
                    span.record("error.type", status.as_str());
                }
                let may_be_done = !request.is_idempotent() && sending.is_done();
                return Ok(Response::new(self, request, url, answer, may_be_done));
            }
            (Err(interrupted), None) => cause(interrupted, request),
        };
        let public_url = self.inner.public_url(url, &request.secrets);
        let error = Error::new(request.operation, cause).at(public_url);
        span.record("error.type", error.kind().as_str());
        Err(error)
    }

    /// Waits for the answer's head: as long as the request's body moves, and then for the response
    /// timeout. There is no limit on the whole.
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
                let (kind, message) = match done {
                    true => (ErrorKind::Timeout, format!("no answer within {response:?}")),
                    false => (
                        ErrorKind::Stalled,
                        format!("the upload did not move for {stall:?}"),
                    ),
                };
                return Err(Interrupted::Timeout(kind, message));
            }
            let patience = sending.patience().unwrap_or(left);
            if let Some(rate) = min_rate.filter(|_| patience.is_zero()) {
                return Err(Interrupted::Timeout(ErrorKind::Stalled, rate.too_slow()));
            }
            // The body may be through meanwhile, and then the other limit counts.
            let sleep = std::pin::pin!(tokio::time::sleep(left.min(response).min(patience)));
            if let Either::Left((answer, _)) = select(answer.as_mut(), sleep).await {
                return answer.map_err(Interrupted::Http);
            }
        }
    }
}

/// Gives the request its body.
async fn attach(
    request: &mut Request,
    outgoing: &mut reqwest::Request,
    min_rate: Option<MinRate>,
) -> Result<Sending> {
    match &mut request.body {
        Payload::None => Ok(Sending::done()),
        Payload::Bytes(bytes) => {
            *outgoing.body_mut() = Some(bytes.clone().into());
            Ok(Sending::done())
        }
        Payload::Upload(source, meter) => {
            let opened = match source.take() {
                Some(source) => source.open().await,
                None => Err(std::io::Error::other("the source can be read only once")),
            };
            let (opened, again) =
                opened.map_err(|error| Error::new(request.operation, Cause::Source(error)))?;
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

fn cause(interrupted: Interrupted, request: &Request) -> Cause {
    match interrupted {
        Interrupted::Timeout(kind, message) if request.is_idempotent() => {
            Cause::Plain(kind, message)
        }
        Interrupted::Timeout(_, message) => Cause::OutcomeUnknown(message.into()),
        Interrupted::Http(error) => {
            let never_sent = error.is_connect() || error.is_builder();
            let error = Box::new(error.without_url());
            match never_sent {
                true => Cause::Connect(error),
                false if request.is_idempotent() => Cause::Broken(error),
                false => Cause::OutcomeUnknown(error),
            }
        }
    }
}
