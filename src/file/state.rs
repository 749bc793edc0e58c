//! The state of a file that is being fetched, so that another process can continue.
//!
//! A small file with two slots. A record is one line of JSON with a check of itself, and is written
//! to the slots in turn, so that a record that is cut leaves the one before. (Renaming a new file
//! over the old one would do the same; ext4 writes that one to the disk each time, which makes a
//! fetch take several times as long.) `written` are the bytes that were given to the system,
//! `synced` those that are on the disk, and `boot` names the run of the machine: after a crash of
//! the process the system still has all that was written, after one of the machine only what was
//! synced.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::spans::Spans;

/// The length of a slot. A span takes 41 bytes at most.
const SLOT: usize = 64 * 1024;
const MAX_SPANS: usize = 512;

const VERSION: u32 = 1;

/// The content that is being fetched. Only the same may be continued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Subject {
    pub(crate) url: String,
    pub(crate) length: u64,
    pub(crate) validator: String,
    /// The size of the guest's disk, if that is what is made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    state: u32,
    /// Counts the records, so that the later of two is known.
    number: u64,
    #[serde(flatten)]
    subject: Subject,
    boot: String,
    written: Spans,
    synced: Spans,
}

/// Makes the state file.
type Create = Box<dyn Fn() -> io::Result<File> + Send>;

/// The state of one transfer.
pub(crate) struct State {
    /// Made for the first record.
    file: Option<File>,
    create: Create,
    record: Record,
}

impl State {
    pub(crate) fn begin(subject: Subject, create: Create) -> Self {
        let record = Record {
            state: VERSION,
            number: 0,
            subject,
            boot: BOOT.clone(),
            written: Spans::default(),
            synced: Spans::default(),
        };
        Self {
            file: None,
            create,
            record,
        }
    }

    /// Reads the state of an earlier process, if it makes sense.
    pub(crate) fn resume(mut file: File, create: Create) -> io::Result<Option<Self>> {
        let mut text = Vec::new();
        Read::by_ref(&mut file)
            .take(2 * SLOT as u64)
            .read_to_end(&mut text)?;
        Ok(read(&text, &BOOT).map(|record| Self {
            file: Some(file),
            create,
            record,
        }))
    }

    pub(crate) fn subject(&self) -> &Subject {
        &self.record.subject
    }

    /// Returns what can be continued.
    pub(crate) fn done(&self) -> &Spans {
        &self.record.written
    }

    /// Records that these bytes were given to the system.
    pub(crate) fn written(&mut self, mut done: Spans) -> io::Result<()> {
        done.keep_longest(MAX_SPANS);
        self.record.written = done;
        self.record.number += 1;
        let line = sealed(&self.record)?;
        if line.len() > SLOT {
            // No URL is that long.
            return Ok(());
        }
        let mut file = match &self.file {
            Some(file) => file,
            None => self.file.insert((self.create)()?),
        };
        let slot = self.record.number % 2 * SLOT as u64;
        file.seek(SeekFrom::Start(slot))?;
        // One write, so that a signal cannot cut it.
        file.write_all(line.as_bytes())
    }

    /// Records that these bytes are on the disk.
    pub(crate) fn synced(&mut self, mut done: Spans) -> io::Result<()> {
        done.keep_longest(MAX_SPANS / 2);
        self.record.synced = done;
        self.written(self.record.written.clone())?;
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}

/// A record as a line with its check.
fn sealed(record: &Record) -> io::Result<String> {
    let text = serde_json::to_string(record)?;
    let check = check(text.as_bytes());
    Ok(format!("{text} {check}\n"))
}

fn check(text: &[u8]) -> String {
    let digest = Sha256::digest(text);
    digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// Returns the latest record that is whole, with no more as `written` than is there.
fn read(text: &[u8], boot: &str) -> Option<Record> {
    let (first, second) = text.split_at(text.len().min(SLOT));
    let records = [first, second].into_iter().filter_map(slot);
    let mut latest = records.max_by_key(|record| record.number)?;
    if latest.boot != boot || boot == UNKNOWN {
        latest.written = latest.synced.clone();
        latest.boot = boot.to_owned();
    }
    Some(latest)
}

fn slot(text: &[u8]) -> Option<Record> {
    let line = text.split(|&byte| byte == b'\n').next()?;
    let (text, found) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
    if check(text.as_bytes()) != found {
        return None;
    }
    let record: Record = serde_json::from_str(text).ok()?;
    let length = record.subject.length;
    let makes_sense = record.written.is_within(length) && record.synced.is_within(length);
    (record.state == VERSION && makes_sense).then_some(record)
}

/// The name of all runs of the machine where they cannot be told apart: only what is on the disk
/// counts.
const UNKNOWN: &str = "-";

/// The name of this run of the machine.
static BOOT: LazyLock<String> = LazyLock::new(|| {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() { UNKNOWN } else { id }.to_owned()
});

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans(ranges: &[(u64, u64)]) -> Spans {
        let mut spans = Spans::default();
        for &(start, end) in ranges {
            spans.add(start, end);
        }
        spans
    }

    /// A file after these steps: bytes that were written, and `true` if they were synced as well.
    fn file(steps: &[(Spans, bool)]) -> File {
        let subject = Subject {
            url: "http://h/1".into(),
            length: 1000,
            validator: "\"é\"".into(),
            disk: None,
        };
        let file = tempfile::tempfile().unwrap();
        let copy = file.try_clone().unwrap();
        let mut state = State::begin(subject, Box::new(move || copy.try_clone()));
        for (done, is_synced) in steps {
            state.written(done.clone()).unwrap();
            if *is_synced {
                state.synced(done.clone()).unwrap();
            }
        }
        file
    }

    fn bytes(mut file: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn done(text: &[u8], boot: &str) -> Option<Spans> {
        read(text, boot).map(|record| record.written)
    }

    #[test]
    fn a_crash_of_the_machine_leaves_what_was_synced() {
        let (first, second) = (spans(&[(0, 10)]), spans(&[(0, 20), (50, 60)]));
        let text = bytes(&file(&[(first.clone(), true), (second.clone(), false)]));
        assert_eq!(done(&text, &BOOT), Some(second.clone()));
        assert_eq!(done(&text, "another"), Some(first));
        let text = bytes(&file(&[(second, false)]));
        assert_eq!(done(&text, "another"), Some(Spans::default()));
        assert_eq!(done(&text, UNKNOWN), Some(Spans::default()));
    }

    #[test]
    fn a_record_that_was_cut_leaves_the_one_before() {
        let (first, second) = (spans(&[(0, 10)]), spans(&[(0, 20)]));
        let text = bytes(&file(&[(first.clone(), false), (second, false)]));
        // The second is in the first slot.
        for cut in 0..100 {
            let mut text = text.clone();
            text[cut] = 0;
            assert_eq!(done(&text, &BOOT), Some(first.clone()));
        }
        assert_eq!(done(&text[..10], &BOOT), None);
        assert_eq!(done(b"", &BOOT), None);
    }

    #[test]
    fn a_state_is_continued_and_as_small_however_many_ranges_there_are() {
        let file = file(&[(spans(&[(0, 10)]), true)]);
        for number in 0..3 {
            let mut open = file.try_clone().unwrap();
            open.rewind().unwrap();
            let none = || Err(io::ErrorKind::Other.into());
            let mut state = State::resume(open, Box::new(none)).unwrap().unwrap();
            assert_eq!(state.subject().url, "http://h/1");
            state.written(spans(&[(number, 500 + number)])).unwrap();
            assert_eq!(done(&bytes(&file), &BOOT).unwrap().total(), 500);
        }
        let mut many = Spans::default();
        for number in 0..10_000 {
            many.add(number << 48, (number << 48) + 1 + number);
        }
        many.keep_longest(MAX_SPANS);
        assert_eq!(many.iter().count(), MAX_SPANS);
        assert!(serde_json::to_string(&many).unwrap().len() < SLOT / 2);
    }

    proptest! {
        #[test]
        fn damage_never_adds_anything(
            ranges in prop::collection::vec((0_u64..900, 1_u64..100, any::<bool>()), 1..5),
            (second, at) in (any::<bool>(), 0_usize..400),
            cut in 0_usize..40,
            put in prop::collection::vec(prop::sample::select(b"0123456789[]{},\"ws \n\0".to_vec()), 0..12),
        ) {
            let mut all = Spans::default();
            let steps: Vec<_> = ranges.iter().map(|&(start, length, is_synced)| {
                all.add(start, start + length);
                (all.clone(), is_synced)
            }).collect();
            let mut damaged = bytes(&file(&steps));
            let at = (at + if second { SLOT } else { 0 }).min(damaged.len());
            let end = (at + cut).min(damaged.len());
            damaged.splice(at..end, put);
            for boot in [BOOT.as_str(), "another"] {
                if let Some(found) = read(&damaged, boot) {
                    prop_assert_eq!(found.subject.length, 1000);
                    for (start, end) in found.written.iter() {
                        prop_assert!(all.contains(start, end));
                    }
                }
            }
        }
    }
}
