//! The tables that QEMU reads, and refuses an image for, when it opens it.

use std::collections::BTreeSet;

use super::examine::{Examination, Unread};
use super::extensions::LUKS_HEADER;
use super::known::{Fields, text};
use super::{Bitmap, Code, Header, Snapshot};

/// The fixed part of a snapshot.
const SNAPSHOT: u64 = 40;
/// What QEMU takes of extra data in a snapshot.
const SNAPSHOT_EXTRA_MAX: u64 = 1024;
/// What is read at most after the first cluster. No image in use comes near it.
pub(super) const TABLES_MAX: u64 = 4 << 20;
/// More than any program keeps. QEMU takes 65,535.
const BITMAPS_MAX: u64 = 1024;
/// The fixed part of a bitmap's directory entry.
const BITMAP: u64 = 24;
const BITMAP_NAME_MAX: u16 = 1023;
/// What QEMU loads of one bitmap.
const BITMAP_BYTES_MAX: u64 = 0x2000_0000;
/// The bits of a bitmap table entry that must be zero.
const BITMAP_ENTRY_RESERVED: u64 = 0xff00_0000_0000_01fe;

impl Examination<'_> {
    /// Reads the snapshot table, whose entries have no fixed length.
    pub(super) fn snapshots(&mut self, header: &Header) -> Result<(), Unread> {
        if self.report.has(Code::SnapshotTable) {
            return Ok(());
        }
        let (what, mut at) = ("its snapshot table ends", header.snapshot_table.offset);
        let mut snapshots = Vec::new();
        for _ in 0..header.snapshot_table.entries {
            at = at.next_multiple_of(8);
            let Some(fixed) = self.read(at, SNAPSHOT, what)? else {
                return Ok(());
            };
            let fixed = Fields(fixed);
            let (id, name) = (u64::from(fixed.u16(12)), u64::from(fixed.u16(14)));
            let extra = u64::from(fixed.u32(36));
            if extra > SNAPSHOT_EXTRA_MAX {
                let message = format!("{extra} bytes of extra data in a snapshot are too many");
                self.find(Code::SnapshotTable, at, message);
                return Ok(());
            }
            let rest = extra + id + name;
            let Some(rest) = self.read(at + SNAPSHOT, rest, what)? else {
                return Ok(());
            };
            let (extra, strings) = rest.split_at(extra as usize);
            let (id, name) = strings.split_at(id as usize);
            snapshots.push(Snapshot {
                id: text(id),
                name: text(name),
                date_sec: fixed.u32(16),
                date_nsec: fixed.u32(20),
                vm_clock_nsec: fixed.u64(24),
                vm_state_size: match extra.len() {
                    0..8 => fixed.u32(32).into(),
                    _ => Fields(extra).u64(0),
                },
            });
            at += SNAPSHOT + (extra.len() + strings.len()) as u64;
        }
        self.report.snapshots = snapshots;
        Ok(())
    }

    /// Reads the bitmap directory, and the table of each bitmap.
    pub(super) fn bitmaps(&mut self, header: &Header) -> Result<(), Unread> {
        let directory = header.bitmap_directory;
        if directory.entries == 0 || self.report.has(Code::BitmapDirectory) {
            return Ok(());
        }
        if directory.entries > BITMAPS_MAX {
            self.too_large(directory.offset, "more than 1024 bitmaps");
            return Ok(());
        }
        let what = "its bitmap directory ends";
        let Some(mut rest) = self.read(directory.offset, directory.length, what)? else {
            return Ok(());
        };
        let (mut bitmaps, mut names, mut tables) = (Vec::new(), BTreeSet::new(), 0);
        while !rest.is_empty() {
            let entry = DirectoryEntry::parse(rest);
            let entry = entry.filter(|entry| entry.is_sound(header) && names.insert(entry.name));
            if bitmaps.len() as u64 == directory.entries {
                return self.broken_directory(header, "has more entries than it should");
            }
            let Some(entry) = entry else {
                return self.broken_directory(header, "has a broken entry");
            };
            // Tables may lie on each other, which makes them no shorter to read.
            tables += entry.table_bytes();
            if tables > TABLES_MAX {
                self.too_large(entry.table_offset, "tables of more than 4 MiB");
                return Ok(());
            }
            if !entry.in_use() && !self.bitmap_table(header, &entry)? {
                return self.broken_directory(header, "names a broken bitmap");
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
            return self.broken_directory(header, "has fewer entries than it should");
        }
        self.report.bitmaps = bitmaps;
        Ok(())
    }

    pub(super) fn too_large(&mut self, at: u64, what: &str) {
        let message = format!("{what} are too much to inspect");
        self.find(Code::TablesTooLarge, at, message);
    }

    fn broken_directory(&mut self, header: &Header, how: &str) -> Result<(), Unread> {
        let message = format!("the bitmap directory {how}");
        self.find(
            Code::BitmapDirectory,
            header.bitmap_directory.offset,
            message,
        );
        Ok(())
    }

    fn bitmap_table(
        &mut self,
        header: &Header,
        entry: &DirectoryEntry<'_>,
    ) -> Result<bool, Unread> {
        let what = "the table of a bitmap ends";
        let table = self.read(entry.table_offset, entry.table_bytes(), what)?;
        Ok(table.unwrap_or_default().chunks_exact(8).all(|entry| {
            let entry = Fields(entry).u64(0);
            let offset = entry & !BITMAP_ENTRY_RESERVED & !1;
            entry & BITMAP_ENTRY_RESERVED == 0
                && (offset == 0 || entry & 1 == 0)
                && offset % header.cluster_size == 0
        }))
    }

    /// Looks whether there is a LUKS header where the image says.
    pub(super) fn luks(&mut self, header: &Header) -> Result<(), Unread> {
        let Some(table) = header.luks_header else {
            return Ok(());
        };
        if self.report.has(Code::EncryptionHeader) {
            return Ok(());
        }
        let luks = self.read(table.offset, LUKS_HEADER, "its LUKS header ends")?;
        if luks.is_some_and(|luks| !luks.starts_with(b"LUKS\xba\xbe\0\x01")) {
            let message = "there is no LUKS header where there should be".to_owned();
            self.find(Code::EncryptionHeader, table.offset, message);
        }
        Ok(())
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
    /// What it takes of the directory.
    length: usize,
}

impl<'a> DirectoryEntry<'a> {
    /// The first entry of `bytes`; none if it is cut off or has extra data, which no version of
    /// the format has.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_at_checked(BITMAP as usize)?;
        let fixed = Fields(fixed);
        let (name_length, extra) = (fixed.u16(18), fixed.u32(20));
        if extra != 0 || name_length > BITMAP_NAME_MAX {
            return None;
        }
        let length = (BITMAP as usize + usize::from(name_length)).next_multiple_of(8);
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

    fn in_use(&self) -> bool {
        self.flags & 1 != 0
    }

    /// The length of its table. One that is in use is not read.
    fn table_bytes(&self) -> u64 {
        match self.in_use() {
            true => 0,
            false => u64::from(self.table_entries) * 8,
        }
    }

    fn is_sound(&self, header: &Header) -> bool {
        let cluster = header.cluster_size;
        let bytes = u64::from(self.table_entries) * cluster;
        let placed = self.table_offset != 0 && self.table_offset % cluster == 0;
        let typed = self.kind == 1 && self.flags & !3 == 0;
        if !(placed && typed && (9..=31).contains(&self.granularity_bits)) {
            return false;
        }
        // A bitmap is stored in words of 64 bits, in whole clusters. One that is in use may be
        // of another size, for it is not loaded.
        let bits = (header.virtual_size / 512 * 512).div_ceil(1 << self.granularity_bits);
        let stored = bits.div_ceil(64) * 8;
        let fits = self.table_entries != 0 && bytes <= BITMAP_BYTES_MAX;
        let whole = stored.div_ceil(cluster) == u64::from(self.table_entries);
        fits && stored <= BITMAP_BYTES_MAX && (self.in_use() || whole)
    }
}
