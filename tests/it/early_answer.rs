//! Answers that come while a large upload is still being sent.

use machine_images::djinn::{Client, Image, Source};
use machine_images::testing::{Close, DjinnServer, Fault};
use machine_images::{ErrorKind, Result};

const LENGTH: u64 = 64 * 1024 * 1024;

/// 64 MiB that begin as an image does, made as they are read.
fn large() -> Source {
    let start = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(
        b"QFI\xfb",
    ))]);
    let chunk = bytes::Bytes::from(vec![7; 1024 * 1024]);
    let rest = futures::stream::iter((0..64).map(move |at| {
        let length = if at == 0 {
            chunk.len() - 4
        } else {
            chunk.len()
        };
        Ok(chunk.slice(..length))
    }));
    Source::stream(futures::StreamExt::chain(start, rest), Some(LENGTH))
}

async fn upload(server: &DjinnServer, token: &str) -> Result<Image> {
    let client = Client::builder(server.url()).token(token).build().unwrap();
    client
        .images()
        .create_upload("large", large())
        .unchecked()
        .send()
        .await
}

#[tokio::test]
async fn a_large_upload_arrives_whole() {
    let server = DjinnServer::start().unwrap();
    let image = upload(&server, server.token()).await.unwrap();
    assert_eq!(server.content(image.id).unwrap().len() as u64, LENGTH);
}

#[tokio::test]
async fn a_bad_token_is_reported_as_itself() {
    for _ in 0..10 {
        let server = DjinnServer::start().unwrap();
        let error = upload(&server, "deadbeef").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized, "{error:?}");
        assert_eq!(
            (error.status(), error.message()),
            (Some(404), Some("Not Found"))
        );
        assert_eq!((server.requests().len(), server.image_count()), (1, 0));
        assert!(server.requests()[0].body_received < LENGTH);
    }
}

fn early(close: Close) -> DjinnServer {
    let server = DjinnServer::start().unwrap();
    let fault = Fault::EarlyResponse {
        status: 413,
        after: 1024 * 1024,
        close,
    };
    server.inject(fault.on("POST", "/images"));
    server
}

#[tokio::test]
async fn an_image_that_is_too_large_is_reported_as_itself() {
    for _ in 0..10 {
        let server = early(Close::Clean);
        let error = upload(&server, server.token()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
        assert_eq!(error.status(), Some(413));
        assert_eq!((server.requests().len(), server.image_count()), (1, 0));
    }
}

#[tokio::test]
async fn an_answer_that_a_reset_hides_is_never_a_success_and_never_repeated() {
    let (mut itself, mut unsent) = (0, 0);
    for _ in 0..50 {
        let server = early(Close::Reset);
        let error = upload(&server, server.token()).await.unwrap_err();
        match error.kind() {
            ErrorKind::TooLarge => itself += 1,
            ErrorKind::NotSent => unsent += 1,
            _ => panic!("{error:?}"),
        }
        assert_eq!((server.requests().len(), server.image_count()), (1, 0));
    }
    // Seen with --nocapture.
    #[allow(clippy::print_stdout)]
    {
        println!("413 and a reset: {itself} as itself, {unsent} as not sent");
    }
}
