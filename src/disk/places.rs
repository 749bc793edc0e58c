//! The places of the guest's bytes, in the order of the file.

use std::ops::Range;

use crate::qcow2::{Code, Extent, ExtentKind, Finding, Geometry};
use crate::spans::Spans;

/// The most places that are held, of 24 bytes each.
const MAX: usize = 4 << 20;
/// Needed ranges that are not further apart are fetched as one: a request costs more.
const GAP: u64 = 1 << 20;

/// Compressed clusters may share one sector: their lengths are counted in sectors.
const SECTOR: u64 = 512;

/// Bytes of the file, and where they belong on the guest's disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    /// In the file.
    pub(crate) length: u64,
    pub(crate) guest: u64,
}

impl Place {
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// All places of an image that the guest's disk is made of.
#[derive(Debug)]
pub(crate) struct Places {
    /// None overlaps another.
    data: Vec<Place>,
    /// One compressed cluster each. The next begins in the last sector of one, or after it.
    pub(crate) compressed: Vec<Place>,
    geometry: Geometry,
}

impl Places {
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self {
            data: Vec::new(),
            compressed: Vec::new(),
            geometry,
        }
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Adds the next extent of the disk.
    pub(crate) fn add(&mut self, extent: &Extent) -> Result<(), Finding> {
        let (places, offset, length) = match extent.kind {
            ExtentKind::Data { offset } => (&mut self.data, offset, extent.length),
            ExtentKind::Compressed { offset, length } => (&mut self.compressed, offset, length),
            ExtentKind::Zero | ExtentKind::Hole => return Ok(()),
        };
        let end = (offset + length).min(self.geometry.file_length());
        let place = Place {
            offset,
            length: end.saturating_sub(offset),
            guest: extent.start,
        };
        let is_data = matches!(extent.kind, ExtentKind::Data { .. });
        match places.last_mut() {
            Some(last)
                if is_data
                    && last.end() == place.offset
                    && last.guest + last.length == place.guest =>
            {
                last.length += place.length;
            }
            _ if place.length > 0 => places.push(place),
            _ => {}
        }
        match self.data.len() + self.compressed.len() > MAX {
            true => {
                let message = "the guest's disk is in more than 4194304 pieces";
                Err(Finding::new(Code::TablesTooLarge, offset, message))
            }
            false => Ok(()),
        }
    }

    /// Brings them into the order of the file, once all have been added.
    pub(crate) fn sort(&mut self) -> Result<(), Finding> {
        self.data.sort_unstable_by_key(|place| place.offset);
        self.compressed.sort_unstable_by_key(|place| place.offset);
        let pairs = self.data.iter().zip(self.data.iter().skip(1));
        let mut data = pairs.filter(|(place, next)| next.offset < place.end());
        let pairs = self.compressed.iter().zip(self.compressed.iter().skip(1));
        let mut compressed = pairs.filter(|(place, next)| {
            next.offset == place.offset || next.offset + SECTOR < place.end()
        });
        match data.next().or_else(|| compressed.next()) {
            Some((_, next)) => {
                let message = format!(
                    "two parts of the guest's disk have the same place in the file, at {}",
                    next.offset
                );
                Err(Finding::new(Code::L2Entry, next.offset, message))
            }
            None => Ok(()),
        }
    }

    /// Returns the ranges of the file that are needed, without those that are done. A compressed
    /// cluster is needed whole, unless all of it is done.
    pub(crate) fn needed(&self, done: &Spans) -> Vec<(u64, u64)> {
        let places = self.data.iter();
        let data = places.flat_map(|place| done.gaps_in(place.offset, place.end()));
        let places = self.compressed.iter();
        let compressed = places
            .map(|place| (place.offset, place.end()))
            .filter(|&(start, end)| !done.contains(start, end));
        // Joined before they are brought together, so that there are few.
        let mut needed = joined(data);
        needed.extend(joined(compressed));
        needed.sort_unstable();
        joined(needed.into_iter())
    }

    /// Returns how many of the bytes that are needed need not be fetched.
    pub(crate) fn resumed(&self, done: &Spans) -> u64 {
        let total = |done| -> u64 {
            let needed = self.needed(done).into_iter();
            needed.map(|(start, end)| end - start).sum()
        };
        total(&Spans::default()) - total(done)
    }

    /// Returns the ranges of the guest's disk that have no bytes in the file.
    pub(crate) fn empty(&self) -> Vec<(u64, u64)> {
        let (size, cluster) = (self.geometry.size(), self.geometry.cluster_size());
        let data = self.data.iter().map(|place| (place.guest, place.length));
        let compressed = self.compressed.iter().map(|place| (place.guest, cluster));
        let mut ranges: Vec<_> = data.chain(compressed).collect();
        ranges.sort_unstable();
        ranges.push((size, 0));
        // Each becomes the gap before it, as there may be millions.
        let mut at = 0;
        for range in &mut ranges {
            let (start, length) = *range;
            *range = (at, start);
            at = start + length;
        }
        ranges.retain(|(start, end)| start < end);
        ranges
    }

    /// Returns the data in a range of the file.
    pub(crate) fn data_in(&self, range: Range<u64>) -> impl Iterator<Item = Place> + '_ {
        let first = self
            .data
            .partition_point(|place| place.end() <= range.start);
        let places = self.data[first..].iter();
        let inside = places.take_while(move |place| place.offset < range.end);
        inside.map(move |place| {
            let offset = place.offset.max(range.start);
            Place {
                offset,
                length: place.end().min(range.end) - offset,
                guest: place.guest + (offset - place.offset),
            }
        })
    }

    /// Returns the numbers of the compressed clusters that may have bytes in a range of the file.
    pub(crate) fn compressed_in(&self, range: &Range<u64>) -> Range<usize> {
        let places = &self.compressed;
        let first = places.partition_point(|place| place.offset + SECTOR <= range.start);
        // Of those before, only the last can go on for longer than a sector.
        first.saturating_sub(1)..places.partition_point(|place| place.offset < range.end)
    }
}

/// Joins ranges that are not far apart. They are in order.
fn joined(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some(last) if start <= last.1.saturating_add(GAP) => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLUSTER: u64 = 4096;
    const LENGTH: u64 = 64 * CLUSTER;

    /// Adds extents to places of a disk of 64 clusters, in its order.
    fn places(extents: &[Option<ExtentKind>]) -> (Places, Result<(), Finding>) {
        let size = extents.len() as u64 * CLUSTER - 512;
        let mut places = Places::new(Geometry::plain(12, size, LENGTH));
        for (kind, start) in extents.iter().zip((0..size).step_by(CLUSTER as usize)) {
            if let Some(kind) = *kind {
                let length = CLUSTER.min(size - start);
                places
                    .add(&Extent {
                        start,
                        length,
                        kind,
                    })
                    .unwrap();
            }
        }
        let sorted = places.sort();
        (places, sorted)
    }

    fn kinds() -> impl Strategy<Value = Vec<Option<ExtentKind>>> {
        let data = (0..64_u64).prop_map(|number| ExtentKind::Data {
            offset: number * CLUSTER,
        });
        let compressed = (0..LENGTH, 1..17_u64).prop_map(|(offset, sectors)| {
            let end = (offset / 512 + sectors) * 512;
            let length = end.min(LENGTH) - offset;
            ExtentKind::Compressed { offset, length }
        });
        prop::collection::vec(prop::option::of(prop_oneof![data, compressed]), 1..12)
    }

    /// The ranges of places in the file, one by one.
    fn all(places: &Places) -> impl Iterator<Item = &Place> {
        places.data.iter().chain(&places.compressed)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn what_is_needed_and_done_are_all_of_them(
            extents in kinds(),
            spans in prop::collection::vec((0..LENGTH, 0..LENGTH / 4), 0..6),
        ) {
            let (places, _) = places(&extents);
            let mut done = Spans::default();
            spans.iter().for_each(|&(start, length)| { done.add(start, (start + length).min(LENGTH)); });
            let needed = places.needed(&done);
            let mut covered = Spans::default();
            for &(start, end) in &needed {
                prop_assert!(start < end && end <= LENGTH && start >= covered.end());
                covered.add(start, end);
            }
            for place in &places.compressed {
                let is_done = done.contains(place.offset, place.end());
                prop_assert!(is_done || covered.contains(place.offset, place.end()));
            }
            done.iter().for_each(|(start, end)| { covered.add(start, end); });
            for place in all(&places) {
                prop_assert!(covered.contains(place.offset, place.end()));
            }
            if all(&places).all(|place| done.contains(place.offset, place.end())) {
                prop_assert!(needed.is_empty());
            }
        }

        #[test]
        fn what_is_empty_has_no_place(extents in kinds()) {
            let (places, _) = places(&extents);
            let size = places.geometry().size();
            let mut empty = Spans::default();
            for (start, end) in places.empty() {
                prop_assert!(start < end && end <= size);
                empty.add(start, end);
            }
            for (extent, start) in extents.iter().zip((0..size).step_by(CLUSTER as usize)) {
                let end = (start + CLUSTER).min(size);
                prop_assert_eq!(empty.contains(start, end), extent.is_none());
            }
        }

        #[test]
        fn those_in_a_range_are_found(extents in kinds(), start in 0..LENGTH, length in 1..LENGTH) {
            let (places, sorted) = places(&extents);
            if sorted.is_err() {
                return Ok(());
            }
            let range = start..(start + length).min(LENGTH);
            let touches = |place: &&Place| place.offset < range.end && range.start < place.end();
            for place in places.data_in(range.clone()) {
                prop_assert!(range.start <= place.offset && place.end() <= range.end);
                let of = |whole: &&Place| {
                    let same = whole.guest.wrapping_sub(whole.offset) == place.guest.wrapping_sub(place.offset);
                    same && whole.offset <= place.offset && place.end() <= whole.end()
                };
                prop_assert!(places.data.iter().any(|whole| of(&whole)));
            }
            let lengths: u64 = places.data_in(range.clone()).map(|place| place.length).sum();
            let expected = places.data.iter().filter(touches).map(|place| {
                place.end().min(range.end) - place.offset.max(range.start)
            });
            prop_assert_eq!(lengths, expected.sum::<u64>());
            let numbers = places.compressed_in(&range);
            for (number, place) in places.compressed.iter().enumerate() {
                prop_assert!(!touches(&place) || numbers.contains(&number));
            }
        }

        #[test]
        fn two_at_one_place_are_a_finding(extents in kinds()) {
            let (places, sorted) = places(&extents);
            let mut is_wrong = false;
            for (number, place) in places.data.iter().enumerate() {
                let mut others = places.data[number + 1..].iter();
                is_wrong |= others.any(|other| other.offset < place.end());
            }
            for (number, place) in places.compressed.iter().enumerate() {
                let last = place.end().saturating_sub(512);
                let mut others = places.compressed[number + 1..].iter();
                is_wrong |= others.any(|other| other.offset < last || other.offset == place.offset);
            }
            prop_assert_eq!(sorted.is_err(), is_wrong);
        }
    }
}
