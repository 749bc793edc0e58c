//! When a request is sent again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::error::{Error, Result};

/// Further by so many bytes, a transfer is not in the same trouble as before. Less could go on for
/// ever at a few bytes a stall. Where a least rate is asked for, it is at least what that makes of
/// one window.
const FURTHER: u64 = 16 * 1024;

/// How often and for how long a request that may be repeated is sent again.
///
/// Reading and deleting are repeated after connection errors, timeouts, stalls, 408, 429, 502,
/// 503, 504 and a 500 that is not in the API's own form. A creation is repeated only if no
/// connection could be made, so that nothing was sent, and its source can be read again.
///
/// Delays grow exponentially with full jitter (a random part of the delay, from none of it to
/// all). A `Retry-After` is waited for, and ends the attempts if it is longer than
/// [`max_retry_after`](RetryPolicy::max_retry_after) or the time left.
///
/// ```
/// use std::time::Duration;
/// use machine_images::RetryPolicy;
///
/// let patient = RetryPolicy::default().retries(10).total(Duration::from_secs(600));
/// let none = RetryPolicy::none();
/// # let _ = (patient, none);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct RetryPolicy {
    retries: usize,
    first_delay: Duration,
    max_delay: Duration,
    max_retry_after: Duration,
    total: Duration,
    further: u64,
}

impl Default for RetryPolicy {
    /// 4 retries, the first after up to 0.2 s, later ones after up to 10 s, all within 2 minutes.
    fn default() -> Self {
        Self {
            retries: 4,
            first_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(10),
            max_retry_after: Duration::from_secs(60),
            total: Duration::from_secs(120),
            further: FURTHER,
        }
    }
}

impl RetryPolicy {
    /// Every request is sent once.
    pub fn none() -> Self {
        Self {
            retries: 0,
            ..Self::default()
        }
    }

    /// How often a request is sent again at most. A transfer that has got further by 16 KiB starts
    /// anew; where there is a [least rate](crate::ClientBuilder::min_rate), by all that it asks for
    /// at least.
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// The upper bound of the first delay; it doubles from one retry to the next.
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// The upper bound of every delay.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// The longest `Retry-After` that is waited for.
    pub fn max_retry_after(mut self, delay: Duration) -> Self {
        self.max_retry_after = delay;
        self
    }

    /// No retry begins later than this after the first request went out, or after a transfer last
    /// got further.
    pub fn total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// Further than so many bytes is not in the same trouble as before.
    pub(crate) fn further(self, bytes: u64) -> Self {
        let further = bytes.max(FURTHER);
        Self { further, ..self }
    }

    /// How often something is repeated at most.
    pub(crate) fn most(&self) -> usize {
        self.retries
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
            attempts: 0,
            moved: 0,
        }
    }
}

/// The retries of one request.
pub(crate) struct Retries {
    delays: ExponentialBackoff,
    policy: RetryPolicy,
    began: Instant,
    attempts: u32,
    moved: u64,
}

impl Retries {
    /// Waits for the next attempt, or gives the error back if there is none.
    pub(crate) async fn wait(&mut self, error: Error, may_repeat: bool) -> Result<()> {
        self.attempts += 1;
        self.moved = 0;
        let error = error.after(self.attempts);
        if !may_repeat {
            return Err(error);
        }
        let Some(delay) = self.delays.next() else {
            return Err(error);
        };
        let delay = match error.retry_after() {
            Some(asked) if asked > self.policy.max_retry_after => return Err(error),
            Some(asked) => asked,
            None => delay.mul_f64(fastrand::f64()),
        };
        if self.began.elapsed() + delay > self.policy.total {
            return Err(error);
        }
        tracing::debug!(error = %error, delay = ?delay, "sending the request again");
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// How many requests were sent, with the one that is under way.
    pub(crate) fn sent(&self) -> u32 {
        self.attempts + 1
    }

    /// Forgets the failures so far once the transfer has got further since the last of them.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes as u64);
        if self.moved < self.policy.further {
            return;
        }
        if self.attempts > 0 {
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
        Error::new("test", Cause::Refused(refusal))
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
