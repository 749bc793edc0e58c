//! What an error of a disk says, and for what it is rejected.

use futures::StreamExt;
use machine_images::disk::Disk;
use machine_images::qcow2::{Code, Policy, Severity, Verdict};
use machine_images::testing::DjinnServer;

use super::{image, plain};

#[tokio::test]
async fn nothing_comes_after_a_part_of_the_map_that_cannot_be_read() {
    // Two parts of 32 KiB: clusters beyond the end of the file, and a hole.
    let mut file = image(9, &[1 << 63 | 1 << 40; 64], 64 << 9);
    file[24..32].copy_from_slice(&(64_u64 << 10).to_be_bytes());
    file[36..40].copy_from_slice(&2_u32.to_be_bytes());
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("x", file).unwrap();
    let disk = server.client().unwrap().images().disk(id).await.unwrap();
    let mut extents: Vec<_> = disk.extents().collect().await;
    let error = extents.pop().unwrap().unwrap_err();
    assert!(extents.is_empty(), "{extents:?}");
    assert_eq!(error.operation(), "read disk of image");
    let error = disk.read_at(0, &mut [0]).await.unwrap_err();
    assert_eq!(error.operation(), "read disk of image");
    assert!(error.inspection().unwrap().has(Code::L2Entry));
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_is_rejected_for_a_reason_whatever_the_policy_allows() {
    let mut file = plain(1);
    file[32..36].copy_from_slice(&1_u32.to_be_bytes());
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("encrypted", file).unwrap();
    let images = server.client().unwrap().images();
    let policy = Policy::default().allow(Code::Encrypted);
    let inspected = images.inspect(id).policy(policy.clone()).await.unwrap();
    assert_eq!(inspected.verdict(), Verdict::Accept);

    let error = images.disk(id).policy(policy).await.unwrap_err();

    assert!(error.to_string().contains("encrypted"), "{error}");
    assert_eq!(error.inspection().unwrap().verdict(), Verdict::Reject);
}

#[tokio::test]
async fn the_policy_judges_what_is_found_where_the_disk_is_read() {
    let server = DjinnServer::start().unwrap();
    let file = image(16, &[1 << 63 | 1 << 40; 8192], 4 << 16);
    let id = server.add_image("cut", file).unwrap();
    let images = server.client().unwrap().images();
    for (policy, expected) in [
        (Policy::default(), Severity::Reject),
        (Policy::default().allow(Code::L2Entry), Severity::Note),
    ] {
        let report = images.inspect(id).contents(true).policy(policy).await;
        let found = report.unwrap().findings;
        let found = found.iter().find(|found| found.code == Code::L2Entry);
        assert_eq!(found.unwrap().severity, expected);
    }
}

#[tokio::test]
async fn an_error_of_a_local_disk_has_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.qcow2");
    for content in [None, Some("<html>")] {
        content.inspect(|content| std::fs::write(&path, content).unwrap());
        let error = Disk::open(&path).await.unwrap_err();
        let expected = format!("read disk of file {}: ", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}
