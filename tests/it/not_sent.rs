//! Creations that were not sent to their end, which the server makes nothing of.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use machine_images::djinn::{Client, Images, Source};
use machine_images::testing::{Close, DjinnServer, Fault};
use machine_images::{Error, ErrorKind};

const MIB: usize = 1 << 20;
/// More than the buffers of a connection hold.
const LENGTH: usize = 64 * MIB;
const STALL: Duration = Duration::from_millis(300);

fn images(server: &DjinnServer) -> Images {
    let client = Client::builder(server.url()).token(server.token());
    client.stall_timeout(STALL).build().unwrap().images()
}

fn cut(server: &DjinnServer, after: u64, close: Close) {
    let fault = Fault::CutRequest { after, close };
    server.inject(fault.on("POST", "/images"));
}

fn once() -> Source {
    let chunk = Bytes::from(vec![7; MIB]);
    let chunks = stream::iter(std::iter::repeat_n(chunk, LENGTH / MIB));
    Source::stream(chunks.map(io::Result::Ok), Some(LENGTH as u64))
}

async fn upload(images: &Images, source: impl Into<Source>) -> Error {
    let upload = images.create_upload("large", source).unchecked();
    upload.send().await.unwrap_err()
}

#[tokio::test]
async fn a_cut_upload_is_not_sent_and_may_be_sent_again_if_its_source_can_be_read_again() {
    // One that closes in order goes on reading for a while, so that all may be sent.
    let close = Close::Reset;
    for after in [0, 1, LENGTH as u64 / 2] {
        let server = DjinnServer::start().unwrap();
        let images = images(&server);
        cut(&server, after, close);
        let error = upload(&images, vec![7; LENGTH]).await;
        assert_eq!(error.kind(), ErrorKind::NotSent, "{error:?}");
        assert!(error.is_retryable());

        cut(&server, after, close);
        let error = upload(&images, once()).await;
        assert_eq!(error.kind(), ErrorKind::NotSent, "{error:?}");
        assert!(!error.is_retryable());
        // It is the caller's to send it again.
        assert_eq!((server.requests().len(), server.image_count()), (2, 0));
    }
}

#[tokio::test]
async fn an_upload_that_was_sent_whole_is_of_unknown_outcome() {
    let server = DjinnServer::start().unwrap();
    let close = Close::Reset;
    server.inject(Fault::DropResponse { close }.on("POST", "/images"));
    let disk = std::fs::read("tests/data/disk.qcow2").unwrap();
    let error = upload(&images(&server), disk).await;
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
    assert!(!error.is_retryable());
    assert_eq!(server.image_count(), 1);
}

#[tokio::test]
async fn a_source_that_stalls_is_the_sources_fault_and_ends_when_the_time_is_up() {
    let server = DjinnServer::start().unwrap();
    let images = images(&server);
    // It would move again after 3 s, and not at all.
    let late = stream::once(async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(Bytes::from(vec![7; MIB]))
    });
    let first = || stream::iter([io::Result::Ok(Bytes::from(vec![7; MIB]))]);
    let never = first().chain(stream::pending());
    for source in [
        Source::stream(first().chain(late), Some(2 * MIB as u64)),
        Source::stream(never, None),
    ] {
        let began = Instant::now();
        let error = upload(&images, source).await;
        assert_eq!(error.kind(), ErrorKind::Source, "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(2));
        let reason = std::error::Error::source(&error).unwrap();
        assert_eq!(reason.to_string(), "no data for 300ms");
    }
    assert_eq!(server.image_count(), 0);
}

#[tokio::test]
async fn a_server_that_stalls_is_not_the_sources_fault() {
    let server = DjinnServer::start().unwrap();
    let fault = Fault::StallRequest {
        after: MIB as u64,
        wait: Duration::from_secs(3),
    };
    server.inject(fault.on("POST", "/images"));
    let error = upload(&images(&server), once()).await;
    assert_eq!(error.kind(), ErrorKind::NotSent, "{error:?}");
    let reason = std::error::Error::source(&error).unwrap();
    assert_eq!(reason.to_string(), "the upload stalled for 300ms");
}
