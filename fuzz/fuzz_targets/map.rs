//! Any header and any tables: extents in order and without gaps that stay in the file, or a finding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use machine_images::qcow2::{self, ExtentKind, Geometry, Inspection, Lookup, Map, Policy};

/// As many parts of tables as one input may have read.
const TABLES: usize = 64;

fuzz_target!(|input: (u64, u64, &[u8], &[u8])| {
    let (more, at, bytes, table) = input;
    let length = (bytes.len() as u64).saturating_add(more);
    let Inspection::Done(report) = qcow2::inspect(bytes, Some(length), &Policy::default()) else {
        return;
    };
    let Ok(geometry) = Geometry::new(&report, length) else {
        return;
    };
    let snapshots = report.snapshots.iter();
    let of_snapshots = snapshots.filter_map(|snapshot| geometry.clone().snapshot(snapshot).ok());
    for geometry in of_snapshots.chain([geometry.clone()]) {
        let l1 = geometry.l1_table();
        assert!(l1.end <= length && l1.end - l1.start <= 32 << 20, "{l1:?}");
        let start = usize::try_from(l1.start).unwrap_or(usize::MAX);
        let l1 = bytes.get(start..).unwrap_or(table);
        let map = Map::new(geometry, &l1[..l1.len().min(1 << 20)]);
        let _ = map.lookup(at);
        walk(&map, table, length);
    }
});

/// Walks over the disk from its start.
fn walk(map: &Map, table: &[u8], length: u64) {
    let (size, mut at) = (map.geometry().size(), 0);
    for _ in 0..TABLES {
        if at >= size {
            break;
        }
        let extents = match map.lookup(at) {
            Ok(Lookup::Extent(extent)) => vec![extent],
            Ok(Lookup::Table(slice)) => {
                assert!(
                    slice.guest.contains(&at) && slice.file.end <= length,
                    "{slice:?}"
                );
                assert!(slice.file.end - slice.file.start <= 64 << 10, "{slice:?}");
                match map.extents(&slice, table, slice.guest.clone()) {
                    Ok(extents) => extents,
                    Err(_) => return,
                }
            }
            _ => return,
        };
        for extent in extents {
            assert!(extent.start == at && extent.length > 0, "{extent:?}");
            at = extent.end();
            match extent.kind {
                ExtentKind::Data { offset } => assert!(offset < length, "{extent:?}"),
                ExtentKind::Compressed {
                    offset,
                    length: long,
                } => {
                    assert!(long > 0 && offset + long <= length, "{extent:?}");
                    assert!(extent.length <= map.geometry().cluster_size(), "{extent:?}");
                }
                _ => {}
            }
        }
        assert!(at <= size);
    }
}
