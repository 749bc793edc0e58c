//! What is done of a file that is being fetched, so that another process can go on.
//!
//! A text that is only ever appended to. Its first line is a JSON object that says what is being
//! fetched. `w START END` says that these bytes were given to the system, `s` that all bytes said
//! so far are on the disk, and `b ID` names the run of the machine in which the following lines are
//! written. After a crash of the process every `w` counts, as the system still has the bytes; after
//! one of the machine only those before the last `s` do. A line that was cut is passed over with
//! all that follows.

use std::fs::File;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::spans::Spans;

/// No journal of a transfer that makes sense is larger.
const MAX_JOURNAL: u64 = 64 * 1024 * 1024;

/// What is being fetched. Only the same may be continued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Subject {
    pub(super) url: String,
    pub(super) length: u64,
    pub(super) validator: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    journal: u32,
    #[serde(flatten)]
    subject: Subject,
}

const VERSION: u32 = 1;

pub(super) struct Journal(File);

impl Journal {
    /// Begins a journal in an empty file.
    pub(super) fn begin(mut file: File, subject: &Subject) -> io::Result<Self> {
        let head = Head {
            journal: VERSION,
            subject: subject.clone(),
        };
        let head = serde_json::to_string(&head)?;
        file.write_all(format!("{head}\nb {}\n", boot()).as_bytes())?;
        Ok(Self(file))
    }

    /// Reads a journal and goes on with it, if it makes sense.
    pub(super) fn resume(mut file: File) -> io::Result<Option<(Self, Subject, Spans)>> {
        let mut text = Vec::new();
        Read::by_ref(&mut file)
            .take(MAX_JOURNAL)
            .read_to_end(&mut text)?;
        let boot = boot();
        let Some((subject, done, valid)) = read(&text, &boot) else {
            return Ok(None);
        };
        // What comes after a cut line must not be joined to it.
        file.set_len(valid as u64)?;
        file.write_all(format!("b {boot}\n").as_bytes())?;
        Ok(Some((Self(file), subject, done)))
    }

    /// Says that these bytes were given to the system.
    pub(super) fn wrote(&mut self, start: u64, end: u64) -> io::Result<()> {
        // One write, so that a signal cannot cut it.
        self.0.write_all(format!("w {start} {end}\n").as_bytes())
    }

    /// Says that all bytes said so far are on the disk.
    pub(super) fn synced(&mut self) -> io::Result<()> {
        self.0.write_all(b"s\n")?;
        self.0.sync_data()
    }
}

/// The subject, what is done, and how much of the text could be read.
fn read(text: &[u8], boot: &str) -> Option<(Subject, Spans, usize)> {
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    let first = lines.next()?.strip_suffix(b"\n")?;
    let head: Head = serde_json::from_slice(first).ok()?;
    if head.journal != VERSION {
        return None;
    }
    let length = head.subject.length;
    let (mut written, mut synced) = (Spans::default(), Spans::default());
    let mut running = "";
    let mut valid = first.len() + 1;
    for line in lines {
        match entry(line, length) {
            Some(Entry::Wrote(start, end)) => written.add(start, end),
            Some(Entry::Synced) => synced = written.clone(),
            Some(Entry::Boot(id)) => {
                if id != running || id == UNKNOWN {
                    written = synced.clone();
                }
                running = id;
            }
            None => break,
        }
        valid += line.len();
    }
    let same = running == boot && boot != UNKNOWN;
    Some((head.subject, if same { written } else { synced }, valid))
}

enum Entry<'a> {
    Wrote(u64, u64),
    Synced,
    Boot(&'a str),
}

fn entry(line: &[u8], length: u64) -> Option<Entry<'_>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    if line == "s" {
        return Some(Entry::Synced);
    }
    if let Some(id) = line.strip_prefix("b ") {
        return Some(Entry::Boot(id));
    }
    let (start, end) = line.strip_prefix("w ")?.split_once(' ')?;
    let (start, end) = (start.parse().ok()?, end.parse().ok()?);
    (start < end && end <= length).then_some(Entry::Wrote(start, end))
}

/// Where runs of the machine cannot be told apart, only what is on the disk counts.
const UNKNOWN: &str = "-";

/// Names this run of the machine.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() { UNKNOWN } else { id }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"journal":1,"url":"http://h/1","length":100,"validator":"v"}"#;

    fn done(lines: &str, boot: &str) -> Option<Vec<(u64, u64)>> {
        let (_, done, _) = read(format!("{HEAD}\nb 1\n{lines}").as_bytes(), boot)?;
        Some(done.iter().collect())
    }

    #[test]
    fn after_a_crash_of_the_process_all_that_was_written_counts() {
        let lines = "w 0 10\ns\nw 10 20\nw 50 60\n";
        assert_eq!(done(lines, "1"), Some(vec![(0, 20), (50, 60)]));
    }

    #[test]
    fn after_a_crash_of_the_machine_only_what_was_synced_counts() {
        let lines = "w 0 10\ns\nw 10 20\nw 50 60\n";
        assert_eq!(done(lines, "2"), Some(vec![(0, 10)]));
        assert_eq!(done("w 0 10\n", "2"), Some(vec![]));
        assert_eq!(done("w 0 10\nb 2\nw 10 20\n", "2"), Some(vec![(10, 20)]));
        assert_eq!(done("w 0 10\nb -\n", "-"), Some(vec![]));
    }

    #[test]
    fn a_cut_or_damaged_line_ends_it() {
        for lines in [
            "w 0 10\nw 10 2",
            "w 0 10\nw 10 200\nw 10 20\n",
            "w 0 10\n\0\0\0\0",
            "w 0 10\nw 30 20\n",
            "w 0 10\nx\nw 10 20\n",
        ] {
            assert_eq!(done(lines, "1"), Some(vec![(0, 10)]), "{lines:?}");
        }
    }

    #[test]
    fn another_head_is_no_journal() {
        assert!(read(b"", "1").is_none());
        assert!(read(HEAD.as_bytes(), "1").is_none());
        let newer = HEAD.replace("\"journal\":1", "\"journal\":2") + "\n";
        assert!(read(newer.as_bytes(), "1").is_none());
    }

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        let open = || {
            let mut options = File::options();
            options
                .read(true)
                .append(true)
                .create(true)
                .open(&path)
                .unwrap()
        };
        let subject = Subject {
            url: "http://h/1".into(),
            length: 100,
            validator: "\"é\"".into(),
        };
        let mut journal = Journal::begin(open(), &subject).unwrap();
        journal.wrote(0, 40).unwrap();
        journal.wrote(60, 100).unwrap();
        journal.synced().unwrap();
        drop(journal);
        for _ in 0..2 {
            let (_, read, done) = Journal::resume(open()).unwrap().unwrap();
            assert_eq!(read, subject);
            assert_eq!(done.iter().collect::<Vec<_>>(), [(0, 40), (60, 100)]);
        }
    }
}
