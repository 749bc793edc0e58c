//! A verdict from the first bytes, as they come.

use machine_images::qcow2::{self, Code, Inspection, Inspector, Policy, Report, Verdict};

use crate::corpus;

const FIRST: usize = 64 << 10;

/// Inspects as a stream passes, and how much of it that took.
fn streamed(image: &[u8], step: usize) -> (Report, usize) {
    let mut seen = 0;
    loop {
        let prefix = &image[..seen];
        let total = (seen == image.len()).then_some(seen as u64);
        match qcow2::inspect(prefix, total, &Policy::default()) {
            Inspection::Done(report) => return (report, seen),
            Inspection::NeedMore(range) => {
                assert!(range.start == seen as u64 && range.end > range.start);
                assert!(seen < image.len(), "asks for more than there is");
                seen = (seen + step).min(image.len());
            }
        }
    }
}

#[test]
fn every_image_gets_its_verdict_within_64_kib() {
    for (image, bytes) in corpus::qcow2().into_iter().flatten() {
        let whole = qcow2::inspect_file(&image.path, &Policy::default()).unwrap();
        for step in [1000, 512, 65_536] {
            let (report, seen) = streamed(&bytes, step);
            assert!(seen <= FIRST, "{} took {seen} bytes", image.name);
            assert_eq!(report.verdict(), whole.verdict(), "{}", image.name);
            assert_eq!(report.header, whole.header, "{}", image.name);
        }
    }
}

#[test]
fn an_image_without_tables_takes_one_read_of_64_kib() {
    for (image, bytes) in corpus::qcow2().into_iter().flatten() {
        let mut inspector = Inspector::new(Policy::default()).total(bytes.len() as u64);
        let mut reads = Vec::new();
        while let Inspection::NeedMore(range) = inspector.step() {
            inspector.feed(
                range.start,
                &bytes[range.start as usize..range.end as usize],
            );
            reads.push(range);
        }
        let tables = ["luks", "snapshot", "bitmap"]
            .iter()
            .any(|word| image.name.contains(word));
        assert!(
            tables || reads == std::slice::from_ref(&(0..FIRST.min(bytes.len()) as u64)),
            "{} {reads:?}",
            image.name
        );
        assert!(reads.len() < 8, "{} {reads:?}", image.name);
    }
}

/// A header of version 3 with clusters of 2 MiB and a table for everything, in `length` bytes.
fn header(length: usize) -> Vec<u8> {
    let mut image = vec![0; length];
    let fields: [(usize, &[u8]); 8] = [
        (0, b"QFI\xfb\0\0\0\x03"),
        (20, &21_u32.to_be_bytes()),
        (24, &(1_u64 << 30).to_be_bytes()),
        (36, &1_u32.to_be_bytes()),
        (40, &(6_u64 << 20).to_be_bytes()),
        (48, &(2_u64 << 20).to_be_bytes()),
        (56, &1_u32.to_be_bytes()),
        (96, &[0, 0, 0, 4, 0, 0, 0, 104]),
    ];
    for (at, bytes) in fields {
        image[at..at + bytes.len()].copy_from_slice(bytes);
    }
    image
}

/// Puts an extension of 1 MiB of an unknown kind before everything else.
fn with_a_long_extension(mut image: Vec<u8>) -> Vec<u8> {
    image[104..112].copy_from_slice(&[1, 2, 3, 4, 0, 16, 0, 0]);
    image
}

fn range_asked_for(image: &[u8]) -> std::ops::Range<u64> {
    match qcow2::inspect(image, None, &Policy::default()) {
        Inspection::NeedMore(range) => range,
        Inspection::Done(report) => panic!("{report:?}"),
    }
}

#[test]
fn a_header_that_goes_on_past_64_kib_is_followed_into_the_first_cluster_only() {
    let image = with_a_long_extension(header(FIRST));
    let range = range_asked_for(&image);
    assert_eq!(range, FIRST as u64..2 << 20);
    let whole = with_a_long_extension(header(range.end as usize));
    let Inspection::Done(report) = qcow2::inspect(&whole, None, &Policy::default()) else {
        panic!("needs more")
    };
    assert_eq!(report.verdict(), Verdict::Accept, "{:?}", report.findings);
}

#[test]
fn a_backing_file_is_refused_within_64_kib_wherever_its_name_is() {
    let mut image = header(FIRST);
    image[8..16].copy_from_slice(&(2_u64 << 20).wrapping_sub(1000).to_be_bytes());
    image[16..20].copy_from_slice(&999_u32.to_be_bytes());
    let Inspection::Done(report) = qcow2::inspect(&image, None, &Policy::default()) else {
        panic!("needs more")
    };
    assert!(report.has(Code::BackingFile) && report.verdict() == Verdict::Reject);
    assert_eq!(report.header.unwrap().backing_file.as_deref(), Some(""));

    // With 512 bytes the name is worth waiting for; a policy that allows it needs it.
    let allowed = Policy::default().allow(Code::BackingFile);
    let asked = qcow2::inspect(&image, None, &allowed);
    assert_eq!(asked, Inspection::NeedMore(FIRST as u64..2 << 20));
}

#[test]
fn what_a_prefix_cannot_tell_is_noted() {
    let mut image = header(FIRST);
    image[60..64].copy_from_slice(&1_u32.to_be_bytes());
    image[64..72].copy_from_slice(&(8_u64 << 20).to_be_bytes());
    let Inspection::Done(report) = qcow2::inspect(&image, None, &Policy::default()) else {
        panic!("needs more")
    };
    assert!(report.has(Code::TableUnread) && report.has(Code::InternalSnapshots));
    assert_eq!(report.verdict(), Verdict::Accept);
}

#[test]
fn a_truncated_image_is_refused_by_its_total_length_alone() {
    let image = header(FIRST);
    for (total, verdict) in [(6 << 20, Verdict::Reject), ((6 << 20) + 8, Verdict::Accept)] {
        let Inspection::Done(report) = qcow2::inspect(&image, Some(total), &Policy::default())
        else {
            panic!("needs more")
        };
        assert_eq!(report.verdict(), verdict);
        assert_eq!(report.has(Code::Truncated), verdict == Verdict::Reject);
    }
}

/// Inspects a header of 64 KiB that is followed by the same snapshot again and again, by reads of
/// at most `step` bytes, and tells how much was read, and how often.
fn with_snapshots(table: u64, names: [u8; 2], count: u32, step: u64) -> (Report, u64, u32) {
    let mut image = header(FIRST);
    // Clusters of 64 KiB, so that the table can follow on the header at once.
    image[20..24].copy_from_slice(&16_u32.to_be_bytes());
    image[24..32].copy_from_slice(&(1_u64 << 29).to_be_bytes());
    image[60..64].copy_from_slice(&count.to_be_bytes());
    image[64..72].copy_from_slice(&table.to_be_bytes());
    let mut snapshot = vec![0; 40 + usize::from(u16::from_be_bytes(names))];
    snapshot[14..16].copy_from_slice(&names);
    snapshot.resize(snapshot.len().next_multiple_of(8), 0);
    let byte = |at: u64| match at {
        _ if at < table => *image.get(at as usize).unwrap_or(&0),
        _ => snapshot[((at - table) % snapshot.len() as u64) as usize],
    };
    let mut inspector = Inspector::new(Policy::default()).total(1 << 40);
    let (mut read, mut reads) = (0, 0);
    loop {
        match inspector.step() {
            Inspection::Done(report) => return (report, read, reads),
            Inspection::NeedMore(range) => {
                let end = range.end.min(range.start.saturating_add(step));
                let bytes: Vec<u8> = (range.start..end).map(byte).collect();
                read += bytes.len() as u64;
                reads += 1;
                assert!(read < 8 << 20, "{read} bytes were read");
                inspector.feed(range.start, &bytes);
            }
        }
    }
}

#[test]
fn tables_without_end_are_not_read_without_end() {
    // The last are read from where the header ends, one right after the other.
    for (table, names) in [
        (8 << 20, [255, 255]),
        (FIRST as u64, (16_384_u16 - 40).to_be_bytes()),
    ] {
        let (report, read, _) = with_snapshots(table, names, 65_536, u64::MAX);
        assert!(report.has(Code::TablesTooLarge), "{:?}", report.findings);
        assert!(read <= (4 << 20) + FIRST as u64, "{read}");
    }
}

#[test]
fn tables_may_be_fed_in_parts() {
    for step in [100, 1000, 20_000, u64::MAX] {
        let (report, read, _) = with_snapshots(8 << 20, [3, 0], 3, step);
        assert_eq!(report.snapshots.len(), 3, "{:?}", report.findings);
        assert_eq!(report.verdict(), Verdict::Accept);
        assert!(read <= (3 << 14) + FIRST as u64, "{read} bytes were read");
    }
}

#[test]
fn a_long_table_takes_few_reads() {
    let (report, _, reads) = with_snapshots(8 << 20, [0, 0], 65_536, u64::MAX);
    assert_eq!(report.snapshots.len(), 65_536);
    assert!(reads <= 10, "{reads} reads");
}
