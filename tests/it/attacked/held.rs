//! Answers that take back what an earlier one of the same transfer said.

use std::io::SeekFrom;

use machine_images::djinn::{Client, Images};
use machine_images::testing::empty_qcow2;
use machine_images::{ErrorKind, RetryPolicy};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::support::raw::{Answer, RawServer, Then};
use crate::support::{QEMU_DISK, quick};

fn images(server: &RawServer) -> Images {
    let client = Client::builder(server.url("")).retry(quick());
    client.build().unwrap().images()
}

fn answer(head: &str, body: &[u8], then: Then) -> Answer {
    let head = format!("HTTP/1.1 {head}\r\nContent-Type: {QEMU_DISK}\r\n\r\n");
    Answer::new([head.as_bytes(), body].concat(), then)
}

/// The whole, of which less comes than its head says.
fn cut(length: usize, body: &[u8]) -> Answer {
    answer(
        &format!("200 OK\r\nContent-Length: {length}"),
        body,
        Then::Close,
    )
}

/// The whole, or so it seems: it ends with the connection.
fn endless(body: &[u8]) -> Answer {
    answer("200 OK\r\nConnection: close", body, Then::Close)
}

fn part(range: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head =
        format!("206 Partial Content\r\nContent-Length: {length}\r\nContent-Range: bytes {range}");
    answer(&head, body, Then::KeepAlive)
}

/// An image that is still one without its second half, and the first half.
fn image() -> (Vec<u8>, Vec<u8>) {
    let mut image = empty_qcow2(1 << 30);
    let half = image.len().next_multiple_of(1 << 20);
    image.resize(2 * half, 7);
    (image.clone(), image[..half].to_vec())
}

#[tokio::test]
async fn a_save_is_as_long_as_the_first_answer_said() {
    let (image, half) = image();
    let length = image.len();
    for (inspected, connections) in [(false, 1), (false, 4), (true, 1), (true, 4)] {
        let shown = format!("inspected: {inspected}, {connections} connections");
        for longer in [false, true] {
            // What broke is begun again, as nothing tells the versions apart.
            let mut answers = vec![cut(length, &image[..99])];
            let body = match longer {
                true => [&image[..], b"more"].concat(),
                false => half.clone(),
            };
            answers.push(endless(&body));
            let server = RawServer::start(answers).await;
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("disk");
            let mut request = images(&server).save(1, &target).connections(connections);
            if !inspected {
                request = request.unchecked();
            }
            let error = request.await.expect_err(&shown);
            // The server has no more answers.
            assert_eq!(error.status(), Some(599), "{shown}: {error:?}");
            assert!(!target.exists(), "{shown}");
        }
    }
}

/// Or with 204, which has no body, and so none that is too short.
#[tokio::test]
async fn only_a_200_has_an_image() {
    for status in [
        "201 Created",
        "202 Accepted",
        "204 No Content",
        "226 IM Used",
    ] {
        let bare = || answer(&format!("{status}\r\nConnection: close"), b"", Then::Close);
        let server = RawServer::start((0..3).map(|_| bare()).collect()).await;
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk");
        let images = images(&server);
        let save = images.save(1, &target).unchecked().await;
        let whole = images.content(1).send().await;
        let part = images.content(1).range(0..9).send().await;
        for error in [save.map(drop), whole.map(drop), part.map(drop)] {
            let error = error.expect_err(status);
            assert_eq!(error.kind(), ErrorKind::UnexpectedStatus, "{error:?}");
        }
        assert!(!target.exists(), "{status}");
    }
}

/// It was said once that there is another version now: that is no error yet.
#[tokio::test]
async fn an_image_of_another_length_is_fetched_anew() {
    let (image, half) = image();
    for inspected in [false, true] {
        let again = || cut(half.len(), &half);
        let answers = vec![cut(image.len(), &image[..99]), again(), again()];
        let server = RawServer::start(answers).await;
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("disk");
        let mut request = images(&server).save(1, &target);
        if !inspected {
            request = request.unchecked();
        }
        let saved = request.await.unwrap();
        assert_eq!(saved.bytes, half.len() as u64);
        assert!(std::fs::read(&target).unwrap() == half);
    }
}

#[tokio::test]
async fn an_inspection_holds_every_answer_to_the_first() {
    let (image, _) = image();
    let part = |range: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "206 Partial Content\r\nETag: \"1\"\r\nContent-Length: {length}\r\n\
             Content-Range: bytes {range}"
        );
        answer(&head, body, Then::KeepAlive)
    };
    for (range, kind) in [
        ("99-999/*", ErrorKind::Range),
        ("99-999/1000", ErrorKind::Changed),
    ] {
        let first = part(&format!("0-98/{}", image.len()), &image[..99]);
        let server = RawServer::start(vec![first, part(range, &image[99..1000])]).await;
        let error = images(&server).inspect(1).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
    // Once only: a server without ranges is not asked again.
    let server = RawServer::start(vec![endless(&image)]).await;
    images(&server).inspect(1).await.unwrap();
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn contents_and_a_reader_hold_every_answer_to_the_first() {
    let (image, _) = image();
    let length = image.len();
    for range in [
        "99-999/*".to_owned(),
        "99-999/1000".to_owned(),
        format!("99-{}/{}", length - 1, length + 1),
    ] {
        let tagged =
            |head: &str, body: &[u8], then| answer(&format!("{head}\r\nETag: \"1\""), body, then);
        let server = RawServer::start(vec![
            tagged(
                &format!("200 OK\r\nContent-Length: {length}"),
                &image[..99],
                Then::Close,
            ),
            tagged(
                &format!(
                    "206 Partial Content\r\nContent-Range: bytes {range}\r\nConnection: close"
                ),
                &image[99..1000],
                Then::Close,
            ),
        ])
        .await;
        let content = images(&server).content(1).send().await.unwrap();
        content.bytes().await.expect_err(&range);

        let server = RawServer::start(vec![
            part(&format!("0-98/{length}"), &image[..99]),
            part(&range, &image[99..1000]),
        ])
        .await;
        let client = Client::builder(server.url("")).retry(RetryPolicy::none());
        let images = client.build().unwrap().images();
        let mut reader = images.reader(1).read_ahead(99);
        let mut bytes = [0; 99];
        reader.read_exact(&mut bytes).await.unwrap();
        reader.read_exact(&mut bytes).await.expect_err(&range);
        let end = reader.seek(SeekFrom::End(0)).await.unwrap();
        assert_eq!(end, length as u64);
    }
}
