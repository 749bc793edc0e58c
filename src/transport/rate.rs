//! The minimum rate of a body while it is waited for.

use std::time::Duration;

/// A minimum rate, and the length of the window over which it is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MinRate {
    per_second: u64,
    over: Duration,
}

impl MinRate {
    /// Returns `None` if either is zero.
    pub(crate) fn new(per_second: u64, over: Duration) -> Option<Self> {
        let asks = per_second > 0 && !over.is_zero();
        asks.then_some(Self { per_second, over })
    }

    /// Returns the minimum number of bytes per window.
    pub(crate) fn least(self) -> u64 {
        let bytes = u128::from(self.per_second).saturating_mul(self.over.as_millis()) / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }

    /// Returns the message of a body that is too slow.
    pub(super) fn too_slow(self) -> String {
        let Self { per_second, over } = self;
        format!("less than {per_second} bytes per second for {over:?}")
    }

    pub(super) fn pace(self) -> Pace {
        Pace {
            rate: self,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }
}

/// The progress of one body, window by window.
///
/// Only time spent waiting for the connection counts, not the time of the program that consumes or
/// supplies the bytes. It has no timer: it tells how long the next wait may be.
pub(super) struct Pace {
    rate: MinRate,
    /// Time spent waiting in this window.
    waited: Duration,
    /// Bytes moved in this window.
    bytes: u64,
}

impl Pace {
    /// Returns how long the next wait may be: to the end of this window or, if it has its bytes, of
    /// the next.
    pub(super) fn patience(&self) -> Duration {
        let windows = if self.bytes < self.rate.least() { 1 } else { 2 };
        let end = self.rate.over.saturating_mul(windows);
        end.saturating_sub(self.waited)
    }

    /// Notes that bytes moved after a wait.
    pub(super) fn moved(&mut self, bytes: usize, waited: Duration) {
        self.waited += waited;
        if self.waited >= self.rate.over {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace(per_second: u64, over: Duration) -> Pace {
        MinRate::new(per_second, over).unwrap().pace()
    }

    #[test]
    fn nothing_is_asked_for_by_a_rate_or_a_time_of_zero() {
        assert_eq!(MinRate::new(0, SECOND), None);
        assert_eq!(MinRate::new(1, Duration::ZERO), None);
        assert_eq!(
            MinRate::new(u64::MAX, Duration::MAX).unwrap().least(),
            u64::MAX
        );
        assert_eq!(MinRate::new(1, SECOND / 10).unwrap().least(), 1);
    }

    #[test]
    fn a_trickle_is_given_one_window() {
        let mut pace = pace(100, 10 * SECOND);
        for waited in 1..10 {
            pace.moved(99, SECOND);
            assert_eq!(pace.patience(), (10 - waited) * SECOND);
        }
    }

    #[test]
    fn a_window_that_has_its_bytes_lets_the_next_begin() {
        let mut pace = pace(100, 10 * SECOND);
        pace.moved(1000, SECOND);
        assert_eq!(pace.patience(), 19 * SECOND);
        pace.moved(1, 18 * SECOND);
        assert_eq!(pace.patience(), 10 * SECOND);
    }

    #[test]
    fn what_takes_no_waiting_is_never_too_slow() {
        let mut pace = pace(100, 10 * SECOND);
        for _ in 0..1000 {
            pace.moved(1, Duration::ZERO);
        }
        assert_eq!(pace.patience(), 20 * SECOND);
    }
}
