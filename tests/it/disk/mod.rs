//! The guest's disk of servers and images that mean no good: right bytes or an error, soon, and
//! without asking for much.

mod errors;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use machine_images::ErrorKind;
use machine_images::djinn::{Client, Images};
use machine_images::qcow2::Code;
use machine_images::testing::DjinnServer;

use crate::support::raw::{Answer, RawServer, Received, Then};
use crate::support::{QEMU_DISK, quick};

/// An image of one L2 table. Its clusters are the header, the refcounts, the L1 table, the L2 table
/// and then what the entries name.
fn image(bits: u32, entries: &[u64], length: usize) -> Vec<u8> {
    let cluster = 1_u64 << bits;
    let mut image = b"QFI\xfb\0\0\0\x03".to_vec();
    image.extend([0; 12]);
    image.extend(bits.to_be_bytes());
    image.extend((cluster * entries.len() as u64).to_be_bytes());
    image.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    image.extend((2 * cluster).to_be_bytes());
    image.extend(cluster.to_be_bytes());
    image.extend(1_u32.to_be_bytes());
    image.extend([0; 36]);
    image.extend([4_u32.to_be_bytes(), 104_u32.to_be_bytes()].concat());
    image.resize(length, 0);
    put(&mut image, 2 * cluster, 1 << 63 | (3 * cluster));
    for (index, entry) in (0..).zip(entries) {
        put(&mut image, 3 * cluster + 8 * index, *entry);
    }
    image
}

fn put(image: &mut [u8], at: u64, value: u64) {
    image[at as usize..][..8].copy_from_slice(&value.to_be_bytes());
}

/// A disk of 32 clusters of 64 KiB that hold a byte each, in an image with its tables far apart
/// from the header.
fn plain(byte: u8) -> Vec<u8> {
    let entries: Vec<u64> = (4..36).map(|number| 1 << 63 | number << 16).collect();
    let mut image = image(16, &entries, 36 << 16);
    image[4 << 16..].fill(byte);
    image
}

fn disk(byte: u8) -> Vec<u8> {
    vec![byte; 32 << 16]
}

/// The answer to a request for a range of a file.
fn answer(request: &Received, file: &[u8], etag: &str, total: &str) -> Answer {
    let range = request.header("range").map(|range| {
        let (first, last) = range["bytes=".len()..].split_once('-').unwrap();
        let last = last.parse().unwrap_or(usize::MAX).min(file.len() - 1);
        first.parse::<usize>().unwrap()..last + 1
    });
    let is_same = request.header("if-range").is_none_or(|tag| tag == etag);
    let (status, range) = match range.filter(|_| is_same) {
        Some(range) => ("206 Partial Content", range),
        None => ("200 OK", 0..file.len()),
    };
    let mut head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {QEMU_DISK}\r\nETag: {etag}\r\nContent-Length: {}\r\n",
        range.len()
    );
    if status.starts_with("206") {
        head += &format!(
            "Content-Range: bytes {}-{}/{total}\r\n",
            range.start,
            range.end - 1
        );
    }
    Answer::new(
        [head.as_bytes(), b"\r\n", &file[range]].concat(),
        Then::KeepAlive,
    )
}

fn client(server: &RawServer) -> Images {
    let client = Client::builder(server.url("")).retry(quick().retries(2));
    client
        .stall_timeout(Duration::from_secs(2))
        .build()
        .unwrap()
        .images()
}

async fn read_all(images: &Images) -> machine_images::Result<Vec<u8>> {
    let disk = images.disk(1).await?;
    let mut bytes = vec![0; disk.size() as usize];
    for (at, part) in (0..).step_by(1 << 20).zip(bytes.chunks_mut(1 << 20)) {
        disk.read_at(at, part).await?;
    }
    Ok(bytes)
}

/// Nothing is left beside the target.
fn assert_empty(folder: &Path) {
    let left: Vec<_> = folder.read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A server on which the image becomes another one at these requests.
async fn changing(at: &'static [usize]) -> RawServer {
    let count = AtomicUsize::new(0);
    RawServer::answering(move |request| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let version = at.iter().filter(|&&at| at <= number).count() as u8;
        let file = plain(version + 1);
        let total = file.len().to_string();
        answer(request, &file, &format!("\"{version}\""), &total)
    })
    .await
}

#[tokio::test]
async fn an_image_that_changes_while_it_is_read_is_an_error() {
    for at in [&[1], &[2], &[3], &[4_usize]] {
        let error = read_all(&client(&changing(at).await)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed, "{at:?}: {error}");
    }
    let unchanged = changing(&[]).await;
    assert!(read_all(&client(&unchanged)).await.unwrap() == disk(1));
}

#[tokio::test]
async fn an_image_that_changes_while_it_is_saved_is_saved_anew_once() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("disk.raw");
    for at in [&[1], &[2], &[3_usize]] {
        for connections in [1, 4] {
            let server = changing(at).await;
            let save = client(&server).save_raw(1, &target);
            save.connections(connections).await.unwrap();
            assert!(std::fs::read(&target).unwrap() == disk(2), "{at:?}");
            std::fs::remove_file(&target).unwrap();
        }
    }
    // The second time it is given up, and what was there stays.
    std::fs::write(&target, "before").unwrap();
    let server = changing(&[2, 4]).await;
    let save = client(&server).save_raw(1, &target);
    let error = save.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    assert_eq!(std::fs::read(&target).unwrap(), b"before");
}

#[tokio::test]
async fn tables_that_are_others_each_time_are_an_error_or_bytes_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("disk.raw");
    let (right, mut kinds) = (Arc::new(plain(7)), [0; 2]);
    for seed in 0..60 {
        let (count, right) = (AtomicUsize::new(0), right.clone());
        let server = RawServer::answering(move |request| {
            let number = count.fetch_add(1, Ordering::Relaxed) as u64;
            let mut random = fastrand::Rng::with_seed(seed << 8 | number);
            let mut file = right.to_vec();
            for _ in 0..random.usize(0..3) {
                let (table, entries) = random.choice([(2 << 16, 1), (3 << 16, 32)]).unwrap();
                let value = match random.bool() {
                    true => 1 << 63 | random.u64(0..40) << 16,
                    false => random.u64(..) >> random.u32(0..64),
                };
                put(&mut file, table + 8 * random.u64(0..entries), value);
            }
            let total = file.len().to_string();
            answer(request, &file, "\"same\"", &total)
        })
        .await;
        let images = client(&server);
        let found = match seed % 2 {
            0 => read_all(&images).await,
            _ => {
                let save = images.save_raw(1, &target).durable(false).await;
                save.map(|_| std::fs::read(&target).unwrap())
            }
        };
        match found {
            Ok(bytes) => {
                kinds[0] += 1;
                assert_eq!(bytes.len(), 32 << 16);
            }
            Err(error) => {
                kinds[1] += 1;
                assert_eq!(error.kind(), ErrorKind::ImageRejected, "{seed}: {error}");
            }
        }
    }
    assert!(kinds[0] > 5 && kinds[1] > 5, "{kinds:?}");
}

#[tokio::test]
async fn a_server_without_ranges_or_lengths_is_an_error_that_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("disk.raw");
    let without_ranges = RawServer::answering(|request| {
        let whole = Received {
            headers: Vec::new(),
            ..request.clone()
        };
        answer(&whole, &plain(1), "\"1\"", "")
    });
    let without_length = RawServer::answering(|request| answer(request, &plain(1), "\"1\"", "*"));
    for (server, kind) in [
        (without_ranges.await, ErrorKind::Range),
        (without_length.await, ErrorKind::Length),
    ] {
        let images = client(&server);
        let error = read_all(&images).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let error = images.save_raw(1, &target).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_empty(folder.path());
    }
}

#[tokio::test]
async fn answers_that_end_early_are_asked_for_again_and_then_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("disk.raw");
    // As many answers as are whole; the others lack their second half.
    for whole in 0..6 {
        let count = AtomicUsize::new(0);
        let server = RawServer::answering(move |request| {
            let file = plain(1);
            let mut answer = answer(request, &file, "\"1\"", &file.len().to_string());
            if count.fetch_add(1, Ordering::Relaxed) >= whole {
                // Always the same, whatever is asked for: there is no progress.
                answer.bytes.truncate(120);
                answer.then = Then::Close;
            }
            answer
        })
        .await;
        let images = client(&server);
        match read_all(&images).await {
            Ok(bytes) => assert!(bytes == disk(1)),
            Err(error) => assert!(error.is_retryable(), "{whole}: {error:?}"),
        }
        let error = images.save_raw(1, &target).await.unwrap_err();
        assert!(error.is_retryable(), "{whole}: {error:?}");
        assert!(!target.exists());
    }
}

#[tokio::test]
async fn an_l1_table_of_4_gib_is_rejected_before_it_is_asked_for() {
    let server = RawServer::answering(|request| {
        let mut file = plain(1);
        file[36..40].copy_from_slice(&(1_u32 << 29).to_be_bytes());
        answer(request, &file, "\"1\"", &(1_u64 << 40).to_string())
    })
    .await;
    let error = client(&server).disk(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageRejected);
    assert!(error.inspection().unwrap().has(Code::L1Table));
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn l2_tables_named_over_and_over_are_rejected_soon() {
    // 2^18 tables of 2 MiB, which map 2^57 bytes.
    let mut file = image(21, &[0], 6 << 21);
    file[24..32].copy_from_slice(&(1_u64 << 57).to_be_bytes());
    file[36..40].copy_from_slice(&(1_u32 << 18).to_be_bytes());
    for index in 0..1 << 18 {
        put(&mut file, (2 << 21) + 8 * index, 1 << 63 | (3 << 21));
    }
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("tables", file).unwrap();
    let images = server.client().unwrap().images();
    let began = Instant::now();
    let extents = images.disk(id).await.unwrap().extents();
    let error = extents.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.inspection().unwrap().has(Code::L1Entry), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(server.requests().len() < 300);
}

#[tokio::test]
async fn clusters_compressed_at_one_place_are_read_but_not_saved() {
    let mut deflated = Vec::new();
    let mut encoder =
        flate2::write::DeflateEncoder::new(&mut deflated, flate2::Compression::new(6));
    std::io::Write::write_all(&mut encoder, &[9; 64 << 10]).unwrap();
    encoder.finish().unwrap();
    // Each says that it takes 128 KiB.
    let entry = 1 << 62 | 0xff << 54 | 4 << 16;
    let mut file = image(16, &[entry; 8192], 7 << 16);
    file[4 << 16..][..deflated.len()].copy_from_slice(&deflated);
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("bomb", file).unwrap();
    let images = server.client().unwrap().images();
    let disk = images.disk(id).await.unwrap();
    let mut bytes = vec![0; 4 << 20];
    disk.read_at(100 << 20, &mut bytes).await.unwrap();
    assert!(bytes.iter().all(|&byte| byte == 9));
    let folder = tempfile::tempdir().unwrap();
    let save = images.save_raw(id, folder.path().join("disk.raw"));
    let error = save.await.unwrap_err();
    assert!(error.inspection().unwrap().has(Code::L2Entry), "{error}");
    assert_empty(folder.path());
}

#[tokio::test]
async fn small_clusters_far_apart_do_not_bring_all_that_is_between_them() {
    const APART: u64 = 32 << 10;
    let entries: Vec<u64> = (1..64).map(|number| (1 << 63) | (number * APART)).collect();
    let file = Arc::new(image(9, &entries, 64 << 15));
    let served = file.clone();
    let server = RawServer::answering(move |request| {
        answer(request, &served, "\"1\"", &served.len().to_string())
    })
    .await;
    let disk = client(&server).disk(1).await.unwrap();
    let mut bytes = vec![0; 63 * 512];
    assert_eq!(disk.read_at(0, &mut bytes).await.unwrap(), bytes.len());
    let asked = server.received().into_iter().filter_map(|request| {
        let (first, last) = request
            .header("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let asked: Range<u64> = first.parse().ok()?..last.parse::<u64>().ok()? + 1;
        Some(asked.end - asked.start)
    });
    // The header's part, the tables, the clusters, and not much more than 1 MiB between them.
    let asked: u64 = asked.sum();
    assert!(asked < 5 << 18, "{asked}");
}
