//! Any state of a file that is being fetched: with checks that hold, damaged, or without.

#![no_main]
#![allow(dead_code, unexpected_cfgs)]

#[path = "../../src/spans.rs"]
mod spans;
#[path = "../../src/file/state.rs"]
mod state;

use std::fs::{self, File};
use std::io;
use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use state::State;
use tempfile::NamedTempFile;

const SLOT: usize = 64 * 1024;

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
        Damage::Unchecked => text.into_bytes(),
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
    let Some(mut found) = resume() else { return };
    let (subject, done) = (found.subject().clone(), found.done().clone());
    let missing = done.gaps(subject.length);
    assert!(done.end() <= subject.length);
    let count: u64 = missing.iter().map(|(start, end)| end - start).sum();
    assert_eq!(count + done.total(), subject.length);
    // Whoever resumes and does nothing loses nothing.
    found.written(done.clone()).expect("a place to write");
    let again = resume().expect("the state that was written");
    assert!(again.subject() == &subject && again.done() == &done);
});

fn resume() -> Option<State> {
    let file = File::options().read(true).write(true).open(FILE.path());
    let none = || Err(io::ErrorKind::Other.into());
    State::resume(file.expect("the file"), Box::new(none)).expect("a readable file")
}

/// Two slots with what no random text has: a check of the record.
fn checked(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, line) in text.lines().take(2).enumerate() {
        bytes.resize(number * SLOT, 0);
        let digest = Sha256::digest(line);
        let check: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        bytes.extend(format!("{line} {check}\n").bytes());
    }
    bytes
}
