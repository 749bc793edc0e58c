use machine_images::qcow2::{Code, Format, Policy, Verdict};
use machine_images::testing::{Close, Fault};

use super::{bad, good, sent, site};

#[tokio::test]
async fn a_large_image_takes_one_small_request() {
    let (server, images) = site();
    let id = server
        .new_image("large")
        .content(good())
        .length(4 << 30)
        .add()
        .unwrap();

    let report = images.inspect(id).await.unwrap();

    assert_eq!(report.verdict(), Verdict::Accept, "{report:?}");
    assert_eq!(report.header.unwrap().virtual_size, 10 << 30);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("range"), Some("bytes=0-65535"));
    assert!(sent(&requests) < 128 << 10, "{} bytes", sent(&requests));
}

#[tokio::test]
async fn a_bad_image_is_a_report_and_the_policy_decides() {
    let (server, images) = site();
    let id = server.add_image("bad", bad()).unwrap();
    let inspect = || images.inspect(id);

    let report = inspect().await.unwrap();
    assert_eq!(report.verdict(), Verdict::Reject);
    assert!(report.has(Code::BackingFile));
    let header = report.header.unwrap();
    assert_eq!(header.backing_file.as_deref(), Some("/etc/passwd"));

    let policy = Policy::default().allow(Code::BackingFile);
    let report = inspect().policy(policy).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Accept);
    let policy = Policy::default().max_virtual_size(1 << 30);
    let report = inspect().policy(policy).await.unwrap();
    assert!(report.has(Code::VirtualSizeLimit));
}

#[tokio::test]
async fn the_length_that_the_server_says_tells_what_is_cut() {
    let (server, images) = site();
    let id = server.add_image("cut", &good()[..100_000]).unwrap();
    let report = images.inspect(id).await.unwrap();
    assert!(report.has(Code::Truncated), "{report:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_is_no_qcow2_is_told_and_so_is_nothing() {
    let (server, images) = site();
    for (content, format) in [
        (b"<!DOCTYPE html><title>404".as_slice(), Format::Html),
        (b"", Format::Unknown),
        (&[0; 100_000], Format::Unknown),
    ] {
        let id = server.add_image("other", content).unwrap();
        let report = images.inspect(id).await.unwrap();
        assert_eq!(report.format, format);
        assert!(report.has(Code::NotQcow2));
        assert_eq!(report.verdict(), Verdict::Reject);
        images.delete(id).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_table_that_is_far_off_takes_a_request_of_its_own() {
    let (server, images) = site();
    let mut image = good();
    let table = 1_u64 << 20;
    image[60..64].copy_from_slice(&1_u32.to_be_bytes());
    image[64..72].copy_from_slice(&table.to_be_bytes());
    image.resize(table as usize, 0);
    // One snapshot: its L1 table, the lengths of its id and name, and these.
    image.extend((3_u64 << 16).to_be_bytes());
    image.extend(20_u32.to_be_bytes());
    image.extend([0, 1, 0, 4]);
    image.extend([0; 24]);
    image.extend(b"1snap");
    let id = server
        .new_image("far")
        .content(image)
        .length(2 << 30)
        .add()
        .unwrap();

    let report = images.inspect(id).await.unwrap();

    assert_eq!(report.snapshots[0].name, "snap", "{report:?}");
    assert!(report.has(Code::InternalSnapshots));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(sent(&requests) < 128 << 10);
    // Both of one version.
    assert!(requests[1].header("if-range").is_some());
}

#[tokio::test]
async fn a_server_without_ranges_is_read_no_further_than_needed() {
    let (server, images) = site();
    server.inject(Fault::RefuseRanges.always());
    for (image, verdict) in [(good(), Verdict::Accept), (bad(), Verdict::Reject)] {
        let id = server
            .new_image("x")
            .content(image)
            .length(4 << 30)
            .add()
            .unwrap();
        let report = images.inspect(id).await.unwrap();
        assert_eq!(report.verdict(), verdict, "{report:?}");
        images.delete(id).send().await.unwrap();
    }
    // What is on its way when the connection is closed is lost.
    assert!(sent(&server.requests()) < 64 << 20);
}

#[tokio::test]
async fn a_broken_answer_is_continued() {
    let (server, images) = site();
    let id = server.add_image("x", good()).unwrap();
    let close = Close::Clean;
    server.inject(Fault::CutResponse { after: 1000, close }.on("GET", "/images/1"));
    let report = images.inspect(id).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Accept);
    let requests = server.requests();
    assert_eq!(requests[1].header("range"), Some("bytes=1000-65535"));
}
