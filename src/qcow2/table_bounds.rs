//! Checks of where the tables are, against the rules that QEMU has for opening an image.

use super::examination::Examination;
use super::header::{Header, Table};
use super::report::Code;

/// Length of the longest file or disk that QEMU reads or writes, which bounds the offset of a table.
pub(super) const LENGTH_MAX: u64 = 0x7fff_ffff_c000_0000;
const L1_MAX: u64 = 32 << 20;
const REFCOUNT_TABLE_MAX: u64 = 8 << 20;
/// 65,536 snapshots of at least 40 bytes.
const SNAPSHOT_TABLE_MAX: u64 = 65_536 * 40;

impl Examination<'_> {
    /// Checks the tables that the fixed part of the header names, and the virtual size.
    pub(super) fn check_tables(&mut self, header: &Header) {
        let cluster = header.cluster_size;
        if header.refcount_table.entries == 0 {
            self.add(Code::RefcountTable, 56, "there is no refcount table");
        }
        for (code, field, table, max) in [
            (
                Code::RefcountTable,
                48,
                &header.refcount_table,
                REFCOUNT_TABLE_MAX,
            ),
            (
                Code::SnapshotTable,
                64,
                &header.snapshot_table,
                SNAPSHOT_TABLE_MAX,
            ),
            (Code::L1Table, 40, &header.l1_table, L1_MAX),
        ] {
            self.check_table(code, field, table, max, cluster);
        }

        let (size, entries) = (header.virtual_size, header.l1_table.entries);
        let entry_length = if header.features.extended_l2() { 16 } else { 8 };
        // An entry of the L1 table maps as many clusters as one cluster has L2 entries.
        let needed = size.div_ceil(cluster * (cluster / entry_length));
        if size > LENGTH_MAX {
            let message = format!("a virtual size of {size} bytes is more than QEMU supports");
            self.add(Code::VirtualSize, 24, message);
        } else if needed > entries {
            let message = format!(
                "a virtual size of {size} bytes needs an L1 table of {needed} entries, not {entries}"
            );
            self.add(Code::VirtualSize, 24, message);
        }
    }

    /// Checks one table, which the header names at offset `field`. QEMU checks even the offset of
    /// an empty table.
    pub(super) fn check_table(
        &mut self,
        code: Code,
        field: u64,
        table: &Table,
        max: u64,
        cluster: u64,
    ) {
        let Table { offset, length, .. } = *table;
        let name = table_name(code);
        if length > max {
            self.add(
                code,
                field,
                format!("the {name} is larger than {max} bytes"),
            );
        }
        if offset % cluster != 0 {
            let message = format!("the {name} at {offset} does not start on a cluster boundary");
            self.add(code, field, message);
        }
        let end = offset.saturating_add(length);
        if end > LENGTH_MAX {
            let message = format!("the {name} at {offset} is beyond what QEMU can read");
            self.add(code, field, message);
        }
        if length == 0 {
            return;
        }
        if offset == 0 {
            self.add(code, field, format!("the {name} overlaps the header"));
        }
        if let Some(total) = self.total().filter(|&total| end > total) {
            let message = format!("the {name} ends at {end}, but the file ends at {total}");
            self.add(Code::Truncated, field, message);
        }
    }
}

fn table_name(code: Code) -> &'static str {
    match code {
        Code::BitmapDirectory => "bitmap directory",
        Code::EncryptionHeader => "LUKS header",
        Code::L1Table => "L1 table",
        Code::SnapshotTable => "snapshot table",
        _ => "refcount table",
    }
}
