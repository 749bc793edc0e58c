//! Streams and readers go on over a broken line, and their caller sees nothing of it.

use std::time::Duration;

use futures::TryStreamExt;
use machine_images::ErrorKind;
use machine_images::testing::{Close, Fault};
use tokio::io::AsyncReadExt;

use super::{LENGTH, MIB, Reports, Setup};

fn cut(after: usize, close: Close) -> Fault {
    let after = after as u64;
    Fault::CutResponse { after, close }
}

#[tokio::test]
async fn a_stream_goes_on_where_the_line_broke() {
    for close in [Close::Clean, Close::Reset] {
        let setup = Setup::new();
        for after in [0, 1, 5 * MIB, 100_000] {
            setup.server.inject(setup.on(cut(after, close)));
        }
        let reports = Reports::default();
        let request = setup.content().progress(reports.listener());
        let mut stream = request.await.unwrap();
        assert_eq!(stream.length(), Some(LENGTH as u64));
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.try_next().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        assert!(bytes == setup.image);
        assert!(setup.server.requests().len() == 5);
        reports.assert_good(LENGTH as u64);
    }
}

#[tokio::test]
async fn a_reader_of_a_range_goes_on_where_the_line_broke() {
    let setup = Setup::new();
    setup
        .server
        .inject(setup.on(cut(MIB, Close::Reset)).times(3));
    let mut content = setup
        .content()
        .range(1000..10_000_000)
        .send()
        .await
        .unwrap();
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes == setup.image[1000..10_000_000]);
    for request in &setup.server.requests()[1..] {
        assert!(request.header("if-range").is_some());
        assert!(request.header("range").unwrap().ends_with("-9999999"));
    }
}

#[tokio::test]
async fn a_stream_never_goes_on_with_another_version() {
    for (fault, kind) in [
        (Fault::IgnoreRange, ErrorKind::Changed),
        (Fault::LastModified { by: 1 }, ErrorKind::Changed),
        (Fault::RangeTotal { by: 1 }, ErrorKind::Changed),
        (Fault::status(416), ErrorKind::Changed),
        (Fault::RangeStart { by: 1 }, ErrorKind::Range),
    ] {
        let setup = Setup::new();
        setup.server.inject(setup.on(cut(MIB, Close::Clean)));
        setup.server.inject(setup.on(fault.clone()));
        let mut content = setup.content().send().await.unwrap();
        let mut count = 0;
        let error = loop {
            match content.chunk().await {
                Ok(chunk) => count += chunk.expect("an end without an error").len(),
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), count), (kind, MIB), "{fault:?}");
        assert!(content.chunk().await.unwrap().is_none());
    }
}

/// A caller may give up waiting for a chunk, and ask again later.
#[tokio::test]
async fn waiting_for_a_chunk_can_be_given_up_at_any_time() {
    let setup = Setup::new();
    setup.server.inject(setup.on(cut(MIB, Close::Clean)));
    setup.server.inject(setup.on(Fault::DelayResponse {
        wait: Duration::from_millis(200),
    }));
    let mut content = setup.content().send().await.unwrap();
    let mut bytes = Vec::new();
    let mut given_up = 0;
    loop {
        match tokio::time::timeout(Duration::from_millis(50), content.chunk()).await {
            Err(_) => given_up += 1,
            Ok(chunk) => match chunk.unwrap() {
                Some(chunk) => bytes.extend_from_slice(&chunk),
                None => break,
            },
        }
    }
    assert!(given_up > 0 && bytes == setup.image, "{given_up}");
}
