//! When a request is sent again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// A transfer that has moved this much further is not in the same trouble as before. Less could go
/// on for ever at a few bytes a stall. With a least rate it is at least what that asks of one
/// window.
const PROGRESS: u64 = 16 * 1024;

/// A longer delay could not be calculated with.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Decides how often and for how long a request that may be repeated is sent again.
///
/// Reading and deleting are repeated after connection errors, timeouts, stalls, 408, 429, 502,
/// 503, 504 and a 500 that is not in the API's own form. A creation is repeated only if no
/// connection could be made, so that nothing was sent, and its source can be read again.
///
/// | setting | default |
/// |---|---|
/// | [`retries`](Self::retries) | 12 |
/// | [`first_delay`](Self::first_delay) | 0.25 s |
/// | [`max_delay`](Self::max_delay) | 20 s |
/// | [`max_retry_after`](Self::max_retry_after) | 60 s |
/// | [`total`](Self::total) | 5 minutes |
/// | [`retry_if`](Self::retry_if) | [`Error::is_retryable`] |
///
/// Delays double from one retry to the next, and a random part of up to a half is taken off each,
/// so that clients of one server do not come back at the same moment. With the defaults a server
/// may be away for a minute. A `Retry-After` is waited for, and ends the attempts if it is longer
/// than [`max_retry_after`](Self::max_retry_after) or the time left.
///
/// ```
/// use std::time::Duration;
/// use machine_images::RetryPolicy;
///
/// let patient = RetryPolicy::default().retries(30).total(Duration::from_secs(1800));
/// let none = RetryPolicy::none();
/// # let _ = (patient, none);
/// ```
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
}

type Decide = Arc<dyn Fn(&Error) -> bool + Send + Sync>;

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 12,
            first_delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(20),
            max_retry_after: Duration::from_secs(60),
            total: Duration::from_secs(300),
            progress: PROGRESS,
            decide: None,
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
            .finish()
    }
}

impl RetryPolicy {
    /// Sends every request once.
    pub fn none() -> Self {
        Self {
            retries: 0,
            ..Self::default()
        }
    }

    /// Sets the maximum number of retries. Resets once a transfer has moved another 16 KiB, or
    /// where there is a [least rate](crate::ClientBuilder::min_rate) what that asks for.
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the upper bound of the first delay.
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// Sets the upper bound of every delay.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Sets the longest `Retry-After` that is waited for.
    pub fn max_retry_after(mut self, delay: Duration) -> Self {
        self.max_retry_after = delay;
        self
    }

    /// Sets the time budget: no retry begins later than this after the first request went out, or
    /// after a transfer last moved on.
    pub fn total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// Decides by `decide` which failures are worth another request, in place of
    /// [`Error::is_retryable`].
    ///
    /// It is asked only where repeating is safe: never for a creation that the server may have
    /// begun with, whatever it would say.
    ///
    /// ```
    /// use machine_images::{ErrorKind, RetryPolicy};
    ///
    /// // A server that is restarted now and then answers 500 meanwhile.
    /// let policy = RetryPolicy::default()
    ///     .retry_if(|error| error.is_retryable() || error.kind() == ErrorKind::Server);
    /// # let _ = policy;
    /// ```
    pub fn retry_if(mut self, decide: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.decide = Some(Arc::new(decide));
        self
    }

    /// A transfer that has moved so many bytes is not in the same trouble as before.
    pub(crate) fn progress(self, bytes: u64) -> Self {
        let progress = bytes.max(PROGRESS);
        Self { progress, ..self }
    }

    pub(crate) fn start(&self) -> Retries {
        Retries {
            delays: ExponentialBuilder::default()
                .with_min_delay(self.first_delay)
                .with_max_delay(self.max_delay)
                .with_max_times(self.retries)
                .build(),
            policy: self.clone(),
            began: Instant::now(),
            failed: 0,
            moved: 0,
        }
    }
}

/// The retries of one request, or of one transfer.
pub(crate) struct Retries {
    delays: ExponentialBackoff,
    policy: RetryPolicy,
    began: Instant,
    /// Attempts that failed since the transfer last moved on.
    failed: u32,
    moved: u64,
}

impl Retries {
    /// Waits for the next attempt, or gives the error back if there is none.
    pub(crate) async fn wait(&mut self, error: Error, may_repeat: bool) -> Result<()> {
        let wanted = match &self.policy.decide {
            _ if !may_repeat => false,
            Some(decide) => decide(&error),
            // A transfer that ended early goes on.
            None => error.is_retryable() || error.kind() == ErrorKind::Length,
        };
        self.pause(error, wanted).await
    }

    /// The same after a verdict of the caller's.
    pub(crate) async fn pause(&mut self, error: Error, wanted: bool) -> Result<()> {
        self.failed += 1;
        self.moved = 0;
        let error = error.after(self.failed, self.began.elapsed());
        let delay = if wanted { self.delay(&error) } else { None };
        let Some(delay) = delay else {
            return Err(error);
        };
        tracing::debug!(attempt = self.failed, error = %error, delay = ?delay, "retrying");
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// How long to wait before the next attempt, if there is to be one.
    fn delay(&mut self, error: &Error) -> Option<Duration> {
        let delay = self.delays.next()?;
        let delay = match error.retry_after() {
            Some(asked) if asked > self.policy.max_retry_after => return None,
            Some(asked) => asked,
            None => {
                let most = delay.min(self.policy.max_delay).min(LONGEST);
                most.mul_f64(1.0 - fastrand::f64() / 2.0)
            }
        };
        let end = self.began.elapsed().saturating_add(delay);
        (end <= self.policy.total).then_some(delay)
    }

    /// Lets the time budget begin now.
    pub(crate) fn restart_clock(&mut self) {
        self.began = Instant::now();
    }

    /// The number of the attempt that is under way.
    pub(crate) fn attempt(&self) -> u32 {
        self.failed + 1
    }

    /// Whether so many bytes are more than a transfer in trouble moves.
    pub(crate) fn is_progress(&self, bytes: u64) -> bool {
        bytes >= self.policy.progress
    }

    /// Forgets the failures so far once the transfer has moved on since the last of them.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes as u64);
        if self.moved < self.policy.progress {
            return;
        }
        if self.failed > 0 {
            *self = self.policy.start();
        }
        // Hours of healthy transfer do not count against the time for retries.
        self.began = Instant::now();
        self.moved = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Cause, ErrorKind, Refusal};

    fn refused(retry_after: Option<u64>) -> Error {
        let refusal = Refusal {
            status: 503,
            retry_after: retry_after.map(Duration::from_secs),
            ..Refusal::default()
        };
        Error::new(Cause::Refused(Box::new(refusal)))
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_after_the_number_of_retries() {
        let mut retries = RetryPolicy::default().retries(2).start();
        assert!(retries.wait(refused(None), true).await.is_ok());
        assert!(retries.wait(refused(None), true).await.is_ok());
        let error = retries.wait(refused(None), true).await.unwrap_err();
        assert_eq!(error.attempts(), 3);
        assert_eq!(error.kind(), ErrorKind::Server);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_waited_for_and_capped() {
        let mut retries = RetryPolicy::default().start();
        let before = tokio::time::Instant::now();
        assert!(retries.wait(refused(Some(7)), true).await.is_ok());
        assert_eq!(before.elapsed().as_secs(), 7);
        assert!(retries.wait(refused(Some(61)), true).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_transfer_has_its_retries_left() {
        let mut retries = RetryPolicy::default().start();
        tokio::time::advance(Duration::from_secs(3600)).await;
        retries.moved(1 << 20);
        assert!(retries.wait(refused(None), true).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_bytes_a_stall_do_not_go_on_for_ever() {
        let mut retries = RetryPolicy::default().retries(2).start();
        for _ in 0..2 {
            retries.moved(1000);
            assert!(retries.wait(refused(None), true).await.is_ok());
        }
        retries.moved(1000);
        assert!(retries.wait(refused(None), true).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_be_repeated_is_not() {
        let mut retries = RetryPolicy::default().start();
        assert!(retries.wait(refused(None), false).await.is_err());
        assert!(
            RetryPolicy::none()
                .start()
                .wait(refused(None), true)
                .await
                .is_err()
        );
    }
}
