use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::http::request::Parts;

use super::wire::lock;

/// JSON bodies up to this size are kept.
const KEPT_BODY: usize = 64 * 1024;

/// A request that an embedded server received, and what it answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The method, in capitals.
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// The headers in their order, names in lower case, values that are not text replaced.
    pub headers: Vec<(String, String)>,
    /// The bytes of the request's body that the server has read.
    pub body_received: u64,
    /// The request's body, if it is JSON and small.
    pub body: Vec<u8>,
    /// The status of the answer; `None` if there was none (yet).
    pub status: Option<u16>,
    /// The bytes of the answer's body that were handed to the connection.
    pub body_sent: u64,
}

impl Received {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| {
                    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                    (name.to_string(), value)
                })
                .collect(),
            ..Self::default()
        }
    }

    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The first header of a name, in whatever case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn is_json(&self) -> bool {
        self.header("content-type")
            .is_some_and(|kind| kind.starts_with("application/json"))
    }
}

/// Every request of a server, in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Vec<Entry>>);

impl Log {
    pub(super) fn push(&self, received: Received) -> Entry {
        let entry = Entry(Arc::new(Mutex::new(received)));
        lock(&self.0).push(entry.clone());
        entry
    }

    pub(super) fn snapshot(&self) -> Vec<Received> {
        lock(&self.0).iter().map(Entry::snapshot).collect()
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }
}

/// One request in the log, still under way.
#[derive(Clone, Debug)]
pub(super) struct Entry(Arc<Mutex<Received>>);

impl Entry {
    pub(super) fn snapshot(&self) -> Received {
        lock(&self.0).clone()
    }

    pub(super) fn body_received(&self, chunk: &Bytes) {
        let mut received = lock(&self.0);
        received.body_received += chunk.len() as u64;
        if received.is_json() && received.body.len() + chunk.len() <= KEPT_BODY {
            received.body.extend_from_slice(chunk);
        }
    }

    pub(super) fn answered(&self, status: u16) {
        lock(&self.0).status = Some(status);
    }

    pub(super) fn body_sent(&self, length: usize) {
        lock(&self.0).body_sent += length as u64;
    }
}
