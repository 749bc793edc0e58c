//! Retries of requests, with backoff.

mod retries;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
pub(crate) use retries::Retries;

/// Minimum number of bytes that count as progress of a transfer. With fewer, a connection that
/// stalls after a few bytes each time would be retried for ever.
const MIN_PROGRESS: u64 = 16 * 1024;

/// An upper bound of every delay, which keeps the arithmetic from overflowing.
const DELAY_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// The number of retries, the delays between them and the time they may take.
///
/// Reads, updates and deletions are retried after connection errors, timeouts, stalls, the statuses
/// 408, 429, 502, 503 and 504, and a 500 that is not in the API's form. A creation is retried only if
/// no connection could be made and its source can be read again.
///
/// | setting | default |
/// |---|---|
/// | [`retries`](Self::retries) | 12 |
/// | [`first_delay`](Self::first_delay) | 0.25 s |
/// | [`max_delay`](Self::max_delay) | 20 s |
/// | [`max_retry_after`](Self::max_retry_after) | 60 s |
/// | [`total`](Self::total) | 5 minutes |
/// | [`retry_if`](Self::retry_if) | [`Error::is_retryable`], and a body that ended early |
/// | [`on_retry`](Self::on_retry) | none |
///
/// The delays double from one retry to the next. A random part of up to a half is taken off each,
/// so that the clients of one server do not return at the same moment. With the defaults a server
/// can be down for a minute. A `Retry-After` replaces the delay; if it is longer than
/// [`max_retry_after`](Self::max_retry_after) or the time left, there are no more retries.
///
/// ```
/// use std::time::Duration;
/// use machine_images::RetryPolicy;
///
/// let patient = RetryPolicy::default().retries(30).total(Duration::from_secs(1800));
/// let none = RetryPolicy::none();
/// # let _ = (patient, none);
/// ```
#[doc(alias = "backoff")]
#[derive(Clone)]
#[must_use]
pub struct RetryPolicy {
    retries: usize,
    first_delay: Duration,
    max_delay: Duration,
    max_retry_after: Duration,
    total: Duration,
    progress: u64,
    decide: Option<Decide>,
    listener: Option<Listener>,
}

type Decide = Arc<dyn Fn(&Error) -> bool + Send + Sync>;
type Listener = Arc<dyn Fn(&Error, Duration) + Send + Sync>;

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 12,
            first_delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(20),
            max_retry_after: Duration::from_secs(60),
            total: Duration::from_secs(300),
            progress: MIN_PROGRESS,
            decide: None,
            listener: None,
        }
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("retries", &self.retries)
            .field("first_delay", &self.first_delay)
            .field("max_delay", &self.max_delay)
            .field("max_retry_after", &self.max_retry_after)
            .field("total", &self.total)
            .field("retry_if", &self.decide.is_some())
            .field("on_retry", &self.listener.is_some())
            .finish()
    }
}

impl RetryPolicy {
    /// Returns a policy that sends every request once. Of a transfer with several connections, the
    /// others take over from one that fails.
    pub fn none() -> Self {
        Self {
            retries: 0,
            ..Self::default()
        }
    }

    /// Sets the maximum number of retries. Defaults to 12.
    ///
    /// The count starts over once a transfer has moved another 16 KiB, or with a
    /// [minimum rate](crate::ClientBuilder::min_rate) the bytes that the rate requires.
    #[doc(alias = "attempts")]
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the upper bound of the first delay. Defaults to 0.25 s.
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// Sets the upper bound of every delay. Defaults to 20 s.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Sets the maximum `Retry-After` to wait for. Defaults to 60 s.
    ///
    /// If the server asks for more, the operation fails, and [`Error::retry_after`] has the time.
    /// [`wait_downloaded`](crate::djinn::Images::wait_downloaded) keeps waiting, up to its own timeout.
    pub fn max_retry_after(mut self, delay: Duration) -> Self {
        self.max_retry_after = delay;
        self
    }

    /// Sets the time budget of an operation. Defaults to 5 minutes.
    ///
    /// No retry starts later than this after the first request, or after a transfer last made
    /// progress.
    #[doc(alias = "timeout")]
    #[doc(alias = "deadline")]
    pub fn total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// Sets which errors are retried. Defaults to those that [are retryable](Error::is_retryable), and
    /// to [`Length`](crate::ErrorKind::Length): content that ends early is continued.
    ///
    /// `decide` is called only if repeating the request is safe: never for a creation that may
    /// have reached the server. An image that the server is still downloading is a plain 404
    /// here, and is not retried by default: see
    /// [`wait_downloaded`](crate::djinn::Images::wait_downloaded).
    ///
    /// ```
    /// use machine_images::{ErrorKind, RetryPolicy};
    ///
    /// // Also retries a 500, which this server sends while it restarts.
    /// let policy = RetryPolicy::default().retry_if(|error| {
    ///     error.is_retryable() || matches!(error.kind(), ErrorKind::Length | ErrorKind::Server)
    /// });
    /// # let _ = policy;
    /// ```
    pub fn retry_if(mut self, decide: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.decide = Some(Arc::new(decide));
        self
    }

    /// The same, but a server that is too busy is not asked again.
    #[cfg(feature = "fs")]
    pub(crate) fn impatient(self) -> Self {
        let decide = self.decide.clone();
        self.retry_if(move |error| {
            let retries = decide
                .as_ref()
                .map_or_else(|| is_worth(error), |d| d(error));
            retries && !error.is_too_many()
        })
    }

    /// The same, but another listener hears of each error, too.
    pub(crate) fn heard(self, listener: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        let first = self.listener.clone();
        self.on_retry(move |error, delay| {
            listener(error);
            if let Some(first) = &first {
                first(error, delay);
            }
        })
    }

    /// Reports each retry to `listener`, before the delay: the error of the last attempt, and the
    /// delay.
    ///
    /// [`Error::attempts`] is the number of attempts so far. The error may not name
    /// the operation yet, but has its [`url`](Error::url).
    /// Called on the thread that works on the request, so it should return at once. Repeated
    /// lookups, such as those of [`wait_downloaded`](crate::djinn::Images::wait_downloaded), are
    /// not retries.
    ///
    /// ```
    /// use machine_images::RetryPolicy;
    ///
    /// let policy = RetryPolicy::default().on_retry(|error, delay| {
    ///     eprintln!("{error}; retrying in {:.0} s", delay.as_secs_f64());
    /// });
    /// # let _ = policy;
    /// ```
    #[doc(alias = "log")]
    #[doc(alias = "notify")]
    pub fn on_retry(mut self, listener: impl Fn(&Error, Duration) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Sets how many bytes count as progress, if that is more than the minimum.
    pub(crate) fn progress(self, bytes: u64) -> Self {
        let progress = bytes.max(MIN_PROGRESS);
        Self { progress, ..self }
    }
}

/// Returns `true` if another attempt may help. A transfer that ended early is continued.
fn is_worth(error: &Error) -> bool {
    error.is_retryable() || error.kind() == ErrorKind::Length
}
