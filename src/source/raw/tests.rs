use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use futures::TryStreamExt;
use tempfile::TempDir;

use super::*;
use crate::source::Source;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

const KINDS: [Option<Compression>; 3] = [None, Some(Compression::Zlib), Some(Compression::Zstd)];

/// Data that shrinks by half.
fn text(length: u64, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(1..16)).collect()
}

fn noise(length: u64, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// A sparse disk with data at offsets.
fn disk(folder: &TempDir, length: u64, data: &[(u64, Vec<u8>)]) -> PathBuf {
    let path = folder.path().join("disk.img");
    let file = File::create(&path).unwrap();
    file.set_len(length).unwrap();
    for (at, bytes) in data {
        file.write_all_at(bytes, *at).unwrap();
    }
    path
}

fn source(path: &Path, compression: Option<Compression>) -> Source {
    match compression {
        None => Source::raw(path).into(),
        Some(compression) => Source::raw(path).compress(compression).into(),
    }
}

/// Opens a source, and returns the chunks, the length and the source for another attempt.
async fn open(source: Source) -> (Chunks, u64, Source) {
    let (opened, again) = source.open().await.unwrap();
    (opened.chunks, opened.length.unwrap(), again.unwrap())
}

/// Writes what is sent to a file.
async fn sent(folder: &TempDir, source: Source) -> (PathBuf, Source) {
    let path = folder.path().join("sent.qcow2");
    let (mut chunks, length, again) = open(source).await;
    let mut file = File::create(&path).unwrap();
    while let Some(chunk) = chunks.try_next().await.unwrap() {
        file.write_all(&chunk).unwrap();
    }
    assert_eq!(file.metadata().unwrap().len(), length);
    (path, again)
}

/// Tests without `qemu-img` pass over, unless they must not.
fn has_qemu_img() -> bool {
    let found = Command::new("qemu-img").arg("--version").output().is_ok();
    let required = std::env::var_os("MACHINE_IMAGES_REQUIRE_TOOLS").is_some();
    assert!(found || !required, "qemu-img is missing");
    found
}

#[track_caller]
fn qemu_img(arguments: &[&str], paths: &[&Path]) -> String {
    let output = Command::new("qemu-img")
        .args(arguments)
        .args(paths)
        .output()
        .unwrap();
    let command = format!("{arguments:?} {paths:?}");
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks that QEMU finds the image good, and the same as the disk; returns its length.
async fn check(folder: &TempDir, path: &Path, compression: Option<Compression>) -> u64 {
    let (image, _) = sent(folder, source(path, compression)).await;
    if has_qemu_img() {
        let found = qemu_img(&["check", "-f", "qcow2"], &[&image]);
        assert!(found.contains("No errors were found"), "{found}");
        let found = qemu_img(&["compare", "-f", "raw", "-F", "qcow2"], &[path, &image]);
        assert!(found.contains("Images are identical"), "{found}");
    }
    std::fs::metadata(image).unwrap().len()
}

#[tokio::test]
async fn every_disk_is_the_same_in_the_image() {
    let scattered: Vec<_> = (0..40)
        .map(|place| {
            (
                place * 107 * (1 << 30) + place * 4999,
                text(90 * KIB, place),
            )
        })
        .collect();
    let mixed: Vec<_> = (0..30)
        .map(|place| match place % 3 {
            0 => (place * 64 * KIB, noise(64 * KIB, place)),
            1 => (place * 64 * KIB, text(64 * KIB, place)),
            _ => (place * 64 * KIB + 5000, vec![1]),
        })
        .collect();
    let last = 600 * MIB + 300;
    for (name, length, data) in [
        ("empty", 0, vec![]),
        ("one sector", 512, vec![(0, text(512, 1))]),
        ("one byte", 1, vec![(0, vec![1])]),
        ("a cluster", 64 * KIB, vec![(0, text(64 * KIB, 1))]),
        (
            "a byte more",
            64 * KIB + 1,
            vec![(0, text(64 * KIB + 1, 1))],
        ),
        ("sparse", 20 * MIB, vec![]),
        ("zeros", 5 * MIB + 512, vec![(0, vec![0; 5 << 20])]),
        ("noise", 2 * MIB + 1000, vec![(0, noise(2 * MIB + 1000, 1))]),
        ("text", 2 * MIB, vec![(0, text(2 * MIB, 1))]),
        (
            "a hole",
            700 * MIB,
            vec![(0, text(200 * KIB, 1)), (699 * MIB, text(MIB, 2))],
        ),
        ("the end", last, vec![(last - 1, vec![1])]),
        ("mixed", 2 * MIB, mixed),
        ("4 TiB", 4 * TIB, scattered),
    ] {
        let named = tempfile::Builder::new().prefix(name).tempdir().unwrap();
        for kind in KINDS {
            // In the path, which a failure shows.
            let folder = tempfile::tempdir_in(named.path()).unwrap();
            let path = disk(&folder, length, &data);
            check(&folder, &path, kind).await;
        }
    }
}

/// The tables alone, with a hole for the data, of which there is more than one refcount block counts.
#[test]
fn qemu_finds_the_tables_of_a_large_image_right() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut clusters = Clusters::default();
    let mut cluster = 0;
    for place in 0..150_000_u64 {
        cluster += match place % 1000 {
            // On to other L2 tables, and other clusters of the L1 table.
            0 => 900_000,
            _ => random.u64(1..3),
        };
        let length = match random.bool() {
            true => 0,
            false => random.u16(1..),
        };
        clusters.push(Stored { cluster, length });
    }
    let size = (cluster + 1) * CLUSTER as u64;
    let layout = Arc::new(Layout::new(clusters, size, Compression::Zlib));
    assert!(layout.length() > 4 << 30);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tables.qcow2");
    let file = File::create(&path).unwrap();
    let mut at = 0;
    for part in Parts::new(Arc::clone(&layout)) {
        at += match part {
            Part::Bytes(bytes) => {
                file.write_all_at(&bytes, at).unwrap();
                bytes.len() as u64
            }
            Part::Data(batch) => {
                let length = |stored: &Stored| match stored.length {
                    0 => CLUSTER as u64,
                    length => length.into(),
                };
                batch.iter().map(length).sum()
            }
        };
    }
    file.set_len(at).unwrap();
    assert_eq!(at, layout.length());
    if has_qemu_img() {
        let found = qemu_img(&["check", "-f", "qcow2"], &[&path]);
        assert!(found.contains("No errors were found"), "{found}");
        assert!(found.contains("150000/"), "{found}");
    }
}

#[tokio::test]
async fn zeros_are_left_out_and_the_rest_gets_smaller() {
    let metadata = 5 * 64 * KIB;
    let folder = tempfile::tempdir().unwrap();
    let zeros = disk(&folder, 8 * MIB, &[(0, vec![0; 8 << 20])]);
    assert_eq!(check(&folder, &zeros, None).await, metadata - 64 * KIB);
    // One byte in every other cluster, in its first or its last block.
    let data: Vec<_> = (0..16)
        .map(|place| (place * 128 * KIB + (place % 2) * 65_535, vec![1]))
        .collect();
    let half = disk(&folder, 8 * MIB, &data);
    let plain = check(&folder, &half, None).await;
    assert_eq!(plain, metadata + MIB);
    for kind in [Compression::Zlib, Compression::Zstd] {
        let length = check(&folder, &half, Some(kind)).await;
        assert!(length < metadata + 64 * KIB, "{kind:?}: {length}");
        assert_eq!(length % 512, 0);
    }
    // Noise is stored as it is, and takes no more than that.
    let noise = disk(&folder, 8 * MIB, &[(0, noise(MIB, 1))]);
    for kind in KINDS {
        assert_eq!(check(&folder, &noise, kind).await, metadata + MIB);
    }
}

#[tokio::test]
async fn another_attempt_sends_the_same_without_another_survey() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let data = [(0, text(MIB, 1)), (40 * MIB, noise(MIB, 2))];
        let path = disk(&folder, 50 * MIB, &data);
        let first = source(&path, kind);
        let early = first.again().unwrap();
        let (image, again) = sent(&folder, first).await;
        let bytes = std::fs::read(&image).unwrap();
        // What takes its name is not what was surveyed.
        std::fs::rename(&path, folder.path().join("moved.img")).unwrap();
        for again in [early, again] {
            let (image, _) = sent(&folder, again).await;
            assert!(std::fs::read(image).unwrap() == bytes, "{kind:?}");
        }
    }
}

/// The error of a source that is changed after the first pass.
async fn changed(kind: Option<Compression>, change: impl FnOnce(&File)) -> io::Result<u64> {
    let folder = tempfile::tempdir().unwrap();
    let path = disk(&folder, 3 * MIB, &[(0, text(2 * MIB, 1))]);
    let (chunks, ..) = open(source(&path, kind)).await;
    change(&File::options().write(true).open(&path).unwrap());
    let lengths = chunks.map_ok(|chunk| chunk.len() as u64);
    lengths
        .try_fold(0, |sum, length| async move { Ok(sum + length) })
        .await
}

#[tokio::test]
async fn another_length_is_an_error() {
    for kind in KINDS {
        for length in [0, MIB, 3 * MIB - 1, 3 * MIB + 1] {
            let error = changed(kind, |file| file.set_len(length).unwrap()).await;
            let error = error.unwrap_err();
            let kinds = [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            let text = error.to_string();
            assert!(
                text.contains("disk.img: ") && text.contains("became shorter")
                    || text.contains("changed while it was sent"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn other_bytes_are_sent_unless_their_compressed_length_differs() {
    let zeros = |file: &File| file.write_all_at(&[0; 64 << 10], MIB).unwrap();
    changed(None, zeros).await.unwrap();
    for kind in [Compression::Zlib, Compression::Zstd] {
        let error = changed(Some(kind), zeros).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let text = error.to_string();
        assert!(
            text.contains("disk.img: the disk changed while it was sent"),
            "{text}"
        );
        assert!(text.contains("1048576"), "{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = disk(&folder, MIB, &[]);
    let unknown = source(&path, Some(Compression::Other(7)));
    for (source, text) in [
        (unknown, "compression type 7 is unknown"),
        (source(folder.path(), None), "neither a regular file nor"),
        (
            source(Path::new("/dev/null"), None),
            "neither a regular file nor",
        ),
        (source(&folder.path().join("missing"), None), "missing: "),
    ] {
        let error = source.open().await.err().unwrap();
        assert!(error.to_string().contains(text), "{error}");
    }
}
