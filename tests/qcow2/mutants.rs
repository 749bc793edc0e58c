//! Headers with something wrong in them: no panic, and no less strict than QEMU.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::{env, thread};

use machine_images::qcow2::{self, Code, Inspection, Inspector, Policy, Report, Severity, Verdict};

use crate::{corpus, qemu};

pub(crate) const MUTANTS: u64 = 100_000;
/// Of so many accepted mutants one goes to `qemu-img`, which takes 7 ms. With
/// `MACHINE_IMAGES_ALL_MUTANTS=1` each does: what is missed can be nowhere else.
const ACCEPTED: u64 = 20;
/// And of so many rejected ones, to count what is rejected beyond that.
const REJECTED: u64 = 50;

/// Width and offset of every field of the header.
pub(crate) const FIELDS: [(u64, usize); 20] = [
    (0, 4),
    (4, 4),
    (8, 8),
    (16, 4),
    (20, 4),
    (24, 8),
    (32, 4),
    (36, 4),
    (40, 8),
    (48, 8),
    (56, 4),
    (60, 4),
    (64, 8),
    (72, 8),
    (80, 8),
    (88, 8),
    (96, 4),
    (100, 4),
    (104, 1),
    (105, 7),
];
const EXTENSIONS: [u32; 7] = [
    0,
    0xE279_2ACA,
    0x6803_F857,
    0x2385_2875,
    0x0537_BE77,
    0x4441_5441,
    0x1234_5678,
];

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

/// What to change in an image of the corpus.
pub(crate) struct Mutant {
    pub(crate) image: usize,
    pub(crate) patches: Vec<(u64, Vec<u8>)>,
    length: u64,
}

impl Mutant {
    /// The mutant of this number, always the same.
    pub(crate) fn of(number: u64, images: &[Vec<u8>]) -> Self {
        let mut random = Random(number);
        let image = random.below(images.len() as u64) as usize;
        let bytes = &images[image];
        let mut mutant = Self {
            image,
            patches: Vec::new(),
            length: bytes.len() as u64,
        };
        match random.below(20) {
            0..13 => {
                for _ in 0..=random.below(3) {
                    let (at, width) = random.of(&FIELDS);
                    let value = field(&mut random, bytes, at, width);
                    mutant
                        .patches
                        .push((at, value.to_be_bytes()[8 - width..].to_vec()));
                }
            }
            13..17 => mutant.patches.push(extension(&mut random, bytes)),
            17..19 => {
                for _ in 0..=random.below(8) {
                    let at = random.below(512.min(bytes.len() as u64));
                    mutant.patches.push((at, vec![random.next() as u8]));
                }
            }
            _ => mutant.length = random.below(bytes.len() as u64),
        }
        mutant
            .patches
            .retain(|(at, patch)| at + patch.len() as u64 <= mutant.length);
        mutant
    }

    pub(crate) fn applied(&self, images: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = images[self.image][..self.length as usize].to_vec();
        for (at, patch) in &self.patches {
            bytes[*at as usize..][..patch.len()].copy_from_slice(patch);
        }
        bytes
    }
}

/// A value that a field may take wrongly: a small number, a power of two or its neighbour, the
/// right one a little off, or that of another field.
pub(crate) fn field(random: &mut Random, bytes: &[u8], at: u64, width: usize) -> u64 {
    let right = number(bytes, at, width);
    let cluster = 1_u64
        .checked_shl(number(bytes, 20, 4) as u32)
        .unwrap_or(512);
    match random.below(7) {
        0 => random.below(12),
        1 => (1_u64 << random.below(64)).wrapping_sub(random.below(3)),
        2 => right.wrapping_add(random.below(5)).wrapping_sub(2),
        3 => cluster.wrapping_mul(random.below(40)),
        4 => right ^ 1 << random.below(width as u64 * 8),
        5 => {
            let (at, width) = random.of(&FIELDS);
            number(bytes, at, width)
        }
        _ => u64::MAX << random.below(64),
    }
}

pub(crate) fn number(bytes: &[u8], at: u64, width: usize) -> u64 {
    let field = &bytes[at as usize..][..width];
    field
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// An extension with some sense in it, in the place of a real one.
fn extension(random: &mut Random, bytes: &[u8]) -> (u64, Vec<u8>) {
    let start = if number(bytes, 4, 4) == 3 {
        number(bytes, 100, 4)
    } else {
        72
    };
    let mut places = vec![start];
    let mut at = start;
    while at + 8 < 512 && number(bytes, at, 4) != 0 {
        at += 8 + number(bytes, at + 4, 4).next_multiple_of(8);
        places.push(at);
    }
    let at = random.of(&places).min(400);
    let right = (number(bytes, at, 4) as u32, number(bytes, at + 4, 4) as u32);
    let kind = if random.below(3) == 0 {
        right.0
    } else {
        random.of(&EXTENSIONS)
    };
    let length = match random.below(4) {
        0 => right.1,
        1 => random.of(&[16, 24]),
        2 => random.below(64) as u32,
        _ => 1 << random.below(32),
    };
    let mut patch = [kind.to_be_bytes(), length.to_be_bytes()].concat();
    for _ in 0..random.below(7) {
        let value = match random.below(3) {
            0 => random.below(4),
            1 => random.below(20) << 16,
            _ => random.next() >> random.below(64),
        };
        patch.extend(value.to_be_bytes());
    }
    (at, patch)
}

/// Inspects bytes as a file is inspected.
pub(crate) fn inspect(bytes: &[u8]) -> Report {
    let mut inspector = Inspector::new(Policy::default()).total(bytes.len() as u64);
    loop {
        match inspector.step() {
            Inspection::Done(report) => return report,
            Inspection::NeedMore(range) => {
                assert!(
                    !range.is_empty() && range.end <= bytes.len() as u64,
                    "{range:?}"
                );
                inspector.feed(
                    range.start,
                    &bytes[range.start as usize..range.end as usize],
                );
            }
        }
    }
}

/// The images to mutate: those with a header longer than any field, and not too large.
pub(crate) fn originals() -> Option<Vec<Vec<u8>>> {
    let images = corpus::qcow2()?.into_iter().map(|(_, bytes)| bytes);
    Some(images.filter(|bytes| bytes.len() < 4 << 20).collect())
}

/// Does the work for every number, on all processors.
pub(crate) fn for_each<T: Send>(numbers: &[u64], work: impl Fn(&[u64]) -> Vec<T> + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get());
    thread::scope(|scope| {
        let shares = numbers.chunks(numbers.len().div_ceil(threads));
        let workers: Vec<_> = shares.map(|share| scope.spawn(|| work(share))).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    })
}

#[test]
fn no_mutant_makes_the_inspection_panic_or_go_on_for_ever() {
    let Some(images) = originals() else { return };
    let numbers: Vec<_> = (0..MUTANTS).collect();
    let verdicts = for_each(&numbers, |numbers| {
        let mutants = numbers
            .iter()
            .map(|&number| Mutant::of(number, &images).applied(&images));
        mutants.map(|mutant| inspect(&mutant).verdict()).collect()
    });
    let rejected = verdicts
        .iter()
        .filter(|&&verdict| verdict == Verdict::Reject)
        .count();
    eprintln!("{} mutants, {rejected} rejected", verdicts.len());
    assert_eq!(verdicts.len() as u64, MUTANTS);
    // Both verdicts must be frequent for the comparisons to mean something.
    assert!((20_000..80_000).contains(&rejected));
}

/// What the default policy rejects though `qemu-img info` opens it: what reaches for other files,
/// what the format forbids, and what QEMU reads as zeros since the file has ended.
const STRICTER: [Code; 10] = [
    Code::BackingFile,
    Code::DataFile,
    Code::Truncated,
    // Not a multiple of 8.
    Code::HeaderLength,
    // A LUKS header longer than the file.
    Code::EncryptionHeader,
    // The external data file's, which QEMU takes at any length.
    Code::NameOutOfBounds,
    // A feature name table with more names than features.
    Code::TooManyExtensions,
    // On top of the header.
    Code::L1Table,
    Code::RefcountTable,
    Code::SnapshotTable,
];

#[test]
fn whatever_qemu_img_info_refuses_is_rejected() {
    let Some(images) = originals() else { return };
    let all = env::var_os("MACHINE_IMAGES_ALL_MUTANTS").is_some();
    let numbers: Vec<_> = (0..MUTANTS).collect();
    let compared = for_each(&numbers, |numbers| {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = directory.path().join("mutant");
        let compare = |&number: &u64| {
            let mutant = Mutant::of(number, &images).applied(&images);
            let report = inspect(&mutant);
            let one_of = match report.verdict() {
                Verdict::Accept if all => 1,
                Verdict::Accept => ACCEPTED,
                Verdict::Reject => REJECTED,
            };
            (number % one_of == 0).then(|| {
                write(&path, &mutant);
                (number, qemu::opens(&path), report)
            })
        };
        numbers.iter().filter_map(compare).collect()
    });

    let count = |verdict, opens| {
        let alike = |(_, opened, report): &&(u64, bool, Report)| {
            report.verdict() == verdict && *opened == opens
        };
        compared.iter().filter(alike).count()
    };
    let (accepted, missed) = (count(Verdict::Accept, true), count(Verdict::Accept, false));
    let (stricter, refused) = (count(Verdict::Reject, true), count(Verdict::Reject, false));
    eprintln!("accepted: qemu-img info opens {accepted}, refuses {missed}");
    eprintln!("rejected: qemu-img info opens {stricter}, refuses {refused}");
    assert!(accepted > 1000 && refused > 1000);

    let mut reasons = BTreeMap::<Code, usize>::new();
    for (number, opened, report) in &compared {
        if *opened == (report.verdict() == Verdict::Accept) {
            continue;
        }
        assert!(*opened, "qemu-img info refuses mutant {number}: {report:?}");
        for finding in report.rejections() {
            assert!(
                STRICTER.contains(&finding.code),
                "mutant {number} opens: {report:?}"
            );
            *reasons.entry(finding.code).or_default() += 1;
        }
    }
    eprintln!("rejected though qemu-img info opens them for {reasons:?}");
}

/// Sparse, for most of an image is zeros.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    let file = File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (number, block) in bytes.chunks(4096).enumerate() {
        if block.iter().any(|&byte| byte != 0) {
            file.write_all_at(block, number as u64 * 4096).unwrap();
        }
    }
}

#[test]
fn what_the_first_64_kib_say_the_whole_image_says() {
    let Some(images) = originals() else { return };
    let policy = Policy::default();
    for number in 0..MUTANTS / 10 {
        let mutant = Mutant::of(number, &images).applied(&images);
        let (whole, total) = (inspect(&mutant), mutant.len() as u64);
        let prefix = &mutant[..mutant.len().min(64 << 10)];
        for total in [None, Some(total)] {
            match qcow2::inspect(prefix, total, &policy) {
                Inspection::NeedMore(range) => assert!(range.end <= 2 << 20, "{number}"),
                Inspection::Done(report) if report.verdict() == Verdict::Reject => {
                    assert_eq!(whole.verdict(), Verdict::Reject, "{number}");
                }
                // Only what it could not see may be worse.
                Inspection::Done(report) => assert!(
                    total.is_none()
                        || report.has(Code::TableUnread)
                        || whole.verdict() == Verdict::Accept,
                    "{number}"
                ),
            }
        }
    }
}

#[test]
fn a_finding_has_a_sentence_without_the_images_control_characters() {
    let Some(images) = originals() else { return };
    for number in 0..2_000 {
        for finding in inspect(&Mutant::of(number, &images).applied(&images)).findings {
            assert!(finding.message.len() > 10 && finding.severity >= Severity::Note);
            assert!(
                !finding.message.chars().any(char::is_control),
                "{:?}",
                finding.message
            );
        }
    }
}
