//! Sets of byte ranges.

/// Half-open ranges, sorted, apart from each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Spans(Vec<(u64, u64)>);

impl Spans {
    pub(super) fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
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
        self.0.splice(first..last.max(first), [joined]);
    }

    /// Forgets all from `end` on.
    pub(super) fn truncate(&mut self, end: u64) {
        self.0.retain(|&(start, _)| start < end);
        if let Some((_, last)) = self.0.last_mut() {
            *last = end.min(*last);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// The end of the last range.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |&(_, end)| end)
    }

    /// Returns the ranges that are missing up to `length`.
    pub(super) fn gaps(&self, length: u64) -> Vec<(u64, u64)> {
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
                spans.add(start, end);
                for byte in start..end {
                    bytes[byte as usize] = true;
                }
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
}
