//! The outcome of each request, for metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::ErrorKind;

/// One request, redirects apart: what was sent, what came back, and how long it took.
///
/// [`ClientBuilder::on_attempt`](crate::ClientBuilder::on_attempt) takes a listener for them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The method, in capitals.
    pub method: String,
    /// The URL, without userinfo, query and secrets.
    pub url: String,
    /// 1 for the first request of an operation, 2 for its first repetition, and so on.
    pub number: u32,
    /// The status of the answer, if one came.
    pub status: Option<u16>,
    /// The reason why there was no answer, or why its body broke. A status that is no success is no failure
    /// here.
    pub error: Option<ErrorKind>,
    /// Bytes of the request's body that were given to the connection.
    pub sent: u64,
    /// Bytes of the answer's body that came.
    pub received: u64,
    /// The time from the start to the end of the answer's body, or to where its reader gave up.
    pub elapsed: Duration,
}

pub(crate) type Listener = Arc<dyn Fn(&Attempt) + Send + Sync>;

/// Reports an attempt to the listener, if there is one, when it is dropped.
pub(crate) struct Observed {
    listener: Option<Listener>,
    began: Instant,
    pub(crate) attempt: Attempt,
}

impl Observed {
    pub(crate) fn new(listener: Option<Listener>, method: &str, url: &str, number: u32) -> Self {
        Self {
            listener,
            began: Instant::now(),
            attempt: Attempt {
                method: method.to_owned(),
                url: url.to_owned(),
                number,
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
            self.attempt.elapsed = self.began.elapsed();
            listener(&self.attempt);
        }
    }
}
