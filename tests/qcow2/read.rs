//! The guest's disk read in place equals what `qemu-img` reads.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use machine_images::ErrorKind;
use machine_images::disk::Disk;
use machine_images::qcow2::{Code, Format, Policy, Verdict};
use machine_images::testing::DjinnServer;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::disks::{disks, extents, mapped, name, named, raw};

#[tokio::test]
async fn the_extents_are_those_of_qemu_img() {
    for path in disks().into_iter().flatten() {
        let disk = Disk::open(path).await.unwrap();
        assert_eq!(extents(&disk).await, mapped(path), "{}", name(path));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_reads_are_the_bytes_of_the_raw_disk() {
    let read = disks()
        .into_iter()
        .flatten()
        .map(|path| tokio::spawn(read_at_random(path)));
    for read in read.collect::<Vec<_>>() {
        read.await.unwrap();
    }
}

async fn read_at_random(path: &Path) {
    let (disk, raw) = (Disk::open(path).await.unwrap(), raw(path));
    let file = File::open(raw).unwrap();
    assert_eq!(
        disk.size(),
        file.metadata().unwrap().len(),
        "{}",
        name(path)
    );
    let mut random = fastrand::Rng::with_seed(16);
    for _ in 0..1000 {
        let offset = random.u64(..=disk.size());
        // Most of a large disk is empty.
        let offset = if random.bool() {
            offset % (8 << 20)
        } else {
            offset
        };
        let mut found = vec![1; random.usize(..20_000)];
        let count = disk.read_at(offset, &mut found).await.unwrap();
        let room = disk.size().saturating_sub(offset);
        assert_eq!(count as u64, room.min(found.len() as u64));
        let mut expected = vec![0; count];
        file.read_exact_at(&mut expected, offset).unwrap();
        assert!(found[..count] == expected, "{} at {offset}", name(path));
    }
}

#[tokio::test]
async fn a_disk_on_a_server_is_read_in_order_and_after_seeks() {
    let Some(path) = named("mixed-64k-1.1") else {
        return;
    };
    let (server, raw) = (DjinnServer::start().unwrap(), raw(&path));
    let id = server
        .add_image("debian", std::fs::read(&path).unwrap())
        .unwrap();
    let expected = std::fs::read(raw).unwrap();
    let images = server.client().unwrap().images();
    let mut disk = images.disk(id).await.unwrap();
    let mut found = Vec::new();
    disk.read_to_end(&mut found).await.unwrap();
    assert!(found == expected);
    disk.seek(std::io::SeekFrom::End(-1000)).await.unwrap();
    let mut last = Vec::new();
    disk.read_to_end(&mut last).await.unwrap();
    assert!(last == expected[expected.len() - 1000..]);
}

#[tokio::test]
async fn the_first_sector_takes_four_requests() {
    let Some(path) = named("large") else { return };
    let server = DjinnServer::start().unwrap();
    let id = server
        .add_image("large", std::fs::read(path).unwrap())
        .unwrap();
    let images = server.client().unwrap().images();
    server.clear_requests();
    let mut sector = [0; 512];
    let disk = images.disk(id).await.unwrap();
    assert_eq!(disk.read_at(0, &mut sector).await.unwrap(), 512);
    assert_eq!(sector, [1; 512]);
    let requests = server.requests().len();
    assert!(requests <= 4, "{requests}");
}

#[tokio::test]
async fn a_snapshot_is_the_disk_as_it_was() {
    let Some(path) = named("snapshots") else {
        return;
    };
    for (snapshot, at, expected) in [
        ("1", 512 << 10, 1),
        ("second", 512 << 10, 3),
        ("2", 4 << 20, 0),
    ] {
        let disk = Disk::open(&path).snapshot(snapshot).await.unwrap();
        let mut byte = [9];
        disk.read_at(at, &mut byte).await.unwrap();
        assert_eq!(byte, [expected], "{snapshot} at {at}");
    }
    let error = Disk::open(&path).snapshot("third").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn the_contents_are_inspected_if_that_is_asked_for() {
    let Some(inner) = named("plain-64k-1.1") else {
        return;
    };
    let server = DjinnServer::start().unwrap();
    let images = server.client().unwrap().images();
    let folder = tempfile::tempdir().unwrap();
    let mut partitioned = vec![0; 1 << 20];
    partitioned[510..512].copy_from_slice(b"\x55\xaa");
    for (name, contents, format, code) in [
        ("mbr", partitioned, Format::Mbr, Code::Contents),
        ("nothing", vec![0; 1 << 20], Format::Unknown, Code::Contents),
        (
            "qcow2",
            std::fs::read(inner).unwrap(),
            Format::Qcow2,
            Code::InnerImage,
        ),
    ] {
        let (raw, image) = (folder.path().join(name), folder.path().join("image"));
        std::fs::write(&raw, contents).unwrap();
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-c", "-f", "raw", "-O", "qcow2"]);
        assert!(convert.args([&raw, &image]).status().unwrap().success());
        let id = server
            .add_image(name, std::fs::read(image).unwrap())
            .unwrap();
        let report = images.inspect(id).contents(true).await.unwrap();
        assert_eq!(
            (report.contents, report.has(code)),
            (Some(format), true),
            "{name}"
        );
        assert_eq!(report.verdict(), Verdict::Accept);
        assert_eq!(images.inspect(id).await.unwrap().contents, None);
        let strict = Policy::default().reject(Code::InnerImage);
        let report = images
            .inspect(id)
            .contents(true)
            .policy(strict)
            .await
            .unwrap();
        let is_inner = code == Code::InnerImage;
        assert_eq!(report.verdict() == Verdict::Reject, is_inner, "{name}");
    }
}
