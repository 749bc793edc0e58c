//! Sources that are bad, break, or change.

use super::*;
use machine_images::djinn::ImageId;
use machine_images::qcow2::{Code, Policy};

use crate::support::raw::{Answer, RawServer, Then};

use std::error::Error as _;

#[tokio::test]
async fn a_bad_image_leaves_nothing_at_the_target() {
    let mut backed = DISK.to_vec();
    // A backing file of one byte, at the first free place.
    backed[8..16].copy_from_slice(&600_u64.to_be_bytes());
    backed[16..20].copy_from_slice(&1_u32.to_be_bytes());
    backed[600] = b'x';
    for bytes in [
        b"PK\x03\x04 a zip".to_vec(),
        Vec::new(),
        backed,
        DISK[..100].to_vec(),
    ] {
        let site = Site::new(bytes.clone());
        let error = site.copy().await.unwrap_err();
        site.check_failure(&error, Side::Source, ErrorKind::ImageRejected);
        assert!(error.inspection().is_some());
        assert_eq!(site.target.requests(), []);
        if bytes.starts_with(b"QFI\xfb") {
            site.copy().unchecked().await.unwrap();
            assert_eq!(site.target.image_count(), 1);
        }
    }
}

#[tokio::test]
async fn another_digest_leaves_nothing_at_the_target() {
    for length in [DISK.len(), 3_000_000] {
        let site = Site::new(large(length));
        for reconcile in [false, true] {
            let copy = site.copy().sha256(Digest::of("other"));
            let error = copy.reconcile(reconcile).await.unwrap_err();
            site.check_failure(&error, Side::Source, ErrorKind::DigestMismatch);
        }
        let requests = site.target.requests();
        let upload = requests.iter().find(|request| request.method == "POST");
        assert!(upload.unwrap().body_received < site.bytes.len() as u64);
    }
}

#[tokio::test]
async fn a_source_that_is_cut_is_resumed() {
    let site = Site::new(large(3_000_000));
    for after in [400_000, 30_000, 900_000, 1, 700_000] {
        site.source.inject(content(cut(after)));
    }
    let copied = site.copy().await.unwrap();
    assert_eq!(copied.sha256, Digest::of(&site.bytes));
    assert!(site.target.content(copied.image.id) == Some(site.bytes.clone()));
    let ranges = site.source.requests();
    let ranges = ranges
        .iter()
        .filter(|request| request.header("range").is_some());
    assert_eq!(ranges.count(), 5);
    assert_eq!(site.target.requests().len(), 1);
    site.check_requests();
}

#[tokio::test]
async fn a_source_that_ends_for_good_leaves_nothing_at_the_target() {
    for reconcile in [false, true] {
        let site = Site::new(large(3_000_000));
        site.source.inject(content(cut(1_000_000)));
        let gone = Fault::DropRequest {
            close: Close::Reset,
        };
        site.source.inject(content(gone).always());
        let error = site.copy().reconcile(reconcile).await.unwrap_err();
        site.check_failure(&error, Side::Source, ErrorKind::Transport);
        assert_eq!(error.attempts(), 4, "{error:?}");
        assert!(error.url().unwrap().ends_with("/images/1"));
        assert!(error.source().is_some(), "{error:?}");
        assert!(
            error.to_string().starts_with("copy image 1: source: "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_image_that_changes_leaves_nothing_at_the_target() {
    let site = Site::new(large(3_000_000));
    site.source.inject(content(cut(1_000_000)));
    site.source.inject(content(Fault::LastModified { by: 60 }));
    let error = site.copy().await.unwrap_err();
    site.check_failure(&error, Side::Source, ErrorKind::Changed);
}

/// A server that sends the length `announced`, and then all of `bytes`.
async fn answering(announced: &str, bytes: &[u8]) -> RawServer {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {QEMU_DISK}\r\n{announced}\r\n");
    let answer = [head.as_bytes(), bytes].concat();
    RawServer::answering(move |_| Answer::new(answer.clone(), Then::Close)).await
}

#[tokio::test]
async fn a_source_that_is_shorter_than_announced_leaves_nothing_at_the_target() {
    let (site, bytes) = (Site::new(DISK.to_vec()), large(3_000_000));
    let raw = answering("Content-Length: 3000001\r\n", &bytes).await;
    let from = Client::builder(raw.url("/")).build().unwrap().images();
    let error = from.copy(1).to(&site.to).name("x").await.unwrap_err();
    site.check_failure(&error, Side::Source, ErrorKind::Transport);
}

#[tokio::test]
async fn a_source_without_a_length_is_sent_in_chunks() {
    let (site, bytes) = (Site::new(DISK.to_vec()), large(3_000_000));
    let raw = answering("", &bytes).await;
    let from = Client::builder(raw.url("/")).build().unwrap().images();
    let copy = || from.copy(1).to(&site.to).name("x");
    let error = copy().sha256(Digest::of("other")).await.unwrap_err();
    site.check_failure(&error, Side::Source, ErrorKind::DigestMismatch);
    let copied = copy().sha256(Digest::of(&bytes)).await.unwrap();
    assert!(site.target.content(copied.image.id) == Some(bytes));
    let requests = site.target.requests();
    let upload = requests.last().unwrap();
    assert_eq!(upload.header("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn an_image_that_is_not_there_is_an_error_of_the_source() {
    let site = Site::new(DISK.to_vec());
    for copy in [
        site.from.copy(99).to(&site.to),
        site.from.copy(99).to(&site.to).name("x"),
    ] {
        let error = copy.await.unwrap_err();
        site.check_failure(&error, Side::Source, ErrorKind::NotFoundOrUnauthorized);
        assert_eq!(error.status(), Some(404));
    }
    assert_eq!(site.target.requests(), []);
}

#[tokio::test]
async fn no_redirect_leads_the_token_to_another_origin() {
    let site = Site::new(DISK.to_vec());
    let location = site.target.url().join("/api/images/1").unwrap().to_string();
    let redirect = Fault::Redirect {
        status: 302,
        location,
    };
    site.source.inject(content(redirect));
    let error = site.copy().await.unwrap_err();
    site.check_failure(&error, Side::Source, ErrorKind::Redirect);
    assert_eq!(site.target.requests(), []);

    let location = site.source.url().join("/api/images").unwrap().to_string();
    let redirect = Fault::Redirect {
        status: 307,
        location,
    };
    site.target.inject(redirect.on("POST", "/images"));
    let error = site.copy().await.unwrap_err();
    site.check_failure(&error, Side::Target, ErrorKind::Redirect);
}

/// An image with one internal snapshot, whose table lies far behind the header.
fn with_snapshot() -> Vec<u8> {
    let mut image = large(2_000_000);
    image[60..64].copy_from_slice(&1_u32.to_be_bytes());
    image[64..72].copy_from_slice(&(SNAPSHOTS as u64).to_be_bytes());
    image[SNAPSHOTS..SNAPSHOTS + 1000].fill(0);
    image
}

const SNAPSHOTS: usize = 1_900_544;

#[tokio::test]
async fn a_source_that_shows_one_table_and_sends_another_is_found_out() {
    let site = Site::new(with_snapshot());
    let policy = || Policy::default().allow(Code::InternalSnapshots);
    let copy = |id: ImageId, name| site.from.copy(id).to(&site.to).name(name).policy(policy());
    copy(site.id, "good").await.unwrap();

    let mut image = with_snapshot();
    image[SNAPSHOTS + 7] = 1;
    let bad = site.source.add_image("bad", image).unwrap();
    let location = format!("/api/images/{}", site.id);
    let elsewhere = Fault::Redirect {
        status: 307,
        location,
    };
    let elsewhere = elsewhere.on("GET", format!("/images/{bad}"));
    let ranges = elsewhere.when(|request| request.header("range").is_some());
    site.source.inject(ranges.always());
    let error = copy(bad, "bad").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error:?}");
    assert_eq!(error.side(), Some(Side::Source));
    assert_eq!(site.target.image_count(), 1);
}
