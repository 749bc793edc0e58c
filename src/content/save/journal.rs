//! The journal of a transfer, from which another process can resume it.
//!
//! A text that is only ever appended to. Its first line is a JSON object that says what is being
//! fetched. `w START END` says that these bytes were given to the system, `s` that all bytes said
//! so far are on the disk, and `b ID` names the run of the machine in which the following lines are
//! written. After a crash of the process every `w` counts, as the system still has the bytes; after
//! one of the machine only those before the last `s` do. Every line ends with a check of itself and
//! all lines before. One that was cut or damaged is passed over with all that follows.
//!
//! A journal that has become long is written anew beside, with no more than its result, and
//! renamed.

use std::fs::File;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::spans::Spans;

/// No journal of a transfer that makes sense is larger.
const MAX_JOURNAL: u64 = 64 * 1024 * 1024;

/// The image and version that a transfer is of. Only the same may be resumed.
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

/// The bytes appended before it is written anew, or its length at that time if that is more.
const LONG: u64 = 256 * 1024;

pub(super) struct Journal {
    file: File,
    check: Check,
    head: String,
    boot: String,
    /// The result of its lines.
    written: Spans,
    synced: Spans,
    length: u64,
    /// The length from which on it is worth writing anew.
    long: u64,
}

impl Journal {
    /// Begins a journal in an empty file.
    pub(super) fn begin(file: File, subject: &Subject) -> io::Result<Self> {
        let head = Head {
            journal: VERSION,
            subject: subject.clone(),
        };
        let mut journal = Self {
            file,
            check: Check::default(),
            head: serde_json::to_string(&head)?,
            boot: boot(),
            written: Spans::default(),
            synced: Spans::default(),
            length: 0,
            long: LONG,
        };
        let first = journal.beginning();
        journal.put(&first)?;
        Ok(journal)
    }

    /// Reads a journal and goes on with it, if it makes sense.
    pub(super) fn resume(mut file: File) -> io::Result<Option<(Self, Subject, Spans)>> {
        let mut text = Vec::new();
        Read::by_ref(&mut file)
            .take(MAX_JOURNAL)
            .read_to_end(&mut text)?;
        let boot = boot();
        let Some(found) = read(&text, &boot) else {
            return Ok(None);
        };
        // What comes after a cut line must not be joined to it.
        file.set_len(found.valid as u64)?;
        let mut journal = Self {
            file,
            check: found.check,
            head: found.head,
            boot,
            written: found.done.clone(),
            synced: found.synced,
            length: found.valid as u64,
            long: LONG,
        };
        let running = format!("b {}", journal.boot);
        journal.line(&running)?;
        Ok(Some((journal, found.subject, found.done)))
    }

    /// Says that these bytes were given to the system.
    pub(super) fn wrote(&mut self, start: u64, end: u64) -> io::Result<()> {
        self.written.add(start, end);
        self.line(&format!("w {start} {end}"))
    }

    /// Says that all bytes said so far are on the disk.
    pub(super) fn synced(&mut self) -> io::Result<()> {
        self.line("s")?;
        self.file.sync_data()?;
        self.synced = self.written.clone();
        Ok(())
    }

    pub(super) fn is_long(&self) -> bool {
        self.length > self.long
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Writes all that counts to an empty file, whole before it is renamed.
    pub(super) fn write_anew(&mut self, mut file: File, durable: bool) -> io::Result<()> {
        self.check = Check::default();
        let mut text = self.beginning();
        let mut say = |line: &str| text += &self.check.sealed(line);
        for (start, end) in self.synced.iter() {
            say(&format!("w {start} {end}"));
        }
        say("s");
        for (start, end) in self.written.iter() {
            say(&format!("w {start} {end}"));
        }
        file.write_all(text.as_bytes())?;
        if durable {
            file.sync_data()?;
        }
        self.file = file;
        self.length = text.len() as u64;
        self.long = LONG.max(2 * self.length);
        Ok(())
    }

    fn beginning(&mut self) -> String {
        let running = format!("b {}", self.boot);
        self.check.sealed(&self.head) + &self.check.sealed(&running)
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let line = self.check.sealed(line);
        self.put(&line)
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        self.length += text.len() as u64;
        // One write, so that a signal cannot cut it.
        self.file.write_all(text.as_bytes())
    }
}

/// Tells whether a line, and all before it, are as they were written.
#[derive(Clone, Default)]
struct Check(Sha256);

impl Check {
    fn add(&mut self, line: &[u8]) -> String {
        self.0.update(line);
        self.0.update(b"\n");
        let digest = self.0.clone().finalize();
        digest.iter().take(4).map(|b| format!("{b:02x}")).collect()
    }

    /// A line with its check.
    fn sealed(&mut self, line: &str) -> String {
        let check = self.add(line.as_bytes());
        format!("{line} {check}\n")
    }

    /// Takes the check off a line, if it holds.
    fn strip<'a>(&mut self, line: &'a [u8]) -> Option<&'a str> {
        let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        let (line, check) = line.rsplit_once(' ')?;
        (self.add(line.as_bytes()) == check).then_some(line)
    }
}

/// The content of a journal.
struct Reading {
    head: String,
    subject: Subject,
    done: Spans,
    /// The part of it that is on the disk.
    synced: Spans,
    /// The length of the text that could be read, and its check.
    valid: usize,
    check: Check,
}

fn read(text: &[u8], boot: &str) -> Option<Reading> {
    let mut check = Check::default();
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    let first = lines.next()?;
    let text = check.strip(first)?;
    let head: Head = serde_json::from_str(text).ok()?;
    if head.journal != VERSION {
        return None;
    }
    let length = head.subject.length;
    let (mut written, mut synced) = (Spans::default(), Spans::default());
    let mut running = "";
    let mut valid = first.len();
    for line in lines {
        let mut next = check.clone();
        match next.strip(line).and_then(|line| entry(line, length)) {
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
        check = next;
    }
    let same = running == boot && boot != UNKNOWN;
    Some(Reading {
        head: text.to_owned(),
        subject: head.subject,
        done: if same { written } else { synced.clone() },
        synced,
        valid,
        check,
    })
}

enum Entry<'a> {
    Wrote(u64, u64),
    Synced,
    Boot(&'a str),
}

fn entry(line: &str, length: u64) -> Option<Entry<'_>> {
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

/// The name of all runs of the machine if they cannot be told apart: only what is on the disk counts.
const UNKNOWN: &str = "-";

/// Names this run of the machine.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() { UNKNOWN } else { id }.to_owned()
}

#[cfg(test)]
mod tests;
