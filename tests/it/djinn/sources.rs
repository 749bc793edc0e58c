//! Where the bytes of an upload come from.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use machine_images::djinn::{Client, Source};
use machine_images::qcow2::{Code, Policy};
use machine_images::{ErrorKind, Phase, Progress};
use tokio::io::AsyncReadExt;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer};

use crate::support::raw::{Answer, RawServer, Then};
use crate::support::{image, images, json_answer, only_request, quick};

/// Large enough to need several chunks.
fn disk() -> Vec<u8> {
    let mut bytes = b"QFI\xfb".to_vec();
    bytes.resize(600_000, 7);
    bytes
}

fn chunks() -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
    let disk = disk();
    let chunks: Vec<_> = disk.chunks(70_000).map(Bytes::copy_from_slice).collect();
    stream::iter(chunks.into_iter().map(Ok))
}

async fn serve(requests: u64) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(json_answer(201, &image(7, "x")))
        .expect(requests)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn every_source_of_known_length_is_sent_with_its_length() {
    let mut sources = vec![
        Source::from(disk()),
        Source::from(Bytes::from(disk())),
        Source::from(&*disk().leak()),
        Source::reader(io::Cursor::new(disk()), 600_000),
        Source::reader(io::Cursor::new(disk()), Some(600_000)),
        Source::stream(chunks(), 600_000),
        Source::stream(chunks(), Some(600_000)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.qcow2");
    std::fs::write(&path, disk()).unwrap();
    #[cfg(feature = "fs")]
    sources.extend([
        Source::file(&path),
        Source::from(path.as_path()),
        Source::from(path.clone()),
    ]);
    for source in sources.drain(..) {
        let name = format!("{source:?}");
        let server = serve(1).await;
        images(&server)
            .create_upload("x", source)
            .unchecked()
            .send()
            .await
            .unwrap();
        let request = only_request(&server).await;
        assert_eq!(request.headers["content-length"], "600000", "{name}");
        assert!(!request.headers.contains_key("transfer-encoding"), "{name}");
        assert!(request.body == disk(), "{name}: other bytes");
    }
}

#[tokio::test]
async fn a_source_of_unknown_length_is_sent_chunked() {
    for source in [
        Source::stream(chunks(), None),
        Source::reader(io::Cursor::new(disk()), None),
    ] {
        let name = format!("{source:?}");
        let server = serve(1).await;
        let upload = images(&server).create_upload("x", source);
        upload.unchecked().send().await.unwrap();
        let request = only_request(&server).await;
        assert!(!request.headers.contains_key("content-length"), "{name}");
        assert_eq!(request.headers["transfer-encoding"], "chunked", "{name}");
        assert!(request.body == disk(), "{name}: other bytes");
    }
}

/// The first bytes are taken for the inspection, and put back.
#[tokio::test]
async fn a_reader_of_unknown_length_is_inspected_and_sent_whole() {
    let image = good_image();
    let server = serve(1).await;
    let source = Source::reader(io::Cursor::new(image.clone()), None);
    images(&server)
        .create_upload("x", source)
        .send()
        .await
        .unwrap();
    assert!(only_request(&server).await.body == image);
    let server = serve(0).await;
    let source = Source::reader(b"<html>".as_slice(), None);
    let upload = images(&server).create_upload("x", source);
    let error = upload.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageRejected);
}

#[tokio::test]
async fn a_stream_that_the_inspection_read_to_its_end_is_not_asked_again() {
    let server = serve(1).await;
    // It panics if it is polled after its end.
    let chunks = futures::stream::unfold(Some(vec![1; 1000]), |chunk| async {
        Some((Ok::<_, io::Error>(chunk?), None))
    });
    images(&server)
        .create_upload("x", Source::stream(chunks, None))
        .policy(Policy::default().allow(Code::NotQcow2))
        .await
        .unwrap();
    assert_eq!(only_request(&server).await.body, [1; 1000]);
}

fn good_image() -> Vec<u8> {
    include_bytes!("../../data/disk.qcow2").to_vec()
}

#[derive(Debug)]
struct OutOfTape;

impl std::fmt::Display for OutOfTape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("out of tape")
    }
}

impl std::error::Error for OutOfTape {}

#[tokio::test]
async fn an_error_of_a_stream_is_the_reason_whatever_its_type() {
    let boxed = |text: &str| Box::<dyn std::error::Error + Send + Sync>::from(text);
    for (source, text) in [
        (
            Source::stream(stream::iter([Ok(disk()), Err(OutOfTape)]), None),
            "out of tape",
        ),
        (
            Source::stream(stream::iter([Ok(disk()), Err("a text")]), None),
            "a text",
        ),
        (
            Source::stream(stream::iter([Ok(disk()), Err(boxed("a box"))]), None),
            "a box",
        ),
    ] {
        let server = RawServer::start(Vec::new()).await;
        let client = Client::builder(server.url("")).retry(quick());
        let images = client.build().unwrap().images();
        let upload = images.create_upload("x", source).unchecked();
        let error = upload.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{text}");
        let reason = std::error::Error::source(&error).unwrap();
        assert_eq!(reason.to_string(), text);
        assert!(reason.source().is_none(), "{text}: a second line");
    }
}

#[tokio::test]
async fn an_empty_source_has_the_length_0() {
    let server = serve(1).await;
    let source = Source::reader(tokio::io::empty(), 0);
    images(&server)
        .create_upload("x", source)
        .unchecked()
        .send()
        .await
        .unwrap();
    let request = only_request(&server).await;
    assert_eq!(request.headers["content-length"], "0");
    assert!(request.body.is_empty());
}

#[tokio::test]
async fn a_source_that_shrinks_grows_or_fails_is_an_error_and_no_upload() {
    let failing = stream::iter([
        Ok(Bytes::from(disk())),
        Err(io::Error::other("disk on fire")),
    ]);
    for (source, text) in [
        (
            Source::reader(io::Cursor::new(disk()), 600_001),
            "ended after 600000 of 600001 bytes",
        ),
        (
            Source::reader(io::Cursor::new(disk()), 599_999),
            "more than its 599999 bytes",
        ),
        (Source::stream(failing, Some(700_000)), "disk on fire"),
        (
            Source::stream(
                stream::iter([Err::<Bytes, _>(io::Error::other("no"))]),
                None,
            ),
            "no",
        ),
    ] {
        // wiremock would answer 400 to a request that breaks off.
        let server = RawServer::start(Vec::new()).await;
        let client = Client::builder(server.url("")).retry(quick());
        let images = client.build().unwrap().images();
        let error = images
            .create_upload("x", source)
            .unchecked()
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{text}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(text), "{cause}");
        assert!(server.received().is_empty(), "{text}: a whole request came");
    }
}

#[cfg(feature = "fs")]
#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_with_no_request() {
    let server = serve(0).await;
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing"), folder.path().to_owned()] {
        let upload = images(&server)
            .create_upload("x", Source::file(path))
            .unchecked();
        let error = upload.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source);
        assert_eq!(error.status(), None);
    }
}

#[tokio::test]
async fn progress_never_falls_and_ends_at_the_total() {
    let server = serve(1).await;
    let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let sink = seen.clone();
    let source = Source::stream(chunks(), Some(600_000));
    let upload = images(&server).create_upload("x", source).unchecked();
    let upload = upload.progress(move |progress| sink.lock().unwrap().push(progress));
    upload.send().await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted_by_key(|progress| progress.done));
    let last = seen.last().unwrap();
    assert_eq!(
        (last.phase, last.done, last.total),
        (Phase::Upload, 600_000, Some(600_000))
    );
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_unknown_and_not_repeated() {
    let server = RawServer::start(vec![Answer::new("", Then::Close)]).await;
    let client = Client::builder(server.url("")).retry(quick());
    let images = client.build().unwrap().images();
    let error = images
        .create_upload("x", disk())
        .unchecked()
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert!(!error.is_retryable());
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn an_answer_to_an_upload_is_waited_for_as_long_as_is_told() {
    let server = RawServer::start(vec![Answer::new("", Then::Hang)]).await;
    let client = Client::builder(server.url("")).response_timeout(Duration::from_millis(200));
    let images = client.build().unwrap().images();
    let began = Instant::now();
    let source = Source::reader(io::Cursor::new(disk()), 600_000);
    let error = images
        .create_upload("x", source)
        .unchecked()
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "no response within 200ms");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn an_upload_that_stands_still_is_given_up() {
    // The system takes the connection, and as much as it buffers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::builder(base).stall_timeout(Duration::from_millis(300));
    let images = client.build().unwrap().images();
    let source = Source::from(vec![7; 64 * 1024 * 1024]);
    let chunks = Source::stream(
        futures::stream::iter((0..64).map(|_| io::Result::Ok(vec![7; 1 << 20]))),
        None,
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64 << 20).unwrap();
    for source in [
        source,
        chunks,
        #[cfg(feature = "fs")]
        Source::file(file.path()),
    ] {
        let error = images
            .create_upload("x", source)
            .unchecked()
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSent);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "the upload stalled for 300ms");
    }
}

#[tokio::test]
async fn content_that_was_begun_is_sent_from_where_it_is() {
    let from = MockServer::start().await;
    let answer = wiremock::ResponseTemplate::new(200);
    Mock::given(any())
        .respond_with(answer.set_body_raw(disk(), "application/x-qemu-disk"))
        .mount(&from)
        .await;
    for read in [0, 4, 600_000] {
        let to = serve(1).await;
        let mut content = images(&from).content(42).await.unwrap();
        let mut begun = vec![0; read];
        content.read_exact(&mut begun).await.unwrap();
        let upload = images(&to).create_upload("x", Source::from(content));

        upload.unchecked().await.unwrap();

        assert!(only_request(&to).await.body == disk()[read..]);
    }
}
