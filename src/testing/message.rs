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
use super::request_log::Entry;
use super::socket::SocketControl;

/// The most bytes of a JSON body that are accepted.
const JSON_LIMIT: usize = 1024 * 1024;

/// The answer of a server.
pub(super) type Answer = Response<Payload>;

/// An API that answers requests.
pub(super) trait Service: Send + Sync + 'static {
    fn answer<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Answer>;
}

/// A request whose body is still arriving.
pub(super) struct Request {
    pub(super) head: Parts,
    body: Incoming,
    entry: Entry,
    has_begun: bool,
    received: u64,
    stall: Option<(u64, Duration)>,
    copy: Option<SlowCopy>,
}

/// The delay of an upload once it has arrived.
struct SlowCopy {
    wait: Duration,
    /// The connection to watch. If the client closes it, the copy ends.
    client: Option<Arc<SocketControl>>,
}

impl Request {
    pub(super) fn new(head: Parts, body: Incoming, entry: Entry) -> Self {
        Self {
            head,
            body,
            entry,
            has_begun: false,
            received: 0,
            stall: None,
            copy: None,
        }
    }

    /// Returns the next bytes of the body, or an error if the connection ended in the middle.
    pub(super) async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        if let Some((_, wait)) = self.stall.take_if(|(after, _)| self.received >= *after) {
            tokio::time::sleep(wait).await;
        }
        self.has_begun = true;
        while let Some(frame) = self.body.frame().await {
            if let Ok(chunk) = frame.map_err(io::Error::other)?.into_data() {
                self.received += chunk.len() as u64;
                self.entry.body_received(&chunk);
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Reads a small body to its end.
    pub(super) async fn small_body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > JSON_LIMIT {
                return Err(io::ErrorKind::InvalidData.into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Discards the body until `limit` bytes of it have been read.
    pub(super) async fn discard(&mut self, limit: u64) {
        while self.received < limit && matches!(self.chunk().await, Ok(Some(_))) {}
    }

    /// Pauses once `after` bytes of the body have been read.
    pub(super) fn stall(&mut self, after: u64, wait: Duration) {
        self.stall = Some((after, wait));
    }

    /// Delays an upload once it has arrived. If `client` is given, the client can end the copy by
    /// closing the connection.
    pub(super) fn copy_slowly(&mut self, wait: Duration, client: Option<Arc<SocketControl>>) {
        self.copy = Some(SlowCopy { wait, client });
    }

    /// Returns `true` if the request is processed even if its connection ends.
    pub(super) fn outlives_client(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.client.is_none())
    }

    /// Waits for the delay of an upload that has arrived.
    pub(super) async fn finish_copy(&mut self) {
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

    /// Returns the number of body bytes that were read.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Returns the number of body bytes left to read, if the head says so.
    pub(super) fn remaining(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Returns `true` if the client waits for `100 Continue` before it sends the body.
    pub(super) fn awaits_continue(&self) -> bool {
        !self.has_begun && self.head.headers.contains_key(EXPECT)
    }

    /// Returns the first value of a header, if it is text.
    pub(super) fn header(&self, name: impl hyper::header::AsHeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// Returns the media type of the body, without parameters.
    pub(super) fn media_type(&self) -> String {
        let value = self.header(CONTENT_TYPE).unwrap_or_default();
        let kind = value.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    }
}

/// Returns an answer with headers and no body.
pub(super) fn empty(status: StatusCode, headers: &[(HeaderName, &str)]) -> Answer {
    let mut answer = Response::new(Payload::default());
    *answer.status_mut() = status;
    for (name, value) in headers {
        set(answer.headers_mut(), name.clone(), value);
    }
    answer
}

/// Returns a JSON answer in Go's format: keys sorted, HTML escaped, a newline at the end.
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

/// Returns a JSON answer of the form `{"message": ...}`.
pub(super) fn message(status: StatusCode, text: &str) -> Answer {
    json(status, &serde_json::json!({ "message": text }))
}

/// Returns a plain-text answer with the reason phrase of the real server.
pub(super) fn text(status: StatusCode, reason: Option<&'static str>, text: &str) -> Answer {
    let mut answer = empty(status, &[(CONTENT_TYPE, "text/plain; charset=utf-8")]);
    *answer.body_mut() = Bytes::copy_from_slice(text.as_bytes()).into();
    if let Some(reason) = reason {
        let reason = ReasonPhrase::from_static(reason.as_bytes());
        answer.extensions_mut().insert(reason);
    }
    answer
}

/// Returns a page of HTML, as a web server in front of the API sends it.
pub(super) fn page(status: StatusCode) -> Answer {
    let title = status.canonical_reason().unwrap_or("Fault");
    let page = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{title}</h1>\
         </center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    let mut answer = empty(status, &[(CONTENT_TYPE, "text/html")]);
    *answer.body_mut() = Bytes::from(page).into();
    answer
}

/// Sets a header. Does nothing if the value is invalid.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: impl AsRef<str>) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        headers.insert(name, value);
    }
}
