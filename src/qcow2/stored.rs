//! The clusters of a raw disk that hold data.

/// Size of a cluster.
pub(crate) const CLUSTER: usize = 64 << 10;
/// Entries in a cluster of a table of offsets: the number of clusters that one L2 table maps.
pub(super) const ENTRIES: u64 = CLUSTER as u64 / 8;

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
    pub(super) groups: Vec<Group>,
    /// The lengths of the clusters in order. Those that are not compressed may be missing at the end.
    pub(super) lengths: Vec<u16>,
    pub(super) count: usize,
}

/// The clusters that one L2 table maps.
pub(super) struct Group {
    /// The index in the L1 table.
    pub(super) number: u64,
    /// A bit for each cluster.
    data: [u64; ENTRIES as usize / 64],
}

/// A position among the clusters that hold data.
#[derive(Clone, Copy, Default)]
pub(super) struct Cursor {
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

    /// Returns the cluster at the cursor, and moves on.
    pub(super) fn next(&self, cursor: &mut Cursor) -> Option<Stored> {
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
