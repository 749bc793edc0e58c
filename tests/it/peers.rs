//! What went wrong in comparable clients, each with the test that shows it does not here.
//!
//! | theme | tests |
//! |---|---|
//! | a total timeout kills healthy transfers | [`a_transfer_that_moves_outlives_every_timeout`]; `save::broken::a_stall_is_gone_around_by_a_retry`, `djinn::sources::an_upload_that_stands_still_is_given_up`; `rate` for trickles |
//! | "error decoding response body" | `djinn::errors::no_body_hides_the_status`, and `Html` in the fault tables |
//! | an interrupted download leaves a file that looks whole | [`an_interrupted_fetch_leaves_no_file_and_goes_on`]; 416 to a resumption in the fault tables |
//! | 200 for 206, or another start, spliced into the file | `IgnoreRange` and `RangeStart` in the fault tables, `djinn::ranges` |
//! | a retried upload sends a partial body, or 0 bytes are a success | `djinn::sources`, `early_answer`, [`an_upload_that_connects_late_is_whole`] |
//! | the image is buffered in memory | [`an_upload_is_read_no_faster_than_it_is_taken`], [`contents_come_no_faster_than_they_are_read`] |
//! | the last page links to itself, empty pages, duplicates | `djinn::links`, `end_to_end::list` |
//! | the token goes elsewhere, or into a log | `origin`, `canary` |
//! | fixed polling burns the rate limit | [`a_wait_asks_ever_less_often`] |
//! | TLS forced on users, crate count | [`tls_is_a_choice_and_the_crates_are_few`]; every set of features in `.ci/run` |
//! | sparseness lost | [`zeros_become_holes`] |
//! | connections not reused | [`a_connection_serves_again_after_errors`] |
//! | no progress, no cancel | `djinn::sources`, `djinn::contents` for progress; [`a_dropped_fetch_stops_and_leaves_no_file`], [`a_dropped_upload_stops_and_leaves_no_image`] |

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use machine_images::djinn::{Client, ClientBuilder, Source};
use machine_images::testing::{Close, DjinnServer, Fault};
use machine_images::{ErrorKind, RetryPolicy};

const DISK: &[u8] = include_bytes!("../data/disk.qcow2");
const MIB: usize = 1 << 20;

fn builder(server: &DjinnServer) -> ClientBuilder<Client> {
    Client::builder(server.url()).token(server.token())
}

#[tokio::test]
async fn a_transfer_that_moves_outlives_every_timeout() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    server.inject(Fault::Trickle {
        bytes: DISK.len() / 20,
        every: Duration::from_millis(100),
    });
    let timeout = Duration::from_millis(800);
    let client = builder(&server)
        .connect_timeout(timeout)
        .response_timeout(timeout)
        .stall_timeout(timeout)
        .retry(RetryPolicy::none().total(timeout));
    let began = Instant::now();
    let content = client.build().unwrap().images().content(id).send().await;
    assert_eq!(content.unwrap().bytes().await.unwrap(), DISK);
    assert!(began.elapsed() > 2 * timeout);
}

#[tokio::test]
async fn an_interrupted_fetch_leaves_no_file_and_goes_on() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    let images = builder(&server)
        .retry(RetryPolicy::none())
        .build()
        .unwrap()
        .images();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    for close in [Close::Clean, Close::Reset] {
        let after = 60_000;
        server.inject(Fault::CutResponse { after, close });
        let error = images.save(id, &path).unchecked().await.unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::Transport | ErrorKind::Length
        ));
        assert!(!path.exists());
    }
    let saved = images.save(id, &path).unchecked().await.unwrap();
    assert!(saved.resumed_from > 0);
    assert_eq!(saved.resumed_from + saved.fetched, DISK.len() as u64);
    assert_eq!(std::fs::read(&path).unwrap(), DISK);
}

#[tokio::test]
async fn an_upload_that_connects_late_is_whole() {
    // The port is known, and nobody is there yet.
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let late = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(300));
        DjinnServer::builder().bind(address).start().unwrap()
    });
    let policy = RetryPolicy::default()
        .retries(200)
        .max_delay(Duration::from_millis(20));
    let client = Client::builder(format!("http://{address}/api"))
        .token("866913559a626dc4522c6aa7b1554861")
        .retry(policy);
    let images = client.build().unwrap().images();
    let created = images.create_upload("disk", DISK).send().await.unwrap();
    let server = late.await.unwrap();
    assert_eq!(server.content(created.id).unwrap(), DISK);
    assert_eq!(server.image_count(), 1);
}

#[tokio::test]
async fn an_upload_is_read_no_faster_than_it_is_taken() {
    const LENGTH: usize = 64 * MIB;
    let server = DjinnServer::start().unwrap();
    server.inject(Fault::StallRequest {
        after: 1000,
        wait: Duration::from_millis(800),
    });
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    let mut head = DISK.to_vec();
    head.resize(MIB, 0);
    let zeros = Bytes::from(vec![0; MIB]);
    let rest = std::iter::repeat_n(zeros, LENGTH / MIB - 1);
    let chunks = stream::iter(std::iter::once(Bytes::from(head)).chain(rest)).map(move |chunk| {
        count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        io::Result::Ok(chunk)
    });
    let images = builder(&server).build().unwrap().images();
    let source = Source::stream(chunks, Some(LENGTH as u64));
    let upload = tokio::spawn(images.create_upload("large", source).send());
    tokio::time::sleep(Duration::from_millis(600)).await;
    let early = taken.load(Ordering::Relaxed);
    assert!(
        early > 0 && early < 24 * MIB as u64,
        "{early} bytes were read"
    );
    let created = upload.await.unwrap().unwrap();
    assert_eq!(server.content(created.id).unwrap().len(), LENGTH);
}

#[tokio::test]
async fn contents_come_no_faster_than_they_are_read() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("large", vec![1; 64 * MIB]).unwrap();
    let images = builder(&server).build().unwrap().images();
    let mut content = images.content(id).send().await.unwrap();
    let mut read = content.chunk().await.unwrap().unwrap().len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = server.requests()[0].body_sent;
    assert!(sent < 24 * MIB as u64, "{sent} bytes were sent");
    while let Some(chunk) = content.chunk().await.unwrap() {
        read += chunk.len();
    }
    assert_eq!(read, 64 * MIB);
}

#[tokio::test]
async fn a_wait_asks_ever_less_often() {
    let server = DjinnServer::builder();
    let server = server
        .download_delay(Duration::from_secs(60))
        .start()
        .unwrap();
    let images = builder(&server).build().unwrap().images();
    let url = server.publish(DISK).unwrap();
    let image = images.create_download("late", url).send().await.unwrap();
    server.clear_requests();
    let wait = images.wait_downloaded(image.id);
    let error = wait
        .timeout(Duration::from_secs(3))
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    // At a fixed 0.25 s it would be 12.
    let asked = server.requests().len();
    assert!((3..=7).contains(&asked), "{asked} requests");
}

#[cfg(unix)]
#[tokio::test]
async fn zeros_become_holes() {
    use std::os::unix::fs::MetadataExt;

    let server = DjinnServer::start().unwrap();
    let mut disk = DISK.to_vec();
    disk.resize(16 * MIB, 0);
    disk.extend_from_slice(DISK);
    let id = server.add_image("sparse", &disk).unwrap();
    let images = builder(&server).build().unwrap().images();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sparse.qcow2");
    images.save(id, &path).unchecked().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), disk);
    let allocated = std::fs::metadata(&path).unwrap().blocks() * 512;
    assert!(
        allocated < 2 * MIB as u64,
        "{allocated} bytes are allocated"
    );
}

#[tokio::test]
async fn a_connection_serves_again_after_errors() {
    use crate::support::raw::{Answer, RawServer, Then};

    let answer = |head: &str, body: &str| {
        let text = format!(
            "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Answer::new(text, Then::KeepAlive)
    };
    let server = RawServer::start(vec![
        answer("404 Not Found", r#"{"message":"Not Found"}"#),
        answer("502 Bad Gateway", &"<html>".repeat(1000)),
        answer("400 Bad Request", r#"{"name":["Name already exists"]}"#),
        answer("204 No Content", ""),
        answer("200 OK", "[]"),
    ])
    .await;
    let client = Client::builder(server.url("/api")).retry(RetryPolicy::none());
    let images = client.build().unwrap().images();
    images.get(1).send().await.unwrap_err();
    images.get(1).send().await.unwrap_err();
    images.create_upload("disk", DISK).send().await.unwrap_err();
    images.delete(1).send().await.unwrap();
    images.list().page(1).send().await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_dropped_fetch_stops_and_leaves_no_file() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    server.inject(
        Fault::Trickle {
            bytes: 1000,
            every: Duration::from_millis(20),
        }
        .on("GET", format!("/images/{id}")),
    );
    let images = builder(&server).build().unwrap().images();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let fetch = images.save(id, &path).unchecked();
    let dropped = tokio::time::timeout(Duration::from_millis(400), fetch).await;
    assert!(dropped.is_err());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = server.requests()[0].body_sent;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.requests()[0].body_sent, sent);
    assert!(!path.exists());
    let saved = images.save(id, &path).unchecked().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), DISK);
    assert!(saved.resumed_from > 0, "{saved:?}");
}

#[tokio::test]
async fn a_dropped_upload_stops_and_leaves_no_image() {
    let server = DjinnServer::start().unwrap();
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    let chunks = stream::iter(DISK.chunks(1000)).then(move |chunk| {
        count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            io::Result::Ok(chunk)
        }
    });
    let images = builder(&server).build().unwrap().images();
    let source = Source::stream(chunks, Some(DISK.len() as u64));
    let upload = images.create_upload("disk", source).unchecked().send();
    let dropped = tokio::time::timeout(Duration::from_millis(400), upload).await;
    assert!(dropped.is_err());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let early = taken.load(Ordering::Relaxed);
    assert!(early > 0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(taken.load(Ordering::Relaxed), early);
    assert_eq!((server.requests().len(), server.image_count()), (1, 0));
}

#[test]
fn tls_is_a_choice_and_the_crates_are_few() {
    let tree = |features: &[&str]| -> BTreeSet<String> {
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.args([
            "tree",
            "--offline",
            "--locked",
            "-e",
            "normal",
            "--prefix",
            "none",
        ]);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(features);
        let output = cargo.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let name = |line: &str| line.split(" (").next().unwrap_or_default().to_owned();
        text.lines()
            .map(name)
            .filter(|name| !name.is_empty())
            .collect()
    };
    let has = |tree: &BTreeSet<String>, name: &str| {
        tree.iter().any(|line| line.split(' ').next() == Some(name))
    };
    let default = tree(&[]);
    assert!(
        has(&default, "reqwest") && has(&default, "rustls"),
        "{default:#?}"
    );
    assert!(default.len() <= 110, "{} crates", default.len());
    for (features, rustls, openssl) in [
        (["--no-default-features", "--features=fs"], false, false),
        (["--no-default-features", "--features=rustls"], true, false),
        (
            ["--no-default-features", "--features=native-tls"],
            false,
            true,
        ),
    ] {
        let tree = tree(&features);
        assert!(has(&tree, "reqwest"));
        assert_eq!(has(&tree, "rustls"), rustls, "{features:?}");
        assert_eq!(has(&tree, "native-tls"), openssl, "{features:?}");
    }
}
