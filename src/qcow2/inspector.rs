//! The ways in that do no I/O.

use std::ops::Range;

use super::examine::Examination;
use super::known::Known;
use super::tables::TABLES_MAX;
use super::{Code, Format, Policy, Report, Verdict};

/// What is read first, and within which a bad header is refused.
const FIRST: u64 = 64 << 10;

/// What is read at least of a table: snapshots are small, and there are several as a rule.
const TABLE_READ: u64 = 16 << 10;

/// How far an inspection came.
///
/// ```
/// use machine_images::qcow2::{self, Inspection, Policy};
///
/// let first = b"QFI\xfb";
/// match qcow2::inspect(first, None, &Policy::default()) {
///     Inspection::NeedMore(range) => assert_eq!(range.start, 4),
///     Inspection::Done(report) => unreachable!("{report:?}"),
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, matched at once"
)]
pub enum Inspection {
    /// These bytes of the image are needed too. [`inspect`] wants its prefix to reach to the end
    /// of the range, [`Inspector`] wants just the range.
    NeedMore(Range<u64>),
    /// All is known.
    Done(Report),
}

/// Inspects an image of which the first bytes are at hand, and its total length if that is
/// known.
///
/// To inspect a stream that passes, call it again whenever as many bytes as it asked for have
/// come; when the stream is at its end, pass the length as `total`, and it is done. It asks for
/// 64 KiB at most unless the header is good so far and goes on beyond, and for 2 MiB at most
/// in any case.
///
/// ```
/// use machine_images::qcow2::{self, Inspection, Policy, Verdict};
///
/// # fn more() -> Option<Vec<u8>> { None }
/// let (policy, mut prefix, mut total) = (Policy::default(), Vec::new(), None);
/// let report = loop {
///     match qcow2::inspect(&prefix, total, &policy) {
///         Inspection::Done(report) => break report,
///         Inspection::NeedMore(_) => match more() {
///             Some(bytes) => prefix.extend(bytes),
///             None => total = Some(prefix.len() as u64),
///         },
///     }
/// };
/// assert_eq!(report.verdict(), Verdict::Reject);
/// ```
#[must_use]
pub fn inspect(prefix: &[u8], total: Option<u64>, policy: &Policy) -> Inspection {
    let known = Known::prefix(prefix, total);
    let mut examination = Examination::new(&known, policy);
    if let Err(unread) = examination.header() {
        if !refused_early(&examination.report, &unread) {
            let end = known.clamp(first_read(&examination.report, &unread, unread.end));
            return Inspection::NeedMore(prefix.len() as u64..end);
        }
        return Inspection::Done(examination.report);
    }
    for unread in examination.tables() {
        if examination.report.format == Format::Qcow2 {
            let message = "a table lies outside of the bytes that were inspected".to_owned();
            examination.find(Code::TableUnread, unread.start, message);
        }
    }
    Inspection::Done(examination.report)
}

/// How far to read for bytes of the first cluster: to `near`, but once that is past the first
/// bytes to the end of the cluster, for what is there may be small and many.
fn first_read(report: &Report, unread: &Range<u64>, near: u64) -> u64 {
    match &report.header {
        Some(header) if unread.end > FIRST => header.cluster_size,
        _ => near,
    }
}

/// A refused image is not worth more than the first bytes.
fn refused_early(report: &Report, unread: &Range<u64>) -> bool {
    report.verdict() == Verdict::Reject && unread.end > FIRST
}

/// Inspects an image of which any part can be read: the header and the tables that QEMU reads
/// when it opens the image.
///
/// It says what to read and is fed, so it works over whatever does the reading. An image
/// without snapshots, bitmaps and LUKS takes one read of 64 KiB; of any image at most the first
/// cluster (2 MiB at most) and 4 MiB of tables are read and held.
///
/// ```
/// use machine_images::qcow2::{Inspection, Inspector, Policy, Verdict};
///
/// let image = vec![0_u8; 100_000];
/// let mut inspector = Inspector::new(Policy::default()).total(image.len() as u64);
/// let report = loop {
///     match inspector.step() {
///         Inspection::NeedMore(range) => {
///             let bytes = &image[range.start as usize..range.end as usize];
///             inspector.feed(range.start, bytes);
///         }
///         Inspection::Done(report) => break report,
///     }
/// };
/// assert_eq!(report.verdict(), Verdict::Reject);
/// ```
#[derive(Debug, Clone)]
pub struct Inspector {
    policy: Policy,
    total: Option<u64>,
    pieces: Vec<(u64, Vec<u8>)>,
    wanted: Range<u64>,
}

impl Inspector {
    /// An inspector that has been fed nothing.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            total: None,
            pieces: vec![(0, Vec::new())],
            wanted: 0..0,
        }
    }

    /// Says how long the image is, in bytes.
    #[must_use]
    pub fn total(mut self, bytes: u64) -> Self {
        self.total = Some(bytes);
        self
    }

    /// Takes bytes of the image. They may be fewer than were asked for; none at all say that the
    /// image ends at `offset`.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            self.total = Some(offset);
            return;
        }
        let follows = |(start, held): &&mut (u64, Vec<u8>)| *start + held.len() as u64 == offset;
        match self.pieces.iter_mut().find(follows) {
            Some((_, held)) => held.extend_from_slice(bytes),
            None => self.pieces.push((offset, bytes.to_vec())),
        }
    }

    /// What it was fed from the start of the image on.
    pub(crate) fn into_head(self) -> Vec<u8> {
        let first = self.pieces.into_iter().next();
        first.map(|(_, held)| held).unwrap_or_default()
    }

    /// Returns what to read next, or the report.
    ///
    /// It asks for the rest of a range of which it was fed a part, and examines what it has once
    /// it has all it asked for.
    #[must_use]
    pub fn step(&mut self) -> Inspection {
        let wanted = self.within(self.missing(self.wanted.clone()));
        if !wanted.is_empty() {
            return Inspection::NeedMore(wanted);
        }
        let pieces = self
            .pieces
            .iter()
            .map(|(start, held)| (*start, held.as_slice()))
            .collect();
        let known = Known {
            pieces,
            total: self.total,
        };
        let mut examination = Examination::new(&known, &self.policy);
        if let Err(unread) = examination.header() {
            if refused_early(&examination.report, &unread) {
                return Inspection::Done(examination.report);
            }
            let held = self.pieces.first().map_or(0, |(_, held)| held.len() as u64);
            let end = first_read(&examination.report, &unread, FIRST);
            return self.read(held..end);
        }
        let Some(unread) = examination.tables().into_iter().next() else {
            return Inspection::Done(examination.report);
        };
        let missing = self.missing(unread);
        let read = missing.end - missing.start;
        let held = self.held_of_tables(&examination.report);
        if held + read > TABLES_MAX {
            examination.too_large(missing.start, "tables of more than 4 MiB");
            return Inspection::Done(examination.report);
        }
        // Twice as much from one read to the next of a table that goes on, as each has all of it
        // examined afresh. The tables of bitmaps are short, and may be in many places.
        let end = |(at, held): &(u64, Vec<u8>)| at + held.len() as u64;
        let goes_on = self.pieces.iter().any(|piece| end(piece) == missing.start);
        let ahead = if goes_on { held } else { 0 };
        let ahead = ahead.max(read).max(TABLE_READ).min(TABLES_MAX - held);
        self.read(missing.start..missing.start.saturating_add(ahead))
    }

    /// A range without what is held of its beginning: it may have come in part.
    fn missing(&self, range: Range<u64>) -> Range<u64> {
        let before = self.pieces.iter().filter(|(at, _)| *at <= range.start);
        let ends = before.map(|(at, held)| at + held.len() as u64);
        ends.fold(range.start, u64::max)..range.end
    }

    fn within(&self, range: Range<u64>) -> Range<u64> {
        range.start..self.total.map_or(range.end, |total| range.end.min(total))
    }

    fn read(&mut self, range: Range<u64>) -> Inspection {
        self.wanted = self.within(range);
        Inspection::NeedMore(self.wanted.clone())
    }

    /// What is held beyond the first cluster, whether it follows on that or not.
    fn held_of_tables(&self, report: &Report) -> u64 {
        let length = |(_, held): &(u64, Vec<u8>)| held.len() as u64;
        let cluster = report
            .header
            .as_ref()
            .map_or(0, |header| header.cluster_size);
        let first = self
            .pieces
            .first()
            .map_or(0, length)
            .min(cluster.max(FIRST));
        self.pieces.iter().map(length).sum::<u64>() - first
    }
}
