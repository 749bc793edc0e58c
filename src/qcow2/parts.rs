//! The parts of an image that is made of a raw disk, in the order in which they are sent.

use std::sync::Arc;

use super::layout::{BYTES, COPIED, COUNTS, Layout, SECTOR, put};
use super::stored::{CLUSTER, Cursor, ENTRIES, Stored};

/// The maximum number of clusters of data in one part.
const BATCH: usize = 8;
/// Flag of an L2 entry.
const COMPRESSED: u64 = 1 << 62;
/// Position of the number of further sectors in the L2 entry of a compressed cluster.
const SECTORS_SHIFT: u32 = 62 - (CLUSTER.ilog2() - 8);

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
                    start | (further << SECTORS_SHIFT) | COMPRESSED
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
        let mut ahead = self.mapped;
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
