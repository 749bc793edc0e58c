//! Content with an expected digest, in every way of reading it.

use futures::{Stream, StreamExt, TryStreamExt};
use machine_images::djinn::{Client, ImageId, Images};
use machine_images::testing::{DjinnServer, Fault};
use machine_images::{Content, Digest, Error, ErrorKind};
use tokio::io::AsyncReadExt;

use crate::support::QEMU_DISK;
use crate::support::raw::{Answer, RawServer, Then};

const LENGTH: usize = 300_000;

struct Site {
    server: DjinnServer,
    images: Images,
    id: ImageId,
    bytes: Vec<u8>,
}

fn site() -> Site {
    let server = DjinnServer::start().unwrap();
    let mut bytes: Vec<u8> = (0..LENGTH).map(|at| (at / 7) as u8).collect();
    bytes[..4].copy_from_slice(b"QFI\xfb");
    let id = server.add_image("image", &bytes).unwrap();
    let images = server.client().unwrap().images();
    Site {
        server,
        images,
        id,
        bytes,
    }
}

impl Site {
    async fn expecting(&self, digest: Digest) -> Content {
        self.images.content(self.id).sha256(digest).await.unwrap()
    }

    async fn right(&self) -> Content {
        self.expecting(Digest::of(&self.bytes)).await
    }

    async fn wrong(&self) -> Content {
        self.expecting(Digest::of("other")).await
    }
}

fn assert_digest(error: &Error, received: usize) {
    assert_eq!(error.kind(), ErrorKind::DigestMismatch, "{error:?}");
    assert!(error.to_string().contains("the SHA-256 is"), "{error}");
    // The last bytes stay out of reach, so that no reader takes a part for the whole.
    assert!(received < LENGTH, "{received}");
}

async fn received(
    mut stream: impl Stream<Item = Result<bytes::Bytes, Error>> + Unpin,
) -> (Vec<u8>, Option<Error>) {
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => all.extend_from_slice(&chunk),
            Err(error) => return (all, Some(error)),
        }
    }
    (all, None)
}

#[tokio::test]
async fn the_expected_digest_changes_nothing() {
    let site = site();
    assert_eq!(site.right().await.bytes().await.unwrap(), site.bytes);
    let (all, error) = received(site.right().await).await;
    assert!(error.is_none() && all == site.bytes);
    let mut all = Vec::new();
    site.right().await.read_to_end(&mut all).await.unwrap();
    assert!(all == site.bytes);
}

#[tokio::test]
async fn another_digest_is_an_error_of_every_way_to_read() {
    let site = site();

    let error = site.wrong().await.bytes().await.unwrap_err();
    assert_digest(&error, 0);

    let mut content = site.wrong().await;
    let mut count = 0;
    let error = loop {
        match content.chunk().await {
            Ok(chunk) => count += chunk.unwrap().len(),
            Err(error) => break error,
        }
    };
    assert_digest(&error, count);
    assert!(content.chunk().await.unwrap().is_none());

    let (all, error) = received(site.wrong().await).await;
    assert_digest(&error.unwrap(), all.len());

    let (all, error) = received(site.wrong().await.map_ok(|chunk| chunk).boxed()).await;
    assert_digest(&error.unwrap(), all.len());

    let mut all = Vec::new();
    let error = site.wrong().await.read_to_end(&mut all).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert_digest(error.get_ref().unwrap().downcast_ref().unwrap(), all.len());

    // A reader that never reads past the length does not get it all either.
    let mut exact = vec![0; LENGTH];
    site.wrong().await.read_exact(&mut exact).await.unwrap_err();
}

#[tokio::test]
async fn without_a_length_the_digest_is_compared_at_the_end() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: {QEMU_DISK}\r\n\r\nQFI\u{fb}");
    for (expected, is_right) in [
        (Digest::of("QFI\u{fb}"), true),
        (Digest::of("other"), false),
    ] {
        let answers = vec![Answer::new(answer.clone(), Then::Close)];
        let server = RawServer::start(answers).await;
        let client = Client::builder(server.url("/")).build().unwrap();
        let content = client.images().content(1).sha256(expected).await.unwrap();
        assert_eq!(content.length(), None);
        match content.bytes().await {
            Ok(bytes) => assert!(is_right && bytes == "QFI\u{fb}"),
            Err(error) => assert!(!is_right && error.kind() == ErrorKind::DigestMismatch),
        }
    }
}

#[tokio::test]
async fn an_empty_image_has_a_digest() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("empty", b"").unwrap();
    let images = server.client().unwrap().images();
    let content = images.content(id).sha256(Digest::of(b"")).await.unwrap();
    assert_eq!(content.bytes().await.unwrap(), "");
    let content = images.content(id).sha256(Digest::of("x")).await.unwrap();
    let error = content.bytes().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
}

#[tokio::test]
async fn a_digest_is_computed_over_a_broken_line() {
    let site = site();
    let cut = Fault::CutResponse {
        after: 100_000,
        close: machine_images::testing::Close::Reset,
    };
    site.server.inject(cut);
    let computed = site.images.digest(site.id).await.unwrap();
    assert_eq!(computed.sha256, Digest::of(&site.bytes));
    assert_eq!(computed.bytes, LENGTH as u64);
    assert_eq!(site.server.requests().len(), 2);
}

#[tokio::test]
async fn content_is_the_source_of_an_upload_to_another_server() {
    let site = site();
    let other = DjinnServer::start().unwrap();
    let images = other.client().unwrap().images();
    let content = site.right().await;
    let image = images.create_upload("copy", content).unchecked();
    let copy = image.send().await.unwrap();
    assert!(other.content(copy.id).unwrap() == site.bytes);
    let requests = other.requests();
    let length = LENGTH.to_string();
    assert_eq!(requests[0].header("content-length"), Some(&*length));
}

#[tokio::test]
async fn content_with_another_digest_makes_no_image_of_an_upload() {
    let site = site();
    let other = DjinnServer::start().unwrap();
    let images = other.client().unwrap().images();
    let content = site.wrong().await;
    let upload = images.create_upload("copy", content).unchecked();
    let error = upload.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error:?}");
    assert!(format!("{error:?}").contains("the SHA-256 is"), "{error:?}");
    assert_eq!(other.image_count(), 0);
}
