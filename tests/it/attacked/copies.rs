//! A server whose second copy of the same bytes is another one.

use std::time::Duration;

use machine_images::testing::empty_qcow2;
use machine_images::{Digest, djinn};
use tempfile::tempdir;

use crate::end_to_end::without_certificates;
use crate::support::raw::{Answer, RawServer, Received, Then};
use crate::support::{QEMU_DISK, quick};

const LENGTH: usize = 16 << 20;
/// The byte after which the first answer stands still, so that others ask for the rest as well.
const STALL: usize = 12 << 20;
/// The end of the image, which comes last.
const TAIL: usize = 4096;
/// The time that others take to begin: by then the first one stands still.
const BEGIN: Duration = Duration::from_millis(300);
/// The times of the wrong bytes and of the end: by then others have the right ones, also on a busy
/// machine.
const TIMES: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(6)];

/// The first answer goes on with bytes of its own when the right ones have been written and hashed.
fn answer(request: &Received, image: &[u8]) -> Answer {
    let head = format!("Content-Type: {QEMU_DISK}\r\nETag: \"1\"\r\n");
    let Some(range) = request.header("range") else {
        let head = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {LENGTH}\r\n\r\n");
        let others = vec![0xee; LENGTH - STALL];
        let bytes = [head.as_bytes(), &image[..STALL], &others].concat();
        return Answer::new(bytes, Then::Later(TIMES[0], others.len()));
    };
    let (start, last) = range["bytes=".len()..].split_once('-').unwrap();
    let start: usize = start.parse().unwrap();
    let end = last.parse().map_or(LENGTH, |last: usize| last + 1);
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\n{head}Content-Length: {}\r\n\
         Content-Range: bytes {start}-{}/{LENGTH}\r\n\r\n",
        end - start,
        end - 1
    );
    let bytes = [head.as_bytes(), &image[start..end]].concat();
    let then = match end == LENGTH {
        true => Then::Later(TIMES[1], TAIL.min(end - start)),
        false => Then::KeepAlive,
    };
    Answer::new(bytes, then)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_hashed_is_not_written_over() {
    let mut image = empty_qcow2(1 << 30);
    image.resize(LENGTH, 7);
    let served = image.clone();
    let server = RawServer::answering(move |request| answer(request, &served)).await;
    let client = djinn::Client::builder(server.url(""))
        .retry(quick())
        .reqwest_builder(|| {
            std::thread::sleep(BEGIN);
            without_certificates()
        });
    let directory = tempdir().unwrap();
    let target = directory.path().join("image");
    let images = client.build().unwrap().images();
    let save = images.save(1, &target).connections(5);
    let saved = save.sha256(Digest::of(&image)).await.unwrap();
    assert!(std::fs::read(&target).unwrap() == image);
    assert!(saved.fetched > LENGTH as u64, "nothing came twice");
}
