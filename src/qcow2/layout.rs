//! The layout of an image that is made of a raw disk while it is sent.
//!
//! In the file are, in this order: header, refcount table, refcount blocks, L1 table, L2 tables, the
//! clusters that are stored as they are, and the compressed ones without gaps. All offsets follow
//! from which clusters hold data and from the lengths of the compressed ones, so that is all that is
//! kept: one bit a cluster, where there is data at all, and two bytes a cluster for the lengths.
//! The tables are made when it is their turn.

use super::header::{COMPRESSION, Compression};
use super::stored::{CLUSTER, Clusters, ENTRIES};

/// The maximum size of a disk. Its tables are within QEMU's limits even if all of it is data.
pub(crate) const MAX_SIZE: u64 = 1 << 50;

pub(super) const BYTES: u64 = CLUSTER as u64;
pub(super) const SECTOR: u64 = 512;
/// Refcounts, of 16 bits, in a refcount block.
pub(super) const COUNTS: u64 = BYTES / 2;
/// Flag of an entry: the refcount is exactly one.
pub(super) const COPIED: u64 = 1 << 63;

/// The places of everything in the file. The `*_at` are numbers of clusters.
pub(crate) struct Layout {
    pub(super) clusters: Clusters,
    size: u64,
    compression: Compression,
    blocks: u64,
    pub(super) blocks_at: u64,
    pub(super) l1_at: u64,
    pub(super) l2_at: u64,
    pub(super) plain_at: u64,
    pub(super) packed_at: u64,
    pub(super) packed_bytes: u64,
    pub(super) end: u64,
}

impl Layout {
    /// Lays out the image of a raw disk of `length` bytes, at most [`MAX_SIZE`]. The disk of the guest is filled up with
    /// zeros to a whole sector.
    pub(crate) fn new(clusters: Clusters, length: u64, compression: Compression) -> Self {
        let size = length.next_multiple_of(SECTOR);
        let compressed = clusters.lengths.iter().filter(|length| **length > 0);
        let plain = (clusters.count - compressed.clone().count()) as u64;
        let packed_bytes = compressed.map(|length| u64::from(*length)).sum::<u64>();
        let packed = packed_bytes.div_ceil(BYTES);
        let l1 = l1_entries(size).div_ceil(ENTRIES);
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
        Self {
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
        }
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
    pub(super) fn refcount_table(&self, index: u64) -> Vec<u8> {
        let first = index * ENTRIES;
        let mut table = vec![0; CLUSTER];
        for block in first..self.blocks.min(first + ENTRIES) {
            put(&mut table, block - first, (self.blocks_at + block) * BYTES);
        }
        table
    }

    /// Returns a cluster of the L1 table.
    pub(super) fn l1_table(&self, index: u64) -> Vec<u8> {
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
            put(&mut table, entry, (l2_table * BYTES) | COPIED);
        }
        table
    }
}

/// The number of L2 tables that a disk can have. Even an empty disk has an L1 table, at its own place.
fn l1_entries(size: u64) -> u64 {
    size.div_ceil(ENTRIES * BYTES).max(1)
}

/// Sets an entry of a table.
pub(super) fn put(table: &mut [u8], entry: u64, value: u64) {
    let at = entry as usize * 8;
    table[at..at + 8].copy_from_slice(&value.to_be_bytes());
}
