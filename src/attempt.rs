//! The outcome of each request, for metrics and logs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::ErrorKind;
use crate::retry::Retries;

/// The outcome of one request.
///
/// Reported to the listener of [`ClientBuilder::on_attempt`](crate::ClientBuilder::on_attempt). A
/// request that follows a redirect is reported by itself, with the same number.
///
/// ```
/// use machine_images::djinn;
///
/// let client = djinn::Client::builder("https://api.djinn-ci.com").on_attempt(|attempt| {
///     println!("{} {} {:?}", attempt.method, attempt.url, attempt.status);
/// });
/// # let _ = client;
/// ```
#[doc(alias = "metrics")]
#[doc(alias = "tracing")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The HTTP method, in upper case.
    pub method: String,
    /// The URL, without userinfo, query and secrets.
    pub url: String,
    /// The number of the attempt, from 1: within its operation, or since a transfer last made progress.
    /// Each connection of a transfer counts its own.
    pub number: u32,
    /// The HTTP status, if a response arrived.
    pub status: Option<u16>,
    /// The kind of error, if there was no response or its body broke off. `None` for an error
    /// status.
    pub error: Option<ErrorKind>,
    /// Number of bytes of the request's body that were sent.
    pub sent: u64,
    /// Number of bytes of the response's body that were received.
    pub received: u64,
    /// The time from the start of the request to the end of the response's body, or to the point
    /// where it was dropped.
    pub elapsed: Duration,
}

pub(crate) type Listener = Arc<dyn Fn(&Attempt) + Send + Sync>;

/// An attempt that is reported to its listener when it is dropped.
pub(crate) struct Observed {
    listener: Option<Listener>,
    started: Instant,
    /// The beginning of the first attempt.
    pub(crate) began: tokio::time::Instant,
    pub(crate) attempt: Attempt,
}

impl Observed {
    pub(crate) fn new(
        listener: Option<Listener>,
        method: &str,
        url: &str,
        retries: &Retries,
    ) -> Self {
        Self {
            listener,
            started: Instant::now(),
            began: retries.began(),
            attempt: Attempt {
                method: method.to_owned(),
                url: url.to_owned(),
                number: retries.attempt(),
                status: None,
                error: None,
                sent: 0,
                received: 0,
                elapsed: Duration::ZERO,
            },
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            self.attempt.elapsed = self.started.elapsed();
            listener(&self.attempt);
        }
    }
}
