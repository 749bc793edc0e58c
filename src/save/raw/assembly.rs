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
