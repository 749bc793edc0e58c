//! Slow sides, and copies that are dropped.

use std::time::Instant;

use super::*;

const STALL: Duration = Duration::from_millis(300);

/// A source that breaks, and is resumed long after the patience of the target's client.
fn late() -> (Site, Images) {
    let site = Site::new(large(3_000_000));
    site.source.inject(content(cut(1_000_000)));
    let late = Fault::DelayResponse { wait: 4 * STALL };
    site.source.inject(content(late));
    let to = client(&site.target, WRITER).stall_timeout(STALL);
    (site, to.build().unwrap().images())
}

#[tokio::test]
async fn an_upload_waits_for_as_long_as_the_source_is_resumed() {
    let (site, to) = late();
    let began = Instant::now();
    let copied = site.from.copy(site.id).to(&to).await.unwrap();
    assert!(began.elapsed() > 4 * STALL, "the source was not late");
    assert_eq!(copied.sha256, Digest::of(&site.bytes));
}

#[tokio::test]
async fn content_as_the_source_of_an_upload_is_waited_for_as_well() {
    let (site, to) = late();
    let content = site.from.content(site.id).await.unwrap();
    let image = to.create_upload("copy", content).await.unwrap();
    assert!(site.target.content(image.id) == Some(site.bytes.clone()));
}

#[tokio::test]
async fn a_source_that_stalls_ends_the_upload() {
    let site = Site::new(large(3_000_000));
    let stall = Fault::StallResponse {
        after: 1_000_000,
        wait: 20 * STALL,
    };
    site.source.inject(content(stall).always());
    let from = client(&site.source, READER).stall_timeout(STALL);
    let from = from.retry(RetryPolicy::none()).build().unwrap().images();
    let error = from.copy(site.id).to(&site.to).await.unwrap_err();
    site.check_failure(&error, Side::Source, ErrorKind::Stalled);
}

#[tokio::test]
async fn a_target_that_stalls_is_an_error_of_the_target() {
    let site = Site::new(large(40_000_000));
    let wait = 10 * STALL;
    let stall = Fault::StallRequest { after: 1000, wait };
    site.target.inject(stall.on("POST", "/images"));
    let to = client(&site.target, WRITER).stall_timeout(STALL);
    let to = to.build().unwrap().images();
    let error = site.from.copy(site.id).to(&to).await.unwrap_err();
    assert_eq!(error.side(), Some(Side::Target));
    assert_eq!(error.kind(), ErrorKind::NotSent, "{error:?}");
    assert_eq!(site.target.image_count(), 0);
}

/// The source sends no more than what buffers hold while the target takes nothing.
#[tokio::test]
async fn a_slow_target_slows_the_source_down() {
    let length = 64_000_000;
    let site = Site::new(large(length));
    let wait = 4 * STALL;
    let stall = Fault::StallRequest { after: 1000, wait };
    site.target.inject(stall.on("POST", "/images"));
    let copy = tokio::spawn(site.copy().send());
    tokio::time::sleep(2 * STALL).await;
    let (sender, received) = std::sync::mpsc::channel();
    let sent: u64 = site
        .source
        .requests()
        .iter()
        .map(|request| request.body_sent)
        .sum();
    sender.send(sent).unwrap();
    let copied = copy.await.unwrap().unwrap();
    assert!(received.recv().unwrap() < length as u64 / 2, "{sent}");
    assert_eq!(copied.sha256, Digest::of(&site.bytes));
}

#[tokio::test]
async fn a_copy_that_is_dropped_creates_nothing() {
    futures::future::join_all([0, 1, 500_000, 2_999_000].map(dropped)).await;
}

/// Drops a copy while the source stalls.
async fn dropped(after: u64) {
    let wait = Duration::from_secs(3);
    let site = Site::new(large(3_000_000));
    site.source
        .inject(content(Fault::StallResponse { after, wait }));
    let copy = tokio::spawn(site.copy().name("x").send());
    let has_stalled = || {
        let requests = site.source.requests();
        requests.iter().any(|request| request.body_sent == after)
    };
    while !has_stalled() {
        tokio::time::sleep(STALL / 10).await;
    }
    tokio::time::sleep(STALL).await;
    copy.abort();
    assert!(copy.await.unwrap_err().is_cancelled());
    // Until the source goes on.
    tokio::time::sleep(wait).await;
    assert_eq!(site.target.image_count(), 0, "{after}");
    site.check_requests();
}
