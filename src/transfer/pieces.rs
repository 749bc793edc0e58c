//! What of a plan is done, claimed and left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::spans::Spans;

/// The least that is claimed of what nobody has, or of another connection's run.
const LEAST: u64 = 64 << 10;
/// The most that is claimed of what nobody has.
const MOST: u64 = 64 << 20;
/// How many latencies another's run must still take for a half of it to be taken over: what is on
/// the line by then is received for nothing, and the connection is lost.
const WORTH: u32 = 8;
/// How many it must take for the last bytes to be asked for twice.
const PATIENCE: u32 = 3;

/// The pieces of one transfer. A connection claims a run, reports what it wrote of it, and claims
/// the next.
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

    /// Returns `true` if the rest takes longer than this at the pace so far, which is not known of
    /// a run without bytes.
    fn is_slow(&self, time: Duration) -> bool {
        let came = (self.position - self.start) as f64;
        let took = self.began.elapsed().as_secs_f64();
        self.left() > 0 && took * self.left() as f64 > came * time.as_secs_f64()
    }
}

impl Pieces {
    /// The pieces of a plan: ranges, in the order in which they are wanted.
    pub(super) fn new(plan: VecDeque<(u64, u64)>, done: Spans) -> Self {
        Self {
            left: plan.iter().map(|(start, end)| end - start).sum(),
            todo: plan,
            runs: Vec::new(),
            done,
        }
    }

    /// Claims the first range of the plan, whole.
    pub(super) fn claim_first(&mut self, who: usize) -> Option<(u64, u64)> {
        let (start, end) = self.todo.pop_front()?;
        Some(self.begin(who, (start, end, false)))
    }

    /// Claims the next run for a connection, whose first byte takes `latency`: one of so many shares
    /// of what nobody has, or else half of what another has left, or else the end of another's once
    /// more.
    pub(super) fn claim(
        &mut self,
        who: usize,
        shares: u64,
        latency: Duration,
    ) -> Option<(u64, u64)> {
        let next = self.next(shares).or_else(|| self.split(latency));
        let next = next.or_else(|| self.double(latency))?;
        Some(self.begin(who, next))
    }

    fn begin(&mut self, who: usize, (start, end, is_doubled): (u64, u64, bool)) -> (u64, u64) {
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
        (start, end)
    }

    fn next(&mut self, shares: u64) -> Option<(u64, u64, bool)> {
        let unclaimed: u64 = self.todo.iter().map(|(start, end)| end - start).sum();
        let share = (unclaimed / shares).clamp(LEAST, MOST);
        let (start, end) = self.todo.pop_front()?;
        // What is left over is to be worth a request.
        let middle = match end - start < share + LEAST {
            true => end,
            false => start + share,
        };
        if middle < end {
            self.todo.push_front((middle, end));
        }
        Some((start, middle, false))
    }

    fn split(&mut self, latency: Duration) -> Option<(u64, u64, bool)> {
        let runs = self.runs.iter_mut().flatten();
        let slow = runs.filter(|run| {
            let is_long = run.left() >= 2 * LEAST && !run.is_doubled;
            is_long && run.is_slow(WORTH * latency)
        });
        let largest = slow.max_by_key(|run| run.left())?;
        let end = largest.end;
        largest.end -= largest.left() / 2;
        Some((largest.end, end, false))
    }

    fn double(&mut self, latency: Duration) -> Option<(u64, u64, bool)> {
        let patience = PATIENCE * latency;
        let mut runs = self.runs.iter_mut().flatten();
        let run = runs.find(|run| {
            let stands_still = run.moved.elapsed() > patience + Duration::from_millis(50);
            let is_end = run.left() < 2 * LEAST || stands_still;
            is_end && !run.is_doubled && run.is_slow(patience)
        })?;
        run.is_doubled = true;
        Some((run.position, run.end, true))
    }

    /// Returns what is left of a connection's run, if anything: its end may have been given away.
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
    pub(super) fn end(&mut self) {
        self.left = 0;
        self.todo.clear();
        self.runs.clear();
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
        Pieces::new(spans.gaps(length).into(), spans)
    }

    #[test]
    fn what_nobody_has_is_shared_and_then_what_others_have() {
        let mut pieces = pieces(&[(MIB, 2 * MIB)], 10 * MIB);
        assert_eq!(pieces.claim_first(0), Some((0, MIB)));
        assert_eq!(pieces.claim(1, 4, NONE), Some((2 * MIB, 4 * MIB)));
        assert_eq!(pieces.claim(2, 1, NONE), Some((4 * MIB, 10 * MIB)));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(pieces.claim(3, 1, NONE), Some((7 * MIB, 10 * MIB)));
        assert_eq!(
            (pieces.run(2), pieces.left()),
            (Some((4 * MIB, 7 * MIB)), 9 * MIB)
        );
        // What one leaves is that of the one before it again.
        pieces.give_back(3);
        pieces.give_back(2);
        assert_eq!(pieces.run(1), Some((2 * MIB, 10 * MIB)));
        pieces.give_back(1);
        assert_eq!(pieces.claim(3, 1, NONE), Some((2 * MIB, 10 * MIB)));
    }

    #[test]
    fn the_end_of_a_run_is_asked_for_twice_and_counts_once() {
        let mut pieces = pieces(&[], LEAST);
        pieces.claim_first(0);
        pieces.wrote(0, 10);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(pieces.claim(1, 1, NONE), Some((10, LEAST)));
        assert_eq!(pieces.claim(2, 1, NONE), None);
        // Whoever gives up, the other goes on; if both do, it is left.
        pieces.give_back(1);
        assert_eq!(pieces.claim(1, 1, NONE), None);
        pieces.give_back(0);
        assert_eq!(pieces.claim(0, 1, NONE), Some((10, LEAST)));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(pieces.claim(1, 1, NONE), Some((10, LEAST)));
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
        pieces.claim_first(0);
        pieces.wrote(0, 99 * MIB);
        assert_eq!(pieces.claim(1, 1, Duration::from_secs(10)), None);
    }

    #[test]
    fn a_plan_of_any_length_is_done_by_any_number() {
        for length in [1, LEAST, i64::MAX as u64, u64::MAX] {
            let mut pieces = pieces(&[], length);
            for who in 0..100 {
                pieces.claim(who, 1, NONE);
            }
            while pieces.left() > 0 {
                for who in 0..100 {
                    // Others may have done it as well.
                    if let Some((start, end)) = pieces.run(who) {
                        pieces.wrote(who, end - start);
                    }
                }
                pieces.claim_first(0);
            }
            assert_eq!(pieces.done.total(), length);
        }
    }
}
