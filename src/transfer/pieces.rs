//! What of a plan is done, claimed and left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::spans::Spans;

/// The least that is taken of another connection's run.
const LEAST: u64 = 64 << 10;
/// How many latencies another's run must still take for a share of it to be taken over: what is on
/// the line by then is received for nothing, and the connection is lost.
const WORTH: u32 = 6;
/// How many it must take for the last bytes to be asked for twice.
const PATIENCE: u32 = 3;

/// The pieces of one transfer. A connection claims a run, reports what it wrote of it, and claims
/// the next.
pub(super) struct Pieces {
    /// What nobody has claimed, in the order of the plan.
    todo: VecDeque<(u64, u64)>,
    /// The runs of the connections, by their numbers.
    runs: Vec<Option<Run>>,
    /// How fast each was in its last run, in bytes a second.
    paces: Vec<f64>,
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
        self.end.saturating_sub(self.position)
    }

    fn pace(&self) -> f64 {
        (self.position - self.start) as f64 / self.began.elapsed().as_secs_f64()
    }

    /// How many seconds the rest will take at the pace so far. Nothing is known of a run that has
    /// yet to begin.
    fn time_left(&self, latency: Duration) -> f64 {
        match self.position == self.start && self.began.elapsed() < PATIENCE * latency {
            true => 0.0,
            false => self.left() as f64 / self.pace().max(1.0),
        }
    }
}

impl Pieces {
    /// The pieces of a plan: ranges, in the order in which they are wanted.
    pub(super) fn new(plan: VecDeque<(u64, u64)>, done: Spans) -> Self {
        Self {
            left: plan.iter().map(|(start, end)| end - start).sum(),
            todo: plan,
            runs: Vec::new(),
            paces: Vec::new(),
            done,
        }
    }

    /// Claims the first range of the plan, whole.
    pub(super) fn claim_first(&mut self, who: usize) -> Option<(u64, u64)> {
        let (start, end) = self.todo.pop_front()?;
        Some(self.begin(who, (start, end, false)))
    }

    /// Claims the next run for a connection, whose first byte takes `latency`: one that nobody has,
    /// or else the last of so many `shares` of the largest of another, or with none as much of the
    /// slowest as both will take the same time for, or else the end of another's once more.
    pub(super) fn claim(
        &mut self,
        who: usize,
        shares: u64,
        latency: Duration,
    ) -> Option<(u64, u64)> {
        let next = self
            .todo
            .pop_front()
            .map(|(start, end)| (start, end, false));
        let next = next.or_else(|| match shares {
            0 => self.split(who, latency),
            _ => self.share(shares),
        });
        let next = next.or_else(|| self.double(latency))?;
        Some(self.begin(who, next))
    }

    fn begin(&mut self, who: usize, (start, end, is_doubled): (u64, u64, bool)) -> (u64, u64) {
        if self.runs.len() <= who {
            self.runs.resize_with(who + 1, || None);
            self.paces.resize(who + 1, 0.0);
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

    fn share(&mut self, shares: u64) -> Option<(u64, u64, bool)> {
        let runs = self.runs.iter_mut().flatten();
        let largest = runs
            .filter(|run| run.left() >= 2 * LEAST && !run.is_doubled)
            .max_by_key(|run| run.left())?;
        let end = largest.end;
        largest.end -= (largest.left() / shares).max(LEAST);
        Some((largest.end, end, false))
    }

    fn split(&mut self, who: usize, latency: Duration) -> Option<(u64, u64, bool)> {
        let own = self.paces.get(who).copied().unwrap_or_default();
        let worth = (WORTH * latency).as_secs_f64();
        let runs = self.runs.iter_mut().flatten();
        let slowest = runs
            .filter(|run| run.left() >= 2 * LEAST && !run.is_doubled)
            .filter(|run| run.time_left(latency) > worth)
            .max_by(|a, b| a.time_left(latency).total_cmp(&b.time_left(latency)))?;
        let part = match own > 0.0 {
            true => own / (own + slowest.pace()),
            false => 0.5,
        };
        let (end, left) = (slowest.end, slowest.left());
        slowest.end -= ((left as f64 * part) as u64).clamp(LEAST, left - LEAST);
        Some((slowest.end, end, false))
    }

    fn double(&mut self, latency: Duration) -> Option<(u64, u64, bool)> {
        let patience = PATIENCE * latency;
        let mut runs = self.runs.iter_mut().flatten();
        let run = runs.find(|run| {
            let stands_still = run.moved.elapsed() > patience + Duration::from_millis(50);
            let is_end = run.left() > 0 && (run.left() < 2 * LEAST || stands_still);
            is_end && !run.is_doubled && run.time_left(latency) > patience.as_secs_f64()
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

    /// Takes over the run after this one, if that has hardly begun: of an answer that goes on to
    /// `end` more is on the line than it is ahead.
    pub(super) fn overtake(&mut self, who: usize, end: u64, latency: Duration) {
        let Some(run) = self.runs.get(who).and_then(Option::as_ref) else {
            return;
        };
        let (at, pace) = (run.end, run.pace());
        let on_the_line = pace * (PATIENCE * latency).as_secs_f64();
        let next = self.runs.iter_mut().flatten().find(|next| {
            let ahead = (next.position - next.start) as f64;
            let is_slower = ahead < on_the_line && next.pace() < pace / 2.0;
            next.start == at && next.left() > 0 && next.end <= end && is_slower
        });
        if let Some(next) = next {
            let end = std::mem::replace(&mut next.end, next.position);
            if let Some(run) = self.runs.get_mut(who).and_then(Option::as_mut) {
                run.end = end;
            }
        }
    }

    /// Adds bytes that a connection wrote, perhaps more than are left of its run.
    pub(super) fn wrote(&mut self, who: usize, position: u64, bytes: u64) {
        let end = position + bytes;
        self.left = self.left.saturating_sub(self.done.add(position, end));
        if let Some(run) = self.runs.get_mut(who).and_then(Option::as_mut) {
            run.position = end;
            run.moved = Instant::now();
        }
    }

    /// Takes back what a connection leaves undone. It belongs to the run before it again, if there
    /// is one: the answer that this one is read from may go on.
    pub(super) fn give_back(&mut self, who: usize) {
        let Some(run) = self.runs.get_mut(who).and_then(Option::take) else {
            return;
        };
        self.paces[who] = run.pace();
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
    fn what_nobody_has_is_claimed_and_then_shares_of_what_others_have() {
        let mut pieces = pieces(&[(MIB, 2 * MIB)], 10 * MIB);
        assert_eq!(pieces.claim_first(0), Some((0, MIB)));
        assert_eq!(pieces.claim(1, 4, NONE), Some((2 * MIB, 10 * MIB)));
        assert_eq!(pieces.claim(2, 4, NONE), Some((8 * MIB, 10 * MIB)));
        assert_eq!(pieces.claim(3, 3, NONE), Some((6 * MIB, 8 * MIB)));
        assert_eq!(
            (pieces.run(1), pieces.left()),
            (Some((2 * MIB, 6 * MIB)), 9 * MIB)
        );
        // What one leaves is that of the one before it again.
        pieces.give_back(2);
        pieces.give_back(3);
        assert_eq!(pieces.run(1), Some((2 * MIB, 10 * MIB)));
        pieces.give_back(1);
        assert_eq!(pieces.claim(3, 0, NONE), Some((2 * MIB, 10 * MIB)));
    }

    #[test]
    fn a_fast_connection_takes_the_larger_part_of_what_a_slow_one_has_left() {
        let mut pieces = pieces(&[(MIB, 2 * MIB)], 10 * MIB);
        pieces.claim_first(0);
        pieces.claim(1, 0, NONE);
        std::thread::sleep(Duration::from_millis(20));
        pieces.wrote(0, 0, MIB);
        pieces.wrote(1, 2 * MIB, LEAST);
        pieces.give_back(0);
        let (start, end) = pieces.claim(0, 0, NONE).unwrap();
        assert_eq!(end, 10 * MIB);
        assert!((2 * MIB + LEAST..4 * MIB).contains(&start), "{start}");
    }

    #[test]
    fn the_end_of_a_run_is_asked_for_twice_and_counts_once() {
        let mut pieces = pieces(&[], LEAST);
        pieces.claim_first(0);
        pieces.wrote(0, 0, 10);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(pieces.claim(1, 0, NONE), Some((10, LEAST)));
        assert_eq!(pieces.claim(2, 0, NONE), None);
        // Whoever gives up, the other continues; if both do, it is left.
        pieces.give_back(1);
        assert_eq!(pieces.claim(1, 0, NONE), None);
        pieces.give_back(0);
        assert_eq!(pieces.claim(0, 0, NONE), Some((10, LEAST)));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(pieces.claim(1, 0, NONE), Some((10, LEAST)));
        pieces.wrote(0, 10, 100);
        pieces.wrote(1, 10, 200);
        assert_eq!(pieces.left(), LEAST - 210);
        pieces.wrote(1, 210, LEAST - 210);
        assert_eq!(
            (pieces.left(), pieces.run(0), pieces.run(1)),
            (0, None, None)
        );
    }

    #[test]
    fn an_answer_that_goes_on_takes_over_a_run_that_has_hardly_begun() {
        let long = Duration::from_secs(1);
        let mut pieces = pieces(&[], 10 * MIB);
        pieces.claim_first(0);
        pieces.claim(1, 2, NONE);
        pieces.wrote(1, 5 * MIB, 10);
        // More than is left of its run.
        pieces.wrote(0, 0, 6 * MIB);
        pieces.overtake(0, 9 * MIB, long);
        assert_eq!((pieces.run(0), pieces.left()), (None, 4 * MIB));
        pieces.overtake(0, 10 * MIB, long);
        assert_eq!(pieces.run(0), Some((6 * MIB, 10 * MIB)));
        assert_eq!(pieces.run(1), None);
    }

    #[test]
    fn nothing_is_taken_of_a_run_that_will_be_done_earlier() {
        let mut pieces = pieces(&[], 100 * MIB);
        pieces.claim_first(0);
        pieces.wrote(0, 0, 99 * MIB);
        assert_eq!(pieces.claim(1, 0, Duration::from_secs(10)), None);
    }

    #[test]
    fn a_plan_of_any_length_is_done_by_any_number() {
        for length in [1, LEAST, i64::MAX as u64, u64::MAX] {
            let mut pieces = pieces(&[], length);
            for who in 0..100 {
                pieces.claim(who, 2, NONE);
            }
            while pieces.left() > 0 {
                for who in 0..100 {
                    // Others may have done it as well.
                    if let Some((start, end)) = pieces.run(who) {
                        pieces.wrote(who, start, end - start);
                    }
                }
                pieces.claim_first(0);
            }
            assert_eq!(pieces.done.total(), length);
        }
    }
}
