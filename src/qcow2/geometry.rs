//! The sizes of an image's parts and the offsets of its tables, by which the guest's disk is found.

use std::ops::Range;

use super::header::{Compression, Snapshot, Table};
use super::report::{Code, Finding, Report, Severity};
use super::table_bounds::LENGTH_MAX;

/// The bytes of an L2 table that are read at a time.
const SLICE: u64 = 64 << 10;

/// Cuts a size to whole sectors.
const fn whole_sectors(size: u64) -> u64 {
    size - size % 512
}

/// The sizes and the table offsets that a [`Map`](super::Map) is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    version: u32,
    cluster_bits: u32,
    is_extended: bool,
    compression: Compression,
    size: u64,
    file_length: u64,
    l1_table: Table,
    /// The tables whose places the header tells: nothing of the guest's is there.
    metadata: Vec<Range<u64>>,
}

impl Geometry {
    /// Derives the geometry from the report on an image whose file has `file_length` bytes.
    ///
    /// # Errors
    ///
    /// The [`Finding`] for which the guest's disk cannot be read: of those that are rejected by
    /// default, any but [`VirtualSizeLimit`](Code::VirtualSizeLimit) and
    /// [`AmbiguousFormat`](Code::AmbiguousFormat), and [`Encrypted`](Code::Encrypted). So none
    /// has a backing file, an external data file or features that are not known.
    pub fn new(report: &Report, file_length: u64) -> Result<Self, Finding> {
        let stops = |finding: &&Finding| match finding.code {
            Code::VirtualSizeLimit | Code::AmbiguousFormat => false,
            Code::Encrypted => true,
            code => code.default_severity() == Severity::Reject,
        };
        if let Some(finding) = report.findings.iter().find(stops) {
            return Err(finding.clone());
        }
        let Some(header) = &report.header else {
            return Err(Finding::new(Code::NotQcow2, 0, "it is no QCOW2 image"));
        };
        let table = |table: &Table| table.offset..table.offset.saturating_add(table.length);
        Ok(Self {
            version: header.version,
            cluster_bits: header.cluster_size.ilog2(),
            is_extended: header.features.extended_l2(),
            compression: header.compression,
            size: whole_sectors(header.virtual_size),
            file_length,
            l1_table: header.l1_table,
            metadata: vec![
                0..header.cluster_size,
                table(&header.l1_table),
                table(&header.refcount_table),
            ],
        })
    }

    /// Makes the geometry of a plain image, without tables.
    #[cfg(test)]
    pub(crate) fn plain(cluster_bits: u32, size: u64, file_length: u64) -> Self {
        Self {
            version: 3,
            cluster_bits,
            is_extended: false,
            compression: Compression::Zlib,
            size,
            file_length,
            l1_table: Table::default(),
            metadata: Vec::new(),
        }
    }

    /// Returns the geometry for the disk as it was when this internal snapshot was made.
    ///
    /// # Errors
    ///
    /// A [`Finding`] if the snapshot's L1 table is invalid.
    pub fn snapshot(mut self, snapshot: &Snapshot) -> Result<Self, Finding> {
        let Table { offset, length, .. } = snapshot.l1_table;
        let end = offset.checked_add(length);
        let wrong = if offset % self.cluster_size() != 0 {
            "does not start on a cluster boundary"
        } else if end.is_none_or(|end| end > self.file_length) {
            "ends after the end of the file"
        } else if length > 32 << 20 {
            "is larger than 32 MiB"
        } else if snapshot.virtual_size > Some(LENGTH_MAX) {
            "is that of a disk larger than QEMU supports"
        } else {
            self.l1_table = snapshot.l1_table;
            self.size = snapshot.virtual_size.map_or(self.size, whole_sectors);
            self.metadata.push(offset..offset + length);
            return Ok(self);
        };
        let message = format!("the L1 table of snapshot {:?} {wrong}", snapshot.name);
        Err(Finding::new(Code::SnapshotTable, offset, message))
    }

    /// Returns the size of the guest's disk: that of the header in whole sectors of 512 bytes, as
    /// QEMU leaves out the rest.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the size of a cluster.
    #[must_use]
    pub const fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Returns the method by which clusters are compressed, if any are.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns the place of the L1 table in the file, as far as the guest's disk needs it.
    #[must_use]
    pub fn l1_table(&self) -> Range<u64> {
        let start = self.l1_table.offset;
        start..start + 8 * self.l1_entries() as u64
    }

    pub(super) fn l1_entries(&self) -> usize {
        let needed = self.size.div_ceil(self.table_covers());
        // At most 4 Mi, as the table is at most 32 MiB.
        needed.min(self.l1_table.entries) as usize
    }

    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    pub(super) const fn cluster_bits(&self) -> u32 {
        self.cluster_bits
    }

    pub(crate) const fn file_length(&self) -> u64 {
        self.file_length
    }

    /// Returns the length of an L2 entry.
    pub(super) const fn entry_length(&self) -> u64 {
        if self.is_extended { 16 } else { 8 }
    }

    /// Returns the length of the guest's disk that an L2 table describes.
    pub(super) const fn table_covers(&self) -> u64 {
        (self.cluster_size() / self.entry_length()) << self.cluster_bits
    }

    /// Returns the length of the guest's disk that is described by the part of an L2 table that is
    /// read at a time.
    pub(super) fn slice_covers(&self) -> u64 {
        (SLICE.min(self.cluster_size()) / self.entry_length()) << self.cluster_bits
    }

    /// Says what is wrong with the place of `least` bytes of a table or of data, or `None`.
    pub(super) fn misplaced(&self, offset: u64, least: u64) -> Option<&'static str> {
        let end = offset.saturating_add(least);
        let overlaps = |table: &Range<u64>| offset < table.end && table.start < end;
        if least > 1 && offset % self.cluster_size() != 0 {
            Some("is not aligned")
        } else if end > self.file_length {
            Some("is after the end of the file")
        } else if self.metadata.iter().any(overlaps) {
            Some("overlaps a table of the image")
        } else {
            None
        }
    }
}
