//! The table of internal snapshots.

use super::examination::Examination;
use super::extents::Unread;
use super::fields::{Fields, text};
use super::header::{Header, Snapshot, Table};
use super::report::Code;

/// Length of the fixed part of an entry.
const FIXED: u64 = 40;
/// Maximum length of an entry's extra data that QEMU accepts.
const EXTRA_MAX: u64 = 1024;

impl Examination<'_> {
    /// Reads the snapshot table, whose entries vary in length.
    pub(super) fn examine_snapshots(&mut self, header: &Header) -> Result<(), Unread> {
        const PART: &str = "the snapshot table";
        if self.report.has(Code::SnapshotTable) {
            return Ok(());
        }
        let mut offset = header.snapshot_table.offset;
        let mut snapshots = Vec::new();
        for _ in 0..header.snapshot_table.entries {
            offset = offset.next_multiple_of(8);
            let Some(fixed) = self.read(offset, FIXED, PART)? else {
                return Ok(());
            };
            let fixed = Fields(fixed);
            let (id, name) = (u64::from(fixed.u16(12)), u64::from(fixed.u16(14)));
            let extra = u64::from(fixed.u32(36));
            if extra > EXTRA_MAX {
                let message = format!("a snapshot has {extra} bytes of extra data, over 1024");
                self.add(Code::SnapshotTable, offset, message);
                return Ok(());
            }
            let Some(rest) = self.read(offset + FIXED, extra + id + name, PART)? else {
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
                virtual_size: (extra.len() >= 16).then(|| Fields(extra).u64(8)),
                l1_table: Table::new(fixed.u64(0), fixed.u32(8).into(), 8),
            });
            offset += FIXED + rest.len() as u64;
        }
        self.report.snapshots = snapshots;
        Ok(())
    }
}
