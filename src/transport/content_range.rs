//! The `Content-Range` header (RFC 9110, 14.4).

/// `bytes FIRST-LAST/TOTAL`, in which the total may be `*`, or `bytes */TOTAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The offset of the first byte and of the one after the last; `None` in a 416.
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) total: Option<u64>,
}

impl ContentRange {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.trim().split_once('/')?;
        let total = match total.trim() {
            "*" => None,
            digits => Some(number(digits)?),
        };
        if range.trim() == "*" {
            return Some(Self { range: None, total });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first.trim())?, number(last.trim())?);
        let end = last.checked_add(1)?;
        if first > last || total.is_some_and(|total| end > total) {
            return None;
        }
        Some(Self {
            range: Some((first, end)),
            total,
        })
    }
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_real_servers_forms() {
        assert_eq!(
            ContentRange::parse("bytes 100-199/196616"),
            Some(ContentRange {
                range: Some((100, 200)),
                total: Some(196_616)
            })
        );
        assert_eq!(
            ContentRange::parse("bytes */196616"),
            Some(ContentRange {
                range: None,
                total: Some(196_616)
            })
        );
    }

    #[test]
    fn an_unknown_total() {
        assert_eq!(
            ContentRange::parse("bytes 0-0/*"),
            Some(ContentRange {
                range: Some((0, 1)),
                total: None
            })
        );
    }

    #[test]
    fn what_makes_no_sense() {
        for text in [
            "",
            "bytes",
            "items 0-1/2",
            "bytes 2-1/5",
            "bytes 0-5/5",
            "bytes +0-1/5",
            "bytes 0-18446744073709551615/*",
            "bytes 0-1",
            "bytes -1/5",
            "bytes 0-1/-5",
        ] {
            assert_eq!(ContentRange::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_makes_sense(text in "(bytes )?[-0-9*/ +]{0,60}|.{0,60}") {
            if let Some(ContentRange { range: Some((start, end)), total }) = ContentRange::parse(&text) {
                prop_assert!(start < end);
                prop_assert!(total.is_none_or(|total| end <= total));
            }
        }

        #[test]
        fn what_is_written_is_read(start: u64, length in 1_u64.., more: u64) {
            let Some(end) = start.checked_add(length) else { return Ok(()) };
            let total = end.saturating_add(more);
            let read = ContentRange::parse(&format!("bytes {start}-{}/{total}", end - 1));
            let expected = ContentRange { range: Some((start, end)), total: Some(total) };
            prop_assert_eq!(read, Some(expected));
            let read = ContentRange::parse(&format!("bytes */{total}"));
            prop_assert_eq!(read, Some(ContentRange { range: None, total: Some(total) }));
        }
    }
}
