//! Where the tables are, as QEMU demands it when it opens an image.

use super::examine::Examination;
use super::{Code, Header, Table};

/// The longest image that QEMU reads or writes, and so the last place for a table.
const LENGTH_MAX: u64 = 0x7fff_ffff_c000_0000;
const L1_MAX: u64 = 32 << 20;
const REFCOUNT_TABLE_MAX: u64 = 8 << 20;
const SNAPSHOTS_MAX: u64 = 65_536;

impl Examination<'_> {
    /// Checks the tables that the fixed part of the header places, and the virtual size.
    pub(super) fn layout(&mut self, header: &Header) {
        let Header {
            l1_table,
            refcount_table,
            snapshot_table,
            ..
        } = header;
        if refcount_table.entries == 0 {
            self.find(
                Code::RefcountTable,
                56,
                "there is no refcount table".to_owned(),
            );
        }
        let cluster = header.cluster_size;
        self.place(
            Code::RefcountTable,
            48,
            refcount_table,
            REFCOUNT_TABLE_MAX,
            cluster,
        );
        self.place(
            Code::SnapshotTable,
            64,
            snapshot_table,
            SNAPSHOTS_MAX * 40,
            cluster,
        );
        self.place(Code::L1Table, 40, l1_table, L1_MAX, cluster);

        let size = header.virtual_size;
        let entry = if header.features.extended_l2() { 16 } else { 8 };
        // What one entry of the L1 table maps: the clusters of an L2 table, itself a cluster.
        let needed = size.div_ceil(cluster * (cluster / entry));
        if size > LENGTH_MAX {
            let message = format!("a virtual size of {size} bytes is more than QEMU can hold");
            self.find(Code::VirtualSize, 24, message);
        } else if needed > l1_table.entries {
            let message = format!(
                "a virtual size of {size} bytes takes an L1 table of {needed} entries, not {}",
                l1_table.entries
            );
            self.find(Code::VirtualSize, 24, message);
        }
    }

    /// Checks the place of one table: `at` is where the header has it. QEMU wants even the place
    /// of an empty table to be possible.
    pub(super) fn place(&mut self, code: Code, at: u64, table: &Table, max: u64, cluster: u64) {
        let Table { offset, length, .. } = *table;
        let what = code.as_str().replace('_', " ");
        if length > max {
            self.find(code, at, format!("the {what} is larger than {max} bytes"));
        }
        if offset % cluster != 0 {
            let message = format!("the {what} at {offset} does not start on a cluster");
            self.find(code, at, message);
        }
        let end = offset.saturating_add(length);
        if end > LENGTH_MAX {
            self.find(
                code,
                at,
                format!("the {what} at {offset} is farther than QEMU can read"),
            );
        }
        if length == 0 {
            return;
        }
        if offset == 0 {
            self.find(code, at, format!("the {what} lies on the header"));
        }
        if let Some(total) = self.total().filter(|&total| end > total) {
            let message = format!("the {what} ends at {end}, but the file at {total}");
            self.find(Code::Truncated, at, message);
        }
    }
}
