//! The line as far as its rate is known, and how many connections it is worth.

use std::ops::Range;
use std::time::{Duration, Instant};

/// The most connections where their number is not set, and at all.
const MOST: usize = 8;
const LIMIT: usize = 256;
/// With less left there is one connection, and each is to have so much to do.
const SMALL: u64 = 8 << 20;
const SHARE: u64 = 2 << 20;
/// With more than this latency all of them begin at once, as a rate takes some latencies to be seen.
/// Spread over one latency: bursts that come together are taken for the end of the line.
const FAR: Duration = Duration::from_millis(5);
/// Above this latency, a fall of the rate below this share is a loss: others make up for it.
const LOSS: (Duration, f64) = (Duration::from_millis(1), 0.75);
/// The least and the most time between two looks at the rate.
pub(super) const TICK: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(500));
/// From this growth on between two looks a connection is still becoming faster by itself.
const GROWTH: f64 = 1.3;
/// The growth of the rate that makes connections that were added worth more of them.
const GAIN: f64 = 1.1;
/// The looks that it takes until they can have brought something.
const SETTLE: u32 = 3;
/// The least and the most time for which none is added after one was refused.
const PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

pub(super) struct Line {
    set: Option<usize>,
    /// One if the server sends no ranges.
    pub(super) most: usize,
    /// The number of connections that have begun.
    begun: usize,
    not_before: Instant,
    /// The last look at the rate: its time, the bytes that had come by then, and the rate.
    seen: (Instant, u64, f64),
    /// The rate that those that were added are to exceed, and the looks since then.
    added: Option<(f64, u32)>,
}

impl Line {
    /// A line with one connection.
    pub(super) fn new(set: Option<usize>, is_single: bool) -> Self {
        let most = set.unwrap_or(MOST).min(LIMIT);
        let now = Instant::now();
        Self {
            set,
            most: if is_single { 1 } else { most },
            begun: 1,
            not_before: now,
            seen: (now, 0, 0.0),
            added: None,
        }
    }

    /// Returns when the rate is to be looked at next.
    pub(super) fn tick(&self, latency: Duration) -> Duration {
        match self.begins(latency) {
            true => latency / self.most as u32,
            false => (latency / 2).clamp(TICK.0, TICK.1),
        }
    }

    fn begins(&self, latency: Duration) -> bool {
        latency > FAR && self.begun < self.most && self.set.is_none()
    }

    /// A connection was refused, with the time after which there may be another one.
    pub(super) fn refused(&mut self, pause: Option<Duration>) {
        let pause = pause.unwrap_or_default().clamp(PAUSE.0, PAUSE.1);
        self.not_before = Instant::now() + pause;
    }

    /// Decides on connections to add to those that are `alive`, when so many bytes were fetched and
    /// so many are left, and an answer takes `latency`; returns their numbers.
    pub(super) fn more(
        &mut self,
        alive: usize,
        fetched: u64,
        left: u64,
        latency: Duration,
    ) -> Range<usize> {
        let most = self.most.min((left / SHARE) as usize);
        let may_add = most > alive && left >= SMALL && Instant::now() >= self.not_before;
        let wanted = match may_add {
            true => self.wanted(alive, fetched, latency).min(most),
            false => alive,
        };
        let begun = self.begun;
        self.begun += wanted.saturating_sub(alive);
        begun..self.begun
    }

    fn wanted(&mut self, alive: usize, fetched: u64, latency: Duration) -> usize {
        if let Some(set) = self.set {
            return set;
        }
        if self.begins(latency) {
            return alive + 1;
        }
        let (then, before, last) = self.seen;
        let elapsed = then.elapsed();
        if elapsed < self.tick(latency) {
            return alive;
        }
        let rate = (fetched - before) as f64 / elapsed.as_secs_f64();
        self.seen = (Instant::now(), fetched, rate);
        if let Some((before, looks)) = &mut self.added {
            *looks += 1;
            if latency > LOSS.0 && rate > 0.0 && rate < LOSS.1 * *before {
                *before = rate;
            }
        }
        let has_settled = match self.added {
            Some((before, looks)) => looks >= SETTLE && rate >= GAIN * before,
            None => last > 0.0 && rate < GROWTH * last,
        };
        if !has_settled {
            return alive;
        }
        self.added = Some((rate, 0));
        2 * alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const NEAR: Duration = Duration::ZERO;

    /// Returns the connections after looks at so many bytes each.
    fn after(latency: Duration, looks: &[u64]) -> usize {
        let mut line = Line::new(None, false);
        let (mut alive, mut fetched) = (1, 0);
        for look in looks {
            fetched += look;
            line.seen.0 -= TICK.0;
            alive += line.more(alive, fetched, GIB, latency).count();
        }
        alive
    }

    #[test]
    fn connections_are_added_while_they_bring_more() {
        let add = |looks: &[u64]| after(NEAR, looks);
        // One that becomes faster by itself is left alone.
        assert_eq!(add(&[1000, 2000, 4000, 8000]), 1);
        assert_eq!(add(&[1000, 2000, 2000]), 2);
        assert_eq!(add(&[1000, 1000, 1000, 1000, 1000, 1000, 1000]), 2);
        assert_eq!(add(&[1000, 1000, 1500, 2000, 2000]), 4);
        assert_eq!(add(&[1000, 1000, 2000, 2000, 2000, 4000, 4000, 4000]), 8);
        let lost = [4000, 4000, 1000, 1000, 1200];
        assert_eq!((add(&lost), after(FAR, &lost)), (2, 4));
        assert_eq!(after(FAR, &[4000, 4000, 0, 0, 0, 4000]), 2);
    }

    #[test]
    fn a_far_server_gets_all_of_them_within_one_latency() {
        let mut line = Line::new(None, false);
        let latency = Duration::from_millis(80);
        for alive in 1..MOST {
            assert_eq!(line.tick(latency), Duration::from_millis(10));
            assert_eq!(line.more(alive, 0, GIB, latency), alive..alive + 1);
        }
        assert_eq!(line.more(MOST, 1000, GIB, latency).count(), 0);
        assert_eq!(line.tick(latency), TICK.0);
    }

    #[test]
    fn a_number_that_is_set_counts_within_what_there_is_to_do() {
        for (left, connections) in [(GIB, 99), (20 * SHARE, 19), (SMALL, 3), (SMALL - 1, 0)] {
            let mut line = Line::new(Some(100), false);
            assert_eq!(line.more(1, 0, left, NEAR).count(), connections, "{left}");
            assert_eq!(Line::new(Some(100), true).more(1, 0, left, NEAR).count(), 0);
        }
        let mut line = Line::new(Some(4), false);
        line.refused(None);
        assert_eq!(line.more(1, 0, GIB, NEAR).count(), 0);
    }
}
