use std::io::{self, SeekFrom};

use machine_images::testing::Fault;
use machine_images::{Error, ErrorKind, RemoteReader};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt};

use super::{patterned, sent, site};

const BLOCK: usize = 4096;

fn kind(error: &io::Error) -> ErrorKind {
    let inner = error.get_ref().unwrap().downcast_ref::<Error>();
    inner.unwrap().kind()
}

async fn block(reader: &mut RemoteReader, at: u64) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    reader.seek(SeekFrom::Start(at)).await?;
    reader.read_exact(&mut block).await?;
    Ok(block)
}

#[tokio::test]
async fn a_thousand_random_blocks_take_a_thousand_requests_at_most() {
    let (server, images) = site();
    let image = patterned(16 << 20);
    let id = server.add_image("x", &image).unwrap();
    let mut reader = images.reader(id);
    // A linear congruential generator, so that every run is the same.
    let mut state = 7_u64;
    for _ in 0..1000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let at = (state >> 33) as usize % (image.len() - BLOCK);
        let read = block(&mut reader, at as u64).await.unwrap();
        assert_eq!(read, image[at..at + BLOCK], "at {at}");
    }
    let requests = server.requests();
    assert!(requests.len() <= 1000, "{} requests", requests.len());
    // Who jumps does not pay for a read-ahead.
    assert!(sent(&requests) <= 1000 * (16 << 10) + (2 << 20));
    let follow = |request: &machine_images::testing::Received| request.header("if-range").is_some();
    assert!(requests[1..].iter().all(follow));
}

#[tokio::test]
async fn reading_in_order_takes_one_request_a_read_ahead() {
    for (window, length) in [
        (1 << 20, 8 << 20),
        (1 << 20, (8 << 20) + 1),
        (300_000, 3_000_000),
    ] {
        let (server, images) = site();
        let image = patterned(length);
        let id = server.add_image("x", &image).unwrap();
        let mut reader = images.reader(id).read_ahead(window);
        let (mut read, mut piece) = (Vec::<u8>::new(), [0; 1000]);
        loop {
            match reader.read(&mut piece).await.unwrap() {
                0 => break,
                count => read.extend(&piece[..count]),
            }
        }
        assert_eq!(read, image);
        let requests = server.requests();
        assert_eq!(requests.len() as u64, (length as u64).div_ceil(window));
        assert_eq!(sent(&requests), length as u64);
    }
}

#[tokio::test]
async fn what_was_read_is_kept_up_to_the_bound() {
    let (server, images) = site();
    let image = patterned(1 << 20);
    let id = server.add_image("x", &image).unwrap();
    let reader = || images.reader(id).read_ahead(64 << 10);

    let mut roomy = reader();
    for at in [0, 500_000, 0, 500_000, 501_000, 60_000] {
        block(&mut roomy, at).await.unwrap();
    }
    assert_eq!(server.requests().len(), 2);
    server.clear_requests();
    let mut narrow = reader().cache(16 << 10);
    for at in [500_000, 0, 500_000, 501_000, 0] {
        let read = block(&mut narrow, at).await.unwrap();
        assert_eq!(read, image[at as usize..][..BLOCK]);
    }
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn it_seeks_from_everywhere_and_ends_at_the_end() {
    let (server, images) = site();
    let image = patterned(300_001);
    let id = server.add_image("x", &image).unwrap();
    let mut reader = images.reader(id);
    assert_eq!(server.requests(), []);

    assert_eq!(reader.seek(SeekFrom::End(0)).await.unwrap(), 300_001);
    assert_eq!(reader.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(reader.seek(SeekFrom::End(-5)).await.unwrap(), 299_996);
    let mut end = Vec::new();
    reader.read_to_end(&mut end).await.unwrap();
    assert_eq!(end, image[299_996..]);
    assert_eq!(reader.seek(SeekFrom::Current(-300_001)).await.unwrap(), 0);
    assert_eq!(reader.fill_buf().await.unwrap()[..4], *b"QFI\xfb");
    reader.consume(3);
    assert_eq!(reader.read_u8().await.unwrap(), 0xfb);
    assert_eq!(reader.stream_position().await.unwrap(), 4);
    for impossible in [
        SeekFrom::Current(-5),
        SeekFrom::End(-300_002),
        SeekFrom::Start(1 << 63),
    ] {
        let error = reader.seek(impossible).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(reader.stream_position().await.unwrap(), 4);

    // Beyond the end, before the length is known.
    let mut reader = images.reader(id);
    reader.seek(SeekFrom::Start(1 << 40)).await.unwrap();
    assert_eq!(reader.read(&mut [0; 10]).await.unwrap(), 0);
    let empty = server.add_image("empty", b"").unwrap();
    let mut reader = images.reader(empty);
    assert_eq!(reader.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(reader.seek(SeekFrom::End(0)).await.unwrap(), 0);
}

#[tokio::test]
async fn another_version_is_never_mixed_in() {
    let (server, images) = site();
    let image = patterned(1 << 20);
    let id = server.add_image("x", &image).unwrap();
    let mut reader = images.reader(id).read_ahead(4096);
    block(&mut reader, 0).await.unwrap();
    server.inject(
        Fault::LastModified { by: 1 }
            .on("GET", "/images/1")
            .always(),
    );
    for at in [4096, 500_000] {
        let error = block(&mut reader, at).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Changed, "{error:?}");
    }
    // What there is of the first version is still good.
    assert_eq!(block(&mut reader, 0).await.unwrap(), image[..BLOCK]);
    server.clear_faults();
    let read = block(&mut reader, 500_000).await.unwrap();
    assert_eq!(read, image[500_000..][..BLOCK]);
}

#[tokio::test]
async fn another_length_is_another_version_where_nothing_else_tells() {
    let (server, images) = site();
    let id = server.add_image("x", patterned(1 << 20)).unwrap();
    let undated = Fault::WithoutHeader {
        name: "last-modified".into(),
    };
    server.inject(undated.times(2));
    let mut reader = images.reader(id).read_ahead(4096);
    block(&mut reader, 0).await.unwrap();
    block(&mut reader, 100_000).await.unwrap();
    server.inject(Fault::RangeTotal { by: 1 });
    let error = block(&mut reader, 300_000).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Changed, "{error:?}");
}

#[tokio::test]
async fn a_read_that_was_dropped_is_taken_up_again() {
    let (server, images) = site();
    let image = patterned(1 << 20);
    let id = server.add_image("x", &image).unwrap();
    server.inject(Fault::DelayResponse {
        wait: std::time::Duration::from_millis(300),
    });
    let mut reader = images.reader(id);
    let mut piece = [0; 10];
    let read = tokio::time::timeout(
        std::time::Duration::from_millis(50),
        reader.read(&mut piece),
    );
    assert!(read.await.is_err());
    assert_eq!(block(&mut reader, 8).await.unwrap(), image[8..8 + BLOCK]);
    assert_eq!(server.requests().len(), 1);
}
