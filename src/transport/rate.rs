//! The least that a body must move while it is waited for.

use std::time::Duration;

/// A rate, and the time over which it must be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MinRate {
    per_second: u64,
    over: Duration,
}

impl MinRate {
    /// `None` if it asks for nothing.
    pub(crate) fn new(per_second: u64, over: Duration) -> Option<Self> {
        let asks = per_second > 0 && !over.is_zero();
        asks.then_some(Self { per_second, over })
    }

    /// The bytes of one window.
    pub(crate) fn least(self) -> u64 {
        let bytes = u128::from(self.per_second).saturating_mul(self.over.as_millis()) / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }

    /// What is wrong once patience is at its end.
    pub(super) fn too_slow(self) -> String {
        let Self { per_second, over } = self;
        format!("less than {per_second} bytes a second moved for {over:?}")
    }

    pub(super) fn pace(self) -> Pace {
        Pace {
            rate: self,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }
}

/// How one body moves, window by window.
///
/// Only waiting counts: whoever takes the bytes late, or gives them late, lets no time pass here.
/// It has no timer of its own, but says how long the next wait may be.
pub(super) struct Pace {
    rate: MinRate,
    /// Spent waiting in this window.
    waited: Duration,
    /// Moved in this window.
    bytes: u64,
}

impl Pace {
    /// How much longer nothing may come: to the end of this window, or if that has all it needs,
    /// of the next.
    pub(super) fn patience(&self) -> Duration {
        let windows = if self.bytes < self.rate.least() { 1 } else { 2 };
        let end = self.rate.over.saturating_mul(windows);
        end.saturating_sub(self.waited)
    }

    /// So many bytes moved after a wait.
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
