//! The directory of persistent dirty bitmaps, and their tables.

use std::collections::BTreeSet;

use super::examination::{Examination, TABLES_MAX};
use super::extents::Unread;
use super::fields::{Fields, text};
use super::header::{Bitmap, Header};
use super::report::Code;

/// Maximum number of bitmaps to inspect, more than any program keeps. QEMU allows 65,535.
const BITMAPS_MAX: u64 = 1024;
/// Length of the fixed part of a directory entry.
const FIXED: usize = 24;
const NAME_MAX: u16 = 1023;
/// Maximum size of one bitmap that QEMU loads.
const BITMAP_BYTES_MAX: u64 = 0x2000_0000;
/// The bits of a bitmap table entry that must be zero.
const ENTRY_RESERVED: u64 = 0xff00_0000_0000_01fe;

impl Examination<'_> {
    /// Reads the bitmap directory and the table of each bitmap.
    pub(super) fn examine_bitmaps(&mut self, header: &Header) -> Result<(), Unread> {
        let directory = header.bitmap_directory;
        if directory.entries == 0 || self.report.has(Code::BitmapDirectory) {
            return Ok(());
        }
        if directory.entries > BITMAPS_MAX {
            self.add_too_large(directory.offset, "more than 1024 bitmaps");
            return Ok(());
        }
        let part = "the bitmap directory";
        let Some(mut rest) = self.read(directory.offset, directory.length, part)? else {
            return Ok(());
        };
        let (mut bitmaps, mut names, mut table_bytes) = (Vec::new(), BTreeSet::new(), 0);
        while !rest.is_empty() {
            let entry = DirectoryEntry::parse(rest);
            let entry = entry.filter(|entry| entry.is_valid(header) && names.insert(entry.name));
            if bitmaps.len() as u64 == directory.entries {
                return self.add_bad_directory(header, "has more entries than the header says");
            }
            let Some(entry) = entry else {
                return self.add_bad_directory(header, "has an invalid entry");
            };
            // Counted even where tables overlap, as each of them is read.
            table_bytes += entry.table_bytes();
            if table_bytes > TABLES_MAX {
                self.add_too_large(entry.table_offset, "tables of more than 4 MiB");
                return Ok(());
            }
            if !entry.in_use() && !self.is_valid_table(header, &entry)? {
                return self.add_bad_directory(header, "names an invalid bitmap table");
            }
            bitmaps.push(Bitmap {
                name: text(entry.name),
                granularity: 1 << entry.granularity_bits,
                in_use: entry.in_use(),
                auto: entry.flags & 2 != 0,
            });
            rest = rest.get(entry.length..).unwrap_or_default();
        }
        if bitmaps.len() as u64 != directory.entries {
            return self.add_bad_directory(header, "has fewer entries than the header says");
        }
        self.report.bitmaps = bitmaps;
        Ok(())
    }

    fn add_bad_directory(&mut self, header: &Header, problem: &str) -> Result<(), Unread> {
        let message = format!("the bitmap directory {problem}");
        self.add(
            Code::BitmapDirectory,
            header.bitmap_directory.offset,
            message,
        );
        Ok(())
    }

    fn is_valid_table(
        &mut self,
        header: &Header,
        entry: &DirectoryEntry<'_>,
    ) -> Result<bool, Unread> {
        let table = self.read(entry.table_offset, entry.table_bytes(), "a bitmap table")?;
        Ok(table.unwrap_or_default().chunks_exact(8).all(|entry| {
            let entry = Fields(entry).u64(0);
            let offset = entry & !ENTRY_RESERVED & !1;
            entry & ENTRY_RESERVED == 0
                && (offset == 0 || entry & 1 == 0)
                && offset % header.cluster_size == 0
        }))
    }
}

/// An entry of the bitmap directory.
struct DirectoryEntry<'a> {
    table_offset: u64,
    table_entries: u32,
    flags: u32,
    kind: u8,
    granularity_bits: u8,
    name: &'a [u8],
    /// Length of the entry, with its padding.
    length: usize,
}

impl<'a> DirectoryEntry<'a> {
    /// Parses the first entry in `bytes`. Returns `None` if it is cut off or has extra data, which
    /// no version of the format has.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_at_checked(FIXED)?;
        let fixed = Fields(fixed);
        let (name_length, extra) = (fixed.u16(18), fixed.u32(20));
        if extra != 0 || name_length > NAME_MAX {
            return None;
        }
        let length = (FIXED + usize::from(name_length)).next_multiple_of(8);
        (length <= bytes.len()).then_some(())?;
        Some(Self {
            table_offset: fixed.u64(0),
            table_entries: fixed.u32(8),
            flags: fixed.u32(12),
            kind: fixed.u8(16),
            granularity_bits: fixed.u8(17),
            name: rest.get(..name_length.into())?,
            length,
        })
    }

    /// Returns `true` if the bitmap was not saved properly. QEMU does not load it then.
    fn in_use(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Returns how many bytes of the bitmap's table QEMU loads.
    fn table_bytes(&self) -> u64 {
        match self.in_use() {
            true => 0,
            false => u64::from(self.table_entries) * 8,
        }
    }

    fn is_valid(&self, header: &Header) -> bool {
        let cluster = header.cluster_size;
        let bytes = u64::from(self.table_entries) * cluster;
        let is_aligned = self.table_offset != 0 && self.table_offset % cluster == 0;
        let is_known = self.kind == 1 && self.flags & !3 == 0;
        if !(is_aligned && is_known && (9..=31).contains(&self.granularity_bits)) {
            return false;
        }
        // A bitmap is stored in words of 64 bits and complete clusters. The size of one that is in
        // use does not matter, as it is not loaded.
        let bits = (header.virtual_size / 512 * 512).div_ceil(1 << self.granularity_bits);
        let stored = bits.div_ceil(64) * 8;
        let fits = self.table_entries != 0 && bytes <= BITMAP_BYTES_MAX;
        let is_complete = stored.div_ceil(cluster) == u64::from(self.table_entries);
        fits && stored <= BITMAP_BYTES_MAX && (self.in_use() || is_complete)
    }
}
