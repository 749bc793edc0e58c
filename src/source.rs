//! Sources of the bytes of an upload.

#[cfg(feature = "fs")]
mod buffers;
mod chunks;
#[cfg(all(feature = "fs", feature = "disk"))]
mod compress;
#[cfg(feature = "fs")]
mod file;
mod inspect;
#[cfg(all(feature = "fs", feature = "disk"))]
mod raw;
#[cfg(all(feature = "fs", feature = "disk"))]
mod survey;

use std::error::Error as StdError;
use std::fmt;
use std::io;
#[cfg(feature = "fs")]
use std::path::{Path, PathBuf};
use std::pin::Pin;
#[cfg(all(feature = "fs", feature = "disk"))]
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use tokio::io::AsyncRead;

pub(crate) use chunks::Chunks;
use chunks::{into_io, read_chunks};
#[cfg(all(feature = "fs", feature = "disk"))]
pub use raw::RawDisk;

use crate::error::Result;

/// The content of an upload: a file, bytes in memory, a reader or a stream.
///
/// Sends `Content-Length` whenever the length is known, and uses chunked encoding otherwise. A
/// reader or stream is never held in memory as a whole. If it yields more or fewer bytes than its
/// length, the upload fails with [`Source`](crate::ErrorKind::Source) and the server keeps no image.
///
/// Files, disks and bytes can be sent again, so an upload that could not connect is retried. Readers and
/// streams are read once.
///
/// | from | with |
/// |---|---|
/// | [`PathBuf`](std::path::PathBuf), [`&Path`](std::path::Path) | [`Source::file`] or `into()` |
/// | a raw disk, made a QCOW2 image | `Source::raw` (features `fs` and `disk`) |
/// | [`Bytes`], `Vec<u8>`, `&'static [u8]` | `into()` |
/// | [`AsyncRead`] | [`Source::reader`] |
/// | [`Stream`] of chunks | [`Source::stream`] |
///
/// ```
/// use machine_images::djinn::Source;
///
/// let bytes = Source::from(vec![0x51, 0x46, 0x49, 0xfb]);
/// let reader = Source::reader(tokio::io::empty(), 0);
/// # #[cfg(feature = "fs")]
/// let file = Source::file("debian-12.qcow2");
/// # let _ = (bytes, reader);
/// ```
#[doc(alias = "body")]
#[must_use]
pub struct Source(Kind);

enum Kind {
    Bytes(Bytes),
    #[cfg(feature = "fs")]
    File(PathBuf),
    #[cfg(feature = "fs")]
    OpenFile(file::OpenFile),
    #[cfg(all(feature = "fs", feature = "disk"))]
    Raw(Arc<raw::Conversion>),
    Reader(Pin<Box<dyn AsyncRead + Send>>, Option<u64>),
    Stream(Chunks, Option<u64>),
    /// Content of a server, which is resumed, and fails by itself if that takes too long.
    Content(Chunks, Option<u64>),
}

/// A source that is ready to be sent.
pub(crate) struct Opened {
    pub(crate) length: Option<u64>,
    pub(crate) chunks: Chunks,
    /// Fails by itself if it takes too long.
    pub(crate) is_timed: bool,
}

impl Source {
    /// Sends a regular file from its start.
    ///
    /// The file is opened once: if another file takes its name during the upload, the first one is
    /// still the one that is sent.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// use machine_images::djinn::Source;
    ///
    /// let source = Source::file("debian-12.qcow2");
    /// let image = images.create_upload("debian-12", source).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "fs")]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// Sends a raw disk as a QCOW2 image, which is made while it is sent.
    ///
    /// Takes a regular file or a block device. The image is of version 3 with clusters of 64 KiB.
    /// Holes and clusters of zeros are left out. A disk that does not end with a sector of 512 bytes
    /// is filled up with zeros. There is no temporary file, and the memory needed does not grow with
    /// the data, except for 2 MiB for each TiB of it, or 34 MiB if it is compressed.
    ///
    /// The disk is read twice: first to find the data, so that the length of the image is known, then
    /// to send it. The first pass is done before the upload begins, reports no progress, and is not
    /// repeated if the upload is. If data changes between the passes, the new data is sent; a
    /// compressed upload may fail instead. A changed length always fails. Data written where there
    /// was none is left out.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// use machine_images::djinn::Source;
    /// use machine_images::qcow2::Compression;
    ///
    /// let source = Source::raw("debian-12.img").compress(Compression::Zlib);
    /// let image = images.create_upload("debian-12", source).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(all(feature = "fs", feature = "disk"))]
    #[doc(alias = "convert")]
    pub fn raw(path: impl Into<PathBuf>) -> RawDisk {
        RawDisk::new(path.into())
    }

    /// Sends the bytes of a reader, up to its end.
    ///
    /// Without a length (`None`) the bytes are sent in chunked encoding.
    ///
    /// Dropping a runtime blocks while a read of tokio's `stdin` is pending, so a program whose upload
    /// failed hangs until its input ends. Call
    /// [`shutdown_background`](tokio::runtime::Runtime::shutdown_background) instead, as the example
    /// `images` does.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// use machine_images::djinn::Source;
    ///
    /// let (reader, _writer) = tokio::io::simplex(64 * 1024);
    /// let source = Source::reader(reader, None);
    /// let image = images.create_upload("debian-12", source).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reader(reader: impl AsyncRead + Send + 'static, length: impl Into<Option<u64>>) -> Self {
        Self(Kind::Reader(Box::pin(reader), length.into()))
    }

    /// Sends the chunks of a stream, up to its end or its first error.
    ///
    /// Without a length (`None`) the chunks are sent in chunked encoding. Takes any error type; an
    /// error of the stream is the [`source`](std::error::Error::source) behind the upload's error.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// use futures::channel::mpsc;
    /// use machine_images::djinn::Source;
    ///
    /// // One task sends chunks, or the reason why there are no more.
    /// let (sender, receiver) = mpsc::channel::<Result<Vec<u8>, String>>(16);
    /// # drop(sender);
    /// let source = Source::stream(receiver, None);
    /// let image = images.create_upload("debian-12", source).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream<S, B, E>(stream: S, length: impl Into<Option<u64>>) -> Self
    where
        S: Stream<Item = Result<B, E>> + Send + 'static,
        B: Into<Bytes> + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        Self(Kind::Stream(boxed(stream), length.into()))
    }

    /// Sends the content of a server. The upload waits for as long as the content is resumed.
    pub(crate) fn content(
        content: impl Stream<Item = Result<Bytes>> + Send + 'static,
        length: Option<u64>,
    ) -> Self {
        Self(Kind::Content(boxed(content), length))
    }

    /// Returns `true` if the source can be read again.
    pub(crate) fn is_replayable(&self) -> bool {
        !matches!(
            self.0,
            Kind::Reader(..) | Kind::Stream(..) | Kind::Content(..)
        )
    }

    /// Returns the same source once more, if it can be read again.
    pub(crate) fn again(&self) -> Option<Self> {
        match &self.0 {
            Kind::Bytes(bytes) => Some(Self(Kind::Bytes(bytes.clone()))),
            #[cfg(feature = "fs")]
            Kind::File(path) => Some(Self(Kind::File(path.clone()))),
            #[cfg(feature = "fs")]
            Kind::OpenFile(file) => Some(Self(Kind::OpenFile(file.clone()))),
            #[cfg(all(feature = "fs", feature = "disk"))]
            Kind::Raw(disk) => Some(Self(Kind::Raw(Arc::clone(disk)))),
            Kind::Reader(..) | Kind::Stream(..) | Kind::Content(..) => None,
        }
    }

    /// Opens the source. The second value opens it again, if that is possible.
    pub(crate) async fn open(self) -> io::Result<(Opened, Option<Self>)> {
        let is_timed = matches!(self.0, Kind::Content(..));
        let (length, chunks, again) = match self.0 {
            Kind::Bytes(bytes) => {
                let length = bytes.len() as u64;
                let again = Some(Self(Kind::Bytes(bytes.clone())));
                (Some(length), stream::iter([Ok(bytes)]).boxed(), again)
            }
            #[cfg(feature = "fs")]
            Kind::File(path) => {
                let file = file::OpenFile::open(path).await?;
                return Box::pin(Self(Kind::OpenFile(file)).open()).await;
            }
            #[cfg(feature = "fs")]
            Kind::OpenFile(file) => {
                let again = Some(Self(Kind::OpenFile(file.clone())));
                let (length, chunks) = file.read().await?;
                (Some(length), chunks, again)
            }
            #[cfg(all(feature = "fs", feature = "disk"))]
            Kind::Raw(disk) => {
                let (length, chunks) = Box::pin(disk.read()).await?;
                (Some(length), chunks, Some(Self(Kind::Raw(disk))))
            }
            Kind::Reader(reader, length) => (length, read_chunks(reader), None),
            Kind::Stream(chunks, length) | Kind::Content(chunks, length) => (length, chunks, None),
        };
        let opened = Opened {
            length,
            chunks,
            is_timed,
        };
        Ok((opened, again))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Bytes(bytes) => write!(f, "Source({} bytes)", bytes.len()),
            #[cfg(feature = "fs")]
            Kind::File(path) => write!(f, "Source({})", path.display()),
            #[cfg(feature = "fs")]
            Kind::OpenFile(file) => write!(f, "Source({})", file.path().display()),
            #[cfg(all(feature = "fs", feature = "disk"))]
            Kind::Raw(disk) => write!(f, "Source({disk:?})"),
            Kind::Reader(_, Some(length)) => write!(f, "Source(reader of {length} bytes)"),
            Kind::Reader(_, None) => f.write_str("Source(reader)"),
            Kind::Stream(_, Some(length)) => write!(f, "Source(stream of {length} bytes)"),
            Kind::Stream(_, None) => f.write_str("Source(stream)"),
            Kind::Content(_, Some(length)) => write!(f, "Source(content of {length} bytes)"),
            Kind::Content(_, None) => f.write_str("Source(content)"),
        }
    }
}

/// Boxes a stream, with errors of one type.
fn boxed<S, B, E>(stream: S) -> Chunks
where
    S: Stream<Item = Result<B, E>> + Send + 'static,
    B: Into<Bytes> + 'static,
    E: Into<Box<dyn StdError + Send + Sync>> + 'static,
{
    let chunks = stream.map(|chunk| match chunk {
        Ok(chunk) => Ok(chunk.into()),
        Err(error) => Err(into_io(error.into())),
    });
    // An inspection may have read to the end.
    chunks.fuse().boxed()
}

impl From<Bytes> for Source {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Bytes(bytes.into()))
    }
}

impl From<&'static [u8]> for Source {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Kind::Bytes(Bytes::from_static(bytes)))
    }
}

#[cfg(feature = "fs")]
impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

#[cfg(feature = "fs")]
impl From<&PathBuf> for Source {
    fn from(path: &PathBuf) -> Self {
        Self::file(path)
    }
}

#[cfg(feature = "fs")]
impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

#[cfg(all(feature = "fs", feature = "disk"))]
impl From<RawDisk> for Source {
    fn from(disk: RawDisk) -> Self {
        Self(Kind::Raw(Arc::new(raw::Conversion::new(disk))))
    }
}
