//! The segments of a transfer, shared by its connections.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::journal::Journal;
use super::part::PartFile;
use super::spans::Spans;
use crate::digest::Hasher;
use crate::progress::Meter;

/// The length of a request when there are several connections.
pub(super) const SEGMENT: u64 = 4 * 1024 * 1024;
/// With large images a segment may be this share of what one connection has to fetch.
const SHARE: u64 = 16;
/// The most segments at first, whatever length a server names: a plan has to fit into memory.
const MOST: u64 = 1 << 16;
/// From twice this on the rest of another's segment is worth a request.
const STEAL: u64 = 1024 * 1024;
/// However little is left, a connection with nothing else to do shares it with one that would
/// need longer for it than this.
const PATIENCE: Duration = Duration::from_secs(2);
/// The least that is shared.
const CRUMB: u64 = 1024;
/// The bytes written between two lines of the journal, by all connections together: what a kill
/// can cost.
const RECORD: u64 = 512 * 1024;
/// The bytes written between two syncs of the file.
const SYNC: u64 = 64 * 1024 * 1024;

/// The state of a transfer.
pub(super) struct Ledger {
    /// Ranges that nobody has begun, as many as there are gaps, however long they are.
    todo: VecDeque<Segment>,
    /// The bytes that a connection takes of it at once.
    size: u64,
    active: Vec<Segment>,
    /// The bytes that one connection writes between two lines of the journal.
    record: u64,
    journal: Option<Journal>,
    durable: bool,
    done: u64,
    unsynced: u64,
    pub(super) fetched: u64,
    hasher: Option<(Hasher, u64)>,
    /// The time of the last change, as the latest answer has it.
    pub(super) modified: Option<Timestamp>,
    meter: Meter,
}

/// A range that a connection is fetching.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) position: u64,
    pub(super) end: u64,
    /// The position that the journal has recorded.
    recorded: u64,
    /// Nothing was ever written there, so that zeros can be left out.
    pub(super) untouched: bool,
    /// The time and position at which its connection began.
    began: (Instant, u64),
}

impl Segment {
    fn new(position: u64, end: u64, untouched: bool) -> Self {
        Self {
            position,
            end,
            recorded: position,
            untouched,
            began: (Instant::now(), position),
        }
    }

    fn left(&self) -> u64 {
        self.end - self.position
    }

    fn is_worth_sharing(&self) -> bool {
        let (time, start) = self.began;
        let elapsed = time.elapsed();
        // At its pace so far.
        let is_slow = || {
            let needs = elapsed.as_secs_f64() * self.left() as f64;
            elapsed > PATIENCE
                && needs > PATIENCE.as_secs_f64() * (self.position - start).max(1) as f64
        };
        self.left() >= 2 * STEAL || (self.left() >= 2 * CRUMB && is_slow())
    }
}

impl Ledger {
    /// Plans what is not `done` of `length` bytes for a number of connections.
    pub(super) fn new(done: &Spans, length: u64, connections: usize, meter: Meter) -> Self {
        let missing = length - done.total();
        let share = missing / (connections as u64 * SHARE);
        let size = match connections {
            1 => u64::MAX,
            _ => share.clamp(SEGMENT, 16 * SEGMENT).max(missing / MOST),
        };
        let gaps = done.gaps(length).into_iter();
        // A gap before what was written may have been written to.
        let todo = gaps.map(|(start, end)| Segment::new(start, end, start >= done.end()));
        Self {
            todo: todo.collect(),
            size,
            active: Vec::new(),
            record: RECORD / connections as u64,
            journal: None,
            durable: true,
            done: done.total(),
            unsynced: 0,
            fetched: 0,
            hasher: None,
            modified: None,
            meter,
        }
    }

    pub(super) fn journal(mut self, journal: Option<Journal>, durable: bool) -> Self {
        self.journal = journal;
        self.durable = durable;
        self
    }

    /// Hashes what comes in order from the start on.
    pub(super) fn hash(mut self) -> Self {
        self.hasher = Some((Hasher::default(), 0));
        self
    }

    /// Returns the hasher, and the position up to which it has hashed.
    pub(super) fn hashed(&mut self) -> (Hasher, u64) {
        self.hasher.take().unwrap_or_else(|| (Hasher::default(), 0))
    }

    /// The next range to fetch: one that nobody has, or else half of the largest that another
    /// still has to do. Gives its place in the ledger.
    pub(super) fn take(&mut self) -> Option<usize> {
        let mut segment = self.next().or_else(|| self.steal())?;
        segment.began = (Instant::now(), segment.position);
        self.active.push(segment);
        Some(self.active.len() - 1)
    }

    fn next(&mut self) -> Option<Segment> {
        let first = self.todo.front_mut()?;
        if first.left() <= self.size {
            return self.todo.pop_front();
        }
        let middle = first.position + self.size;
        let segment = Segment::new(first.position, middle, first.untouched);
        *first = Segment::new(middle, first.end, first.untouched);
        Some(segment)
    }

    fn steal(&mut self) -> Option<Segment> {
        let shared = self.active.iter_mut().filter(|s| s.is_worth_sharing());
        let largest = shared.max_by_key(|segment| segment.left())?;
        let middle = largest.position + largest.left() / 2;
        let stolen = Segment::new(middle, largest.end, largest.untouched);
        largest.end = middle;
        Some(stolen)
    }

    pub(super) fn get(&self, place: usize) -> Option<&Segment> {
        self.active.get(place)
    }

    /// Says that bytes were written at the segment's position.
    pub(super) fn wrote(&mut self, place: usize, bytes: &[u8], part: &PartFile) -> io::Result<()> {
        let Some(segment) = self.active.get_mut(place) else {
            return Ok(());
        };
        // Its end may have been given away while these were written.
        let room = usize::try_from(segment.left()).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(room)];
        if let Some((hasher, hashed)) = &mut self.hasher {
            if *hashed == segment.position {
                hasher.update(bytes);
                *hashed += bytes.len() as u64;
            }
        }
        let count = bytes.len() as u64;
        segment.position += count;
        let finished = segment.position >= segment.end;
        self.done += count;
        self.unsynced += count;
        self.meter.at(self.done);
        if finished || segment.position - segment.recorded >= self.record {
            self.record(place)?;
            if let Some(journal) = self.journal.as_mut().filter(|journal| journal.is_long()) {
                part.renew(journal, self.durable)?;
            }
        }
        if self.durable && self.unsynced >= SYNC {
            if let Some(journal) = &mut self.journal {
                part.sync()?;
                journal.synced()?;
            }
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Tells the journal how far a segment is.
    pub(super) fn record(&mut self, place: usize) -> io::Result<()> {
        let (Some(segment), Some(journal)) = (self.active.get_mut(place), &mut self.journal) else {
            return Ok(());
        };
        if segment.recorded < segment.position {
            journal.wrote(segment.recorded, segment.position)?;
            segment.recorded = segment.position;
        }
        Ok(())
    }

    /// Returns `true` if everything is done.
    pub(super) fn is_complete(&self) -> bool {
        let finished = |segment: &Segment| segment.position >= segment.end;
        self.todo.is_empty() && self.active.iter().all(finished)
    }
}

/// A lock that a panic elsewhere does not take away.
pub(super) fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ledger: &mut Ledger) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        while let Some(segment) = ledger.next() {
            ranges.push((segment.position, segment.end));
        }
        ranges
    }

    #[test]
    fn a_plan_of_any_length_fits_into_memory() {
        for length in [0, 1, 1 << 40, 1 << 53, i64::MAX as u64, u64::MAX] {
            let ledger = Ledger::new(&Spans::default(), length, 4, Meter::default());
            assert!(ledger.todo.len() as u64 <= MOST + 1, "{length}");
            let end = ledger.todo.back().map_or(0, |segment| segment.end);
            assert_eq!(end, length);
        }
    }

    #[test]
    fn one_connection_takes_each_gap_whole() {
        let mut done = Spans::default();
        done.add(10, 20);
        let mut ledger = Ledger::new(&done, 100, 1, Meter::default());
        assert_eq!(ranges(&mut ledger), [(0, 10), (20, 100)]);
        let mut ledger = Ledger::new(&done, 100, 1, Meter::default());
        assert!(!ledger.todo[0].untouched && ledger.todo[1].untouched);
        assert!(!ledger.is_complete());
        ledger.todo.clear();
        assert!(ledger.is_complete());
    }

    #[test]
    fn several_connections_share_and_steal() {
        let length = 3 * SEGMENT;
        let mut ledger = Ledger::new(&Spans::default(), length, 2, Meter::default());
        let places: Vec<_> = (0..4).filter_map(|_| ledger.take()).collect();
        assert_eq!(places, [0, 1, 2, 3]);
        let stolen = ledger.get(3).unwrap();
        assert_eq!(stolen.end - stolen.position, SEGMENT / 2);
        while ledger.take().is_some() {}
        let mut ranges: Vec<_> = ledger.active.iter().map(|s| (s.position, s.end)).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!((ranges[0].0, ranges.last().unwrap().1), (0, length));
        assert!(ranges.iter().all(|(start, end)| end - start >= STEAL));
    }
}
