//! Bodies that move, but not as fast as they must.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use machine_images::djinn::{Client, ClientBuilder, ImageId, Images, Source};
use machine_images::testing::{DjinnServer, Fault};
use machine_images::{Error, ErrorKind, Result, RetryPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{image, quick};

const DISK: &[u8] = include_bytes!("../data/disk.qcow2");
const MIB: usize = 1 << 20;

/// Asks for 300 KB a second, 90 KB at a time.
fn builder(server: &DjinnServer) -> ClientBuilder<Client> {
    Client::builder(server.url())
        .token(server.token())
        .retry(RetryPolicy::none())
        .min_rate(300_000, Duration::from_millis(300))
}

fn images(builder: ClientBuilder<Client>) -> Images {
    builder.build().unwrap().images()
}

/// Pieces of so many bytes, 50 a second.
fn trickle(bytes: usize) -> Fault {
    let every = Duration::from_millis(20);
    Fault::Trickle { bytes, every }
}

fn assert_too_slow(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Stalled, "{error:?}");
    let message = "less than 300000 bytes per second for 300ms";
    assert!(error.to_string().contains(message), "{error}");
}

/// Every way to read a body.
async fn read(what: &str, images: &Images, id: ImageId) -> Result<()> {
    let content = images.content(id);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    let save = images.save(id, &path).unchecked();
    let bytes = match what {
        "list" => return images.list().page(1).send().await.map(drop),
        "get" => return images.get(id).send().await.map(drop),
        "bytes" => content.send().await?.bytes().await?,
        "stream" => {
            let chunks: Vec<Bytes> = content.await?.try_collect().await?;
            chunks.concat().into()
        }
        "file" => {
            save.await?;
            std::fs::read(&path).unwrap().into()
        }
        "ranges" => {
            save.connections(4).await?;
            std::fs::read(&path).unwrap().into()
        }
        _ => unreachable!("{what}"),
    };
    assert_eq!(bytes.len(), 24 * MIB, "{what}");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_trickles_is_cut() {
    for what in ["list", "get", "bytes", "stream", "file", "ranges"] {
        let server = DjinnServer::start().unwrap();
        let id = server.add_image("large", vec![1; 24 * MIB]).unwrap();
        server.inject(trickle(5).always());
        let images = images(builder(&server));
        // Without a rate even the shortest of them takes longer than that.
        let time = Duration::from_millis(1500);
        let ended = tokio::time::timeout(time, read(what, &images, id)).await;
        assert_too_slow(&ended.expect(what).unwrap_err());
    }
}

#[tokio::test]
async fn an_answer_that_is_slow_but_fast_enough_is_not_cut() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("large", vec![1; 24 * MIB]).unwrap();
    // For longer than a few windows, and at many times the rate, as the machine has other work.
    server.inject(trickle(MIB / 2).always());
    for what in ["bytes", "file", "ranges"] {
        let began = Instant::now();
        read(what, &images(builder(&server)), id).await.unwrap();
        // Several connections are faster.
        assert!(what != "bytes" || began.elapsed() > Duration::from_millis(900));
    }
}

#[tokio::test]
async fn contents_that_trickle_are_resumed() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    server.inject(trickle(100));
    let images = images(builder(&server).retry(quick()));
    let content = images.content(id).send().await.unwrap();
    assert_eq!(content.bytes().await.unwrap(), DISK);
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].header("range").is_some() && requests[1].header("if-range").is_some());
}

#[tokio::test]
async fn what_trickles_every_time_does_not_go_on_for_ever() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    // 30 KB in a window: more than what forgets the retries so far without a rate.
    server.inject(trickle(2000).always());
    let images = images(builder(&server).retry(quick().retries(2)));
    let content = images.content(id).send().await.unwrap();
    let error = content.bytes().await.unwrap_err();
    assert_too_slow(&error);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_slow_reader_is_not_cut() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("large", vec![1; 24 * MIB]).unwrap();
    let images = images(builder(&server));
    let mut content = images.content(id).send().await.unwrap();
    let mut read = 0;
    while let Some(chunk) = content.chunk().await.unwrap() {
        read += chunk.len();
        if read < MIB {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    assert_eq!(read, 24 * MIB);
}

#[tokio::test]
async fn a_reader_that_asks_and_goes_away_is_not_cut() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    server.inject(trickle(DISK.len() / 4));
    let images = images(builder(&server));
    let mut stream = images.content(id).await.unwrap();
    let mut read = 0;
    loop {
        let mut next = stream.next();
        let chunk = match (&mut next).now_or_never() {
            Some(chunk) => chunk,
            None => {
                tokio::time::sleep(Duration::from_millis(700)).await;
                next.await
            }
        };
        let Some(chunk) = chunk else { break };
        read += chunk.unwrap().len();
    }
    assert_eq!(read, DISK.len());
}

#[tokio::test]
async fn an_upload_whose_answer_trickles_has_an_unknown_outcome() {
    let server = DjinnServer::start().unwrap();
    server.inject(trickle(5).on("POST", "/images"));
    let images = images(builder(&server).retry(quick()));
    let error = images.create_upload("disk", DISK).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
    assert_eq!((server.requests().len(), server.image_count()), (1, 1));
}

/// Takes one upload, so many bytes 50 times a second, and answers it.
async fn slow_taker(bytes: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; bytes];
        let mut left = LENGTH;
        while left > 0 {
            // The head counts as a part of the body, which is as good.
            match stream.read(&mut buffer).await {
                Ok(count @ 1..) => left = left.saturating_sub(count),
                _ => return,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let body = image(1, "large").to_string();
        let head = format!(
            "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        // So that what is left of the body resets nothing.
        while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    });
    base
}

/// More than all buffers on the way.
const LENGTH: usize = 64 * MIB;

fn zeros() -> Source {
    let zeros = Bytes::from(vec![0; MIB]);
    let chunks = stream::iter(std::iter::repeat_n(zeros, LENGTH / MIB));
    Source::stream(chunks.map(Ok::<_, io::Error>), Some(LENGTH as u64))
}

async fn upload(base: String, rate: u64, over: Duration) -> Result<()> {
    let client = Client::builder(base).min_rate(rate, over);
    let images = images(client.retry(RetryPolicy::none()));
    let upload = images.create_upload("large", zeros()).unchecked();
    upload.send().await.map(drop)
}

#[tokio::test]
async fn an_upload_that_is_taken_too_slowly_is_cut() {
    let base = slow_taker(4096).await;
    let upload = upload(base, 10_000_000, Duration::from_millis(300));
    let ended = tokio::time::timeout(Duration::from_secs(5), upload).await;
    let error = ended.expect("an end").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSent, "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "less than 10000000 bytes per second for 300ms");
}

#[tokio::test]
async fn an_upload_that_is_slow_but_fast_enough_is_not_cut() {
    let base = slow_taker(2 * MIB).await;
    let began = Instant::now();
    let sent = upload(base, 1_000_000, Duration::from_millis(300)).await;
    sent.unwrap();
    assert!(began.elapsed() > Duration::from_millis(600));
}

#[tokio::test]
async fn a_slow_source_is_not_cut() {
    let server = DjinnServer::start().unwrap();
    let pieces = stream::iter(DISK.chunks(DISK.len() / 4)).then(|piece| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        io::Result::Ok(piece)
    });
    let source = Source::stream(pieces, Some(DISK.len() as u64));
    let images = images(builder(&server));
    let created = images.create_upload("disk", source).send().await.unwrap();
    assert_eq!(server.content(created.id).unwrap(), DISK);
}
