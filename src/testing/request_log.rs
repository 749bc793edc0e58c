use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::http::request::Parts;

use crate::sync::lock;

/// The most bytes of a JSON body that are kept.
const KEPT_BODY: usize = 64 * 1024;

/// A request that an embedded server received, and the progress of its response.
///
/// ```
/// # #[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use machine_images::testing::DjinnServer;
///
/// let server = DjinnServer::start()?;
/// server.client()?.images().list().await?;
///
/// let request = &server.requests()[0];
/// assert_eq!((request.method.as_str(), request.path()), ("GET", "/api/images"));
/// assert!(request.header("Authorization").is_some());
/// assert_eq!(request.status, Some(200));
/// # Ok(())
/// # }
/// # #[cfg(not(any(feature = "rustls", not(feature = "rustls-no-provider"))))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The method, such as `GET`.
    pub method: String,
    /// The path and query as sent.
    pub target: String,
    /// The headers in order of arrival. Names are in lower case; bytes that are not UTF-8 are
    /// replaced.
    pub headers: Vec<(String, String)>,
    /// The number of bytes of the request body that the server has read.
    pub body_received: u64,
    /// The request body, if it is JSON of at most 64 KiB.
    pub body: Vec<u8>,
    /// The status of the response. `None` until the server responds.
    pub status: Option<u16>,
    /// The number of bytes of the response's body that were handed to the connection.
    pub body_sent: u64,
    /// The response is over: its body was handed to the connection, or the connection was closed.
    pub is_over: bool,
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

    /// Returns the target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Returns the first header with this name, ignoring case.
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

/// The requests that a server received, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct RequestLog(Mutex<Vec<Entry>>);

impl RequestLog {
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

/// A request in the log that is still being processed.
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

    pub(super) fn ended(&self) {
        lock(&self.0).is_over = true;
    }
}
