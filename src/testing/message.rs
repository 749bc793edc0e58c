use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::Value;

use super::body::Payload;
use super::record::Entry;
use super::wire::Control;

/// JSON bodies beyond this size are refused.
const JSON_LIMIT: usize = 1024 * 1024;

/// What a server answers.
pub(super) type Answer = Response<Payload>;

/// One API: from a request to its answer.
pub(super) trait Service: Send + Sync + 'static {
    fn answer<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Answer>;
}

/// A request whose body is still on its way.
pub(super) struct Request {
    pub(super) head: Parts,
    body: Incoming,
    entry: Entry,
    begun: bool,
    received: u64,
    stall: Option<(u64, Duration)>,
    copy: Option<Copying>,
}

/// How an upload is copied once it has arrived.
struct Copying {
    wait: Duration,
    /// The connection whose end is the end of the copy.
    client: Option<Arc<Control>>,
}

impl Request {
    pub(super) fn new(head: Parts, body: Incoming, entry: Entry) -> Self {
        Self {
            head,
            body,
            entry,
            begun: false,
            received: 0,
            stall: None,
            copy: None,
        }
    }

    /// The next bytes of the body; an error if the client went away in the middle of it.
    pub(super) async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        if let Some((_, wait)) = self.stall.take_if(|(after, _)| self.received >= *after) {
            tokio::time::sleep(wait).await;
        }
        self.begun = true;
        while let Some(frame) = self.body.frame().await {
            if let Ok(chunk) = frame.map_err(io::Error::other)?.into_data() {
                self.received += chunk.len() as u64;
                self.entry.body_received(&chunk);
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// The whole of a small body.
    pub(super) async fn small_body(&mut self) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > JSON_LIMIT {
                return Err(io::ErrorKind::InvalidData.into());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }

    /// Reads the body to its end, or until this much of it has been read.
    pub(super) async fn discard(&mut self, limit: u64) {
        while self.received < limit && matches!(self.chunk().await, Ok(Some(_))) {}
    }

    /// Pauses once this much of the body has been read.
    pub(super) fn stall(&mut self, after: u64, wait: Duration) {
        self.stall = Some((after, wait));
    }

    /// Lets the copy of an upload take its time; with the client's connection, a client that
    /// goes away meanwhile ends it.
    pub(super) fn copy_slowly(&mut self, wait: Duration, client: Option<Arc<Control>>) {
        self.copy = Some(Copying { wait, client });
    }

    /// Whether the request is done even if its connection ends.
    pub(super) fn outlives_client(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.client.is_none())
    }

    /// Waits while an upload that has arrived is copied.
    pub(super) async fn copied(&mut self) {
        let Some(copy) = self.copy.take() else {
            return;
        };
        if let Some(client) = &copy.client {
            client.watch_client(true);
        }
        tokio::time::sleep(copy.wait).await;
        if let Some(client) = &copy.client {
            client.watch_client(false);
        }
    }

    /// The bytes of the body that were read.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The body's bytes that are still to come, as far as the head tells.
    pub(super) fn announced(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Whether the client waits for a word before it sends the body.
    pub(super) fn holds_body_back(&self) -> bool {
        !self.begun && self.head.headers.contains_key(EXPECT)
    }

    /// A header's first value, if it is text.
    pub(super) fn header(&self, name: impl hyper::header::AsHeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The media type of the body, without parameters.
    pub(super) fn media_type(&self) -> String {
        let value = self.header(CONTENT_TYPE).unwrap_or_default();
        let kind = value.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    }
}

/// An answer with headers and no body.
pub(super) fn empty(status: StatusCode, headers: &[(HeaderName, &str)]) -> Answer {
    let mut answer = Response::new(Payload::default());
    *answer.status_mut() = status;
    for (name, value) in headers {
        set(answer.headers_mut(), name.clone(), value);
    }
    answer
}

/// A JSON answer, as Go writes it: keys sorted, HTML escaped, a newline at the end.
pub(super) fn json(status: StatusCode, value: &Value) -> Answer {
    let text = value
        .to_string()
        .replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e");
    let body = Bytes::from(text + "\n");
    let mut answer = empty(status, &[]);
    set(answer.headers_mut(), CONTENT_LENGTH, body.len().to_string());
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    *answer.body_mut() = body.into();
    answer
}

/// `{"message": ...}`.
pub(super) fn message(status: StatusCode, text: &str) -> Answer {
    json(status, &serde_json::json!({ "message": text }))
}

/// Plain text with the reason that the real server gives.
pub(super) fn text(status: StatusCode, reason: Option<&'static str>, text: &str) -> Answer {
    let mut answer = empty(status, &[(CONTENT_TYPE, "text/plain; charset=utf-8")]);
    *answer.body_mut() = Bytes::copy_from_slice(text.as_bytes()).into();
    if let Some(reason) = reason {
        let reason = ReasonPhrase::from_static(reason.as_bytes());
        answer.extensions_mut().insert(reason);
    }
    answer
}

/// Sets a header, unless the value cannot be one.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: impl AsRef<str>) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        headers.insert(name, value);
    }
}
