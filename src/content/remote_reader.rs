//! An image on the server, read as if it were a local file.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::seekable::{Ranges, Seekable, delegate};
use super::{Location, Version};
use crate::error::{Error, ErrorKind, Result};

/// A reader that seeks and reads in an image on the server: see
/// [`Images::reader`](crate::djinn::Images::reader).
///
/// Sequential reads fetch [`read_ahead`](Self::read_ahead) bytes at a time; after a seek only the
/// requested bytes are fetched, at least 16 KiB. What was read stays in a [`cache`](Self::cache), so
/// that a seek back costs no request.
///
/// All bytes are of one version of the image, the one that the first request met. If the server
/// has another one later, reading fails with [`Changed`](ErrorKind::Changed). If the server sends
/// neither a date nor an entity tag, only the length is compared.
///
/// Nothing is sent before the first read, or the first seek from the end.
///
/// # Errors
///
/// An [`io::Error`](std::io::Error) of its traits has this crate's [`Error`] inside:
///
/// ```
/// use std::io::SeekFrom;
///
/// use machine_images::{Error, ErrorKind};
/// use tokio::io::{AsyncReadExt, AsyncSeekExt};
///
/// # async fn example(images: machine_images::djinn::Images) -> Result<(), Box<dyn std::error::Error>> {
/// let mut image = images.reader(42);
/// let mut block = [0; 4096];
/// image.seek(SeekFrom::Start(1 << 30)).await?;
/// if let Err(error) = image.read_exact(&mut block).await {
///     let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
///     if inner.is_some_and(|error| error.kind() == ErrorKind::Changed) {
///         println!("the server has another version now");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent before the first read"]
pub struct RemoteReader(Seekable<Remote>);

/// The bytes of an image on the server, of the version of the first answer.
#[derive(Clone)]
struct Remote {
    location: Location,
    version: Option<Version>,
}

impl RemoteReader {
    pub(crate) fn new(location: Location) -> Self {
        Self(Seekable::new(Remote {
            location,
            version: None,
        }))
    }

    /// Sets the number of bytes that one request fetches for sequential reads, at least 1 and at
    /// most 64 MiB. Defaults to 2 MiB. They are held in memory.
    pub fn read_ahead(mut self, bytes: u64) -> Self {
        self.0.set_read_ahead(bytes);
        self
    }

    /// Sets the maximum size of the cache in bytes. Defaults to 16 MiB. The last answer is kept in
    /// any case.
    pub fn cache(mut self, bytes: u64) -> Self {
        self.0.set_cache(bytes);
        self
    }
}

impl Ranges for Remote {
    fn length(&self) -> Option<u64> {
        self.version.as_ref().and_then(|version| version.total)
    }

    async fn read(self, range: Range<u64>) -> Result<(Self, Bytes)> {
        let Self { location, version } = self;
        let operation = location.operation.clone();
        let read = operation.run(async {
            let (version, bytes) = location.clone().read(version, range).await?;
            if version.total.is_none() {
                let message = "the server does not say how long the image is";
                return Err(Error::plain(ErrorKind::Length, message));
            }
            Ok((Some(version), bytes))
        });
        let (version, bytes) = read.await?;
        Ok((Self { location, version }, bytes))
    }
}

delegate!(RemoteReader);

impl fmt::Debug for RemoteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteReader")
            .field("position", &self.0.position)
            .field("version", &self.0.ranges.version)
            .finish_non_exhaustive()
    }
}
