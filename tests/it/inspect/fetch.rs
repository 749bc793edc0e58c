use std::path::Path;

use machine_images::ErrorKind;
use machine_images::qcow2::{Code, Policy};
use machine_images::testing::{Close, Fault};
use reqwest::Method;

use super::{bad, patterned, sent, site};

fn left(directory: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[tokio::test]
async fn a_bad_image_is_fetched_no_further_than_64_kib_and_leaves_nothing() {
    let (server, images) = site();
    let id = server.add_sparse_image("bad", bad(), 1 << 30).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    for (connections, resume) in [(1, true), (1, false), (4, true), (4, false)] {
        server.clear_requests();
        let fetch = images.content(id).connections(connections).resume(resume);
        let error = fetch.save_to(&path).await.unwrap_err();
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
    images.content(id).save_to(&path).await.unwrap_err();
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
    images
        .content(id)
        .policy(policy)
        .save_to(&path)
        .await
        .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bad());
    server.clear_requests();
    images.content(id).unchecked().save_to(&path).await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_good_image_takes_one_request_more() {
    let (server, images) = site();
    let image = patterned(1_000_000);
    let id = server.add_image("good", &image).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let saved = images.content(id).save_to(&path).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == image);
    assert_eq!(saved.fetched, 1_000_000);
    let requests = server.requests();
    assert_eq!((requests.len(), sent(&requests)), (2, 1_065_536));
}

#[tokio::test]
async fn what_an_unchecked_fetch_left_is_not_finished() {
    let (server, images) = site();
    let id = server.add_sparse_image("bad", bad(), 20_000_000).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let cut = Fault::CutResponse {
        after: 5_000_000,
        close: Close::Clean,
    };
    server.inject(cut.on(Method::GET, "/images/1"));
    server.inject(Fault::status(404).on(Method::GET, "/images/1").always());
    let fetch = images.content(id).unchecked().save_to(&path);
    fetch.await.unwrap_err();
    assert_eq!(left(directory.path()).len(), 2);
    server.clear_faults();
    server.clear_requests();

    let error = images.content(id).save_to(&path).await.unwrap_err();

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
    let bad = server.add_sparse_image("bad", bad(), 1_000_000).unwrap();
    let location = format!("/api/images/{good}");
    let elsewhere = Fault::Redirect {
        status: 307,
        location,
    };
    server.inject(elsewhere.on(Method::GET, format!("/images/{bad}")));
    let error = images.content(bad).save_to(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
    assert_eq!(left(directory.path()).len(), 0);
}
