//! Any journal of a file that is being fetched: with checks that hold, damaged, or without.

#![no_main]
#![allow(dead_code)]

#[path = "../../src/content/save/journal.rs"]
mod journal;
#[path = "../../src/content/save/spans.rs"]
mod spans;

use std::fs::{self, File};
use std::path::Path;
use std::sync::LazyLock;

use journal::{Journal, Subject};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use spans::Spans;
use tempfile::NamedTempFile;

static FILE: LazyLock<NamedTempFile> =
    LazyLock::new(|| NamedTempFile::new().expect("a temporary file"));
static BOOT: LazyLock<String> =
    LazyLock::new(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default());

#[derive(Arbitrary, Debug)]
enum Damage {
    None,
    Unchecked,
    Cut(u16),
    Flipped(u16, u8),
}

fuzz_target!(|input: (Damage, &str)| {
    let (damage, text) = input;
    let text = text.replace('@', BOOT.trim());
    let mut bytes = match damage {
        Damage::Unchecked => text.clone().into_bytes(),
        _ => checked(&text),
    };
    match damage {
        Damage::None | Damage::Unchecked => {}
        Damage::Cut(at) => bytes.truncate(at.into()),
        Damage::Flipped(at, bits) => {
            if let Some(byte) = bytes.get_mut(usize::from(at)) {
                *byte ^= bits;
            }
        }
    }
    fs::write(FILE.path(), bytes).expect("a place to write");
    let Some((subject, done)) = resume(FILE.path()) else {
        return;
    };
    let length = subject.length;
    let missing = done.gaps(length);
    assert!(done.end() <= length);
    let count: u64 = missing.iter().map(|(start, end)| end - start).sum();
    assert_eq!(count + done.total(), length);
    // Done is nothing that no line says.
    let unsaid = said(&text, length).gaps(length);
    for (start, end) in unsaid {
        let within = |gap: &(u64, u64)| gap.0 <= start && end <= gap.1;
        assert!(missing.iter().any(within), "{start} {end}: {done:?}");
    }
    // Whoever resumes and does nothing loses nothing.
    assert!(resume(FILE.path()) == Some((subject, done)));
});

fn resume(path: &Path) -> Option<(Subject, Spans)> {
    let file = File::options().read(true).append(true).open(path);
    let found = Journal::resume(file.expect("the file")).expect("a readable file");
    found.map(|(_, subject, done)| (subject, done))
}

/// What no random text has: a check after every line.
fn checked(text: &str) -> Vec<u8> {
    let mut hasher = Sha256::new();
    let mut whole = String::new();
    for line in text.lines() {
        hasher.update(line);
        hasher.update(b"\n");
        let digest = hasher.clone().finalize();
        whole.push_str(line);
        whole.push(' ');
        whole.extend(digest.iter().take(4).map(|byte| format!("{byte:02x}")));
        whole.push('\n');
    }
    whole.into_bytes()
}

/// All that the lines call written, whether it holds or not.
fn said(text: &str, length: u64) -> Spans {
    let mut spans = Spans::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() == Some("w") {
            let mut number = || words.next().and_then(|word| word.parse().ok());
            if let (Some(start), Some(end)) = (number(), number()) {
                spans.add(start, length.min(end));
            }
        }
    }
    spans
}
