//! The retries of one request, by a policy.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::{DELAY_MAX, RetryPolicy, is_worth};
use crate::error::{Error, Result};

impl RetryPolicy {
    pub(crate) fn start(&self) -> Retries {
        Retries {
            delays: ExponentialBuilder::default()
                .with_min_delay(self.first_delay)
                .with_max_delay(self.max_delay)
                .with_max_times(self.retries)
                .build(),
            policy: self.clone(),
            began: Instant::now(),
            clock: Instant::now(),
            attempted: Instant::now(),
            failed: 0,
            moved: 0,
        }
    }
}

/// The retries of one request, or of one transfer.
pub(crate) struct Retries {
    delays: ExponentialBackoff,
    policy: RetryPolicy,
    /// The beginning of the attempts that are counted.
    began: Instant,
    /// The beginning of the time that the policy limits.
    clock: Instant,
    /// The beginning of the current attempt.
    attempted: Instant,
    /// Attempts that failed since the transfer last made progress.
    failed: u32,
    /// Bytes moved since the last failure or progress.
    moved: u64,
}

impl Retries {
    /// Waits before the next attempt, or returns the error if there is none.
    pub(crate) async fn wait(&mut self, error: Error, may_repeat: bool) -> Result<()> {
        let should_retry = match &self.policy.decide {
            _ if !may_repeat => false,
            Some(decide) => decide(&error),
            None => is_worth(&error),
        };
        self.pause(error, should_retry).await
    }

    /// Like [`wait`](Self::wait), where the caller has decided whether to retry.
    pub(crate) async fn pause(&mut self, error: Error, should_retry: bool) -> Result<()> {
        self.failed += 1;
        self.moved = 0;
        let error = error.after(self.failed, self.began.elapsed());
        let delay = if should_retry {
            self.delay(&error)
        } else {
            None
        };
        let Some(delay) = delay else {
            return Err(error);
        };
        tracing::debug!(
            target: "machine_images::retry",
            attempt = self.failed,
            error = %error,
            delay = ?delay,
            "retrying"
        );
        if let Some(listener) = &self.policy.listener {
            listener(&error, delay);
        }
        tokio::time::sleep(delay).await;
        self.attempted = Instant::now();
        Ok(())
    }

    /// Returns the delay before the next attempt, or `None` if there is none.
    fn delay(&mut self, error: &Error) -> Option<Duration> {
        let delay = self.delays.next()?;
        let delay = match error.retry_after() {
            Some(after) if after > self.policy.max_retry_after => return None,
            Some(after) => after,
            None => {
                let bound = delay.min(self.policy.max_delay).min(DELAY_MAX);
                bound.mul_f64(1.0 - fastrand::f64() / 2.0)
            }
        };
        let end = self.clock.elapsed().saturating_add(delay);
        (end <= self.policy.total).then_some(delay)
    }

    /// Starts the time budget over.
    pub(crate) fn restart_clock(&mut self) {
        self.clock = Instant::now();
    }

    /// Returns the time that the current attempt has taken.
    #[cfg(feature = "fs")]
    pub(crate) fn attempt_elapsed(&self) -> Duration {
        self.attempted.elapsed()
    }

    /// Returns the beginning of the attempts that are counted.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Returns the number of the current attempt, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.failed + 1
    }

    /// Returns `true` if so many bytes count as progress.
    pub(crate) fn is_progress(&self, bytes: u64) -> bool {
        bytes >= self.policy.progress
    }

    /// Counts bytes that were moved. Starts over once they are progress.
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
        self.restart_clock();
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

    #[cfg(feature = "fs")]
    #[tokio::test(start_paused = true)]
    async fn the_time_of_an_attempt_is_without_the_pause_before_it() {
        let mut retries = RetryPolicy::default().start();
        retries.wait(refused(Some(30)), true).await.unwrap();
        assert_eq!(retries.attempt_elapsed(), Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(retries.attempt_elapsed(), Duration::from_secs(2));
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
    async fn each_retry_is_reported_before_its_delay() {
        let started = Instant::now();
        let (sender, reports) = std::sync::mpsc::channel();
        let policy = RetryPolicy::default()
            .retries(2)
            .on_retry(move |error, delay| {
                let report = (error.kind(), error.attempts(), delay, started.elapsed());
                sender.send(report).unwrap();
            });
        // A copy of the policy, and one that started over, report as well.
        let mut retries = policy.clone().start();
        assert!(retries.wait(refused(Some(7)), true).await.is_ok());
        retries.moved(1 << 20);
        assert!(retries.wait(refused(Some(5)), true).await.is_ok());
        assert!(retries.wait(refused(Some(3)), false).await.is_err());
        assert!(retries.wait(refused(Some(61)), true).await.is_err());
        let seconds = Duration::from_secs;
        let reports: Vec<_> = reports.try_iter().collect();
        assert_eq!(
            reports,
            [
                (ErrorKind::Server, 1, seconds(7), seconds(0)),
                (ErrorKind::Server, 1, seconds(5), seconds(7)),
            ]
        );
        let debug = format!("{policy:?}");
        assert!(debug.contains("on_retry: true"), "{debug}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_tells_the_time_of_all_attempts_that_it_counts() {
        let mut retries = RetryPolicy::default().start();
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(200)).await;
            retries.restart_clock();
            retries.wait(refused(Some(1)), true).await.unwrap();
        }
        let error = retries.wait(refused(None), false).await.unwrap_err();
        assert_eq!((error.attempts(), error.elapsed().as_secs()), (3, 402));
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
