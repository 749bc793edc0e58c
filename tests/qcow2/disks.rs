//! The images that `disks.sh` makes, and what `qemu-img` finds in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::{env, fs};

use machine_images::disk::Disk;
use machine_images::qcow2::{Extent, ExtentKind};
use serde::Deserialize;

use crate::corpus::available;

const SCRIPT: &str = include_str!("disks.sh");

/// Every image, in order of name, or none when there is no `qemu-img`.
pub(crate) fn disks() -> Option<&'static [PathBuf]> {
    static DISKS: OnceLock<Option<Vec<PathBuf>>> = OnceLock::new();
    let make = || (available("qemu-img") && available("qemu-io")).then(make);
    DISKS.get_or_init(make).as_deref()
}

fn make() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disks");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let mut script = Command::new("sh");
    script.args(["-c", SCRIPT, "disks.sh"]).arg(&folder);
    assert!(script.status().unwrap().success());
    let entries = fs::read_dir(&folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "qcow2"));
    paths.sort();
    assert!(paths.len() > 100, "{}", paths.len());
    paths
}

pub(crate) fn named(name: &str) -> Option<PathBuf> {
    let path = |path: &&PathBuf| path.file_stem().unwrap() == name;
    Some(disks()?.iter().find(path).unwrap().clone())
}

pub(crate) fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The raw disk of an image, by `qemu-img convert`.
pub(crate) fn raw(path: &Path) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    let raw = path.with_extension("raw");
    if raw.exists() {
        return raw;
    }
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "qcow2", "-O", "raw"]);
    assert!(convert.arg(path).arg(&raw).status().unwrap().success());
    raw
}

/// An extent of `qemu-img map`.
#[derive(Deserialize)]
struct Mapped {
    start: u64,
    length: u64,
    present: bool,
    zero: bool,
    data: bool,
    #[serde(default)]
    compressed: bool,
    offset: Option<u64>,
}

/// The extents of an image as `qemu-img map` has them: start, length, kind and place.
pub(crate) fn mapped(path: &Path) -> Vec<Found> {
    let mut map = Command::new("qemu-img");
    map.args(["map", "-f", "qcow2", "--output=json"]).arg(path);
    let output = map.output().unwrap();
    let extents: Vec<Mapped> = serde_json::from_slice(&output.stdout).unwrap();
    let found = extents.into_iter().map(|extent| {
        let kind = match extent {
            Mapped { present: false, .. } => "hole",
            Mapped {
                compressed: true, ..
            } => "compressed",
            // QEMU before 8.2 does not say so, but has no place for it either.
            Mapped {
                data: true,
                offset: None,
                ..
            } => "compressed",
            Mapped { zero: true, .. } => "zero",
            Mapped { data: true, .. } => "data",
            _ => panic!("an extent of no kind"),
        };
        let offset = extent.offset.filter(|_| kind == "data");
        (extent.start, extent.length, kind, offset)
    });
    // An empty disk has one of nothing.
    merged(found.filter(|(_, length, ..)| *length > 0))
}

/// The same of this crate.
pub(crate) async fn extents(disk: &Disk) -> Vec<Found> {
    use futures::TryStreamExt;

    let extents: Vec<Extent> = disk.extents().try_collect().await.unwrap();
    let found = extents.iter().map(|extent| {
        let (kind, offset) = match extent.kind {
            ExtentKind::Data { offset } => ("data", Some(offset)),
            ExtentKind::Compressed { .. } => ("compressed", None),
            ExtentKind::Zero => ("zero", None),
            ExtentKind::Hole => ("hole", None),
            _ => panic!("{extent:?}"),
        };
        (extent.start, extent.length, kind, offset)
    });
    merged(found)
}

pub(crate) type Found = (u64, u64, &'static str, Option<u64>);

fn merged(found: impl Iterator<Item = Found>) -> Vec<Found> {
    let mut merged: Vec<Found> = Vec::new();
    for (start, length, kind, offset) in found {
        match merged.last_mut() {
            Some((_, before, last, at)) if *last == kind && at.map(|at| at + *before) == offset => {
                *before += length;
            }
            _ => merged.push((start, length, kind, offset)),
        }
    }
    merged
}
