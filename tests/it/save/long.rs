//! Long images, and lengths that only a server can think of.
#![allow(clippy::print_stdout, reason = "the numbers are worth knowing")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use machine_images::Progress;
use machine_images::testing::{DjinnServer, Fault};

use super::raw::{KIND, Raw};
use super::{CONNECTIONS, Child, MIB, Setup, client, quick};

/// A file system that takes files of any length, if there is one.
fn roomy() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// The first bytes of an image that is said to be so long, and no more.
#[cfg(unix)]
fn answer(length: u64, head: &str, number: usize) -> Vec<u8> {
    const FIRST: usize = 65_536;
    let head = match (number, head.contains("range: ")) {
        (0, true) => format!(
            "206 Partial Content\r\nContent-Range: bytes 0-{}/{length}\r\nContent-Length: {FIRST}",
            FIRST - 1
        ),
        (0, false) => format!("200 OK\r\nContent-Length: {length}"),
        _ => return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    };
    let head = format!("HTTP/1.1 {head}\r\nContent-Type: {KIND}\r\nETag: \"1\"\r\n\r\n");
    [head.as_bytes(), &[7; FIRST]].concat()
}

#[cfg(unix)]
#[tokio::test]
async fn a_length_of_the_servers_choice_takes_no_memory_and_ends_in_an_error() {
    let lengths = [1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX];
    for length in lengths {
        for connections in CONNECTIONS {
            for directory in [roomy(), tempfile::tempdir().unwrap()] {
                let server = Raw::start(move |head, number| answer(length, head, number));
                let target = directory.path().join("disk");
                let child = Child::limited(3_000_000, &server.url(), &target);
                let outcome = child.connections(connections).outcome().await;
                let kind = outcome.split(' ').next().unwrap();
                println!("{length} bytes, {connections} connections: {outcome}");
                // What no file can have, or else what the server says next.
                let is_refused = kind == "io" && outcome.contains(&length.to_string());
                assert!(is_refused || kind == "unknown_route", "{outcome}");
                assert!(!target.exists());
            }
        }
    }
}

#[tokio::test]
async fn what_is_remembered_of_a_long_fetch_is_bounded_and_all_of_it_counts() {
    const SEVERAL: usize = 256;
    const LENGTH: u64 = (SEVERAL * 4 * MIB) as u64;
    const FETCHED: u64 = 48 * MIB as u64;
    const BOUND: u64 = MIB as u64 / 2;
    let server = DjinnServer::start().unwrap();
    server
        .new_image("long")
        .content(b"QFI\xfb")
        .length(LENGTH)
        .add()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("disk");
    let images = client(&server, quick()).images();
    let fetch = |report: fn(Progress)| {
        let request = images
            .save(1, target.clone())
            .unchecked()
            .connections(SEVERAL);
        request.durable(false).progress(report).send()
    };
    // In small pieces, as on a slow line.
    let small = Fault::Trickle {
        bytes: 512,
        every: Duration::from_millis(20),
    };
    server.inject(small.on("GET", "/images/1").always());
    let sent = || -> u64 { server.requests().iter().map(|r| r.body_sent).sum() };
    let first = tokio::spawn(fetch(|_| ()));
    let mut largest = 0;
    while sent() < FETCHED {
        assert!(!first.is_finished());
        for entry in std::fs::read_dir(directory.path()).unwrap().flatten() {
            // Whatever it is that is kept besides the bytes.
            if entry.file_name() != "disk.part" {
                largest = largest.max(entry.metadata().map_or(0, |found| found.len()));
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let before = sent();
    static RESUMED: AtomicU64 = AtomicU64::new(0);
    let second = tokio::spawn(fetch(|report| {
        RESUMED.store(report.resumed, Ordering::SeqCst)
    }));
    while RESUMED.load(Ordering::SeqCst) == 0 {
        assert!(!second.is_finished());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    second.abort();
    let lost = before.saturating_sub(RESUMED.load(Ordering::SeqCst));
    println!("{largest} bytes at most, {lost} bytes of {before} lost");
    assert!(largest < BOUND, "{largest}");
    // What is on the line counts as sent.
    assert!(lost < 32 * MIB as u64, "{lost}");
}

/// A crash may come when what is remembered is being written anew.
#[cfg(unix)]
#[tokio::test]
async fn what_was_begun_beside_is_removed_and_what_was_whole_counts() {
    let setup = Setup::new();
    for beside in ["", "w 0 1000 and then"] {
        setup.leave_half(1).await;
        std::fs::write(setup.directory.path().join("disk.qcow2.part.new"), beside).unwrap();
        let saved = setup.save(1, setup.target()).await.unwrap();
        assert!(saved.resumed_from > 0);
        setup.assert_saved();
        std::fs::remove_file(setup.target()).unwrap();
    }
}
