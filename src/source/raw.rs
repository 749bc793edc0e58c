//! Raw disks as sources: sent as QCOW2 images that are made while they are sent.
//!
//! Memory does not grow with the data: both passes read a bounded number of chunks ahead, and keep of
//! the first only the [`Layout`]: one bit for each cluster of 64 KiB near data, and two bytes for each
//! compressed one, which is 2 MiB and 32 MiB for 1 TiB.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::available_parallelism;

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use super::buffers::Buffers;
use super::chunks::Chunks;
use super::compress::Compressor;
use super::file::OpenFile;
use super::survey::{next_window, read_at, survey};
use crate::file::open_disk;
use crate::qcow2::{
    CLUSTER, Clusters, Compression, Inspection, Layout, MAX_SIZE, Part, Parts, Policy, Report,
    Stored, inspect,
};
use crate::sync::lock;

/// A raw disk, sent as a QCOW2 image: see [`Source::raw`](super::Source::raw).
///
/// ```
/// use machine_images::djinn::Source;
/// use machine_images::qcow2::Compression;
///
/// let source = Source::raw("debian-12.img").compress(Compression::Zstd);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RawDisk {
    path: PathBuf,
    compression: Option<Compression>,
}

impl RawDisk {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            compression: None,
        }
    }

    /// Compresses the clusters, each by itself. Not compressed by default.
    ///
    /// The image is about as small as that of `qemu-img convert -c`. [`Zstd`](Compression::Zstd) is
    /// faster and smaller, and needs QEMU 5.1 or newer to read the image. All cores compress; the
    /// data is compressed twice, the first time for the lengths alone.
    /// [`Other`](Compression::Other) fails when the source is opened.
    #[doc(alias = "zlib")]
    #[doc(alias = "zstd")]
    pub fn compress(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }
}

/// A raw disk, surveyed when it is first needed, and once for all attempts.
pub(super) struct Conversion {
    disk: RawDisk,
    image: OnceCell<Image>,
}

/// The image that is made of a disk.
#[derive(Clone)]
struct Image {
    file: OpenFile,
    /// The length of the disk.
    length: u64,
    compression: Option<Compression>,
    layout: Arc<Layout>,
}

impl Conversion {
    pub(super) fn new(disk: RawDisk) -> Self {
        Self {
            disk,
            image: OnceCell::new(),
        }
    }

    /// Inspects the metadata, which holds the same for any content of the disk.
    pub(super) async fn inspect(&self, policy: &Policy) -> io::Result<Report> {
        let layout = &self.image().await?.layout;
        match inspect(&layout.header(), Some(layout.length()), policy) {
            Inspection::Done(report) => Ok(report),
            Inspection::NeedMore(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Returns the length and the content of the image.
    pub(super) async fn read(&self) -> io::Result<(u64, Chunks)> {
        let image = self.image().await?;
        Ok((image.layout.length(), image.chunks()))
    }

    async fn image(&self) -> io::Result<&Image> {
        let image = || Image::new(self.disk.clone()).boxed();
        self.image.get_or_try_init(image).await
    }
}

impl fmt::Debug for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "raw disk {}", self.disk.path.display())
    }
}

impl Image {
    /// Surveys the disk. Dropping the future stops that.
    async fn new(disk: RawDisk) -> io::Result<Self> {
        let RawDisk { path, compression } = disk;
        // Before any work.
        compression.map(Compressor::new).transpose()?;
        let file = OpenFile::open_by(open_disk, path).await?;
        let length = file.with(accepted_length).await?;
        let windows = stream::try_unfold((file.clone(), 0), move |(file, at)| async move {
            let window = file.with(move |file| next_window(file, at, length));
            Ok(window
                .await?
                .map(|window| (window.clone(), (file, window.end))))
        });
        let surveyed = file.clone();
        let clusters = windows
            .map_ok(move |window| {
                let file = surveyed.clone();
                async move {
                    let survey = file.with(move |file| survey(file, window, compression));
                    survey.await
                }
            })
            .try_buffered(parallelism())
            .try_fold(Clusters::default(), |mut clusters, found| async {
                found.into_iter().for_each(|stored| clusters.push(stored));
                Ok(clusters)
            });
        let kind = compression.unwrap_or(Compression::Zlib);
        let layout = Arc::new(Layout::new(clusters.await?, length, kind));
        Ok(Self {
            file,
            length,
            compression,
            layout,
        })
    }

    /// Reads, or compresses, a bounded number of chunks ahead. Each is a separate blocking task, so
    /// that no thread is held while the socket is slow.
    fn chunks(&self) -> Chunks {
        let ahead = match self.compression {
            None => 2,
            Some(_) => parallelism() + 1,
        };
        let (image, memory) = (self.clone(), Arc::<Memory>::default());
        let parts = stream::iter(Parts::new(Arc::clone(&self.layout)));
        let chunks = parts.map(move |part| image.clone().chunk(part, Arc::clone(&memory)));
        // The body of the request holds its last bytes back until there is nothing more.
        let end = stream::once(self.clone().check_length());
        chunks.buffered(ahead).chain(end).boxed()
    }

    /// Returns the bytes of a part.
    async fn chunk(self, part: Part, memory: Arc<Memory>) -> io::Result<Bytes> {
        let batch = match part {
            Part::Bytes(bytes) => return Ok(bytes.into()),
            Part::Data(batch) => batch,
        };
        let Self {
            file,
            length,
            compression,
            ..
        } = self;
        let chunk = file.with(move |file| {
            let disk = Disk { file, length };
            match compression.filter(|_| batch.iter().any(|stored| stored.length > 0)) {
                None => disk.read(&batch, &memory),
                Some(compression) => disk.compress(&batch, compression, &memory),
            }
        });
        chunk.await
    }

    /// Fails if the disk has another length now.
    async fn check_length(self) -> io::Result<Bytes> {
        let Self { file, length, .. } = self;
        let check = file.with(move |file| match end(file)? {
            end if end == length => Ok(Bytes::new()),
            end => Err(changed(&format!("it has {end} bytes, not {length}"))),
        });
        check.await
    }
}

/// What is used again for later chunks.
#[derive(Default)]
struct Memory(Mutex<(Buffers, Vec<Compressor>)>);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, (Buffers, Vec<Compressor>)> {
        lock(&self.0)
    }
}

/// A disk of a length that it should still have.
struct Disk<'a> {
    file: &'a File,
    length: u64,
}

impl Disk<'_> {
    /// Reads clusters as they are now.
    fn read(&self, batch: &[Stored], memory: &Memory) -> io::Result<Bytes> {
        let mut buffer = memory.lock().0.take();
        buffer.truncate(batch.len() * CLUSTER);
        for (stored, into) in batch.iter().zip(buffer.chunks_mut(CLUSTER)) {
            self.read_cluster(stored.cluster, into)?;
        }
        Ok(memory.lock().0.freeze(buffer))
    }

    /// Compresses clusters, which must have their lengths of before.
    fn compress(
        &self,
        batch: &[Stored],
        compression: Compression,
        memory: &Memory,
    ) -> io::Result<Bytes> {
        let used = memory.lock().1.pop();
        let mut compressor = match used {
            Some(compressor) => compressor,
            None => Compressor::new(compression)?,
        };
        let (mut cluster, mut chunk) = (vec![0; CLUSTER], Vec::new());
        for &Stored {
            cluster: number,
            length,
        } in batch
        {
            self.read_cluster(number, &mut cluster)?;
            let compressed = compressor.compress(&cluster)?;
            if compressed.len() != usize::from(length) {
                let at = number * CLUSTER as u64;
                return Err(changed(&format!("other bytes at {at}")));
            }
            chunk.extend(compressed);
        }
        memory.lock().1.push(compressor);
        Ok(chunk.into())
    }

    /// Reads a cluster, with zeros after the end of the disk.
    fn read_cluster(&self, number: u64, into: &mut [u8]) -> io::Result<()> {
        let start = number * CLUSTER as u64;
        let length = (self.length - start).min(CLUSTER as u64) as usize;
        let (data, rest) = into.split_at_mut(length);
        rest.fill(0);
        read_at(self.file, data, start)
    }
}

/// Returns the length of a disk, if there can be an image of it.
fn accepted_length(file: &File) -> io::Result<u64> {
    match end(file)? {
        length @ ..=MAX_SIZE => Ok(length),
        length => {
            let message = format!("{length} bytes are more than 1 PiB, the limit for a disk");
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
    }
}

/// Returns the length of a file or block device.
fn end(mut file: &File) -> io::Result<u64> {
    // The length in the metadata of a block device is zero.
    file.seek(SeekFrom::End(0))
}

fn changed(how: &str) -> io::Error {
    let message = format!("the disk changed while it was sent: {how}");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn parallelism() -> usize {
    available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
