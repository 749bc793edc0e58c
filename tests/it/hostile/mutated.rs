//! Answers as they were captured, changed at random.
//!
//! `PROPTEST_CASES` says how many, and `HOSTILE_SEED` where to begin.

use std::time::{Duration, Instant};

use machine_images::testing::empty_qcow2;

use super::operations;
use crate::support::{DATE, QEMU_DISK, cases};

const MARK: &[u8] = b"\n--8<--\n";
const CASES: u32 = 30;

const NUMBERS: [&str; 8] = [
    "0",
    "1",
    "4294967296",
    "4611686018427387904",
    "9223372036854775807",
    "18446744073709551615",
    "-1",
    "",
];

/// The list of the real server, page by page.
fn pages() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/wire/full");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// An image whole, in parts, and refused, as the real server writes the heads.
fn contents() -> Vec<Vec<u8>> {
    let disk = empty_qcow2(1 << 30);
    let length = disk.len();
    let head = |status: &str, more: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status}\r\nAccept-Ranges: bytes\r\nContent-Length: {}\r\n{more}\
             Content-Type: {QEMU_DISK}\r\nLast-Modified: {DATE}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let part = |first: usize, end: usize| {
        let range = format!("Content-Range: bytes {first}-{}/{length}\r\n", end - 1);
        head("206 Partial Content", &range, &disk[first..end])
    };
    vec![
        head("200 OK", "", &disk),
        part(0, 65536),
        part(0, length),
        part(65536, length),
        part(100, 200),
        head("200 OK", "ETag: \"1\"\r\n", &disk[..70_000]),
        head("503 Service Unavailable", "Retry-After: 0\r\n", b"no"),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-qemu-disk\r\nTransfer-Encoding: chunked\
          \r\n\r\n4\r\nQFI\xfb\r\n0\r\n\r\n"
            .to_vec(),
    ]
}

/// Some answers in any order, with some changes.
fn mutated(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..random.usize(1..5) {
        let mut answer = random.choice(seeds).unwrap().clone();
        for _ in 0..random.usize(0..4) {
            change(&mut answer, random);
        }
        if !all.is_empty() {
            all.extend_from_slice(MARK);
        }
        all.extend_from_slice(&answer);
    }
    all
}

fn change(answer: &mut Vec<u8>, random: &mut fastrand::Rng) {
    // Most of the time in the head, or soon after it.
    let reach = if random.u8(..4) > 0 { 400 } else { usize::MAX };
    let at = random.usize(..=answer.len().min(reach));
    let end = (at + random.usize(..40)).min(answer.len());
    match random.u8(..6) {
        0 => answer.truncate(at),
        1 => drop(answer.drain(at..end)),
        2 => {
            let again = answer[at..end].to_vec();
            answer.splice(at..at, again);
        }
        3 => {
            if let Some(byte) = answer.get_mut(at) {
                *byte ^= 1 << random.u8(..8);
            }
        }
        4 => {
            let noise: Vec<u8> = (at..end).map(|_| random.u8(..)).collect();
            answer.splice(at..end, noise);
        }
        _ => {
            let Some(first) = answer[at..].iter().position(u8::is_ascii_digit) else {
                return;
            };
            let digits = answer[at + first..].iter();
            let count = digits.take_while(|byte| byte.is_ascii_digit()).count();
            let number = random.choice(NUMBERS).unwrap().bytes();
            answer.splice(at + first..at + first + count, number);
        }
    }
}

fn each(name: &str, seeds: &[Vec<u8>], mut body: impl FnMut(&[u8])) {
    let first = std::env::var("HOSTILE_SEED").map_or_else(
        |_| fastrand::u64(..u64::MAX / 2),
        |seed| seed.parse().unwrap(),
    );
    let cases = u64::from(cases(CASES).cases);
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    for seed in first..first + cases {
        let answers = mutated(seeds, &mut fastrand::Rng::with_seed(seed));
        let began = Instant::now();
        let body = std::panic::AssertUnwindSafe(|| body(&answers));
        if let Err(panic) = std::panic::catch_unwind(body) {
            eprintln!("{name}: HOSTILE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
        slowest = slowest.max(began.elapsed());
    }
    let elapsed = began.elapsed();
    eprintln!("{name}: {cases} cases in {elapsed:?}, the slowest {slowest:?}");
}

#[test]
fn a_list_of_changed_answers_ends() {
    each("list", &pages(), operations::list);
}

#[test]
fn a_fetch_of_changed_answers_leaves_a_whole_file_or_none() {
    let folder = tempfile::tempdir().unwrap();
    each("save", &contents(), |answers| {
        operations::save(answers, folder.path())
    });
}
