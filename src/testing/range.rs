use std::ops::Range;

/// The reason that a `Range` header is not satisfiable.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsatisfiable {
    /// The header is not a range of bytes.
    Invalid,
    /// The ranges begin beyond the end.
    NoOverlap,
}

/// Parses a `Range` header for a content of `length` bytes. No ranges means the whole content.
/// Follows the rules of Go's file server, also for spaces.
pub(super) fn parse(header: &str, length: u64) -> Result<Vec<Range<u64>>, Unsatisfiable> {
    let list = header
        .strip_prefix("bytes=")
        .ok_or(Unsatisfiable::Invalid)?;
    let mut ranges = Vec::new();
    let mut beyond = false;
    for spec in list
        .split(',')
        .map(str::trim)
        .filter(|spec| !spec.is_empty())
    {
        match one(spec, length)? {
            Some(range) => ranges.push(range),
            None => beyond = true,
        }
    }
    if ranges.is_empty() && beyond && length > 0 {
        return Err(Unsatisfiable::NoOverlap);
    }
    if ranges
        .iter()
        .map(|range| range.end - range.start)
        .sum::<u64>()
        > length
    {
        // Go takes ranges that overlap this much for an attack, and sends the whole content.
        ranges.clear();
    }
    Ok(ranges)
}

/// Parses one range. Returns `None` if it begins beyond the end.
fn one(spec: &str, length: u64) -> Result<Option<Range<u64>>, Unsatisfiable> {
    let (first, last) = spec.split_once('-').ok_or(Unsatisfiable::Invalid)?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let suffix = number(last)?.min(length);
        return Ok(Some(length - suffix..length));
    }
    let first = number(first)?;
    if first >= length {
        return Ok(None);
    }
    if last.is_empty() {
        return Ok(Some(first..length));
    }
    let last = number(last)?;
    if first > last {
        return Err(Unsatisfiable::Invalid);
    }
    Ok(Some(first..length.min(last.saturating_add(1))))
}

fn number(digits: &str) -> Result<u64, Unsatisfiable> {
    if digits.starts_with('+') {
        return Err(Unsatisfiable::Invalid);
    }
    digits.parse().map_err(|_| Unsatisfiable::Invalid)
}
