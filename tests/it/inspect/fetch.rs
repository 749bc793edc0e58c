use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use machine_images::djinn::{Client, Images};
use machine_images::jiff::Timestamp;
use machine_images::qcow2::{Code, Policy};
use machine_images::testing::{Close, DjinnServer, Fault};
use machine_images::{Digest, ErrorKind};

use super::{bad, patterned, sent, site};

/// Slow enough for several connections to have something to do.
fn slow() -> Fault {
    Fault::Trickle {
        bytes: 128 * 1024,
        every: Duration::from_millis(10),
    }
}

fn digest(image: &[u8]) -> Digest {
    Digest::of(image)
}

fn left(directory: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

/// Counts the bytes of answers, as they are received: the system takes more from the line.
fn counting(server: &DjinnServer) -> (Images, Arc<AtomicU64>) {
    let received = Arc::new(AtomicU64::new(0));
    let counter = received.clone();
    let client = Client::builder(server.url()).token(server.token());
    let client = client.on_attempt(move |attempt| {
        counter.fetch_add(attempt.received, Ordering::Relaxed);
    });
    (client.build().unwrap().images(), received)
}

#[tokio::test]
async fn a_bad_image_ends_its_one_request_within_a_mib_and_leaves_nothing() {
    let (server, _) = site();
    let (images, received) = counting(&server);
    let id = server
        .new_image("bad")
        .content(bad())
        .length(1 << 30)
        .add()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    for (connections, resume) in [(None, true), (Some(1), false), (Some(4), true)] {
        server.clear_requests();
        received.store(0, Ordering::Relaxed);
        let mut fetch = images.save(id, &path).resume(resume);
        if let Some(connections) = connections {
            fetch = fetch.connections(connections);
        }
        let error = fetch.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
        assert!(error.to_string().contains("/etc/passwd"), "{error}");
        assert_eq!(server.requests().len(), 1);
        let received = received.load(Ordering::Relaxed);
        assert!((1..1 << 20).contains(&received), "{received} bytes");
        assert_eq!(left(directory.path()).len(), 0);
    }
}

#[tokio::test]
async fn a_file_that_is_there_survives_a_bad_image() {
    let (server, images) = site();
    let id = server.add_image("bad", bad()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    std::fs::write(&path, "precious").unwrap();
    images.save(id, &path).await.unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert_eq!(left(directory.path()), ["disk.qcow2"]);
}

#[tokio::test]
async fn a_policy_lets_more_pass_and_unchecked_everything() {
    let (server, images) = site();
    let id = server.add_image("bad", bad()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let policy = Policy::default().allow(Code::BackingFile);
    images.save(id, &path).policy(policy).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bad());
    server.clear_requests();
    images.save(id, &path).unchecked().await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_good_image_takes_one_request() {
    let (server, images) = site();
    let image = patterned(1_000_000);
    let id = server.add_image("good", &image).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let saved = images.save(id, &path).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == image);
    assert_eq!(saved.fetched, 1_000_000);
    let requests = server.requests();
    assert_eq!((requests.len(), sent(&requests)), (1, 1_000_000));
}

#[tokio::test]
async fn several_connections_begin_with_the_answer_that_was_inspected() {
    let (server, images) = site();
    let image = patterned(20_000_000);
    let id = server.add_image("good", &image).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    server.inject(slow().always());
    let fetch = images.save(id, &path).connections(4).durable(false);
    let digest = digest(&image);
    let saved = fetch.sha256(digest).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == image);
    assert_eq!(saved.connections, 4);
    let requests = server.requests();
    assert_eq!(requests[0].header("range"), None);
    for request in &requests[1..] {
        let range = request.header("range").unwrap();
        assert!(!range.starts_with("bytes=0-"), "{range}");
        assert!(request.header("if-range").is_some());
    }
}

#[tokio::test]
async fn an_image_that_changes_after_its_inspection_is_inspected_again() {
    let (server, images) = site();
    let image = patterned(20_000_000);
    let id = server.add_image("good", &image).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let later = Fault::LastModified { by: 60 }.when(|r| r.header("if-range").is_some());
    server.inject(later);
    server.inject(slow().always());
    let fetch = images.save(id, &path).connections(4).durable(false);
    fetch.await.unwrap();
    assert!(std::fs::read(&path).unwrap() == image);
    let heads = server.requests();
    let heads = heads.iter().filter(|r| r.header("if-range").is_none());
    assert_eq!(heads.count(), 2);
}

/// As `qemu-img create -o cluster_size=512` made it.
#[tokio::test]
async fn an_image_that_the_inspection_has_read_takes_no_other_request() {
    let image = include_bytes!("../../data/small.qcow2");
    for connections in [1, 4] {
        let (server, images) = site();
        let id = server.add_image("small", image).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.qcow2");
        let fetch = images.save(id, &path).connections(connections);
        let saved = fetch.sha256(digest(image)).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), image);
        assert_eq!(saved.fetched, image.len() as u64);
        assert_eq!(left(directory.path()), ["disk.qcow2"]);
        assert_eq!(server.requests().len(), 1);
    }
}

/// Every answer says the same, but the one that goes to the end of the image cannot.
#[tokio::test]
async fn a_server_that_says_the_image_is_shorter_than_it_is_is_found_out() {
    for unchecked in [false, true] {
        let (server, images) = site();
        let id = server.add_image("good", patterned(20_000_000)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.qcow2");
        let shorter = Fault::RangeTotal { by: -1 };
        server.inject(shorter.when(|r| r.header("range").is_some()).always());
        server.inject(slow().always());
        let mut fetch = images.save(id, &path).connections(4).durable(false);
        if unchecked {
            fetch = fetch.unchecked();
        }
        let error = fetch.await.unwrap_err();
        let kinds = [ErrorKind::Changed, ErrorKind::Range];
        assert!(kinds.contains(&error.kind()), "{error:?}");
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn what_an_unchecked_fetch_left_is_not_finished() {
    let (server, images) = site();
    let id = server
        .new_image("bad")
        .content(bad())
        .length(20_000_000)
        .add()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let cut = Fault::CutResponse {
        after: 5_000_000,
        close: Close::Clean,
    };
    server.inject(cut.on("GET", "/images/1"));
    server.inject(Fault::status(404).on("GET", "/images/1").always());
    let fetch = images.save(id, &path).unchecked();
    fetch.await.unwrap_err();
    assert_eq!(left(directory.path()).len(), 2);
    server.clear_faults();
    server.clear_requests();

    let (images, received) = counting(&server);
    let error = images.save(id, &path).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
    assert!(received.load(Ordering::Relaxed) < 1 << 20);
    assert_eq!(left(directory.path()).len(), 0);
}

/// An image with one internal snapshot, whose table lies far behind the header.
fn with_snapshot() -> Vec<u8> {
    let mut image = patterned(2_000_000);
    let table = 1_900_544_usize;
    image[60..64].copy_from_slice(&1_u32.to_be_bytes());
    image[64..72].copy_from_slice(&(table as u64).to_be_bytes());
    image[table..table + 1000].fill(0);
    image
}

/// What lies behind the header of an image takes a request of its own.
#[tokio::test]
async fn tables_elsewhere_take_one_small_request_more() {
    let (server, images) = site();
    let image = with_snapshot();
    let id = server.add_image("snapshots", &image).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let policy = Policy::default().allow(Code::InternalSnapshots);
    images.save(id, &path).policy(policy).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == image);
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].header("if-range").is_some());
    assert!(requests[1].body_sent <= 16 << 10);
}

/// The table is asked for while the image comes, and answered with another image.
#[tokio::test]
async fn a_server_that_shows_one_table_and_sends_another_is_found_out() {
    let (server, images) = site();
    // Of one time, as they are to be taken for one version.
    let add = |name, image: Vec<u8>| {
        let image = server.new_image(name).content(image);
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        image.created_at(time).add().unwrap()
    };
    let good = add("good", with_snapshot());
    let mut image = with_snapshot();
    image[1_900_544..].fill(0xff);
    let bad = add("bad", image);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let location = format!("/api/images/{good}");
    let elsewhere = Fault::Redirect {
        status: 307,
        location,
    };
    let elsewhere = elsewhere.on("GET", format!("/images/{bad}"));
    server.inject(elsewhere.when(|r| r.header("range").is_some()).always());
    let policy = Policy::default().allow(Code::InternalSnapshots);
    let error = images.save(bad, &path).policy(policy).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
    assert!(error.inspection().unwrap().has(Code::SnapshotTable));
    assert_eq!(server.requests().len(), 3);
    assert_eq!(left(directory.path()).len(), 0);
}
