//! The guest's disk, which is read like a file.

use std::fmt;
use std::pin::pin;

use async_stream::try_stream;
use futures::{Stream, StreamExt, TryStreamExt};

use super::guest::Guest;
use crate::content::{Ranges, Seekable, delegate};
use crate::error::{Error, Result};
use crate::qcow2::{Extent, Report};

/// The guest's disk in a QCOW2 image, which is read where the image is.
///
/// It is an [`AsyncRead`](tokio::io::AsyncRead), [`AsyncBufRead`](tokio::io::AsyncBufRead) and
/// [`AsyncSeek`](tokio::io::AsyncSeek) over the bytes that a machine sees on its disk;
/// [`read_at`](Self::read_at) reads anywhere. Clusters are decompressed. On a server only the
/// ranges that are needed are fetched: after the tables, a read of 64 KiB takes one request. Reads
/// in order fetch [`read_ahead`](Self::read_ahead) bytes of the disk at a time, and what was read
/// stays in a [`cache`](Self::cache).
///
/// All bytes are of one version of the image, as with [`RemoteReader`](crate::RemoteReader).
///
/// ```
/// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
/// let disk = images.disk(42).await?;
/// let mut sector = [0; 512];
/// disk.read_at(0, &mut sector).await?;
/// if sector.ends_with(&[0x55, 0xaa]) {
///     println!("a disk of {} bytes with a partition table", disk.size());
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// An error of reading is that of the server or the file, or
/// [`ImageRejected`](crate::ErrorKind::ImageRejected) for a table or a compressed cluster that is
/// invalid: see [`Error::inspection`](crate::Error::inspection). An [`io::Error`](std::io::Error) has this crate's
/// [`Error`](crate::Error) inside.
#[must_use = "nothing is read by itself"]
pub struct Disk(Seekable<Guest>);

impl Disk {
    pub(super) fn new(guest: Guest) -> Self {
        Self(Seekable::new(guest))
    }

    fn guest(&self) -> &Guest {
        &self.0.ranges
    }

    /// Returns the size of the guest's disk in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.guest().map().geometry().size()
    }

    /// Returns the report on the image, by the policy it was opened with.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.guest().report()
    }

    /// Fills `into` with the bytes from `offset` on, and returns their number, which is smaller
    /// only at the end of the disk.
    ///
    /// Reads without the cache, and can be called several times at once.
    ///
    /// # Errors
    ///
    /// Those of [`Disk`].
    pub async fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let end = offset.saturating_add(into.len() as u64).min(self.size());
        if offset >= end {
            return Ok(0);
        }
        let (_, bytes) = self.guest().clone().read(offset..end).await?;
        into[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Returns the extents of the disk, in order and without gaps. Adjacent extents of one kind are
    /// merged, except for compressed clusters.
    ///
    /// Reads the tables only. The stream ends after an error.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// use futures::TryStreamExt;
    ///
    /// let disk = images.disk(42).await?;
    /// let extents: Vec<_> = disk.extents().try_collect().await?;
    /// for extent in extents {
    ///     println!("{} bytes from {} on: {:?}", extent.length, extent.start, extent.kind);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn extents(&self) -> impl Stream<Item = Result<Extent>> + Send + use<> {
        let operation = self.guest().operation();
        let extents = self.guest().clone().extents();
        let merged = try_stream! {
            let mut extents = pin!(extents);
            let during = |error: Error| error.during(&operation);
            let mut held: Option<Extent> = None;
            while let Some(next) = extents.try_next().await.map_err(during)? {
                if held.as_mut().is_some_and(|held| held.merge(&next)) {
                    continue;
                }
                if let Some(whole) = held.replace(next) {
                    yield whole;
                }
            }
            if let Some(last) = held {
                yield last;
            }
        };
        merged.boxed()
    }

    /// Sets the number of bytes of the disk that are read at once when it is read in order, at
    /// least 1 and at most 64 MiB. Defaults to 2 MiB. They are held in memory.
    pub fn read_ahead(mut self, bytes: u64) -> Self {
        self.0.set_read_ahead(bytes);
        self
    }

    /// Sets the maximum size of the cache in bytes. Defaults to 16 MiB. The last bytes that were
    /// read are kept in any case.
    pub fn cache(mut self, bytes: u64) -> Self {
        self.0.set_cache(bytes);
        self
    }
}

delegate!(Disk);

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("size", &self.size())
            .field("position", &self.0.position)
            .finish_non_exhaustive()
    }
}
