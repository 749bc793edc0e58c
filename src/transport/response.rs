//! A response: its head, its body within limits, and its error.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use url::Url;

use super::content_range::ContentRange;
use super::failure;
use super::handle::{Timeouts, Transport};
use super::rate::{MinRate, Pace};
use super::request::{JSON, Request};
use super::retry_after::retry_after;
use super::service::{Meaning, Refused};
use crate::attempt::Observed;
use crate::error::{Cause, Error, ErrorKind, FieldErrors, Refusal, Result};

/// The maximum size of an error's body, and the time limit for reading it.
const MAX_ERROR: usize = 64 * 1024;
const ERROR_TIME: Duration = Duration::from_secs(10);

pub(crate) struct Response {
    transport: Transport,
    method: Method,
    secrets: Vec<SecretString>,
    url: Url,
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    pace: Option<Pace>,
    observed: Observed,
    /// The server may have done what must not be done twice.
    may_be_done: bool,
}

enum Body {
    Open(reqwest::Response),
    Read(Bytes),
}

impl Response {
    pub(super) fn new(
        transport: &Transport,
        request: &Request,
        url: &Url,
        mut answer: reqwest::Response,
        observed: Observed,
        may_be_done: bool,
    ) -> Self {
        Self {
            transport: transport.clone(),
            method: request.method.clone(),
            secrets: request.secrets.clone(),
            url: url.clone(),
            status: answer.status(),
            headers: std::mem::take(answer.headers_mut()),
            body: Body::Open(answer),
            pace: transport.inner.timeouts.min_rate.map(MinRate::pace),
            observed,
            may_be_done,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the media type, without parameters and in lower case.
    pub(crate) fn media_type(&self) -> String {
        let value = self.header(&CONTENT_TYPE).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }

    /// Returns the next bytes of an open body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let Body::Open(answer) = &mut self.body else {
            return Ok(None);
        };
        let Timeouts {
            stall, min_rate, ..
        } = self.transport.inner.timeouts;
        let patience = self.pace.as_ref().map_or(stall, Pace::patience).min(stall);
        let began = Instant::now();
        let cause = match tokio::time::timeout(patience, answer.chunk()).await {
            Ok(Ok(chunk)) => {
                let bytes = chunk.as_ref().map_or(0, Bytes::len);
                self.observed.attempt.received += bytes as u64;
                if let (Some(pace), Some(_)) = (&mut self.pace, &chunk) {
                    pace.moved(bytes, began.elapsed());
                }
                return Ok(chunk);
            }
            Ok(Err(error)) => failure::cause(error, &self.url, true),
            Err(_) => Cause::Plain(
                ErrorKind::Stalled,
                match min_rate {
                    Some(rate) if patience < stall => rate.too_slow(),
                    _ => format!("no data for {stall:?}"),
                },
            ),
        };
        let error = self.error(cause);
        self.observed.attempt.error = Some(error.kind());
        Err(error)
    }

    /// Continues the minimum rate of an earlier response to the same transfer.
    pub(crate) fn go_on_from(&mut self, before: Self) {
        self.pace = before.pace;
    }

    /// Reads the whole body.
    pub(crate) async fn read(mut self) -> Result<Self> {
        let mut body = Bytes::new();
        while let Some(chunk) = self.chunk().await? {
            let most = self.transport.inner.max_response;
            if body.len() + chunk.len() > most {
                let message = format!("the response is larger than {most} bytes");
                return Err(self.error(Cause::Plain(ErrorKind::Limit, message)));
            }
            // Most bodies come in one chunk, which need not be copied.
            body = match body.is_empty() {
                true => chunk,
                false => {
                    let mut longer = BytesMut::from(body);
                    longer.extend_from_slice(&chunk);
                    longer.freeze()
                }
            };
        }
        self.body = Body::Read(body);
        Ok(self)
    }

    /// Decodes the body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let body: &[u8] = match &self.body {
            Body::Read(bytes) => bytes,
            Body::Open(_) => &[],
        };
        // From a text, since `from_slice` checks each string of it by itself.
        let json = match std::str::from_utf8(body) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(body),
        };
        json.map_err(|error| {
            let media_type = self.media_type();
            if media_type == JSON || media_type.is_empty() {
                return self.error(Cause::Decode(Box::new(error)));
            }
            let message = format!("the response is {media_type}, not JSON");
            self.error(Cause::Plain(ErrorKind::UnexpectedContent, message))
        })
    }

    /// Checks that a body, if there is one, is JSON.
    pub(crate) fn nothing(&self) -> Result<()> {
        match &self.body {
            Body::Read(bytes) if !bytes.is_empty() => self.json().map(|IgnoredAny| ()),
            _ => Ok(()),
        }
    }

    pub(crate) fn error(&self, cause: Cause) -> Error {
        let cause = match cause {
            Cause::Plain(kind, message) => Cause::Plain(kind, self.redact(message)),
            // A decoder quotes its input.
            Cause::Decode(error) => {
                let text = error.to_string();
                match self.redact(text.clone()) {
                    redacted if redacted == text => Cause::Decode(error),
                    redacted => Cause::Decode(redacted.into()),
                }
            }
            cause => cause,
        };
        Error::new(cause)
            .at(self.observed.attempt.url.clone())
            .after(self.observed.attempt.number, self.observed.began.elapsed())
            .with_sent(self.observed.attempt.sent)
    }

    fn redact(&self, text: String) -> String {
        self.transport.inner.redact(text, &self.secrets)
    }

    /// Returns the response as an error with this message.
    pub(super) fn refused(&self, message: String) -> Error {
        let words = Words {
            message: Some(self.redact(message)),
            from_api: true,
            ..Words::default()
        };
        self.error(Cause::Refused(Box::new(self.refusal(words))))
    }

    /// Returns an error unless the status is a success.
    pub(super) async fn checked(mut self) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        let (body, complete) = self.error_body().await;
        let json: Option<Value> = complete
            .then(|| serde_json::from_slice(&body).ok())
            .flatten();
        let redact = |text: String| self.redact(text);
        let fields = json.as_ref().and_then(field_errors).map(|fields| {
            let fields = fields.into_iter();
            fields
                .map(|(name, texts)| (redact(name), texts.into_iter().map(redact).collect()))
                .collect()
        });
        let is_plain = self.url.scheme() == "http" && self.status == StatusCode::BAD_REQUEST;
        if is_plain && json.is_none() && wants_tls(&body) {
            let message = "the server requires https, but the base URL is http";
            let cause = Cause::Network(ErrorKind::Tls, message.into(), None);
            return Err(self.error(cause));
        }
        let message = match &json {
            Some(json) => json
                .get("message")
                .and_then(Value::as_str)
                .map(str::to_owned),
            None if self.media_type() == "text/plain" => plain_text(&body),
            // A handler may replace the body and keep the type.
            None if self.media_type() == JSON && complete && !looks_like_json(&body) => {
                plain_text(&body)
            }
            None => None,
        };
        let refusal = self.refusal(Words {
            message: message.map(redact),
            fields,
            from_api: json.is_some(),
            empty: complete && body.is_empty(),
        });
        Err(self.error(Cause::Refused(Box::new(refusal))))
    }

    /// Returns the body as far as it can be read, and `true` if it is complete. It never fails, so
    /// that the status is not lost.
    async fn error_body(&mut self) -> (BytesMut, bool) {
        let mut body = BytesMut::new();
        let read = tokio::time::timeout(ERROR_TIME, async {
            loop {
                match self.chunk().await {
                    Ok(Some(chunk)) if chunk.len() <= MAX_ERROR - body.len() => {
                        body.extend_from_slice(&chunk);
                    }
                    end => return matches!(end, Ok(None)),
                }
            }
        });
        let complete = read.await.unwrap_or(false);
        (body, complete)
    }

    fn refusal(&self, words: Words) -> Refusal {
        let (kind, meaning) = match self.meaning(&words) {
            Some(meaning) => (Some(meaning.kind), Some(meaning.text)),
            None => (None, None),
        };
        Refusal {
            kind,
            meaning,
            status: self.status.as_u16(),
            message: words.message,
            fields: words.fields,
            total: self.total(),
            retry_after: self
                .header(&RETRY_AFTER)
                .and_then(|text| retry_after(text, Timestamp::now())),
            from_gateway: !words.from_api,
        }
    }

    /// Returns the length of the image, which a 416 has in `Content-Range: bytes */LENGTH`.
    fn total(&self) -> Option<u64> {
        let is_refused = self.status == StatusCode::RANGE_NOT_SATISFIABLE;
        let range = self.header(&CONTENT_RANGE).filter(|_| is_refused)?;
        ContentRange::parse(range)?.total
    }

    /// Returns the meaning of an error beyond its status.
    fn meaning(&self, words: &Words) -> Option<Meaning> {
        let inner = &self.transport.inner;
        let status = self.status.as_u16();
        // A proxy that timed out does not tell what the server did.
        if self.may_be_done && matches!(status, 502 | 504) {
            let text = "the server may or may not have created the image";
            return Meaning::new(ErrorKind::OutcomeUnknown, text);
        }
        let login = inner.authorization.as_ref();
        let login = login.and_then(|value| value.to_str().ok());
        (inner.service.meaning)(&Refused {
            method: &self.method,
            path: self.url.path(),
            query: self.url.query(),
            login: login.and_then(|value| value.split(' ').next()),
            status,
            headers: &self.headers,
            empty: words.empty,
            from_api: words.from_api,
            message: words.message.as_deref(),
            fields: words.fields.as_ref(),
        })
    }
}

/// The content of an error's body.
#[derive(Default)]
struct Words {
    message: Option<String>,
    fields: Option<FieldErrors>,
    from_api: bool,
    empty: bool,
}

/// `{"field": ["text", ...], ...}`
fn field_errors(json: &Value) -> Option<FieldErrors> {
    let fields: FieldErrors = serde_json::from_value(json.clone()).ok()?;
    (!fields.is_empty()).then_some(fields)
}

/// Returns `true` for the response of the real server, or of nginx, to plain HTTP on a TLS port.
fn wants_tls(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("HTTP request to an HTTPS server") || text.contains("sent to HTTPS port")
}

/// Returns `true` for broken JSON or HTML.
fn looks_like_json(body: &[u8]) -> bool {
    let start = body.trim_ascii_start().first();
    start.is_some_and(|start| b"{[\"<".contains(start))
}

fn plain_text(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
