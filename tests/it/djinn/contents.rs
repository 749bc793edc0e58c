//! Contents: what is asked for, what is taken for an image, and how it is read.

use futures::TryStreamExt;
use machine_images::ErrorKind;
use tokio::io::AsyncReadExt;
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::raw::{Answer, RawServer, Then};
use crate::support::{
    DATE, QEMU_DISK, assert_request, disk_answer, image, images, json_answer, only_request, quick,
};

const DISK: &[u8] = b"QFI\xfb and the rest of it.";

async fn serve(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/api/images/42"))
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn contents_are_one_exact_request() {
    let server = serve(disk_answer(200, DISK)).await;
    let content = images(&server).content(42).send().await.unwrap();
    assert_eq!((content.length(), content.total()), (Some(24), Some(24)));
    let date = "2026-11-22T01:04:06Z".parse().unwrap();
    assert_eq!(content.last_modified(), Some(date));
    assert_eq!(content.bytes().await.unwrap(), DISK);
    let headers = ["accept: application/x-qemu-disk"];
    assert_request(
        &only_request(&server).await,
        "GET /api/images/42",
        &headers,
        b"",
    );
}

#[tokio::test]
async fn contents_are_a_stream_and_a_reader() {
    let server = serve(disk_answer(200, DISK)).await;
    let content = images(&server).content(42).send().await.unwrap();
    let chunks: Vec<_> = content.try_collect().await.unwrap();
    assert_eq!(chunks.concat(), DISK);

    let server = serve(disk_answer(200, DISK)).await;
    let mut reader = images(&server).content(42).await.unwrap();
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).await.unwrap();
    assert_eq!(&magic, b"QFI\xfb");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, &DISK[4..]);
}

#[cfg(feature = "fs")]
#[tokio::test]
async fn contents_are_saved_to_a_file() {
    let server = serve(disk_answer(200, DISK)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.qcow2");
    let saved = images(&server).save(42, &file).unchecked().await.unwrap();
    assert_eq!(
        (saved.bytes, saved.fetched, saved.resumed_from),
        (24, 24, 0)
    );
    assert_eq!(std::fs::read(&file).unwrap(), DISK);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let headers = ["accept: application/x-qemu-disk"];
    assert_request(
        &only_request(&server).await,
        "GET /api/images/42",
        &headers,
        b"",
    );
}

#[tokio::test]
async fn what_is_no_image_is_refused_before_a_byte_is_given_out() {
    let html = ResponseTemplate::new(200).set_body_raw("<html>", "text/html");
    let octets = ResponseTemplate::new(200).set_body_raw(DISK, "application/octet-stream");
    let untyped = ResponseTemplate::new(200).set_body_bytes(DISK);
    let gzipped = disk_answer(200, DISK).insert_header("Content-Encoding", "gzip");
    for (answer, found) in [
        (json_answer(200, &image(42, "x")), r#""application/json""#),
        (html, r#""text/html""#),
        (octets, r#""application/octet-stream""#),
        (untyped, r#""""#),
        (gzipped, r#""gzip""#),
    ] {
        let server = serve(answer).await;
        let error = images(&server).content(42).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedContent, "{found}");
        assert!(error.to_string().contains(found), "{error}");
    }
}

#[tokio::test]
async fn the_type_may_have_parameters_and_another_case() {
    let answer = ResponseTemplate::new(200);
    let server = serve(answer.set_body_raw(DISK, "Application/X-Qemu-Disk; v=1")).await;
    let content = images(&server).content(42).send().await.unwrap();
    assert_eq!(content.bytes().await.unwrap(), DISK);
}

#[cfg(feature = "fs")]
#[tokio::test]
async fn what_is_no_image_leaves_a_file_as_it_was() {
    let server = serve(json_answer(200, &image(42, "x"))).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.qcow2");
    std::fs::write(&file, "before").unwrap();
    let error = images(&server).save(42, &file).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedContent);
    assert_eq!(std::fs::read(&file).unwrap(), b"before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn bytes_up_to_is_bounded_by_what_is_announced_and_by_what_comes() {
    for (limit, fits) in [(23, false), (24, true), (u64::MAX, true), (0, false)] {
        let server = serve(disk_answer(200, DISK)).await;
        let content = images(&server).content(42).send().await.unwrap();
        let bytes = content.bytes_up_to(limit).await;
        assert_eq!(
            bytes.as_ref().map(|bytes| bytes.len()).ok(),
            fits.then_some(24)
        );
        if let Err(error) = bytes {
            assert_eq!(error.kind(), ErrorKind::Limit);
        }
    }
    // Chunked: nothing is announced.
    for (limit, fits) in [(23, false), (24, true)] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {QEMU_DISK}\r\n");
        let mut answer = format!("{head}Transfer-Encoding: chunked\r\n\r\n18\r\n").into_bytes();
        answer.extend_from_slice(DISK);
        answer.extend_from_slice(b"\r\n0\r\n\r\n");
        let server = RawServer::start(vec![Answer::new(answer, Then::KeepAlive)]).await;
        let content = raw_images(&server).content(42).send().await.unwrap();
        assert_eq!((content.length(), content.total()), (None, None));
        let bytes = content.bytes_up_to(limit).await;
        assert_eq!(bytes.is_ok(), fits, "limit {limit}");
    }
}

fn raw_images(server: &RawServer) -> machine_images::djinn::Images {
    let client = machine_images::djinn::Client::builder(server.url("/api")).retry(quick());
    client.build().unwrap().images()
}

fn cut(start: usize, bytes: usize, head: &str) -> Answer {
    let mut answer = format!(
        "HTTP/1.1 {head}\r\nContent-Type: {QEMU_DISK}\r\nContent-Length: {}\r\n\r\n",
        DISK.len() - start
    )
    .into_bytes();
    answer.extend_from_slice(&DISK[start..start + bytes]);
    Answer::new(answer, Then::Close)
}

#[tokio::test]
async fn contents_that_are_cut_are_an_error_where_they_cannot_be_resumed() {
    // Without a date nothing says that the rest would be of the same image.
    let server = RawServer::start(vec![cut(0, 10, "200 OK")]).await;
    let content = raw_images(&server).content(42).send().await.unwrap();
    let error = content.bytes().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert_eq!(error.operation(), "get content of image");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn contents_that_are_cut_go_on_where_they_were() {
    let dated = |head: &str| format!("{head}\r\nLast-Modified: {DATE}");
    let part = dated("206 Partial Content\r\nContent-Range: bytes 10-23/24");
    let answers = vec![cut(0, 10, &dated("200 OK")), cut(10, 14, &part)];
    let server = RawServer::start(answers).await;
    let content = raw_images(&server).content(42).send().await.unwrap();
    assert_eq!(content.bytes().await.unwrap(), DISK);
    let received = server.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[1].header("range"), Some("bytes=10-23"));
    assert_eq!(received[1].header("if-range"), Some(DATE));
    assert_eq!(received[1].header("accept"), Some(QEMU_DISK));
}

#[tokio::test]
async fn contents_that_changed_while_they_were_read_are_an_error() {
    let dated = format!("200 OK\r\nLast-Modified: {DATE}");
    let other = "200 OK\r\nLast-Modified: Sun, 22 Nov 2026 02:00:00 GMT";
    let server = RawServer::start(vec![cut(0, 10, &dated), cut(0, 24, other)]).await;
    let content = raw_images(&server).content(42).send().await.unwrap();
    let error = content.bytes().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn an_image_that_is_not_downloaded_yet_has_no_contents() {
    let server = MockServer::start().await;
    let body = serde_json::json!({"message": "Not Found"});
    Mock::given(any())
        .respond_with(json_answer(404, &body))
        // The contents, and the metadata for what that means.
        .expect(2)
        .mount(&server)
        .await;
    let error = images(&server).content(42).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized);
    assert_eq!(
        (error.status(), error.message()),
        (Some(404), Some("Not Found"))
    );
}
