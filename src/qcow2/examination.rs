//! The state of one examination of an image.

use super::extents::{Extents, Unavailable, Unread};
use super::format::Format;
use super::policy::Policy;
use super::report::{Code, Finding, Report};

/// Maximum number of bytes read past the first cluster. No image in use comes near it.
pub(super) const TABLES_MAX: u64 = 4 << 20;

/// An examination of the bytes read so far. It starts over whenever more bytes have been read.
pub(super) struct Examination<'a> {
    pub(super) extents: &'a Extents<'a>,
    pub(super) policy: &'a Policy,
    pub(super) report: Report,
}

impl<'a> Examination<'a> {
    pub(super) fn new(extents: &'a Extents<'a>, policy: &'a Policy) -> Self {
        let report = Report {
            format: Format::Unknown,
            header: None,
            snapshots: Vec::new(),
            bitmaps: Vec::new(),
            contents: None,
            findings: Vec::new(),
        };
        Self {
            extents,
            policy,
            report,
        }
    }

    /// Adds a finding to the report.
    pub(super) fn add(&mut self, code: Code, offset: u64, message: impl Into<String>) {
        let severity = self.policy.severity(code);
        self.report.findings.push(Finding {
            code,
            severity,
            offset,
            message: message.into(),
        });
    }

    /// Adds the finding that the tables are larger than an inspection reads.
    pub(super) fn add_too_large(&mut self, offset: u64, reason: &str) {
        let message = format!("{reason} are too much to inspect");
        self.add(Code::TablesTooLarge, offset, message);
    }

    /// Returns the length of the image, if it is known.
    pub(super) fn total(&self) -> Option<u64> {
        self.extents.total
    }

    /// Reads bytes of `part`, a part of the image. If the image ends before them, adds that as a
    /// finding and returns `None`.
    pub(super) fn read(
        &mut self,
        offset: u64,
        length: u64,
        part: &str,
    ) -> Result<Option<&'a [u8]>, Unread> {
        match self.extents.get(offset, length) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Unavailable::Unread(range)) => Err(range),
            Err(Unavailable::PastEnd) => {
                let message = format!("the file ends before the end of {part}");
                self.add(Code::Truncated, offset, message);
                Ok(None)
            }
        }
    }

    /// Reads the first `length` bytes, or all of a shorter image.
    pub(super) fn read_prefix(&self, length: u64) -> Result<&'a [u8], Unread> {
        match self.extents.get(0, self.extents.clamp(length)) {
            Ok(bytes) => Ok(bytes),
            Err(Unavailable::Unread(range)) => Err(range),
            Err(Unavailable::PastEnd) => Ok(&[]),
        }
    }
}
