//! The bytes of an image that have been read so far.

use std::ops::Range;

/// A range of the image that has to be read before an examination can go on.
pub(super) type Unread = Range<u64>;

/// The reason why bytes are not available.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// They have not been read yet.
    Unread(Unread),
    /// The image ends before them.
    PastEnd,
}

/// Extents of an image, each with its offset.
#[derive(Debug)]
pub(super) struct Extents<'a> {
    pub(super) extents: Vec<(u64, &'a [u8])>,
    pub(super) total: Option<u64>,
}

impl<'a> Extents<'a> {
    /// Makes the extents of an image whose first bytes are `prefix`.
    pub(super) fn from_prefix(prefix: &'a [u8], total: Option<u64>) -> Self {
        // A caller's total that is shorter than the bytes it passes is wrong.
        let total = total.map(|total| total.max(prefix.len() as u64));
        Self {
            extents: vec![(0, prefix)],
            total,
        }
    }

    /// Limits an offset to the end of the image.
    pub(super) fn clamp(&self, end: u64) -> u64 {
        self.total.map_or(end, |total| end.min(total))
    }

    /// Returns all `length` bytes from `offset` on.
    pub(super) fn get(&self, offset: u64, length: u64) -> Result<&'a [u8], Unavailable> {
        let end = offset.checked_add(length).ok_or(Unavailable::PastEnd)?;
        let found = self.extents.iter().find_map(|&(start, bytes)| {
            let from = usize::try_from(offset.checked_sub(start)?).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(length).ok()?)?)
        });
        match (found, self.total) {
            (Some(bytes), _) => Ok(bytes),
            (None, Some(total)) if end > total => Err(Unavailable::PastEnd),
            (None, _) => Err(Unavailable::Unread(offset..end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_bytes_differ_from_bytes_past_the_end() {
        let extents = Extents::from_prefix(b"abcd", Some(8));
        assert_eq!(extents.get(1, 3), Ok(b"bcd".as_slice()));
        assert_eq!(extents.get(3, 5), Err(Unavailable::Unread(3..8)));
        assert_eq!(extents.get(3, 6), Err(Unavailable::PastEnd));
        assert_eq!(extents.get(u64::MAX, 2), Err(Unavailable::PastEnd));
        let empty = Extents::from_prefix(b"", None);
        assert_eq!(empty.get(3, 6), Err(Unavailable::Unread(3..9)));
    }
}
