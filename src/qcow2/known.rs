//! The bytes of an image that are known so far, and big-endian fields in them.

use std::ops::Range;

/// Why bytes cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// They exist, as far as is known, but have not been read.
    Unread(Range<u64>),
    /// The image ends before them.
    BeyondEnd,
}

/// Pieces of an image, each with its offset.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) pieces: Vec<(u64, &'a [u8])>,
    pub(super) total: Option<u64>,
}

impl<'a> Known<'a> {
    pub(super) fn prefix(bytes: &'a [u8], total: Option<u64>) -> Self {
        // A length that is less than what was read is an error of the caller; what was read is
        // surer.
        let total = total.map(|total| total.max(bytes.len() as u64));
        Self {
            pieces: vec![(0, bytes)],
            total,
        }
    }

    /// As far as the image goes, and no further than `end`.
    pub(super) fn clamp(&self, end: u64) -> u64 {
        self.total.map_or(end, |total| end.min(total))
    }

    /// The bytes from `at` on, all of them.
    pub(super) fn get(&self, at: u64, length: u64) -> Result<&'a [u8], Gap> {
        let end = at.checked_add(length).ok_or(Gap::BeyondEnd)?;
        let found = self.pieces.iter().find_map(|&(start, bytes)| {
            let from = usize::try_from(at.checked_sub(start)?).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(length).ok()?)?)
        });
        match (found, self.total) {
            (Some(bytes), _) => Ok(bytes),
            (None, Some(total)) if end > total => Err(Gap::BeyondEnd),
            (None, _) => Err(Gap::Unread(at..end)),
        }
    }
}

/// Big-endian integers at offsets. What is outside of the bytes reads as zero, as QEMU reads
/// what is past the end of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn u8(self, at: usize) -> u8 {
        self.array::<1>(at)[0]
    }

    pub(super) fn u16(self, at: usize) -> u16 {
        u16::from_be_bytes(self.array(at))
    }

    pub(super) fn u32(self, at: usize) -> u32 {
        u32::from_be_bytes(self.array(at))
    }

    pub(super) fn u64(self, at: usize) -> u64 {
        u64::from_be_bytes(self.array(at))
    }

    fn array<const N: usize>(self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.0.get(at..).unwrap_or_default();
        for (to, from) in array.iter_mut().zip(bytes) {
            *to = *from;
        }
        array
    }
}

/// Text of an image, of which nobody promised that it is UTF-8. Like QEMU it ends at a NUL.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_tells_unread_from_beyond_the_end() {
        let known = Known::prefix(b"abcd", Some(8));
        assert_eq!(known.get(1, 3), Ok(b"bcd".as_slice()));
        assert_eq!(known.get(3, 5), Err(Gap::Unread(3..8)));
        assert_eq!(known.get(3, 6), Err(Gap::BeyondEnd));
        assert_eq!(known.get(u64::MAX, 2), Err(Gap::BeyondEnd));
        assert_eq!(Known::prefix(b"", None).get(3, 6), Err(Gap::Unread(3..9)));
    }

    #[test]
    fn fields_past_the_end_are_zero() {
        assert_eq!(Fields(&[1, 2]).u32(0), 0x0102_0000);
        assert_eq!(Fields(&[1, 2]).u64(9), 0);
    }
}
