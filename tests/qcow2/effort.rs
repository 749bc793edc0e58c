//! How much an inspection takes of images that are made to take much.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use machine_images::qcow2::{self, Code, Inspection, Inspector, Policy, Report, Verdict};
use proptest::prelude::*;

use crate::image::{BITMAPS, Builder, FEATURE_NAMES, UNKNOWN};

const FIRST: u64 = 64 << 10;
/// What is read of tables at most.
const TABLES: u64 = 4 << 20;

/// An inspection and what it took.
struct Effort {
    report: Report,
    reads: Vec<std::ops::Range<u64>>,
    asked: u64,
}

/// Inspects an image by as many reads as it asks for, but no more than `most`.
fn effort(image: &[u8], policy: &Policy, most: usize) -> Effort {
    let mut inspector = Inspector::new(policy.clone()).total(image.len() as u64);
    let mut reads = Vec::new();
    loop {
        match inspector.step() {
            Inspection::Done(report) => {
                let asked = reads
                    .iter()
                    .map(|read: &std::ops::Range<u64>| read.end - read.start);
                let asked = asked.sum();
                return Effort {
                    report,
                    reads,
                    asked,
                };
            }
            Inspection::NeedMore(range) => {
                assert!(reads.len() < most, "{most} reads are not enough: {range:?}");
                let bytes = &image[range.start as usize..range.end as usize];
                inspector.feed(range.start, bytes);
                reads.push(range);
            }
        }
    }
}

/// Inspects an image as its first bytes pass, and says how often it was asked for more.
fn rounds(image: &[u8], policy: &Policy, most: usize) -> (Report, usize) {
    let mut held = 0;
    for round in 0..=most {
        let total = Some(image.len() as u64);
        match qcow2::inspect(&image[..held], total, policy) {
            Inspection::Done(report) => return (report, round),
            Inspection::NeedMore(range) => held = range.end as usize,
        }
    }
    panic!("{most} rounds are not enough")
}

fn codes(report: &Report) -> BTreeSet<Code> {
    report.rejections().map(|finding| finding.code).collect()
}

#[test]
fn past_64_kib_the_whole_first_cluster_is_one_read() {
    for bits in [17, 18, 21] {
        let image = Builder::new(bits)
            .extensions(&[(UNKNOWN, 60_000); 2])
            .build(4 << 20);
        let found = effort(&image, &Policy::default(), 2);
        assert_eq!(found.reads, [0..FIRST, FIRST..1 << bits]);
        assert_eq!(found.report.verdict(), Verdict::Accept);
        let (report, _) = rounds(&image, &Policy::default(), 8);
        assert_eq!(report.verdict(), Verdict::Accept);
    }
}

#[test]
fn more_extensions_than_a_program_writes_are_refused_unread() {
    for bits in [16, 17, 18, 21] {
        let full = ((1 << bits) - 112) / 8;
        let image = Builder::new(bits)
            .extensions(&vec![(UNKNOWN, 0); full])
            .build(4 << 20);
        let found = effort(&image, &Policy::default(), 2);
        assert_eq!(codes(&found.report), [Code::TooManyExtensions].into());
        assert!(found.report.findings.len() < 200);
        assert_eq!(found.reads, std::slice::from_ref(&(0..FIRST)));
        let (report, _) = rounds(&image, &Policy::default(), 300);
        assert_eq!(report.verdict(), Verdict::Reject);
    }
}

#[test]
fn as_many_extensions_as_are_read_are_accepted() {
    let image = Builder::new(16)
        .extensions(&[(UNKNOWN, 8); 128])
        .build(4 << 20);
    let found = effort(&image, &Policy::default(), 1);
    assert_eq!(found.report.verdict(), Verdict::Accept);
    assert!(found.report.has(Code::UnknownExtension));
}

#[test]
fn more_feature_names_than_there_are_features_are_refused() {
    for (names, expected) in [(192, [].into()), (193, [Code::TooManyExtensions].into())] {
        let image = Builder::new(16)
            .extensions(&[(FEATURE_NAMES, names * 48)])
            .build(4 << 20);
        assert_eq!(
            codes(&effort(&image, &Policy::default(), 1).report),
            expected
        );
    }
}

#[test]
fn a_long_name_of_a_data_file_is_refused_and_not_repeated() {
    for (length, named) in [(1023, true), (1024, false), (1 << 20, false)] {
        for used in [true, false] {
            let extension = [(crate::image::DATA_FILE, length)];
            let mut image = Builder::new(21).extensions(&extension).build(8 << 20);
            image[112..112 + length].fill(0x1b);
            image[79] = u8::from(used) << 2;
            let policy = Policy::default().allow(Code::DataFile);
            let report = effort(&image, &policy, 2).report;
            assert_eq!(report.verdict() == Verdict::Accept, named, "{length}");
            assert_eq!(report.has(Code::NameOutOfBounds), !named);
            assert!(
                report
                    .findings
                    .iter()
                    .all(|finding| finding.message.len() < 10_000)
            );
        }
    }
}

#[test]
fn bitmaps_in_many_places_are_read() {
    for (bits, count) in [(21, 12), (16, 80), (9, 250)] {
        let cluster = 1 << bits;
        // The whole is sparse for a person, not for a test.
        let spread = usize::max(cluster, 20_000_usize.next_multiple_of(cluster));
        let directory = (spread * 2, 32 * count);
        let tables = (0..count).map(|number| ((spread * (3 + number)) as u64, 1));
        let mut builder = Builder::new(bits);
        builder.virtual_size(1 << 15).bitmaps(directory.0, tables);
        let image = builder.build(spread * (4 + count));
        let found = effort(&image, &Policy::default(), 300);
        assert_eq!(
            found.report.findings.len(),
            1,
            "{:?}",
            found.report.findings
        );
        assert_eq!(found.report.bitmaps.len(), count);
        assert!(found.asked <= FIRST + TABLES + cluster as u64);
    }
}

#[test]
fn bitmaps_that_share_their_tables_are_not_read_again_and_again() {
    // 20 tables of 256 KiB in one place: more than 4 MiB of tables, but for where they are.
    let mut builder = Builder::new(12);
    builder.virtual_size(32_768 << 24);
    builder.bitmaps(1 << 20, (0..20).map(|_| (2 << 20, 32_768)));
    let found = effort(&builder.build(8 << 20), &Policy::default(), 10);
    assert_eq!(codes(&found.report), [Code::TablesTooLarge].into());
}

#[test]
fn more_bitmaps_than_a_program_keeps_are_refused() {
    for (count, expected) in [(1024, [].into()), (1025, [Code::TablesTooLarge].into())] {
        let mut builder = Builder::new(16);
        builder.bitmaps(1 << 20, (0..count).map(|_| (2 << 20, 1)));
        let found = effort(&builder.build(4 << 20), &Policy::default(), 10);
        assert_eq!(codes(&found.report), expected, "{count}");
    }
}

/// Ten images of 10 MiB, each the worst of its kind.
fn worst() -> Vec<(&'static str, Vec<u8>)> {
    let mut images = Vec::new();
    let mut add = |name, builder: &Builder| images.push((name, builder.build(10 << 20)));
    let full = |length: usize| vec![(UNKNOWN, length); ((2 << 20) - 112) / (8 + length)];
    add("empty extensions", Builder::new(21).extensions(&full(0)));
    add("small extensions", Builder::new(21).extensions(&full(8)));
    add(
        "long extensions",
        Builder::new(21).extensions(&full(16_376)),
    );
    let names = [(FEATURE_NAMES, 192 * 48); 127];
    add(
        "feature names",
        Builder::new(21).all_features().extensions(&names),
    );
    add(
        "bitmap extensions",
        Builder::new(21).extensions(&[(BITMAPS, 24); 65_000]),
    );
    let data_file = [(crate::image::DATA_FILE, (2 << 20) - 200)];
    add("data file", Builder::new(21).extensions(&data_file));
    add("snapshots", Builder::new(16).snapshots(4 << 20, 65_536));
    let tables = 2 << 20;
    let mut builder = Builder::new(12);
    builder.virtual_size(65_536 << 24);
    add(
        "shared tables",
        builder.bitmaps(1 << 20, (0..1024).map(|_| (tables, 65_536))),
    );
    let scattered = |number: u64| tables + number.saturating_sub(770) * 20_480;
    let mut builder = Builder::new(9);
    builder.virtual_size(1 << 15);
    add(
        "scattered tables",
        builder.bitmaps(1 << 20, (0..1024).map(|n| (scattered(n), 1))),
    );
    let mut builder = Builder::new(9);
    builder.virtual_size(1 << 15);
    // Past the first, which is all it says that there are.
    let scattered = |number: u64| tables + number.saturating_sub(39_750) * 20_480;
    builder.bitmaps(1 << 20, (0..40_000).map(|n| (scattered(n), 1)));
    builder.put(112, &[0, 0, 0, 1]);
    add("more bitmaps than it says", &builder);
    let mut builder = Builder::new(9);
    builder.virtual_size(1 << 15);
    add(
        "many bitmaps",
        builder.bitmaps(5 << 20, (0..60_000).map(|_| (tables, 1))),
    );
    images
}

/// Milliseconds each in release, and a bound that no debug build on a busy machine reaches.
#[test]
fn no_image_of_10_mib_takes_long() {
    let policies = [
        Policy::default(),
        Code::ALL
            .iter()
            .fold(Policy::default(), |policy, &code| policy.allow(code)),
    ];
    for (name, image) in worst() {
        for policy in &policies {
            let began = Instant::now();
            let found = effort(&image, policy, 300);
            rounds(&image, policy, 300);
            let took = began.elapsed();
            eprintln!("{name}: {} reads, {took:?}", found.reads.len());
            assert!(found.asked <= (2 << 20) + TABLES, "{name}");
            assert!(found.report.findings.len() <= 512, "{name}");
            assert!(took < Duration::from_secs(20), "{name} takes {took:?}");
        }
    }
}

#[test]
fn small_pieces_make_no_more_work() {
    let mut builder = Builder::new(16);
    let image = builder.snapshots(4 << 20, 65_536).build(10 << 20);
    let mut inspector = Inspector::new(Policy::default()).total(image.len() as u64);
    let began = Instant::now();
    while let Inspection::NeedMore(range) = inspector.step() {
        let end = range.end.min(range.start + 100);
        inspector.feed(range.start, &image[range.start as usize..end as usize]);
    }
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// Kinds and lengths of extensions, many of them short.
fn extensions() -> impl Strategy<Value = Vec<(u32, usize)>> {
    let kind = prop::sample::select(&[UNKNOWN, BITMAPS, FEATURE_NAMES, 0xE279_2ACA, 0x0537_BE77]);
    let length = prop_oneof![0..64_usize, Just(24), 0..20_000_usize];
    prop::collection::vec((kind, length), 0..400)
}

/// The places of tables, and how many entries they have: one is right.
fn bitmaps() -> impl Strategy<Value = Vec<(u64, u32)>> {
    let entries = prop_oneof![500 => Just(1_u32), 1 => 0..9000_u32];
    prop::collection::vec((0_u64..200, entries), 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_image_takes_more_than_its_first_cluster_and_4_mib_of_tables(
        bits in 9_u32..=21,
        extensions in extensions(),
        snapshots in prop_oneof![0_u32..20, 0..65_536_u32],
        bitmaps in bitmaps(),
        all_features: bool,
        allow_all: bool,
    ) {
        let mut builder = Builder::new(bits);
        if all_features {
            builder.all_features();
        }
        let place = |number: u64| (3 << 20) + (number << 14).next_multiple_of(1 << bits);
        builder
            .extensions(&extensions)
            .snapshots(6 << 20, snapshots)
            .bitmaps(2 << 20, bitmaps.into_iter().map(|(at, entries)| (place(at), entries)));
        let image = builder.build(10 << 20);
        let mut policy = Policy::default();
        if allow_all {
            policy = Code::ALL.iter().fold(policy, |policy, &code| policy.allow(code));
        }

        let found = effort(&image, &policy, 300);
        rounds(&image, &policy, 300);

        let first = FIRST.max(1 << bits);
        prop_assert!(found.asked <= first + TABLES);
        prop_assert!(found.report.findings.len() <= 512);
        let said = found.report.findings.iter().map(|finding| finding.message.len());
        prop_assert!(said.sum::<usize>() <= 256 << 10);
    }
}
