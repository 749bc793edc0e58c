//! The disks and their images, in memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Plain,
    Zlib,
    Zstd,
}

impl Kind {
    pub(crate) fn id(self) -> u64 {
        self as u64 + 1
    }

    /// The options of `qemu-img convert`.
    pub(crate) fn options(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Zlib => "-c",
            Self::Zstd => "-c -o compression_type=zstd",
        }
    }

    pub(crate) fn compression(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Zlib => Some("zlib"),
            Self::Zstd => Some("zstd"),
        }
    }
}

pub(crate) struct Disks(tempfile::TempDir);

impl Disks {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    /// Makes a raw disk and its image, unless they are there already.
    pub(crate) fn make(&self, kind: Kind, mib: u64) -> (PathBuf, PathBuf) {
        let raw = self.0.path().join("raw");
        if !raw.exists() {
            write(&raw, mib);
        }
        let image = self.0.path().join(kind.id().to_string());
        if !image.exists() {
            let mut convert = Command::new("qemu-img");
            convert.args(["convert", "-f", "raw", "-O", "qcow2", "-W"]);
            convert.args(kind.options().split_whitespace());
            assert!(convert.arg(&raw).arg(&image).status().unwrap().success());
        }
        (raw, image)
    }
}

/// Half of each cluster is noise, the other text, as on a disk with packed and other files.
fn write(path: &Path, mib: u64) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut random = fastrand::Rng::with_seed(mib);
    let mut noise = vec![0; 32 << 10];
    for number in 0..mib << 4 {
        random.fill(&mut noise);
        file.write_all(&noise).unwrap();
        let mut text = String::new();
        while text.len() < 32 << 10 {
            let (user, size) = (random.u16(..), random.u32(..));
            text += &format!("file {number} of user {user}: {size} bytes, mode 0644\n");
        }
        file.write_all(&text.as_bytes()[..32 << 10]).unwrap();
    }
    file.flush().unwrap();
}
