//! Compressed clusters put together from the bytes that arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::disk::Places;
use crate::spans::Spans;

/// The compressed clusters of a transfer. Connections bring their bytes in any order, cut anywhere.
pub(super) struct Assembly {
    places: Arc<Places>,
    /// Clusters that were given out, by their numbers, or are of no further interest.
    is_given: Vec<bool>,
    /// Clusters of which bytes came, but which are not on the disk yet.
    open: BTreeSet<usize>,
    /// Bytes that are held for clusters that are incomplete, by their offset.
    held: BTreeMap<u64, Vec<u8>>,
}

impl Assembly {
    /// Begins where an earlier process stopped.
    pub(super) fn new(places: Arc<Places>, done: &Spans) -> Self {
        let clusters = places.compressed.iter();
        Self {
            is_given: clusters
                .map(|place| done.contains(place.offset, place.end()))
                .collect(),
            places,
            open: BTreeSet::new(),
            held: BTreeMap::new(),
        }
    }

    /// Takes bytes of the file, and returns the clusters that they complete.
    pub(super) fn add(&mut self, offset: u64, bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let arrived = offset..offset + bytes.len() as u64;
        let touched: Vec<_> = self.waiting(&arrived).collect();
        if touched.is_empty() {
            return Vec::new();
        }
        self.open.extend(&touched);
        let (start, joined) = self.join(offset, bytes);
        let all = start..start + joined.len() as u64;
        let mut complete = Vec::new();
        for number in touched {
            let place = self.places.compressed[number];
            if all.start <= place.offset && place.end() <= all.end {
                let from = (place.offset - start) as usize;
                complete.push((number, joined[from..from + place.length as usize].to_vec()));
                self.is_given[number] = true;
            }
        }
        self.hold(start, joined);
        complete
    }

    /// Takes note that a cluster is where it belongs.
    pub(super) fn settle(&mut self, number: usize) {
        self.open.remove(&number);
    }

    /// Takes the clusters that are not yet where they belong out of what is done.
    pub(super) fn take_open(&self, done: &mut Spans) {
        for &number in &self.open {
            let place = &self.places.compressed[number];
            done.remove(place.offset, place.end());
        }
    }

    /// Returns the clusters with bytes in a range that were not given out.
    fn waiting(&self, range: &Range<u64>) -> impl Iterator<Item = usize> + use<'_> {
        let start = range.start;
        let numbers = self.places.compressed_in(range);
        numbers.filter(move |&number| {
            !self.is_given[number] && self.places.compressed[number].end() > start
        })
    }

    /// Joins what arrived and what is held before and after it.
    fn join(&mut self, offset: u64, bytes: &[u8]) -> (u64, Vec<u8>) {
        let mut range = offset..offset + bytes.len() as u64;
        let touches = |(&start, held): (&u64, &Vec<u8>)| {
            (start <= range.end && range.start <= start + held.len() as u64).then_some(start)
        };
        // There are as many as there are ends of runs.
        let starts: Vec<_> = self.held.iter().filter_map(touches).collect();
        if let [start] = starts[..] {
            // As a rule they go on where what is held ends, which is not copied each time.
            let ends_there = |held: &Vec<u8>| start + held.len() as u64 == offset;
            if self.held.get(&start).is_some_and(ends_there) {
                let mut held = self.held.remove(&start).unwrap_or_default();
                held.extend_from_slice(bytes);
                return (start, held);
            }
        }
        let mut parts = Vec::new();
        for start in starts {
            if let Some(held) = self.held.remove(&start) {
                range.start = range.start.min(start);
                range.end = range.end.max(start + held.len() as u64);
                parts.push((start, held));
            }
        }
        let mut joined = vec![0; (range.end - range.start) as usize];
        let parts = parts.iter().map(|(start, held)| (*start, held.as_slice()));
        for (start, part) in parts.chain([(offset, bytes)]) {
            let at = (start - range.start) as usize;
            joined[at..at + part.len()].copy_from_slice(part);
        }
        (range.start, joined)
    }

    /// Keeps the bytes that clusters still wait for.
    fn hold(&mut self, start: u64, mut bytes: Vec<u8>) {
        let all = start..start + bytes.len() as u64;
        let mut wanted = Spans::default();
        for number in self.waiting(&all) {
            let place = self.places.compressed[number];
            wanted.add(place.offset.max(all.start), place.end().min(all.end));
        }
        for (from, to) in wanted.iter().skip(1) {
            let part = &bytes[(from - start) as usize..(to - start) as usize];
            self.held.insert(from, part.to_vec());
        }
        // As a rule there is one part, which is not copied.
        if let Some((from, to)) = wanted.iter().next() {
            bytes.truncate((to - start) as usize);
            bytes.drain(..(from - start) as usize);
            self.held.insert(from, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::qcow2::{Extent, ExtentKind, Geometry};

    const LENGTH: u64 = 40_000;

    /// Clusters of a file, each of some sectors, which may share the last.
    fn clusters(steps: &[(u64, u64)]) -> Arc<Places> {
        let mut places = Places::new(Geometry::plain(12, 1 << 30, LENGTH));
        let (mut next, mut end) = (0, 0_u64);
        for (&(gap, sectors), start) in steps.iter().zip((0..).step_by(4096)) {
            // In the last sector of the one before, or after it.
            let offset = end.saturating_sub(512).max(next) + gap;
            let length = (offset / 512 + sectors) * 512 - offset;
            let kind = ExtentKind::Compressed { offset, length };
            places
                .add(&Extent {
                    start,
                    length: 4096,
                    kind,
                })
                .unwrap();
            (next, end) = (offset + 1, offset + length);
        }
        places.sort().unwrap();
        Arc::new(places)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn each_cluster_is_given_once_however_the_bytes_come(
            steps in prop::collection::vec((0_u64..1500, 1_u64..17), 1..8),
            before in prop::collection::vec((0..LENGTH, 0..LENGTH / 2), 0..3),
            cuts in prop::collection::vec(0..LENGTH, 0..30),
            order in prop::collection::vec(any::<Index>(), 1..60),
        ) {
            let file: Vec<u8> = (0..LENGTH).map(|at| (at * 31 / 7) as u8).collect();
            let places = clusters(&steps);
            prop_assume!(places.compressed.iter().all(|place| place.end() <= LENGTH));
            let mut done = Spans::default();
            before.iter().for_each(|&(start, length)| { done.add(start, (start + length).min(LENGTH)); });
            let is_done: Vec<bool> = places.compressed.iter()
                .map(|place| done.contains(place.offset, place.end()))
                .collect();
            let mut assembly = Assembly::new(places.clone(), &done);
            // What of it belongs to an incomplete cluster comes again.
            let mut arrived = Spans::default();
            arrived.add(0, LENGTH);
            for (start, end) in places.needed(&done) {
                arrived.remove(start, end);
            }
            let mut ends: Vec<u64> = cuts.into_iter().chain([0, LENGTH]).collect();
            ends.sort_unstable();
            let pieces: Vec<_> = ends.windows(2).map(|pair| (pair[0], pair[1])).collect();
            // Some of them more than once, and at last all.
            let order = order.iter().map(|index| *index.get(&pieces));
            let order: Vec<_> = order.chain(pieces.iter().copied()).collect();
            let mut given = vec![false; places.compressed.len()];
            let mut settled = is_done.clone();
            let mut waiting = Vec::new();
            for (turn, (start, end)) in order.into_iter().enumerate() {
                let bytes = &file[start as usize..end as usize];
                for (number, bytes) in assembly.add(start, bytes) {
                    prop_assert!(!given[number] && !is_done[number]);
                    given[number] = true;
                    let place = places.compressed[number];
                    prop_assert!(bytes == file[place.offset as usize..place.end() as usize]);
                    waiting.push(number);
                }
                arrived.add(start, end);
                if turn % 3 == 0 {
                    for number in waiting.drain(..waiting.len() / 2) {
                        assembly.settle(number);
                        settled[number] = true;
                    }
                }
                let mut claimed = arrived.clone();
                assembly.take_open(&mut claimed);
                for (place, &settled) in places.compressed.iter().zip(&settled) {
                    prop_assert!(settled || !claimed.contains(place.offset, place.end()));
                }
            }
            let all_given = given.iter().zip(&is_done).all(|(given, done)| given != done);
            prop_assert!(all_given, "{:?} {:?}", given, is_done);
            prop_assert!(assembly.held.is_empty(), "{:?}", assembly.held.keys());
            for number in waiting {
                assembly.settle(number);
            }
            prop_assert!(assembly.open.is_empty());
        }
    }
}
