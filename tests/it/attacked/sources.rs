//! Files that are not what they were, or never end.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use futures::stream;
use machine_images::djinn::{Client, Images, Source};
use machine_images::testing::{DjinnServer, Fault, empty_qcow2};
use machine_images::{ClientBuilder, ErrorKind, RetryPolicy};

fn builder(server: &DjinnServer) -> ClientBuilder<Client> {
    Client::builder(server.url()).token(server.token())
}

fn site() -> (DjinnServer, Images) {
    let server = DjinnServer::start().unwrap();
    let images = builder(&server).build().unwrap().images();
    (server, images)
}

#[tokio::test]
async fn a_fifo_is_no_source_and_hangs_nothing() {
    let (server, images) = site();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    for unchecked in [false, true] {
        let mut upload = images.create_upload("x", path.clone());
        if unchecked {
            upload = upload.unchecked();
        }
        let sent = tokio::time::timeout(Duration::from_secs(3), upload.send());
        let error = sent.await.expect("an end").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{error:?}");
    }
    assert_eq!(server.requests(), []);
}

/// What was inspected is what is sent, though another file has taken its name by then.
#[tokio::test]
async fn what_is_sent_is_what_was_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.qcow2");
    let good = empty_qcow2(1 << 30);
    let mut bad = good.clone();
    // A backing file of eleven letters right behind the header.
    bad[8..20].copy_from_slice(&[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 11]);
    bad[256..267].copy_from_slice(b"/etc/passwd");
    let server = DjinnServer::start().unwrap();
    std::fs::write(&path, &good).unwrap();
    // Nobody is there at first, so that the file would be opened again.
    server.restart(Duration::from_millis(700));
    let policy = RetryPolicy::default().first_delay(Duration::from_millis(200));
    let images = builder(&server).retry(policy).build().unwrap().images();
    let upload = tokio::spawn(images.create_upload("x", path.clone()).send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let other = folder.path().join("other");
    std::fs::write(&other, &bad).unwrap();
    std::fs::rename(&other, &path).unwrap();
    let image = upload.await.unwrap().unwrap();
    assert!(
        server.content(image.id).unwrap() == good,
        "another file was sent"
    );
}

#[tokio::test]
async fn a_source_that_has_more_than_it_said_is_an_error_even_if_it_said_nothing() {
    let (server, images) = site();
    let some = || stream::iter([io::Result::Ok(b"QFI\xfb".as_slice())]);
    for source in [
        Source::stream(some(), Some(0)),
        Source::reader(b"QFI\xfb".as_slice(), 0),
        // A file that says 0 and has something.
        Source::file("/proc/self/status"),
    ] {
        let upload = images.create_upload("x", source).unchecked();
        let error = upload.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{error:?}");
    }
    assert_eq!(server.image_count(), 0);
}

#[test]
fn one_blocking_thread_is_enough_for_a_file_and_the_name_of_a_host() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = DjinnServer::start().unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&empty_qcow2(1 << 30)).unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        let base = server.url().as_str().replace("127.0.0.1", "localhost");
        let client = Client::builder(base)
            .token(server.token())
            .connect_timeout(Duration::from_secs(2))
            .retry(RetryPolicy::none());
        let images = client.build().unwrap().images();
        let began = Instant::now();
        images.create_upload("x", file.path()).send().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(2));
    });
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_sent_is_the_sources_fault() {
    let (server, images) = site();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&empty_qcow2(1 << 30)).unwrap();
    file.as_file().set_len(64 << 20).unwrap();
    let stall = Fault::StallRequest {
        after: 1 << 20,
        wait: Duration::from_millis(500),
    };
    server.inject(stall.on("POST", "/images"));
    let upload = tokio::spawn(images.create_upload("x", file.path()).send());
    tokio::time::sleep(Duration::from_millis(250)).await;
    file.as_file().set_len(32 << 20).unwrap();
    let error = upload.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error:?}");
    assert_eq!(server.image_count(), 0);
}
