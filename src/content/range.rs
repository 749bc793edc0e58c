//! The bytes of an image that a request asks for.

use std::ops::{Bound, RangeBounds};

use crate::error::Error;

/// A range of the bytes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// From `start` up to, not including, `end`, or else to the end of the image.
    From { start: u64, end: Option<u64> },
    /// This many bytes at the end of the image.
    Suffix(u64),
}

/// A range without bytes, which cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Empty;

impl Empty {
    pub(crate) fn error(self) -> Error {
        Error::invalid("the range is empty")
    }
}

impl ByteRange {
    pub(crate) fn new(start: u64, end: Option<u64>) -> Self {
        Self::From { start, end }
    }

    /// Makes a range of any of Rust's. An empty one cannot be asked for.
    pub(crate) fn of(range: &impl RangeBounds<u64>) -> Result<Self, Empty> {
        let start = match range.start_bound() {
            Bound::Included(&first) => Some(first),
            Bound::Excluded(before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.checked_add(1),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => None,
        };
        match start {
            Some(start) if end.is_none_or(|end| start < end) => Ok(Self::new(start, end)),
            _ => Err(Empty),
        }
    }

    pub(crate) fn suffix(length: u64) -> Result<Self, Empty> {
        match length {
            0 => Err(Empty),
            _ => Ok(Self::Suffix(length)),
        }
    }

    /// Parses a `Range` header of one range. Others are ignored, as RFC 9110 (14.2) has it.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok()).flatten()
        };
        let (unit, range) = header.trim().split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (number(first), number(last)) {
            (Some(first), None) if last.is_empty() => Self::of(&(first..)).ok(),
            (Some(first), Some(last)) => Self::of(&(first..=last)).ok(),
            (None, Some(length)) if first.is_empty() => Self::suffix(length).ok(),
            _ => None,
        }
    }

    /// The value of the `Range` header.
    pub(crate) fn header(self) -> String {
        match self {
            Self::From { start, end: None } => format!("bytes={start}-"),
            Self::From {
                start,
                end: Some(end),
            } => format!("bytes={start}-{}", end - 1),
            Self::Suffix(length) => format!("bytes=-{length}"),
        }
    }

    /// The byte after the last one asked for, counted from the start of the image.
    pub(crate) fn end(self) -> Option<u64> {
        match self {
            Self::From { end, .. } => end,
            Self::Suffix(_) => None,
        }
    }

    /// Returns `true` if `start..end` of an image of `total` bytes answers this range, perhaps
    /// with less than was asked for. Without a total only the whole range will do.
    pub(crate) fn is_answered_by(self, start: u64, end: u64, total: Option<u64>) -> bool {
        match self {
            Self::From {
                start: asked,
                end: last,
            } => {
                let fits = last.is_none_or(|last| end <= last);
                start == asked && fits && (total.is_some() || last == Some(end))
            }
            Self::Suffix(length) => {
                total.is_some_and(|total| start == total.saturating_sub(length))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_one_range_is_parsed_and_written_the_same() {
        for header in ["bytes=0-9", "bytes=10-", "bytes=-10", "bytes=5-5"] {
            assert_eq!(ByteRange::parse(header).unwrap().header(), header);
        }
        assert!(ByteRange::parse(" Bytes= 1-2 ").is_some());
    }

    #[test]
    fn other_headers_are_ignored() {
        let beyond = "bytes=0-18446744073709551616";
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=-0",
            "bytes=9-0",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=+1-2",
            "bytes=a-b",
            "bytes=1-b",
            beyond,
        ] {
            assert_eq!(ByteRange::parse(header), None, "{header}");
        }
    }
}
