//! Long images, and lengths that only a server can think of.
#![allow(clippy::print_stdout, reason = "the numbers are worth knowing")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use machine_images::Report;
use machine_images::testing::{DjinnServer, Fault};
use reqwest::Method;

use super::raw::{KIND, Raw};
use super::{CONNECTIONS, Child, MIB, client, quick};

fn roomy() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

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
