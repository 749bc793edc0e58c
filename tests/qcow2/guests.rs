//! Images with something wrong in their header, tables or compressed data: the disk that is read is
//! that of `qemu-img convert`, or there is an error.

mod original;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use futures::TryStreamExt;
use machine_images::disk::Disk;
use machine_images::djinn::Images;
use machine_images::qcow2::{Code, Extent, ExtentKind};
use machine_images::testing::DjinnServer;
use machine_images::{Error, ErrorKind};

use crate::mutants::{Random, write};
use original::Original;

/// `MACHINE_IMAGES_MUTANTS` sets another number.
const MUTANTS: u64 = 1_000;
/// One of so many is saved by `save_raw`, the others are read in place.
const SAVED: u64 = 3;
/// Neither we nor `qemu-img` may take longer.
const TIME: Duration = Duration::from_secs(20);
/// Larger disks are compared only where there is data, and at the edges of zeros.
const WHOLE: u64 = 64 << 20;
const EDGE: u64 = 64 << 10;

const ORIGINALS: [&str; 18] = [
    "plain-64k-1.1",
    "plain-4k-0.10",
    "zlib-64k-1.1",
    "zlib-1k-0.10",
    "zlib-2M-1.1",
    "zstd-64k",
    "zstd-4k",
    "mixed-16k-1.1",
    "mixed-64k-0.10",
    "extended-16k",
    "extended-64k",
    "extended-zstd-64k",
    "zeros-64k",
    "zeros-4k",
    "snapshots",
    "prealloc-metadata",
    "odd-zlib",
    "large",
];

/// The end of one mutant for us and for QEMU.
#[derive(Debug, Default)]
struct Ends {
    both: u64,
    /// Of these, the disks with a cluster of which two versions of libzstd make different bytes.
    by_library: u64,
    neither: u64,
    /// By the finding for which we refuse, with one of the mutants.
    only_qemu: BTreeMap<String, (u64, u64)>,
    only_we: Vec<u64>,
    slowest: Duration,
}

#[test]
fn a_mutated_image_is_the_disk_of_qemu_img_convert_or_an_error() {
    let originals: Option<Vec<_>> = ORIGINALS.into_iter().map(Original::of).collect();
    let Some(originals) = originals else { return };
    let wanted = env::var("MACHINE_IMAGES_MUTANTS");
    let count = wanted.map_or(MUTANTS, |count| count.parse().unwrap());
    let first = env::var("MACHINE_IMAGES_FIRST_MUTANT").map_or(0, |first| first.parse().unwrap());
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let shares: Vec<Ends> = thread::scope(|scope| {
        let numbers = |share| (first + share..first + count).step_by(threads as usize);
        let workers: Vec<_> = (0..threads)
            .map(|share| {
                let originals = &originals;
                scope.spawn(move || compared(originals, numbers(share)))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    let mut all = Ends::default();
    for share in shares {
        all.both += share.both;
        all.by_library += share.by_library;
        all.neither += share.neither;
        all.only_we.extend(share.only_we);
        all.slowest = all.slowest.max(share.slowest);
        for (code, (count, number)) in share.only_qemu {
            let known = all.only_qemu.entry(code).or_default();
            *known = (known.0 + count, number);
        }
    }
    eprintln!("{all:?}");
    assert!(all.both > count / 10, "nothing was compared");
    assert!(all.neither > count / 20, "nothing was refused");
}

fn compared(originals: &[Original], numbers: impl Iterator<Item = u64>) -> Ends {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = DjinnServer::start().unwrap();
    let images = server.client().unwrap().images();
    // A file in memory may be as long as anyone says.
    let shared = Path::new("/dev/shm");
    let folder = match shared.exists() {
        true => tempfile::tempdir_in(shared).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let [mutant, theirs, ours] =
        ["mutant", "theirs.raw", "ours.raw"].map(|name| folder.path().join(name));
    let mut ends = Ends::default();
    for number in numbers {
        let mut random = Random(number);
        let original = &originals[random.below(originals.len() as u64) as usize];
        let bytes = original.mutant(&mut random);
        let of = format!("mutant {number}, of {}", original.name);
        write(&mutant, &bytes);
        let qemu = convert(&mutant, &theirs);
        let began = Instant::now();
        let found = runtime.block_on(async {
            let found = async {
                match number % SAVED {
                    0 => save(&server, &images, &bytes, &ours).await,
                    _ => read(&mutant, &ours).await,
                }
            };
            tokio::time::timeout(TIME, found).await
        });
        let found = found.unwrap_or_else(|_| panic!("{of} takes for ever"));
        ends.slowest = ends.slowest.max(began.elapsed());
        match (found, qemu) {
            (Ok(extents), true) => {
                ends.both += 1;
                match compare(&ours, &theirs, &extents, &bytes) {
                    Ok(by_library) => ends.by_library += u64::from(by_library),
                    Err(wrong) => {
                        let kept = format!("{}/mutant-{number}", env!("CARGO_TARGET_TMPDIR"));
                        fs::copy(&mutant, &kept).unwrap();
                        panic!("{of}, kept at {kept}: {wrong}");
                    }
                }
            }
            (Ok(_), false) => ends.only_we.push(number),
            (Err(error), is_right) => {
                let code = reason(&error, &of);
                match is_right {
                    true => {
                        let known = ends.only_qemu.entry(code).or_default();
                        *known = (known.0 + 1, number);
                    }
                    false => ends.neither += 1,
                }
            }
        }
        for path in [&theirs, &ours] {
            let _ = fs::remove_file(path);
        }
    }
    ends
}

fn convert(mutant: &Path, raw: &Path) -> bool {
    let mut convert = Command::new("timeout");
    convert.arg(TIME.as_secs().to_string()).arg("qemu-img");
    convert.args(["convert", "-f", "qcow2", "-O", "raw"]);
    convert.arg(mutant).arg(raw);
    convert.stderr(Stdio::null()).status().unwrap().success()
}

/// Writes the disk to a file, except for zeros and holes.
async fn read(mutant: &Path, raw: &Path) -> machine_images::Result<Vec<Extent>> {
    let disk = Disk::open(mutant).await?;
    let file = File::create(raw).unwrap();
    file.set_len(disk.size()).unwrap();
    let extents: Vec<_> = disk.extents().try_collect().await?;
    let mut buffer = vec![0; 1 << 20];
    let mut end = 0;
    for extent in &extents {
        assert!(extent.start == end && extent.length > 0, "{extents:?}");
        end = extent.end();
        if matches!(extent.kind, ExtentKind::Zero | ExtentKind::Hole) {
            continue;
        }
        for at in (extent.start..end).step_by(buffer.len()) {
            let room = (end - at).min(buffer.len() as u64) as usize;
            let count = disk.read_at(at, &mut buffer[..room]).await?;
            assert_eq!(count, room);
            file.write_all_at(&buffer[..count], at).unwrap();
        }
    }
    assert_eq!(end, disk.size());
    Ok(extents)
}

async fn save(
    server: &DjinnServer,
    images: &Images,
    bytes: &[u8],
    raw: &Path,
) -> machine_images::Result<Vec<Extent>> {
    let id = server.add_image("mutant", bytes).unwrap();
    let save = images.save_raw(id, raw).durable(false);
    let saved = save.await;
    let extents = match &saved {
        Ok(_) => images.disk(id).await?.extents().try_collect().await?,
        Err(_) => Vec::new(),
    };
    images.delete(id).await.unwrap();
    saved.map(|_| extents)
}

/// Compares all of a small disk, and what has data of a large one. Says if there are differences
/// that are those of two versions of libzstd: they make other bytes of a damaged frame.
fn compare(ours: &Path, theirs: &Path, extents: &[Extent], image: &[u8]) -> Result<bool, String> {
    let files = [ours, theirs].map(|path| File::open(path).unwrap());
    let sizes = [0, 1].map(|index| files[index].metadata().unwrap().len());
    if sizes[0] != sizes[1] {
        return Err(format!("{sizes:?} bytes"));
    }
    let is_large = sizes[0] > WHOLE;
    let mut by_library = false;
    for extent in extents {
        let whole = [extent.start..extent.end(), 0..0];
        for range in if is_large { edges(extent) } else { whole } {
            let Some(at) = first_difference(&files, range) else {
                continue;
            };
            if !is_zstd(extent, image, &files[0]) {
                return Err(format!("another byte at {at}"));
            }
            by_library = true;
        }
    }
    Ok(by_library)
}

fn first_difference(files: &[File; 2], range: Range<u64>) -> Option<u64> {
    let mut buffers = [vec![0; 1 << 20], vec![0; 1 << 20]];
    for at in range.clone().step_by(1 << 20) {
        let count = (range.end - at).min(1 << 20) as usize;
        for (file, buffer) in files.iter().zip(&mut buffers) {
            file.read_exact_at(&mut buffer[..count], at).unwrap();
        }
        let [ours, theirs] = [0, 1].map(|index| &buffers[index][..count]);
        if ours != theirs {
            let differs = |&index: &usize| ours[index] != theirs[index];
            return (0..count).find(differs).map(|index| at + index as u64);
        }
    }
    None
}

/// Says if our bytes of an extent are those that libzstd makes of it.
fn is_zstd(extent: &Extent, image: &[u8], ours: &File) -> bool {
    let ExtentKind::Compressed { offset, length } = extent.kind else {
        return false;
    };
    let mut found = vec![0; extent.length as usize];
    ours.read_exact_at(&mut found, extent.start).unwrap();
    let frame = &image[offset as usize..(offset + length) as usize];
    let mut made = vec![0; found.len()];
    let frame = zstd::stream::read::Decoder::new(frame);
    image[104] == 1 && frame.unwrap().read_exact(&mut made).is_ok() && made == found
}

/// What is compared of an extent of a large disk.
fn edges(extent: &Extent) -> [Range<u64>; 2] {
    match extent.kind {
        ExtentKind::Zero | ExtentKind::Hole => {
            let edge = extent.length.min(EDGE);
            [
                extent.start..extent.start + edge,
                extent.end() - edge..extent.end(),
            ]
        }
        _ => [extent.start..extent.end(), 0..0],
    }
}

/// Names the findings for which an image is refused; any other error is wrong.
fn reason(error: &Error, of: &str) -> String {
    assert_eq!(error.kind(), ErrorKind::ImageRejected, "{of}: {error:?}");
    let report = error.inspection().unwrap();
    let codes = report.rejections().map(|finding| match finding.code {
        Code::L1Entry | Code::L2Entry => {
            let words = finding.message.split([' ', ',']);
            let is_word = |word: &&str| !word.starts_with(|c: char| c.is_ascii_digit());
            words.filter(is_word).collect::<Vec<_>>().join(" ")
        }
        code => code.to_string(),
    });
    codes.collect::<Vec<_>>().join(" + ")
}
