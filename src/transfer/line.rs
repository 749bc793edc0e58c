//! The line as far as its rate is known, and how many connections it is worth.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::FIRST;

/// The most connections where their number is not set, and at all.
const MOST: usize = 8;
const LIMIT: usize = 256;
/// How much there is to be for each connection.
const SHARE: u64 = 2 << 20;
/// From this latency on all connections are added at once: each begins slowly, and waiting for a
/// rate would take as long as a large image.
const FAR: Duration = Duration::from_millis(5);
/// The share by which the rate must grow for more to be added.
const GAIN: f64 = 1.1;
/// How often the rate is looked at, at least and at most.
pub(super) const TICK: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(500));
/// How long none is added after one was refused, at least and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// What is known of the line.
pub(super) struct Line {
    set: Option<usize>,
    most: usize,
    /// How many connections have begun.
    begun: usize,
    not_before: Instant,
    /// The least time from a request to its answer.
    pub(super) latency: Duration,
    /// When the rate was looked at, and how much had come by then.
    seen: (Instant, u64),
    /// The rate before connections were last added.
    rate: Option<f64>,
}

impl Line {
    /// A line with one connection, whose first answer took `latency`.
    pub(super) fn new(set: Option<usize>, is_single: bool, latency: Duration) -> Self {
        let most = set.unwrap_or(MOST).min(LIMIT);
        let now = Instant::now();
        Self {
            set,
            most: if is_single { 1 } else { most },
            begun: 1,
            not_before: now,
            latency,
            seen: (now, 0),
            rate: None,
        }
    }

    pub(super) fn tick(&self) -> Duration {
        self.latency.clamp(TICK.0, TICK.1)
    }

    pub(super) fn is_single(&self) -> bool {
        self.most == 1
    }

    /// The server sends no ranges.
    pub(super) fn set_single(&mut self) {
        self.most = 1;
    }

    pub(super) fn answered(&mut self, latency: Duration) {
        self.latency = self.latency.min(latency);
    }

    /// A connection was refused, with the time after which there may be another one.
    pub(super) fn refused(&mut self, pause: Option<Duration>) {
        let pause = pause.unwrap_or_default().clamp(PAUSE.0, PAUSE.1);
        self.not_before = Instant::now() + pause;
    }

    /// Decides on connections to add to those that are `alive`, when so many bytes were fetched and
    /// so many are left; returns their numbers.
    pub(super) fn more(&mut self, alive: usize, fetched: u64, left: u64) -> Range<usize> {
        let most = self.most.min((left / SHARE) as usize);
        let may_add = most > alive && left > FIRST && Instant::now() >= self.not_before;
        let wanted = match may_add {
            true => self.wanted(alive, fetched).min(most),
            false => alive,
        };
        let begun = self.begun;
        self.begun += wanted.saturating_sub(alive);
        begun..self.begun
    }

    fn wanted(&mut self, alive: usize, fetched: u64) -> usize {
        if let Some(set) = self.set {
            return set;
        }
        if self.rate.is_none() && self.latency > FAR {
            self.rate = Some(0.0);
            return MOST;
        }
        let (then, before) = self.seen;
        let elapsed = then.elapsed();
        if elapsed < TICK.0 {
            return alive;
        }
        let rate = (fetched - before) as f64 / elapsed.as_secs_f64();
        self.seen = (Instant::now(), fetched);
        if self.rate.is_some_and(|before| rate < before * GAIN) {
            return alive;
        }
        self.rate = Some(rate);
        2 * alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_far_server_gets_several_at_once() {
        let mut line = Line::new(None, false, Duration::from_millis(50));
        assert_eq!(line.more(1, 0, GIB), 1..8);
        assert_eq!(line.more(8, 1000, GIB).count(), 0);
        // One was refused.
        line.refused(None);
        std::thread::sleep(TICK.0);
        assert_eq!(line.more(7, 1000, GIB).count(), 0);
    }

    #[test]
    fn a_near_server_gets_no_more_than_bring_something() {
        let mut line = Line::new(None, false, Duration::from_millis(1));
        assert_eq!(line.more(1, 0, GIB).count(), 0);
        std::thread::sleep(TICK.0);
        assert_eq!(line.more(1, 1000, GIB), 1..2);
        std::thread::sleep(TICK.0);
        assert_eq!(line.more(2, 1500, GIB).count(), 0);
    }

    #[test]
    fn a_number_that_is_set_counts_within_what_there_is_to_do() {
        for (left, connections) in [(GIB, 99), (20 * SHARE, 19), (FIRST + 1, 1), (FIRST, 0)] {
            let mut line = Line::new(Some(100), false, Duration::ZERO);
            assert_eq!(line.more(1, 0, left).count(), connections, "{left}");
            assert_eq!(
                Line::new(Some(100), true, Duration::ZERO)
                    .more(1, 0, left)
                    .count(),
                0
            );
        }
        let mut line = Line::new(Some(4), false, Duration::ZERO);
        line.refused(None);
        assert_eq!(line.more(1, 0, GIB).count(), 0);
    }
}
