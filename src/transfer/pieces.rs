//! What of a plan is done, claimed and left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::spans::Spans;

/// The least that is split off another connection's run.
const LEAST: u64 = 64 * 1024;

/// The pieces of one transfer. A connection claims a run, reports what it wrote of it, and claims
/// the next. When all is claimed it takes a share of the largest run that is left.
pub(super) struct Pieces {
    /// What nobody has claimed, in the order of the plan.
    todo: VecDeque<(u64, u64)>,
    /// The runs of the connections, by their numbers.
    runs: Vec<Option<Run>>,
    pub(super) done: Spans,
    /// How many bytes of the plan are left.
    left: u64,
}

/// What one connection is fetching.
struct Run {
    start: u64,
    position: u64,
    end: u64,
    began: Instant,
    moved: Instant,
    /// Another connection fetches the same.
    is_doubled: bool,
}

impl Run {
    fn left(&self) -> u64 {
        self.end - self.position
    }

    /// How long the rest will take, at the pace so far. Nothing is known of a run without bytes.
    fn time_left(&self) -> Duration {
        let came = self.position - self.start;
        match came {
            0 => Duration::MAX,
            _ => Duration::try_from_secs_f64(
                self.began.elapsed().as_secs_f64() * self.left() as f64 / came as f64,
            )
            .unwrap_or(Duration::MAX),
        }
    }

    /// Returns `true` if another connection that needs `latency` to begin would be done earlier.
    fn is_slow(&self, latency: Duration) -> bool {
        self.left() > 0 && self.time_left() > 3 * latency
    }
}

impl Pieces {
    /// The pieces of a plan: ranges, in the order in which they are wanted.
    pub(super) fn new(plan: Vec<(u64, u64)>, done: Spans) -> Self {
        Self {
            left: plan.iter().map(|(start, end)| end - start).sum(),
            todo: plan.into(),
            runs: Vec::new(),
            done,
        }
    }

    /// Claims the next run for a connection, which needs `latency` for its first byte: one that
    /// nobody has, or else the last of so many shares of another's, or else the end of another's
    /// once more.
    pub(super) fn claim(
        &mut self,
        who: usize,
        shares: u64,
        latency: Duration,
    ) -> Option<(u64, u64)> {
        let unclaimed = self
            .todo
            .pop_front()
            .map(|(start, end)| (start, end, false));
        let claimed = unclaimed
            .or_else(|| self.split(shares, latency))
            .or_else(|| self.double(latency));
        let (start, end, is_doubled) = claimed?;
        if self.runs.len() <= who {
            self.runs.resize_with(who + 1, || None);
        }
        let now = Instant::now();
        self.runs[who] = Some(Run {
            start,
            position: start,
            end,
            began: now,
            moved: now,
            is_doubled,
        });
        Some((start, end))
    }

    fn split(&mut self, shares: u64, latency: Duration) -> Option<(u64, u64, bool)> {
        let runs = self.runs.iter_mut().flatten();
        let slow = runs.filter(|run| {
            let is_long = run.left() >= 2 * LEAST && !run.is_doubled;
            is_long && run.is_slow(latency)
        });
        let largest = slow.max_by_key(|run| run.left())?;
        let end = largest.end;
        largest.end -= (largest.left() / shares.max(2)).max(LEAST);
        Some((largest.end, end, false))
    }

    /// What is left of a run that hardly moves, however little, is asked for twice.
    fn double(&mut self, latency: Duration) -> Option<(u64, u64, bool)> {
        let mut runs = self.runs.iter_mut().flatten();
        let run = runs.find(|run| {
            let stands_still = run.moved.elapsed() > 3 * latency + Duration::from_millis(50);
            !run.is_doubled && run.is_slow(latency) && (stands_still || run.left() < 2 * LEAST)
        })?;
        run.is_doubled = true;
        Some((run.position, run.end, true))
    }

    /// What is left of a connection's run, if anything: its end may have been given away.
    pub(super) fn run(&self, who: usize) -> Option<(u64, u64)> {
        let run = self.runs.get(who)?.as_ref()?;
        let is_done = run.is_doubled && self.done.contains(run.position, run.end);
        (run.left() > 0 && !is_done).then_some((run.position, run.end))
    }

    /// Adds bytes that a connection wrote at the position of its run.
    pub(super) fn wrote(&mut self, who: usize, bytes: u64) {
        let Some(run) = self.runs.get_mut(who).and_then(Option::as_mut) else {
            return;
        };
        let end = (run.position + bytes).min(run.end);
        self.left = self.left.saturating_sub(self.done.add(run.position, end));
        run.position = end;
        run.moved = Instant::now();
    }

    /// Takes back what a connection leaves undone. It belongs to the run before it again, if there
    /// is one: the answer that this one is read from may go on.
    pub(super) fn give_back(&mut self, who: usize) {
        let Some(run) = self.runs.get_mut(who).and_then(Option::take) else {
            return;
        };
        let mut others = self.runs.iter().flatten();
        let has_other = others.any(|r| r.position <= run.position && run.end <= r.end);
        if run.left() == 0 || has_other {
            return;
        }
        let mut others = self.runs.iter_mut().flatten();
        match others.find(|r| r.left() > 0 && r.end == run.position && !r.is_doubled) {
            Some(before) => before.end = run.end,
            None => self.todo.push_front((run.position, run.end)),
        }
    }

    /// Ends a plan whose end was not known.
    pub(super) fn end(&mut self, who: usize) {
        self.left = 0;
        self.give_back(who);
        self.todo.clear();
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const NONE: Duration = Duration::ZERO;

    fn pieces(done: &[(u64, u64)], length: u64) -> Pieces {
        let mut spans = Spans::default();
        for &(start, end) in done {
            spans.add(start, end);
        }
        Pieces::new(spans.gaps(length), spans)
    }

    #[test]
    fn each_gap_is_a_run_and_the_largest_is_split() {
        let mut pieces = pieces(&[(MIB, 2 * MIB)], 10 * MIB);
        assert_eq!(pieces.claim(0, 2, NONE), Some((0, MIB)));
        assert_eq!(pieces.claim(1, 2, NONE), Some((2 * MIB, 10 * MIB)));
        assert_eq!(pieces.claim(2, 8, NONE), Some((9 * MIB, 10 * MIB)));
        assert_eq!(pieces.claim(3, 2, NONE), Some((11 * MIB / 2, 9 * MIB)));
        assert_eq!(pieces.run(1), Some((2 * MIB, 11 * MIB / 2)));
        assert_eq!(pieces.left(), 9 * MIB);
        pieces.give_back(3);
        assert_eq!(pieces.run(1), Some((2 * MIB, 9 * MIB)));
        pieces.give_back(1);
        assert_eq!(pieces.claim(3, 2, NONE), Some((2 * MIB, 9 * MIB)));
    }

    #[test]
    fn the_end_of_a_run_is_asked_for_twice_and_counts_once() {
        let mut pieces = pieces(&[], LEAST);
        pieces.claim(0, 2, NONE);
        pieces.wrote(0, 10);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(pieces.claim(1, 2, NONE), Some((10, LEAST)));
        assert_eq!(pieces.claim(2, 2, NONE), None);
        pieces.give_back(1);
        assert_eq!(pieces.claim(1, 2, NONE), None);
        pieces.runs[1] = pieces.runs[0].take();
        pieces.give_back(1);
        assert_eq!(pieces.claim(0, 2, NONE), Some((10, LEAST)));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(pieces.claim(1, 2, NONE), Some((10, LEAST)));
        pieces.wrote(0, 100);
        pieces.wrote(1, 200);
        assert_eq!(pieces.left(), LEAST - 210);
        pieces.wrote(1, LEAST);
        assert_eq!(
            (pieces.left(), pieces.run(0), pieces.run(1)),
            (0, None, None)
        );
    }

    #[test]
    fn nothing_is_taken_of_a_run_that_will_be_done_earlier() {
        let mut pieces = pieces(&[], 100 * MIB);
        pieces.claim(0, 2, NONE);
        pieces.wrote(0, 99 * MIB);
        assert_eq!(pieces.claim(1, 2, Duration::from_secs(10)), None);
    }

    #[test]
    fn a_plan_of_any_length_is_done_by_any_number() {
        for length in [1, LEAST, i64::MAX as u64, u64::MAX] {
            let mut pieces = pieces(&[], length);
            let claimed = (0..100).filter(|&who| pieces.claim(who, 2, NONE).is_some());
            let claimed: Vec<_> = claimed.collect();
            for who in claimed {
                // Others may have done it as well.
                if let Some((start, end)) = pieces.run(who) {
                    pieces.wrote(who, end - start);
                }
            }
            assert_eq!((pieces.left(), pieces.done.total()), (0, length));
        }
    }
}
