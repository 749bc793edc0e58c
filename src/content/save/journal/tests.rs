use std::path::Path;

use super::super::sys;
use super::*;
use proptest::prelude::*;

const HEAD: &str = r#"{"journal":1,"url":"http://h/1","length":100,"validator":"v"}"#;

/// These lines with their checks; the last as it stands.
fn text(head: &str, lines: &str) -> Vec<u8> {
    let mut check = Check::default();
    let mut text = String::new();
    let (whole, last) = lines.rsplit_once('\n').unwrap_or(("", lines));
    for line in [head, "b 1"].into_iter().chain(whole.lines()) {
        text += &format!("{line} {}\n", check.add(line.as_bytes()));
    }
    (text + last).into_bytes()
}

fn done(lines: &str, boot: &str) -> Option<Vec<(u64, u64)>> {
    let found = read(&text(HEAD, lines), boot)?;
    Some(found.done.iter().collect())
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
    assert!(read(&text(HEAD, ""), "1").is_some());
    let newer = HEAD.replace("\"journal\":1", "\"journal\":2");
    assert!(read(&text(&newer, ""), "1").is_none());
}

proptest! {
    #[test]
    fn damage_never_adds_anything(
        spans in prop::collection::vec((0_u64..90, 1_u64..10), 1..8),
        at in 0_usize..400,
        cut in 0_usize..40,
        put in prop::collection::vec(prop::sample::select(b"0123456789 wsb\n\0".to_vec()), 0..12),
    ) {
        let lines: String = spans.iter().map(|(start, n)| format!("w {start} {}\n", start + n)).collect();
        let mut damaged = text(HEAD, &lines);
        let whole = read(&damaged, "1").unwrap();
        let at = at.min(damaged.len());
        let end = (at + cut).min(damaged.len());
        damaged.splice(at..end, put);
        if let Some(found) = read(&damaged, "1") {
            prop_assert_eq!(found.subject, whole.subject);
            let mut both = whole.done.clone();
            for (start, end) in found.done.iter() {
                both.add(start, end);
            }
            prop_assert_eq!(both, whole.done);
        }
    }
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

/// Reads what a file has, as after a crash of the process or of the machine.
fn read_back(path: &Path, boot: &str) -> (Vec<(u64, u64)>, usize) {
    let text = std::fs::read(path).unwrap();
    let found = read(&text, boot).unwrap();
    assert_eq!(found.valid, text.len());
    (found.done.iter().collect(), text.len())
}

#[test]
fn a_journal_that_is_written_anew_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let create = |name: &str| sys::create(&path(name), sys::Access::Append, sys::PRIVATE).unwrap();
    let subject = Subject {
        url: "http://h/1".into(),
        length: 1 << 40,
        validator: "v".into(),
    };
    let mut journal = Journal::begin(create("old"), &subject).unwrap();
    for number in 0..20_000 {
        // Two ranges that grow, and the first of them is on the disk up to the middle.
        let start = number / 2 * 10 + ((number % 2) << 30);
        journal.wrote(start, start + 10).unwrap();
        if number == 10_000 {
            journal.synced().unwrap();
        }
    }
    assert!(journal.is_long());
    let boot = journal.boot.clone();
    let both = [
        read_back(&path("old"), &boot),
        read_back(&path("old"), "other"),
    ];
    journal.write_anew(create("new"), true).unwrap();
    assert!(!journal.is_long());
    for (boot, (said, length)) in [boot.as_str(), "other"].into_iter().zip(both) {
        let (done, short) = read_back(&path("new"), boot);
        assert_eq!(done, said);
        assert!(short < 1000 && length > LONG as usize);
    }
    // And goes on from there, once and again.
    journal.wrote(1 << 35, 1 << 36).unwrap();
    journal.write_anew(create("newer"), false).unwrap();
    journal.wrote(1 << 36, 1 << 37).unwrap();
    let (done, _) = read_back(&path("newer"), &boot);
    assert_eq!(done.last(), Some(&(1 << 35, 1 << 37)));
    assert_eq!(done.len(), 3);
}
