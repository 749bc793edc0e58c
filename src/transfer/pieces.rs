//! The parts of a plan that are done, claimed and left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::spans::Spans;

/// The least that is taken of another connection's run, and the most by a connection whose pace is
/// not known yet.
const LEAST: u64 = 64 << 10;
const TRIAL: u64 = 1 << 20;
/// For how many latencies, and for how long at least, a connection is to have work with what it
/// takes: a request costs it one. If all of them need more than twice that, it is half of their time.
const WORK: u32 = 16;
const LONG: Duration = Duration::from_millis(100);
/// The latencies that another's run must still take for its end to be taken over: the bytes on the
/// line by then are received for nothing, and the connection is lost. A new one is slow for more.
const WORTH: u32 = 6;
const WORTH_NEW: u32 = 10;
/// The latencies that it must take for the last bytes to be asked for twice.
const PATIENCE: u32 = 3;

/// The time over which the pace of a run is taken.
fn sample_time(latency: Duration) -> Duration {
    (2 * latency).max(Duration::from_millis(20))
}

/// The pieces of one transfer. A connection claims a run, reports what it wrote of it, and claims
/// the next.
pub(super) struct Pieces {
    /// Ranges that nobody has claimed, in the order of the plan.
    todo: VecDeque<(u64, u64)>,
    /// The runs of the connections, by their numbers.
    runs: Vec<Option<Run>>,
    /// The pace of each in its last run, in bytes a second; 0 for one that has yet to be made.
    paces: Vec<f64>,
    pub(super) done: Spans,
    /// The bytes that are done or being written.
    taken: Spans,
    /// The bytes of the plan that are left.
    pub(super) left: u64,
    /// The least time from a request to its answer.
    pub(super) latency: Duration,
}

/// A range that one connection is fetching.
struct Run {
    began: Instant,
    start: u64,
    position: u64,
    end: u64,
    /// From when and where on the pace is taken, and what it was before.
    sampled: (Instant, u64),
    pace: f64,
    /// The growth of the pace from one sample to the next, from 1 to 2. The first counts as 2.
    growth: f64,
    moved: Instant,
    /// Another connection fetches the same.
    is_doubled: bool,
}

impl Run {
    fn left(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }

    /// The pace of late. It may be growing since it was taken, and a run that stands still becomes
    /// slower.
    fn pace(&self, latency: Duration) -> f64 {
        match self.pace > 0.0 && self.sampled.0.elapsed() < sample_time(latency) {
            true => self.pace,
            false if self.stands_still(latency) => self.pace_since_sample(latency),
            false => self.pace.max(self.pace_since_sample(latency)),
        }
    }

    fn pace_since_sample(&self, latency: Duration) -> f64 {
        let (since, from) = self.sampled;
        let moved = self.position.saturating_sub(from) as f64;
        moved / since.elapsed().max(latency).as_secs_f64()
    }

    /// Returns `true` if nothing came for longer than it takes to send a lost packet again.
    fn stands_still(&self, latency: Duration) -> bool {
        self.moved.elapsed() > PATIENCE * latency + Duration::from_millis(50)
    }

    /// Returns the seconds that the rest will take at this pace, and 0 for a run that has yet to
    /// begin.
    fn time_left(&self, latency: Duration) -> f64 {
        match self.position == self.start && self.began.elapsed() < PATIENCE * latency {
            true => 0.0,
            false => self.left() as f64 / self.pace(latency).max(1.0),
        }
    }
}

impl Pieces {
    /// The pieces of a plan: ranges, in the order in which they are wanted.
    pub(super) fn new(plan: VecDeque<(u64, u64)>, done: Spans, latency: Duration) -> Self {
        Self {
            left: plan.iter().map(|(start, end)| end - start).sum(),
            todo: plan,
            runs: Vec::new(),
            paces: Vec::new(),
            taken: done.clone(),
            done,
            latency,
        }
    }

    /// Claims the next range of the plan, whole.
    pub(super) fn claim_first(&mut self, who: usize) -> Option<(u64, u64)> {
        let (start, end) = self.todo.pop_front()?;
        Some(self.begin(who, start, end))
    }

    /// Claims the next run for a connection: one that nobody has, or else the end of another's,
    /// which that one reaches last, or else another's end once more.
    pub(super) fn claim(&mut self, who: usize) -> Option<(u64, u64)> {
        if let Some((start, end)) = self.todo.pop_front().or_else(|| self.share(who)) {
            return Some(self.begin(who, start, end));
        }
        let (start, end) = self.double()?;
        let run = self.begin(who, start, end);
        self.runs[who].as_mut()?.is_doubled = true;
        Some(run)
    }

    fn begin(&mut self, who: usize, start: u64, end: u64) -> (u64, u64) {
        if self.runs.len() <= who {
            self.runs.resize_with(who + 1, || None);
            self.paces.resize(who + 1, 0.0);
        }
        let began = Instant::now();
        self.runs[who] = Some(Run {
            began,
            start,
            position: start,
            end,
            sampled: (began, start),
            pace: self.paces[who],
            growth: 1.0,
            moved: began,
            is_doubled: false,
        });
        (start, end)
    }

    /// Takes the end of the run that will be done last: as much as the connection can do in some
    /// time, of which the request takes a part, and no more than makes both of them end together.
    fn share(&mut self, who: usize) -> Option<(u64, u64)> {
        let latency = self.latency;
        let own = self.paces.get(who).copied().unwrap_or_default();
        let paces = self.runs.iter().flatten().map(|run| run.pace(latency));
        let together = self.left as f64 / (own + paces.sum::<f64>());
        let worth = if own > 0.0 { WORTH } else { WORTH_NEW } * latency;
        let runs = self.runs.iter_mut().flatten();
        let run = runs
            .filter(|run| run.left() >= 2 * LEAST && !run.is_doubled)
            .filter(|run| run.time_left(latency) > worth.as_secs_f64())
            .max_by(|a, b| a.time_left(latency).total_cmp(&b.time_left(latency)))?;
        let size = if own > 0.0 {
            let time = (WORK * latency).max(LONG).as_secs_f64().max(together / 2.0);
            let both = run.left() as f64 / (own + run.pace(latency));
            let time = time.min(together.min(both) / run.growth - latency.as_secs_f64());
            if time < latency.as_secs_f64() {
                return None;
            }
            (own * time) as u64
        } else {
            TRIAL.min(run.left() / 48)
        };
        let end = run.end;
        run.end -= size.clamp(LEAST, run.left() - LEAST);
        Some((run.end, end))
    }

    fn double(&mut self) -> Option<(u64, u64)> {
        let latency = self.latency;
        let patience = (PATIENCE * latency).as_secs_f64();
        let mut runs = self.runs.iter_mut().flatten();
        let run = runs.find(|run| {
            let is_last = run.left() < 2 * LEAST || run.stands_still(latency);
            run.left() > 0 && is_last && !run.is_doubled && run.time_left(latency) > patience
        })?;
        run.is_doubled = true;
        Some((run.position, run.end))
    }

    /// Returns what is left of a connection's run, if anything: its end may have been given away.
    pub(super) fn run(&self, who: usize) -> Option<(u64, u64)> {
        let run = self.runs.get(who)?.as_ref()?;
        let is_done = run.is_doubled && self.done.contains(run.position, run.end);
        (run.left() > 0 && !is_done).then_some((run.position, run.end))
    }

    /// Takes over a run behind this one, if an answer that goes on to `end` will have brought all of
    /// it earlier, and whatever lies between; returns what is left of it.
    pub(super) fn overtake(&mut self, who: usize, end: u64) -> Option<(u64, u64)> {
        let latency = self.latency;
        // What another one has done of it would come first.
        let run = self.runs.get(who)?.as_ref().filter(|run| run.left() == 0)?;
        let (at, pace) = (run.end, run.pace(latency));
        let others = self.runs.iter_mut().flatten();
        let behind = others.filter(|run| run.start >= at && run.end <= end && run.left() > 0);
        let late = behind.filter(|run| {
            let time = (run.end - at) as f64 / pace;
            let left = run.left() as f64 / run.pace(latency).max(1.0);
            // Until there it receives in vain. A new connection would have brought little by then.
            let wasted = (run.position - at) as f64 / pace;
            time < left && wasted < (PATIENCE * latency).as_secs_f64()
        });
        let next = late.min_by_key(|run| run.start)?;
        let end = std::mem::replace(&mut next.end, next.position);
        let run = self.runs[who].as_mut()?;
        (run.end, run.is_doubled) = (end, false);
        self.run(who)
    }

    /// Returns those of the bytes that came which are to be written: each is written once, as a
    /// second copy may be another one, and the first may have been hashed.
    pub(super) fn take(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let new = self.taken.gaps_in(start, end);
        self.taken.add(start, end);
        new
    }

    /// A connection brought all up to `end`, perhaps more than is left of its run, and wrote what is
    /// `new` of it. Another may still be writing the rest.
    pub(super) fn brought(&mut self, who: usize, end: u64, new: &[(u64, u64)]) {
        let added = new.iter().map(|&(start, end)| self.done.add(start, end));
        self.left = self.left.saturating_sub(added.sum());
        if let Some(run) = self.runs.get_mut(who).and_then(Option::as_mut) {
            let is_first = run.position == run.start;
            run.position = end;
            run.moved = Instant::now();
            if is_first && run.pace > 0.0 {
                // The request took its time, which is no part of the pace.
                run.sampled = (run.moved, end);
            } else if run.moved - run.sampled.0 >= sample_time(self.latency) {
                let pace = run.pace_since_sample(self.latency);
                run.growth = (pace / run.pace).clamp(1.0, 2.0);
                // A lost packet holds up all behind it, and makes nobody slow.
                run.pace = pace.max((3.0 * run.pace + pace) / 4.0);
                run.sampled = (run.moved, end);
            }
        }
    }

    /// A request was answered after this time.
    pub(super) fn answered(&mut self, latency: Duration) {
        self.latency = self.latency.min(latency);
    }

    /// Takes back what a connection leaves undone. It belongs to the run before it again, if there
    /// is one: the answer that this one is read from may go on. The next TCP connection is a new one
    /// if this one is lost.
    pub(super) fn give_back(&mut self, who: usize, is_lost: bool) {
        let Some(run) = self.runs.get_mut(who).and_then(Option::take) else {
            return;
        };
        // The last bytes may have come late, and all of a small run at once.
        let average = (run.position - run.start) as f64 / run.began.elapsed().as_secs_f64();
        self.paces[who] = match is_lost {
            true => 0.0,
            false => average.max(run.pace(self.latency)),
        };
        let mut others = self.runs.iter().flatten();
        let has_other = others.any(|r| r.position <= run.position && run.end <= r.end);
        if run.left() == 0 || has_other {
            return;
        }
        let mut others = self.runs.iter_mut().flatten();
        match others.find(|r| r.left() > 0 && r.end == run.position && !r.is_doubled) {
            Some(before) => before.end = run.end,
            None => {
                for gap in self.done.gaps_in(run.position, run.end).into_iter().rev() {
                    self.todo.push_front(gap);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    impl Pieces {
        fn wrote(&mut self, who: usize, position: u64, bytes: u64) {
            let new = self.take(position, position + bytes);
            self.brought(who, position + bytes, &new);
        }
    }

    fn pieces(done: &[(u64, u64)], length: u64) -> Pieces {
        let mut spans = Spans::default();
        for &(start, end) in done {
            spans.add(start, end);
        }
        Pieces::new(spans.gaps(length).into(), spans, Duration::ZERO)
    }

    #[test]
    fn what_nobody_has_is_claimed_and_then_the_ends_of_what_others_have() {
        let mut pieces = pieces(&[(MIB, 2 * MIB)], 66 * MIB);
        assert_eq!(pieces.claim_first(0), Some((0, MIB)));
        assert_eq!(pieces.claim(1), Some((2 * MIB, 66 * MIB)));
        assert_eq!(pieces.claim(2), Some((65 * MIB, 66 * MIB)));
        assert_eq!(pieces.claim(3), Some((64 * MIB, 65 * MIB)));
        assert_eq!(pieces.run(1), Some((2 * MIB, 64 * MIB)));
        assert_eq!(pieces.left, 65 * MIB);
        // What one leaves is that of the one before it again.
        pieces.give_back(3, false);
        pieces.give_back(2, false);
        assert_eq!(pieces.run(1), Some((2 * MIB, 66 * MIB)));
        pieces.give_back(1, false);
        assert_eq!(pieces.claim(4), Some((2 * MIB, 66 * MIB)));
    }

    #[test]
    fn a_fast_connection_takes_the_larger_part_of_what_a_slow_one_has_left() {
        let mut pieces = pieces(&[(MIB, 2 * MIB)], 66 * MIB);
        pieces.claim_first(0);
        pieces.claim(1);
        std::thread::sleep(2 * sample_time(Duration::ZERO));
        pieces.wrote(0, 0, MIB);
        pieces.wrote(1, 2 * MIB, LEAST);
        pieces.give_back(0, false);
        // In half of the time that both need, at 16 times the pace of the other.
        pieces.paces[0] = 16.0 * pieces.runs[1].as_ref().unwrap().pace;
        let (start, end) = pieces.claim(0).unwrap();
        assert_eq!(end, 66 * MIB);
        assert!((35 * MIB..37 * MIB).contains(&start), "{start}");
        pieces.wrote(0, start, end - start);
        pieces.give_back(0, false);
        // In no time: by now it seems to be so fast. The other one may still become faster.
        pieces.paces[0] = 1e12;
        let (start, _) = pieces.claim(0).unwrap();
        assert!((18 * MIB..20 * MIB).contains(&start), "{start}");
    }

    #[test]
    fn the_end_of_a_run_is_asked_for_twice_and_counts_once() {
        let mut pieces = pieces(&[], LEAST);
        pieces.claim_first(0);
        pieces.wrote(0, 0, 10);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(pieces.claim(1), Some((10, LEAST)));
        assert_eq!(pieces.claim(2), None);
        // Whoever gives up, the other continues; if both do, it is left.
        pieces.give_back(1, false);
        assert_eq!(pieces.claim(1), None);
        pieces.give_back(0, false);
        assert_eq!(pieces.claim(0), Some((10, LEAST)));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(pieces.claim(1), Some((10, LEAST)));
        pieces.wrote(0, 10, 100);
        pieces.wrote(1, 10, 200);
        assert_eq!(pieces.left, LEAST - 210);
        // What another is writing is not done yet.
        let new = pieces.take(210, 300);
        pieces.wrote(1, 210, LEAST - 210);
        assert_eq!((pieces.left, pieces.done.prefix()), (90, 210));
        pieces.brought(0, 300, &new);
        assert_eq!(pieces.left, 0);
        assert_eq!((pieces.run(0), pieces.run(1)), (None, None));
    }

    #[test]
    fn an_answer_that_goes_on_takes_over_a_run_that_has_hardly_begun() {
        let mut pieces = pieces(&[], 64 * MIB);
        pieces.claim_first(0);
        assert_eq!(pieces.claim(1), Some((63 * MIB, 64 * MIB)));
        pieces.latency = Duration::from_secs(1);
        pieces.wrote(1, 63 * MIB, 10);
        // More than is left of its run.
        pieces.wrote(0, 0, 63 * MIB + LEAST);
        pieces.overtake(0, 63 * MIB + 1);
        assert_eq!((pieces.run(0), pieces.left), (None, MIB - LEAST));
        pieces.overtake(0, 64 * MIB);
        assert_eq!(pieces.run(0), Some((63 * MIB + LEAST, 64 * MIB)));
        assert_eq!(pieces.run(1), None);
    }

    #[test]
    fn an_answer_that_goes_on_reaches_a_late_run_over_what_is_done() {
        for (first, taken) in [(7 * MIB, true), (MIB, false)] {
            let mut pieces = pieces(&[(first, 8 * MIB)], 10 * MIB);
            pieces.claim_first(0);
            pieces.claim(1);
            pieces.latency = Duration::from_secs(1);
            pieces.wrote(1, 8 * MIB, 10);
            pieces.wrote(0, 0, first);
            // In three sevenths of a second, or in nine.
            pieces.overtake(0, 10 * MIB);
            assert_eq!(pieces.run(0), taken.then_some((first, 10 * MIB)));
            assert_eq!(pieces.run(1).is_none(), taken);
        }
    }

    #[test]
    fn nothing_is_taken_of_a_run_that_will_be_done_earlier() {
        let mut pieces = pieces(&[], 100 * MIB);
        pieces.claim_first(0);
        pieces.claim(1);
        pieces.give_back(1, false);
        pieces.latency = Duration::from_secs(10);
        pieces.wrote(0, 0, 99 * MIB);
        for pace in [0.0, 1.0] {
            pieces.paces[1] = pace;
            assert_eq!(pieces.claim(1), None);
        }
    }

    #[test]
    fn one_that_waits_for_a_lost_packet_is_not_slow() {
        let second = Duration::from_secs(1);
        let mut pieces = pieces(&[], TRIAL);
        pieces.latency = second;
        pieces.claim_first(0);
        pieces.wrote(0, 0, LEAST);
        let run = pieces.runs[0].as_mut().unwrap();
        (run.pace, run.sampled.0) = (1e6, run.sampled.0 - 3 * second);
        assert_eq!(run.pace(second), 1e6);
        run.moved -= 4 * second;
        assert!(run.pace(second) < 1e5);
        pieces.wrote(0, LEAST, 10);
        assert!((7e5..8e5).contains(&pieces.runs[0].as_ref().unwrap().pace));
    }

    #[test]
    fn a_plan_of_any_length_is_done_by_any_number() {
        for length in [1, LEAST, i64::MAX as u64, u64::MAX] {
            let mut pieces = pieces(&[], length);
            for who in 0..100 {
                pieces.claim(who);
            }
            while pieces.left > 0 {
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
