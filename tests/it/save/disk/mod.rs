//! The guest's disk saved as a raw disk, whatever happens on the way.

mod broken;
#[cfg(target_os = "linux")]
mod device;
mod files;
mod kill;
mod power;
mod refused;
mod resume;

use std::process::Command;
use std::sync::OnceLock;

use futures::TryStreamExt;
use machine_images::djinn::SaveRaw;
use machine_images::qcow2::{Extent, ExtentKind};

use super::{MIB, Setup};
use crate::end_to_end::qemu::has_qemu_img;

const CLUSTER: usize = 64 * 1024;

/// The guest's disk. It ends within a cluster.
const SIZE: usize = 32 * MIB + 3 * 512;

/// An image as `qemu-img` makes it. In compressed ones some clusters are not, as they would become
/// larger.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Plain,
    Zlib,
    Zstd,
    /// With zeros written out.
    Full,
}

const FORMATS: [Format; 3] = [Format::Plain, Format::Zlib, Format::Zstd];

impl Format {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::Zlib => &["-c"],
            Self::Full => &["-S", "0"],
            Self::Zstd => &["-c", "-o", "compression_type=zstd"],
        }
    }

    /// Returns the image of a raw disk.
    fn image(self, disk: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let (raw, image) = (folder.path().join("raw"), folder.path().join("image"));
        std::fs::write(&raw, disk).unwrap();
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "qcow2"]);
        convert.args(self.options()).args([&raw, &image]);
        assert!(convert.status().unwrap().success());
        std::fs::read(image).unwrap()
    }
}

/// A disk whose clusters differ: noise, noise with an end that repeats, and zeros.
fn disk(size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(16);
    let mut disk = vec![0; size];
    for (number, cluster) in disk.chunks_mut(CLUSTER).enumerate() {
        let noise = match number % 16 {
            2 | 6 | 10 => CLUSTER,
            12.. => continue,
            _ => 40 * 1024,
        };
        cluster.fill(number as u8 | 1);
        let noise = noise.min(cluster.len());
        random.fill(&mut cluster[..noise]);
    }
    disk
}

/// A server with an image, a place to save its disk, and the disk as it must be.
struct Scene {
    setup: Setup,
    disk: Vec<u8>,
}

impl Scene {
    /// Returns `None` if there is no `qemu-img`.
    fn new(format: Format) -> Option<Self> {
        static DISK: OnceLock<Vec<u8>> = OnceLock::new();
        static IMAGES: [OnceLock<Vec<u8>>; 4] = [const { OnceLock::new() }; 4];
        if !has_qemu_img() {
            return None;
        }
        let disk = DISK.get_or_init(|| disk(SIZE));
        let image = IMAGES[format as usize].get_or_init(|| format.image(disk));
        Some(Self {
            setup: Setup::of(image.clone()),
            disk: disk.clone(),
        })
    }

    fn of(format: Format, disk: Vec<u8>) -> Option<Self> {
        has_qemu_img().then(|| Self {
            setup: Setup::of(format.image(&disk)),
            disk,
        })
    }

    fn save_raw(&self, connections: usize) -> SaveRaw {
        let save = self.setup.images().save_raw(1, self.setup.target());
        save.connections(connections).durable(false)
    }

    async fn leave_half(&self, connections: usize) {
        let fetch = self.save_raw(connections).send();
        self.setup.leave_at(self.setup.image.len() / 2, fetch).await;
        self.assert_state_is_true(&self.extents().await);
    }

    /// The server has another image in place of the first, made later by these seconds.
    async fn replace(&self, image: &[u8], later: i64) {
        let images = self.setup.images();
        let created = images.get(1).await.unwrap().created_at;
        images.delete(1).await.unwrap();
        let new = self.setup.server.new_image("image").id(1);
        let created = created + std::time::Duration::from_secs(later.unsigned_abs());
        new.content(image).created_at(created).add().unwrap();
    }

    async fn extents(&self) -> Vec<Extent> {
        let disk = self.setup.images().disk(1).await.unwrap();
        let extents = disk.extents().try_collect().await.unwrap();
        self.setup.server.clear_requests();
        extents
    }

    /// The raw disk, and nothing else, is there and as it must be.
    fn assert_saved(&self) {
        assert_eq!(self.setup.files(), ["disk.qcow2"]);
        assert!(std::fs::read(self.setup.target()).unwrap() == self.disk);
    }

    /// The bytes of the image that the state claims to be written, or synced.
    fn claimed(&self, which: &str) -> Vec<(u64, u64)> {
        let records = self.setup.records();
        let latest = records.iter().max_by_key(|r| r["number"].as_u64()).unwrap();
        serde_json::from_value(latest[which].clone()).unwrap()
    }

    /// All that the state claims to be written is: of a compressed cluster, what is made of it.
    fn assert_state_is_true(&self, extents: &[Extent]) {
        // Killed before there was one.
        if !self.setup.state().exists() {
            return;
        }
        let part = std::fs::read(self.setup.part()).unwrap();
        assert_eq!(part.len(), self.disk.len());
        for range in guest(&self.claimed("written"), extents) {
            assert!(part[range.clone()] == self.disk[range.clone()], "{range:?}");
        }
    }
}

/// The ranges of the guest's disk that these bytes of the image are enough for.
fn guest(claimed: &[(u64, u64)], extents: &[Extent]) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    for extent in extents {
        let (offset, length) = match extent.kind {
            ExtentKind::Data { offset } => (offset, extent.length),
            ExtentKind::Compressed { offset, length } => (offset, length),
            _ => continue,
        };
        for &(start, end) in claimed {
            let (from, to) = (start.max(offset), end.min(offset + length));
            let range = match extent.kind {
                _ if from >= to => continue,
                ExtentKind::Data { .. } => {
                    extent.start + (from - offset)..extent.start + (to - offset)
                }
                _ if (from, to) == (offset, offset + length) => extent.start..extent.end(),
                _ => continue,
            };
            ranges.push(range.start as usize..range.end as usize);
        }
    }
    ranges
}
