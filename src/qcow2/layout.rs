//! The layout of an image that is made of a raw disk while it is sent.
//!
//! In the file are, in this order: header, refcount table, refcount blocks, L1 table, L2 tables, the
//! clusters that are stored as they are, and the compressed ones without gaps. All offsets follow
//! from which clusters hold data and from the lengths of the compressed ones, so that is all that is
//! kept: one bit a cluster, where there is data at all, and two bytes a cluster for the lengths.
//! The tables are made when it is their turn.

use std::io;
use std::sync::Arc;

use super::header::{COMPRESSION, Compression};

/// Size of a cluster.
pub(crate) const CLUSTER: usize = 64 << 10;
/// The maximum size of a disk. Its tables are within QEMU's limits even if all of it is data.
const MAX_SIZE: u64 = 1 << 50;
/// The clusters of data in one part.
pub(crate) const BATCH: usize = 8;

const BYTES: u64 = CLUSTER as u64;
const SECTOR: u64 = 512;
/// Entries in a cluster of the L1 table, an L2 table or the refcount table.
const ENTRIES: u64 = BYTES / 8;
/// Refcounts, of 16 bits, in a refcount block.
const COUNTS: u64 = BYTES / 2;
/// Flag of an entry: the refcount is exactly one.
const COPIED: u64 = 1 << 63;
/// Flag of an L2 entry.
const COMPRESSED: u64 = 1 << 62;
/// Position of the number of further sectors in the L2 entry of a compressed cluster.
const SECTORS_SHIFT: u32 = 62 - (CLUSTER.ilog2() - 8);

/// A cluster of the guest that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its number.
    pub(crate) cluster: u64,
    /// Its length if it is compressed, otherwise zero.
    pub(crate) length: u16,
}

/// The clusters of the guest that hold data.
#[derive(Default)]
pub(crate) struct Clusters {
    groups: Vec<Group>,
    /// The lengths of the clusters in order. Those that are not compressed may be missing at the end.
    lengths: Vec<u16>,
    count: usize,
}

/// The clusters that one L2 table maps.
struct Group {
    /// The index in the L1 table.
    number: u64,
    /// A bit for each cluster.
    data: [u64; ENTRIES as usize / 64],
}

/// A position among the clusters that hold data.
#[derive(Default)]
struct Cursor {
    group: usize,
    entry: u64,
    count: usize,
}

impl Clusters {
    /// Adds a cluster behind all others.
    pub(crate) fn push(&mut self, stored: Stored) {
        let Stored { cluster, length } = stored;
        let (number, entry) = (cluster / ENTRIES, cluster % ENTRIES);
        if self.groups.last().is_none_or(|last| last.number != number) {
            let data = [0; ENTRIES as usize / 64];
            self.groups.push(Group { number, data });
        }
        if let Some(group) = self.groups.last_mut() {
            group.data[entry as usize / 64] |= 1 << (entry % 64);
        }
        if length > 0 {
            self.lengths.resize(self.count, 0);
            self.lengths.push(length);
        }
        self.count += 1;
    }

    fn next(&self, cursor: &mut Cursor) -> Option<Stored> {
        loop {
            let group = self.groups.get(cursor.group)?;
            let mut left = cursor.entry..ENTRIES;
            let found =
                left.find(|entry| group.data[*entry as usize / 64] >> (entry % 64) & 1 == 1);
            let Some(entry) = found else {
                cursor.group += 1;
                cursor.entry = 0;
                continue;
            };
            let length = self.lengths.get(cursor.count).copied().unwrap_or(0);
            cursor.entry = entry + 1;
            cursor.count += 1;
            let cluster = group.number * ENTRIES + entry;
            return Some(Stored { cluster, length });
        }
    }
}

/// The places of everything in the file. The `*_at` are numbers of clusters.
pub(crate) struct Layout {
    clusters: Clusters,
    size: u64,
    compression: Compression,
    blocks: u64,
    blocks_at: u64,
    l1_at: u64,
    l2_at: u64,
    plain_at: u64,
    packed_at: u64,
    packed_bytes: u64,
    end: u64,
}

impl Layout {
    /// Lays out the image of a raw disk of `length` bytes. The disk of the guest is filled up with
    /// zeros to a whole sector.
    pub(crate) fn new(
        clusters: Clusters,
        length: u64,
        compression: Compression,
    ) -> io::Result<Self> {
        if length > MAX_SIZE {
            let message = format!("a disk of {length} bytes is larger than 1 PiB");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let size = length.next_multiple_of(SECTOR);
        let compressed = clusters.lengths.iter().filter(|length| **length > 0);
        let plain = (clusters.count - compressed.clone().count()) as u64;
        let packed_bytes = compressed.map(|length| u64::from(*length)).sum::<u64>();
        let packed = packed_bytes.div_ceil(BYTES);
        // QEMU gives even an empty disk a cluster for its L1 table.
        let l1 = l1_entries(size).div_ceil(ENTRIES).max(1);
        let l2 = clusters.groups.len() as u64;
        let others = 1 + l1 + l2 + plain + packed;
        // The refcounts count themselves.
        let (mut table, mut blocks) = (1, 1);
        loop {
            let end = others + table + blocks;
            let needed = end.div_ceil(COUNTS);
            if (table, blocks) == (needed.div_ceil(ENTRIES), needed) {
                break;
            }
            (table, blocks) = (needed.div_ceil(ENTRIES), needed);
        }
        let blocks_at = 1 + table;
        let l1_at = blocks_at + blocks;
        let l2_at = l1_at + l1;
        let plain_at = l2_at + l2;
        let packed_at = plain_at + plain;
        let end = packed_at + packed;
        Ok(Self {
            clusters,
            size,
            compression,
            blocks,
            blocks_at,
            l1_at,
            l2_at,
            plain_at,
            packed_at,
            packed_bytes,
            end,
        })
    }

    /// Returns the length of the file.
    pub(crate) fn length(&self) -> u64 {
        self.packed_at * BYTES + self.packed_bytes.next_multiple_of(SECTOR)
    }

    /// Returns the first cluster, which has the header.
    pub(crate) fn header(&self) -> Vec<u8> {
        let (incompatible, kind) = match self.compression {
            Compression::Zstd => (COMPRESSION, 1),
            _ => (0, 0),
        };
        let mut header = Vec::with_capacity(CLUSTER);
        header.extend(b"QFI\xfb\0\0\0\x03"); // version 3
        header.extend([0; 12]); // no backing file
        header.extend(CLUSTER.ilog2().to_be_bytes());
        header.extend(self.size.to_be_bytes());
        header.extend([0; 4]); // no encryption
        // Below 2^32, as the size is bounded; so is the next.
        header.extend((l1_entries(self.size) as u32).to_be_bytes());
        header.extend((self.l1_at * BYTES).to_be_bytes());
        header.extend(BYTES.to_be_bytes()); // refcount table
        header.extend((self.blocks_at as u32 - 1).to_be_bytes()); // its clusters
        header.extend([0; 12]); // no snapshots
        header.extend(incompatible.to_be_bytes());
        header.extend([0; 16]); // no other features
        header.extend(4_u32.to_be_bytes()); // refcounts of 2^4 bits
        header.extend(112_u32.to_be_bytes()); // length of this header
        header.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        header.resize(CLUSTER, 0); // no extensions
        header
    }

    /// Returns a cluster of the refcount table.
    fn refcount_table(&self, index: u64) -> Vec<u8> {
        let first = index * ENTRIES;
        let mut table = vec![0; CLUSTER];
        for block in first..self.blocks.min(first + ENTRIES) {
            put(&mut table, block - first, (self.blocks_at + block) * BYTES);
        }
        table
    }

    /// Returns a cluster of the L1 table.
    fn l1_table(&self, index: u64) -> Vec<u8> {
        let first = index * ENTRIES;
        let groups = &self.clusters.groups;
        let before = groups.partition_point(|group| group.number < first);
        let mut table = vec![0; CLUSTER];
        for (place, group) in groups.iter().enumerate().skip(before) {
            let entry = group.number - first;
            if entry >= ENTRIES {
                break;
            }
            let l2_table = self.l2_at + place as u64;
            put(&mut table, entry, l2_table * BYTES | COPIED);
        }
        table
    }
}

/// The number of L2 tables that a disk can have.
fn l1_entries(size: u64) -> u64 {
    size.div_ceil(ENTRIES * BYTES)
}

/// Sets an entry of a table.
fn put(table: &mut [u8], entry: u64, value: u64) {
    let at = entry as usize * 8;
    table[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

/// A part of the file. The parts follow each other without gaps.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Clusters of the guest, either all compressed or none.
    Data(Vec<Stored>),
}

/// The parts of the file, in order.
pub(crate) struct Parts {
    layout: Arc<Layout>,
    /// The next cluster.
    at: u64,
    counts: Counts,
    mapped: Cursor,
    /// The next offsets that an L2 table refers to.
    plain: u64,
    packed: u64,
    /// The next data to be sent, first what is stored as it is, then the compressed.
    sent: Cursor,
    sends_compressed: bool,
    is_padded: bool,
}

impl Parts {
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        Self {
            at: 0,
            counts: Counts::default(),
            mapped: Cursor::default(),
            plain: layout.plain_at * BYTES,
            packed: layout.packed_at * BYTES,
            sent: Cursor::default(),
            sends_compressed: false,
            is_padded: false,
            layout,
        }
    }

    /// Returns the next cluster of what comes before the data.
    fn metadata(&mut self) -> Vec<u8> {
        let layout = Arc::clone(&self.layout);
        let at = self.at;
        self.at += 1;
        match at {
            0 => layout.header(),
            _ if at < layout.blocks_at => layout.refcount_table(at - 1),
            _ if at < layout.l1_at => self.refcount_block(at - layout.blocks_at),
            _ if at < layout.l2_at => layout.l1_table(at - layout.l1_at),
            _ => self.l2_table((at - layout.l2_at) as usize),
        }
    }

    fn refcount_block(&mut self, index: u64) -> Vec<u8> {
        let first = index * COUNTS;
        let last = self.layout.end.min(first + COUNTS);
        let mut block = Vec::with_capacity(CLUSTER);
        for cluster in first..last {
            let count = match cluster < self.layout.packed_at {
                true => 1,
                false => self.counts.next(&self.layout.clusters.lengths),
            };
            block.extend(count.to_be_bytes());
        }
        block.resize(CLUSTER, 0);
        block
    }

    fn l2_table(&mut self, group: usize) -> Vec<u8> {
        let mut table = vec![0; CLUSTER];
        while let Some(stored) = self.next_of(group) {
            let entry = match u64::from(stored.length) {
                0 => {
                    self.plain += BYTES;
                    (self.plain - BYTES) | COPIED
                }
                length => {
                    let (start, end) = (self.packed, self.packed + length);
                    self.packed = end;
                    let further = (end - 1) / SECTOR - start / SECTOR;
                    start | further << SECTORS_SHIFT | COMPRESSED
                }
            };
            put(&mut table, stored.cluster % ENTRIES, entry);
        }
        table
    }

    /// Returns the next cluster to be mapped, if the L2 table of this group maps it.
    fn next_of(&mut self, group: usize) -> Option<Stored> {
        let clusters = &self.layout.clusters;
        let number = clusters.groups.get(group)?.number;
        let mut ahead = Cursor { ..self.mapped };
        let stored = clusters.next(&mut ahead)?;
        (stored.cluster / ENTRIES == number).then(|| {
            self.mapped = ahead;
            stored
        })
    }

    /// Returns the next clusters of data.
    fn data(&mut self) -> Vec<Stored> {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH {
            match self.layout.clusters.next(&mut self.sent) {
                Some(stored) if (stored.length > 0) == self.sends_compressed => batch.push(stored),
                Some(_) => {}
                None if self.sends_compressed || !batch.is_empty() => break,
                None => {
                    self.sends_compressed = true;
                    self.sent = Cursor::default();
                }
            }
        }
        batch
    }
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        if self.at < self.layout.plain_at {
            return Some(Part::Bytes(self.metadata()));
        }
        let batch = self.data();
        if !batch.is_empty() {
            return Some(Part::Data(batch));
        }
        let padding = self.layout.packed_bytes.next_multiple_of(SECTOR) - self.layout.packed_bytes;
        if self.is_padded || padding == 0 {
            return None;
        }
        self.is_padded = true;
        Some(Part::Bytes(vec![0; padding as usize]))
    }
}

/// The refcounts of the clusters that hold compressed ones, in order.
#[derive(Default)]
struct Counts {
    /// The number of lengths that were counted.
    counted: usize,
    /// The end of what was counted, from the first of these clusters on.
    counted_to: u64,
    /// The start of the next cluster.
    start: u64,
}

impl Counts {
    /// Returns the number of compressed clusters that lie in the next cluster, or partly do.
    fn next(&mut self, lengths: &[u16]) -> u16 {
        let mut count = u16::from(self.counted_to > self.start);
        self.start += BYTES;
        while self.counted_to < self.start {
            let Some(length) = lengths.get(self.counted) else {
                break;
            };
            self.counted += 1;
            self.counted_to += u64::from(*length);
            count += u16::from(*length > 0);
        }
        count
    }
}
