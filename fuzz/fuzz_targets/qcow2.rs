//! Any bytes as an image: whole, as the beginning of a longer one, and piece by piece.

#![no_main]

use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use machine_images::qcow2::{self, Inspection, Inspector, Policy, Report};

/// The first cluster and the tables: what an inspection reads at most.
const MOST: u64 = (2 << 20) + (4 << 20);
/// As many reads as there is room for tables of bitmaps, and the others.
const READS: u32 = 300;

fuzz_target!(|input: (u64, u16, &[u8])| {
    let (more, step, bytes) = input;
    let length = bytes.len() as u64;
    let total = length.saturating_add(more);
    for total in [None, Some(total), Some(length)] {
        let inspect = || qcow2::inspect(bytes, total, &Policy::default());
        let found = inspect();
        assert_eq!(found, inspect());
        if let Inspection::NeedMore(range) = found {
            assert!(range.start == length && range.end > length, "{range:?}");
            assert!(total.is_none_or(|total| range.end <= total), "{range:?}");
            assert!(range.end <= 2 << 20, "{range:?}");
        }
    }
    // What follows the bytes are zeros.
    in_pieces(total, u64::MAX, |range| {
        let wanted = range.end - range.start;
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        let mut piece = bytes.get(start..).unwrap_or_default().to_vec();
        piece.resize(wanted as usize, 0);
        piece
    });
    let Inspection::Done(whole) = qcow2::inspect(bytes, Some(length), &Policy::default()) else {
        unreachable!("there is no more");
    };
    let pieces = in_pieces(length, u64::from(step).max(64), |range| {
        bytes[range.start as usize..range.end as usize].to_vec()
    });
    assert_eq!(pieces, whole);
});

/// Inspects an image by reads of at most `step` bytes.
fn in_pieces(total: u64, step: u64, read: impl Fn(Range<u64>) -> Vec<u8>) -> Report {
    let mut inspector = Inspector::new(Policy::default()).total(total);
    let (mut held, mut reads) = (0, 0);
    loop {
        match inspector.step() {
            Inspection::Done(report) => return report,
            Inspection::NeedMore(range) => {
                assert!(range.start < range.end && range.end <= total, "{range:?}");
                let end = range.end.min(range.start.saturating_add(step));
                held += end - range.start;
                assert!(held <= MOST, "{held} bytes are held");
                reads += 1;
                assert!(step < u64::MAX || reads <= READS, "{reads} reads");
                inspector.feed(range.start, &read(range.start..end));
            }
        }
    }
}
