//! The images that are fetched, in memory.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) const DATA: u64 = 1;
pub(crate) const ZEROS: u64 = 2;
pub(crate) const SMALL: u64 = 3;

const MIB: usize = 1 << 20;
/// As QCOW2 has them.
const CLUSTER: usize = 64 * 1024;
/// What comes first, as neither side of the client takes anything but a QCOW2 image.
const HEADER: &[u8] = include_bytes!("../../tests/data/disk.qcow2");

pub(crate) struct Images(tempfile::TempDir);

impl Images {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    /// Writes an image of which this share are clusters of zeros, unless it is there already.
    pub(crate) fn image(&self, id: u64, mib: u64, zeros: f64) -> PathBuf {
        let path = self.0.path().join(id.to_string());
        if path.exists() {
            return path;
        }
        let mut file = File::create(&path).unwrap();
        let mut random = fastrand::Rng::with_seed(id);
        let mut buffer = vec![0; MIB];
        for place in 0..mib {
            for cluster in buffer.chunks_mut(CLUSTER) {
                match random.f64() < zeros {
                    true => cluster.fill(0),
                    false => random.fill(cluster),
                }
            }
            if place == 0 {
                buffer[..CLUSTER].copy_from_slice(&HEADER[..CLUSTER]);
            }
            file.write_all(&buffer).unwrap();
        }
        path
    }

    /// Writes an image that may be smaller than one MiB.
    pub(crate) fn small(&self, id: u64, kib: u64) -> PathBuf {
        let path = self.image(id, kib.div_ceil(1024), 0.0);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(kib << 10).unwrap();
        path
    }
}
