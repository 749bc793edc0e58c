//! Every code by a header of its own, without any tool.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Code, Inspection, Inspector, Policy, Report, Verdict, inspect};

const CLUSTER: u64 = 64 << 10;
const EXTENSIONS: usize = 104;

/// Changes to the good image: offset and bytes.
type Patches<'a> = &'a [(usize, &'a [u8])];

/// A good image of version 3: header, refcount table, a spare cluster, L1 table.
fn good() -> Vec<u8> {
    let mut image = vec![0; 4 * CLUSTER as usize];
    patch(
        &mut image,
        &[
            (0, b"QFI\xfb\0\0\0\x03"),
            (20, &[0, 0, 0, 16]),
            (24, &(1_u64 << 30).to_be_bytes()),
            (36, &[0, 0, 0, 2]),
            (40, &(3 * CLUSTER).to_be_bytes()),
            (48, &CLUSTER.to_be_bytes()),
            (56, &[0, 0, 0, 1]),
            (96, &[0, 0, 0, 4, 0, 0, 0, 104]),
        ],
    );
    image
}

fn patch(image: &mut [u8], patches: Patches<'_>) {
    for (at, bytes) in patches {
        image[*at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn inspected(image: &[u8], policy: Policy) -> Report {
    let mut inspector = Inspector::new(policy).total(image.len() as u64);
    loop {
        match inspector.step() {
            Inspection::Done(report) => return report,
            Inspection::NeedMore(range) => {
                inspector.feed(
                    range.start,
                    &image[range.start as usize..range.end as usize],
                );
            }
        }
    }
}

fn extension(kind: u32, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).to_be_bytes();
    [kind.to_be_bytes().as_slice(), &length, data].concat()
}

#[test]
fn a_good_image_has_no_finding() {
    let report = inspected(&good(), Policy::default());
    assert_eq!(report.findings, []);
    let header = report.header.unwrap();
    assert_eq!((header.version, header.virtual_size), (3, 1 << 30));
    assert_eq!(
        (header.l1_table.offset, header.l1_table.length),
        (3 * CLUSTER, 16)
    );
    assert_eq!((header.refcount_bits, header.cluster_size), (16, CLUSTER));
}

#[test]
fn each_fault_is_found_by_its_code_and_place() {
    let data_file = extension(0x4441_5441, b"data.raw");
    // Up to the end of the first cluster, and not a byte more.
    let unknown = extension(0x1234_5678, &[0; CLUSTER as usize - 112]);
    let luks = extension(
        0x0537_BE77,
        &[0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 80],
    );
    let many = extension(0x1234_5678, b"").repeat(129);
    let long_format = extension(0xE279_2ACA, &[b'x'; 16]);
    let bitmap_fields = [
        0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 2, 0, 0,
    ];
    let bitmaps = extension(0x2385_2875, &bitmap_fields);
    let snapshot: (usize, &[u8]) = (60, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0]);
    let cases: &[(Code, u64, Patches<'_>)] = &[
        (Code::NotQcow2, 0, &[(0, b"KDMV")]),
        (Code::AmbiguousFormat, 64, &[(64, b"\x7f\x10\xda\xbe")]),
        (Code::UnsupportedVersion, 4, &[(4, &[0, 0, 0, 4])]),
        (Code::ClusterBits, 20, &[(23, &[22])]),
        (Code::ClusterBits, 20, &[(23, &[8])]),
        (Code::HeaderLength, 100, &[(103, &[96])]),
        (Code::HeaderLength, 100, &[(103, &[108])]),
        (Code::HeaderLength, 100, &[(101, &[1, 0, 8])]),
        (
            Code::BackingFile,
            8,
            &[(14, &[2, 0, 0, 0, 0, 11]), (512, b"/etc/passwd")],
        ),
        (Code::NameOutOfBounds, 8, &[(14, &[2, 0, 0, 0, 4, 0])]),
        (Code::NameOutOfBounds, 8, &[(13, &[1, 0, 0, 0, 0, 0, 1])]),
        (Code::DataFile, 72, &[(79, &[4])]),
        (Code::DataFile, 88, &[(95, &[2])]),
        (Code::UnknownFeature, 72, &[(79, &[32])]),
        (Code::UnknownFeature, 72, &[(72, &[128])]),
        (Code::CompressionType, 104, &[(79, &[8])]),
        (Code::CompressionType, 104, &[(103, &[112, 1])]),
        (Code::CompressionType, 104, &[(79, &[8]), (103, &[112, 2])]),
        (Code::SubclusterSize, 72, &[(79, &[16]), (23, &[13])]),
        (Code::RefcountBits, 96, &[(99, &[7])]),
        (Code::EncryptionMethod, 32, &[(35, &[3])]),
        (Code::EncryptionHeader, 32, &[(35, &[2])]),
        (Code::EncryptionHeader, 104, &[(EXTENSIONS, &luks)]),
        (
            Code::EncryptionHeader,
            2 * CLUSTER,
            &[(35, &[2]), (EXTENSIONS, &luks)],
        ),
        (
            Code::HeaderExtension,
            104,
            &[(EXTENSIONS, &[1, 2, 3, 4, 0, 0, 0xff, 0x91])],
        ),
        (Code::HeaderExtension, 104, &[(EXTENSIONS, &long_format)]),
        (Code::TooManyExtensions, 1128, &[(EXTENSIONS, &many)]),
        (Code::RefcountTable, 56, &[(59, &[0])]),
        (Code::RefcountTable, 48, &[(55, &[1])]),
        (Code::RefcountTable, 48, &[(58, &[1])]),
        (Code::RefcountTable, 48, &[(53, &[0])]),
        (Code::L1Table, 40, &[(40, &[128])]),
        (Code::L1Table, 40, &[(36, &[0, 64, 0, 1])]),
        (Code::SnapshotTable, 64, &[(71, &[1])]),
        (
            Code::SnapshotTable,
            2 * CLUSTER,
            &[snapshot, (0x2_0026, &[4, 1])],
        ),
        (
            Code::BitmapDirectory,
            2 * CLUSTER,
            &[(95, &[1]), (EXTENSIONS, &bitmaps)],
        ),
        (Code::VirtualSize, 24, &[(28, &[64, 0, 0, 1])]),
        (Code::VirtualSize, 24, &[(24, &[255])]),
        (Code::VirtualSizeLimit, 24, &[(28, &[64, 0, 0, 0])]),
        (Code::Truncated, 40, &[(45, &[4])]),
        (Code::Encrypted, 32, &[(35, &[1])]),
        (Code::InternalSnapshots, 60, &[snapshot]),
        (Code::Dirty, 72, &[(79, &[1])]),
        (Code::Corrupt, 72, &[(79, &[2])]),
        (Code::Version2, 4, &[(7, &[2]), (72, &[0; 40])]),
        (Code::UnusedDataFile, 104, &[(EXTENSIONS, &data_file)]),
        (Code::StaleBitmaps, 104, &[(EXTENSIONS, &bitmaps)]),
        (
            Code::Bitmaps,
            2 * CLUSTER,
            &[(95, &[1]), (EXTENSIONS, &bitmaps)],
        ),
        (Code::UnknownOptionalFeature, 80, &[(87, &[2])]),
        (Code::UnknownOptionalFeature, 88, &[(95, &[4])]),
        (Code::UnknownExtension, 104, &[(EXTENSIONS, &unknown)]),
    ];
    let mut found = BTreeSet::from([
        Code::TableUnread,
        Code::TablesTooLarge,
        // Only the reader of the disk looks at these.
        Code::L1Entry,
        Code::L2Entry,
        Code::CompressedCluster,
    ]);
    for (code, offset, patches) in cases {
        let mut image = good();
        patch(&mut image, patches);
        let report = inspected(&image, Policy::default().max_virtual_size((1 << 30) - 1));
        let is_it = |finding: &&super::Finding| finding.code == *code && finding.offset == *offset;
        let finding = report.findings.iter().find(is_it);
        let finding = finding.unwrap_or_else(|| panic!("{code} of {patches:?}: {report:?}"));
        assert_eq!(finding.severity, code.default_severity());
        found.insert(*code);
    }
    // Found on the guest's disk, where other tests look for them.
    found.extend([
        Code::InnerImage,
        Code::Contents,
        Code::L1Entry,
        Code::L2Entry,
        Code::CompressedCluster,
    ]);
    let without_a_case: Vec<_> = Code::ALL
        .iter()
        .filter(|code| !found.contains(code))
        .collect();
    assert!(without_a_case.is_empty(), "{without_a_case:?}");
}

#[test]
fn a_fault_that_is_allowed_is_still_noted() {
    let mut image = good();
    patch(&mut image, &[(79, &[32])]);
    let report = inspected(&image, Policy::default().allow(Code::UnknownFeature));
    assert!(report.has(Code::UnknownFeature) && report.verdict() == Verdict::Accept);
}

#[test]
fn unknown_features_are_named_by_the_images_own_table() {
    let mut image = good();
    let mut names = vec![0; 96];
    patch(
        &mut names,
        &[(0, b"\0\x07time travel"), (48, b"\x01\x07another set")],
    );
    patch(
        &mut image,
        &[(79, &[128]), (EXTENSIONS, &extension(0x6803_F857, &names))],
    );
    let report = inspected(&image, Policy::default());
    let [feature] = report.header.unwrap().features.unknown.try_into().unwrap();
    assert_eq!(
        (feature.bit, feature.name.as_deref()),
        (7, Some("time travel"))
    );
    assert!(report.findings[0].message.contains("time travel"));
}

#[test]
fn names_are_escaped_in_sentences() {
    let mut image = good();
    patch(
        &mut image,
        &[(14, &[2, 0, 0, 0, 0, 4]), (512, b"a\n\x1b\xff")],
    );
    let report = inspected(&image, Policy::default());
    assert_eq!(
        report.header.unwrap().backing_file.unwrap(),
        "a\n\x1b\u{fffd}"
    );
    assert!(report.findings[0].message.contains(r#""a\n\u{1b}"#));
}

#[test]
fn every_prefix_leads_to_the_same_verdict_or_asks_for_more_of_the_first_cluster() {
    let image = good();
    for length in 0..200 {
        match inspect(&image[..length], None, &Policy::default()) {
            Inspection::Done(report) => assert_eq!(report.findings, [], "{length}"),
            Inspection::NeedMore(range) => {
                assert!(range.start == length as u64 && (1..=CLUSTER).contains(&range.end));
            }
        }
        let Inspection::Done(report) =
            inspect(&image[..length], Some(length as u64), &Policy::default())
        else {
            panic!("asks for more than {length} bytes, which are all");
        };
        assert_eq!(report.verdict(), Verdict::Reject, "{length}");
    }
}

#[test]
fn the_names_of_codes_are_those_of_the_json() {
    for code in Code::ALL {
        assert_eq!(
            serde_json::to_string(code).unwrap(),
            format!("{:?}", code.as_str())
        );
    }
}

#[test]
fn it_needs_no_other_module_and_does_no_io() {
    const OTHERS: [&str; 14] = [
        "crate::",
        "std::env",
        "std::fs",
        "std::io",
        "std::net",
        "std::path",
        "std::process",
        "std::thread",
        "std::time",
        "async ",
        "futures::",
        "reqwest",
        "tokio",
        "tracing",
    ];
    // The one thing on the front page that is defined elsewhere.
    const ELSEWHERE: &str = "pub use crate::inspect::inspect_file;";
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = vec![src.join("qcow2.rs"), src.join("qcow2")];
    let mut count = 0;
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs::read_dir(path).unwrap().map(|file| file.unwrap().path()));
            continue;
        }
        if path.ends_with("tests.rs") {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).unwrap();
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap()
            .lines();
        for line in code.filter(|line| !line.trim_start().starts_with("//")) {
            if line == ELSEWHERE && path == src.join("qcow2.rs") {
                continue;
            }
            let other = OTHERS.iter().find(|other| line.contains(**other));
            assert_eq!(other, None, "{}: {line}", path.display());
        }
    }
    assert!(count > 15, "{count} files");
}
