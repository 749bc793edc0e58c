//! Inspection of bytes that the caller reads.

use std::ops::Range;

use super::examination::{Examination, TABLES_MAX};
use super::extents::{Extents, Unread};
use super::format::Format;
use super::policy::Policy;
use super::report::{Code, Report, Verdict};

/// Length of the first read. A bad header is rejected within it.
pub(crate) const FIRST_READ: u64 = 64 << 10;

/// Minimum length of a read from a table. Snapshots are short, and there are usually several.
const TABLE_READ_MIN: u64 = 16 << 10;

/// The state of an inspection: finished, or in need of more bytes.
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
    /// More bytes are needed. For [`inspect`] the prefix must reach to the end of this range;
    /// [`Inspector`] needs only the range.
    NeedMore(Range<u64>),
    /// The inspection is finished.
    Done(Report),
}

/// Inspects an image by its first bytes, and its total length if known.
///
/// To inspect a stream, call this function again whenever the bytes it asked for have arrived. At
/// the end of the stream, pass its length as `total`; the inspection is then finished. It asks for
/// at most 64 KiB unless the header is good so far and continues beyond, and for at most 2 MiB in
/// any case.
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
    let extents = Extents::from_prefix(prefix, total);
    let mut examination = Examination::new(&extents, policy);
    if let Err(unread) = examination.examine_header() {
        if is_rejected_early(&examination.report, &unread) {
            return Inspection::Done(examination.report);
        }
        let end = header_read_end(&examination.report, &unread, unread.end);
        return Inspection::NeedMore(prefix.len() as u64..extents.clamp(end));
    }
    for unread in examination.examine_tables() {
        if examination.report.format == Format::Qcow2 {
            let message = "a table lies outside the inspected bytes";
            examination.add(Code::TableUnread, unread.start, message);
        }
    }
    Inspection::Done(examination.report)
}

/// Returns the end of the next read of the first cluster: `end`, but once that is past the first
/// read the end of the cluster, as many small extensions may follow.
fn header_read_end(report: &Report, unread: &Unread, end: u64) -> u64 {
    match &report.header {
        Some(header) if unread.end > FIRST_READ => header.cluster_size,
        _ => end,
    }
}

/// Returns `true` if the image is rejected and more than the first read would be needed.
fn is_rejected_early(report: &Report, unread: &Unread) -> bool {
    report.verdict() == Verdict::Reject && unread.end > FIRST_READ
}

/// An inspection that asks for the bytes it needs.
///
/// Examines the header and the tables that QEMU reads when it opens the image. It does no I/O
/// itself: [`step`](Self::step) says what to read, [`feed`](Self::feed) takes what was read.
///
/// An image without snapshots, bitmaps and LUKS takes one read of 64 KiB. At most the first
/// cluster (up to 2 MiB) and 4 MiB of tables are read and kept in memory.
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
    extents: Vec<(u64, Vec<u8>)>,
    requested: Range<u64>,
}

impl Inspector {
    /// Creates an inspector that has read nothing yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            total: None,
            extents: vec![(0, Vec::new())],
            requested: 0..0,
        }
    }

    /// Sets the length of the image in bytes. Unknown by default.
    #[must_use]
    pub fn total(mut self, bytes: u64) -> Self {
        self.total = Some(bytes);
        self
    }

    /// Adds bytes of the image that start at `offset`.
    ///
    /// They may be fewer than requested. An empty slice means that the image ends at `offset`.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            self.total = Some(offset);
            return;
        }
        match self.extents.iter_mut().find(|extent| end(extent) == offset) {
            Some((_, held)) => held.extend_from_slice(bytes),
            None => self.extents.push((offset, bytes.to_vec())),
        }
    }

    /// Returns the range to read next, or the report.
    ///
    /// If only a part of the requested range has been fed, requests the rest of it.
    #[must_use]
    pub fn step(&mut self) -> Inspection {
        let requested = self.clamp(self.without_read(self.requested.clone()));
        if !requested.is_empty() {
            return Inspection::NeedMore(requested);
        }
        let extents = Extents {
            extents: self
                .extents
                .iter()
                .map(|(start, bytes)| (*start, bytes.as_slice()))
                .collect(),
            total: self.total,
        };
        let mut examination = Examination::new(&extents, &self.policy);
        if let Err(unread) = examination.examine_header() {
            if is_rejected_early(&examination.report, &unread) {
                return Inspection::Done(examination.report);
            }
            let start = self.extents.first().map_or(0, end);
            return self.request(start..header_read_end(&examination.report, &unread, FIRST_READ));
        }
        let Some(unread) = examination.examine_tables().into_iter().next() else {
            return Inspection::Done(examination.report);
        };
        let needed = self.without_read(unread);
        let length = needed.end - needed.start;
        let table_bytes = self.table_bytes(&examination.report);
        if table_bytes + length > TABLES_MAX {
            examination.add_too_large(needed.start, "tables of more than 4 MiB");
            return Inspection::Done(examination.report);
        }
        // Every step examines a table from its start, so a long one is read in steps that double.
        // Bitmap tables are short and may be scattered.
        let continues = self
            .extents
            .iter()
            .any(|extent| end(extent) == needed.start);
        let read_ahead = if continues { table_bytes } else { 0 };
        let length = read_ahead.max(length).max(TABLE_READ_MIN);
        let length = length.min(TABLES_MAX - table_bytes);
        self.request(needed.start..needed.start.saturating_add(length))
    }

    /// Does the same, but examines a part of what was requested as well: it may be enough.
    pub(crate) fn step_early(&mut self) -> Inspection {
        self.requested = 0..0;
        self.step()
    }

    /// Returns the rest of a range whose beginning may have been read.
    fn without_read(&self, range: Range<u64>) -> Range<u64> {
        let before = self.extents.iter().filter(|(at, _)| *at <= range.start);
        before.map(end).fold(range.start, u64::max)..range.end
    }

    fn clamp(&self, range: Range<u64>) -> Range<u64> {
        range.start..self.total.map_or(range.end, |total| range.end.min(total))
    }

    fn request(&mut self, range: Range<u64>) -> Inspection {
        self.requested = self.clamp(range);
        Inspection::NeedMore(self.requested.clone())
    }

    /// Returns how many bytes past the first cluster have been read.
    fn table_bytes(&self, report: &Report) -> u64 {
        let length = |(_, bytes): &(u64, Vec<u8>)| bytes.len() as u64;
        let header = report.header.as_ref();
        let cluster = header.map_or(0, |header| header.cluster_size);
        let first = self.extents.first().map_or(0, length);
        self.extents.iter().map(length).sum::<u64>() - first.min(cluster.max(FIRST_READ))
    }
}

/// Returns the end of an extent.
fn end((start, bytes): &(u64, Vec<u8>)) -> u64 {
    start.saturating_add(bytes.len() as u64)
}
