//! Sets of byte ranges.

use serde::{Deserialize, Serialize};

/// Half-open ranges, sorted, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spans(Vec<(u64, u64)>);

impl Spans {
    /// Adds a range, and returns how many of its bytes are new.
    pub(crate) fn add(&mut self, start: u64, end: u64) -> u64 {
        if start >= end {
            return 0;
        }
        let first = self.0.partition_point(|&(_, before)| before < start);
        let last = self.0.partition_point(|&(after, _)| after <= end);
        let joined = match self.0.get(first..last) {
            Some([]) | None => (start, end),
            Some(touching) => (
                touching
                    .first()
                    .map_or(start, |&(first, _)| first.min(start)),
                touching.last().map_or(end, |&(_, last)| last.max(end)),
            ),
        };
        let replaced = self.0.splice(first..last.max(first), [joined]);
        let before: u64 = replaced.map(|(start, end)| end - start).sum();
        joined.1 - joined.0 - before
    }

    /// Returns `true` if all of a range is in the set.
    pub(crate) fn contains(&self, start: u64, end: u64) -> bool {
        let after = self.0.partition_point(|&(_, before)| before < end);
        self.0.get(after).is_some_and(|&(first, _)| first <= start)
    }

    /// Returns `true` if these are ranges of an image of `length` bytes, as a set has them.
    pub(crate) fn is_within(&self, length: u64) -> bool {
        let mut least = 0;
        self.0.iter().all(|&(start, end)| {
            let fits = least <= start && start < end && end <= length;
            // The next begins apart from it.
            least = end.saturating_add(1);
            fits
        })
    }

    /// Forgets the shortest ranges until there are no more than `most`.
    pub(crate) fn keep_longest(&mut self, most: usize) {
        if self.0.len() > most {
            self.0
                .sort_by_key(|(start, end)| std::cmp::Reverse(end - start));
            self.0.truncate(most);
            self.0.sort_unstable();
        }
    }

    /// Returns the end of the range that begins at 0.
    pub(crate) fn prefix(&self) -> u64 {
        let first = self.0.first().filter(|&&(start, _)| start == 0);
        first.map_or(0, |&(_, end)| end)
    }

    /// Forgets all from `end` on.
    pub(crate) fn truncate(&mut self, end: u64) {
        self.0.retain(|&(start, _)| start < end);
        if let Some((_, last)) = self.0.last_mut() {
            *last = end.min(*last);
        }
    }

    /// Removes a range.
    #[cfg(feature = "disk")]
    pub(crate) fn remove(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let first = self.0.partition_point(|&(_, before)| before <= start);
        let last = self.0.partition_point(|&(after, _)| after < end);
        let Some(cut) = self.0.get(first..last).filter(|cut| !cut.is_empty()) else {
            return;
        };
        let (before, after) = (cut[0].0, cut[cut.len() - 1].1);
        let left = [(before, start), (end, after)];
        let left = left.into_iter().filter(|(start, end)| start < end);
        self.0.splice(first..last, left);
    }

    /// Returns the ranges that are missing in a range.
    pub(crate) fn gaps_in(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut at = start;
        let first = self.0.partition_point(|&(_, before)| before <= start);
        for &(from, to) in self.0[first..].iter().take_while(|(from, _)| *from < end) {
            if at < from {
                gaps.push((at, from));
            }
            at = to;
        }
        if at < end {
            gaps.push((at, end));
        }
        gaps
    }

    #[cfg(any(test, feature = "disk"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// The end of the last range.
    pub(crate) fn end(&self) -> u64 {
        self.0.last().map_or(0, |&(_, end)| end)
    }

    /// Returns the ranges that are missing up to `length`.
    pub(crate) fn gaps(&self, length: u64) -> Vec<(u64, u64)> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|&(_, end)| end));
        let ends = self.0.iter().map(|&(start, _)| start).chain([length]);
        starts
            .zip(ends)
            .filter(|(start, end)| start < end)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neighbours_are_joined() {
        let mut spans = Spans::default();
        for (start, end) in [(10, 20), (30, 40), (0, 5), (20, 30), (50, 50)] {
            spans.add(start, end);
        }
        assert_eq!(spans.iter().collect::<Vec<_>>(), [(0, 5), (10, 40)]);
        assert_eq!(spans.gaps(50), [(5, 10), (40, 50)]);
        assert_eq!((spans.total(), spans.end()), (35, 40));
        spans.truncate(12);
        assert_eq!(spans.iter().collect::<Vec<_>>(), [(0, 5), (10, 12)]);
        spans.truncate(10);
        assert_eq!(spans.end(), 5);
    }

    proptest! {
        #[test]
        fn they_are_the_set_of_what_was_added(adds in prop::collection::vec((0_u64..64, 0_u64..64), 0..20)) {
            let mut spans = Spans::default();
            let mut bytes = [false; 64];
            for (start, end) in adds {
                let mut new = 0;
                for byte in start..end {
                    new += u64::from(!bytes[byte as usize]);
                    bytes[byte as usize] = true;
                }
                let whole = start < end && new == 0;
                prop_assert_eq!(spans.contains(start, end) && start < end, whole);
                prop_assert_eq!(spans.add(start, end), new);
                prop_assert!(spans.is_within(64));
            }
            let mut found = [false; 64];
            for (start, end) in spans.iter() {
                for byte in start..end {
                    found[byte as usize] = true;
                }
            }
            prop_assert_eq!(bytes, found);
            let missing: u64 = spans.gaps(64).iter().map(|(start, end)| end - start).sum();
            prop_assert_eq!(missing + spans.total(), 64);
        }
    }

    #[cfg(feature = "disk")]
    proptest! {
        #[test]
        fn what_is_removed_is_missing(
            steps in prop::collection::vec((any::<bool>(), 0_u64..64, 0_u64..64), 0..20),
            (from, to) in (0_u64..64, 0_u64..64),
        ) {
            let mut spans = Spans::default();
            let mut bytes = [false; 64];
            for (is_added, start, end) in steps {
                match is_added {
                    true => drop(spans.add(start, end)),
                    false => spans.remove(start, end),
                }
                for byte in start..end {
                    bytes[byte as usize] = is_added;
                }
                prop_assert!(spans.is_within(64), "{:?}", spans);
            }
            for byte in 0..64 {
                prop_assert_eq!(spans.contains(byte, byte + 1), bytes[byte as usize]);
            }
            let mut missing = Vec::new();
            for byte in (from..to).filter(|&byte| !bytes[byte as usize]) {
                match missing.last_mut() {
                    Some((_, end)) if *end == byte => *end += 1,
                    _ => missing.push((byte, byte + 1)),
                }
            }
            prop_assert_eq!(spans.gaps_in(from, to), missing);
        }
    }
}
