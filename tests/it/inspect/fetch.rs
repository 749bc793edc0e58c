use std::path::Path;

use machine_images::qcow2::{Code, Policy};
use machine_images::testing::{Close, Fault};
use machine_images::{Digest, ErrorKind};

use super::{bad, patterned, sent, site};

fn digest(image: &[u8]) -> Digest {
    Digest::of(image)
}

fn left(directory: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[tokio::test]
async fn a_bad_image_is_fetched_no_further_than_64_kib_and_leaves_nothing() {
    let (server, images) = site();
    let id = server
        .new_image("bad")
        .content(bad())
        .length(1 << 30)
        .add()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    for (connections, resume) in [(1, true), (1, false), (4, true), (4, false)] {
        server.clear_requests();
        let fetch = images
            .save(id, &path)
            .connections(connections)
            .resume(resume);
        let error = fetch.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
        assert!(error.to_string().contains("/etc/passwd"), "{error}");
        let requests = server.requests();
        assert!(sent(&requests) <= 64 << 10, "{} bytes", sent(&requests));
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
async fn a_good_image_takes_one_request_more() {
    let (server, images) = site();
    let image = patterned(1_000_000);
    let id = server.add_image("good", &image).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let saved = images.save(id, &path).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == image);
    assert_eq!(saved.fetched, 1_000_000);
    let requests = server.requests();
    assert_eq!((requests.len(), sent(&requests)), (2, 1_065_536));
}

#[tokio::test]
async fn several_connections_begin_with_what_the_inspection_read() {
    let (server, images) = site();
    let image = patterned(20_000_000);
    let id = server.add_image("good", &image).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let fetch = images.save(id, &path).connections(4).durable(false);
    let digest = digest(&image);
    let saved = fetch.sha256(digest).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == image);
    assert_eq!(saved.connections, 4);
    let requests = server.requests();
    assert_eq!(requests[0].header("range"), Some("bytes=0-65535"));
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
        server.inject(Fault::RangeTotal { by: -1 }.always());
        let mut fetch = images.save(id, &path).connections(4).durable(false);
        if unchecked {
            fetch = fetch.unchecked();
        }
        let error = fetch.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Range, "{error:?}");
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

    let error = images.save(id, &path).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
    assert!(sent(&server.requests()) <= 64 << 10);
    assert_eq!(left(directory.path()).len(), 0);
}

#[tokio::test]
async fn a_server_that_shows_one_header_and_sends_another_is_found_out() {
    let (server, images) = site();
    let good = server.add_image("good", patterned(1_000_000)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    // The inspection is answered elsewhere.
    let bad = server
        .new_image("bad")
        .content(bad())
        .length(1_000_000)
        .add()
        .unwrap();
    let location = format!("/api/images/{good}");
    let elsewhere = Fault::Redirect {
        status: 307,
        location,
    };
    server.inject(elsewhere.on("GET", format!("/images/{bad}")));
    let error = images.save(bad, &path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
    assert_eq!(left(directory.path()).len(), 0);
}
