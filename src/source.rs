//! Where the bytes of an upload come from.

#[cfg(feature = "fs")]
mod file;
mod inspect;

use std::fmt;
use std::io;
#[cfg(feature = "fs")]
use std::path::PathBuf;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use futures::stream::{self, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt};

/// One read from a reader: large enough that system calls do not count.
const CHUNK: usize = 256 * 1024;

pub(crate) type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The contents of an upload: a file, bytes in memory, a reader or a stream.
///
/// It is sent with `Content-Length` whenever its length is known, and never held in memory whole.
/// A source that turns out longer or shorter than it was announced is an error, and the server
/// keeps no image. Files and bytes can be read again, so that an upload for which no connection
/// could be made is tried again; readers and streams are read once.
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
#[must_use]
pub struct Source(Kind);

enum Kind {
    Bytes(Bytes),
    #[cfg(feature = "fs")]
    File(PathBuf),
    #[cfg(feature = "fs")]
    OpenFile(file::OpenFile),
    Reader(Pin<Box<dyn AsyncRead + Send>>, u64),
    Stream(Chunks, Option<u64>),
}

/// A source that is about to be sent.
pub(crate) struct Opened {
    pub(crate) length: Option<u64>,
    pub(crate) chunks: Chunks,
}

impl Source {
    /// Sends a regular file from its start.
    ///
    /// It is opened once, so that another file that takes its name meanwhile is never sent in its
    /// place.
    #[cfg(feature = "fs")]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// A reader that yields exactly `length` bytes.
    pub fn reader(reader: impl AsyncRead + Send + 'static, length: u64) -> Self {
        Self(Kind::Reader(Box::pin(reader), length))
    }

    /// A stream of chunks. Without a length it is sent chunked.
    pub fn stream<S, B>(stream: S, length: Option<u64>) -> Self
    where
        S: Stream<Item = io::Result<B>> + Send + 'static,
        B: Into<Bytes> + 'static,
    {
        let chunks = stream.map(|chunk| chunk.map(Into::into));
        Self(Kind::Stream(Box::pin(chunks), length))
    }

    pub(crate) fn is_replayable(&self) -> bool {
        !matches!(self.0, Kind::Reader(..) | Kind::Stream(..))
    }

    /// The same source once more, if it can be read again.
    pub(crate) fn again(&self) -> Option<Self> {
        match &self.0 {
            Kind::Bytes(bytes) => Some(Self(Kind::Bytes(bytes.clone()))),
            #[cfg(feature = "fs")]
            Kind::File(path) => Some(Self(Kind::File(path.clone()))),
            #[cfg(feature = "fs")]
            Kind::OpenFile(file) => Some(Self(Kind::OpenFile(file.clone()))),
            Kind::Reader(..) | Kind::Stream(..) => None,
        }
    }

    /// Opens the source, and gives what is needed to open it again if that is possible.
    pub(crate) async fn open(self) -> io::Result<(Opened, Option<Self>)> {
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
            Kind::Reader(reader, length) => (Some(length), read_chunks(reader), None),
            Kind::Stream(chunks, length) => (length, chunks, None),
        };
        Ok((Opened { length, chunks }, again))
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
            Kind::Reader(_, length) => write!(f, "Source(reader of {length} bytes)"),
            Kind::Stream(_, Some(length)) => write!(f, "Source(stream of {length} bytes)"),
            Kind::Stream(_, None) => f.write_str("Source(stream)"),
        }
    }
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
impl From<&std::path::Path> for Source {
    fn from(path: &std::path::Path) -> Self {
        Self::file(path)
    }
}

fn read_chunks(reader: Pin<Box<dyn AsyncRead + Send>>) -> Chunks {
    stream::try_unfold(
        (reader, BytesMut::new()),
        |(mut reader, mut buffer)| async {
            // Takes the last chunk's memory back if it has been sent by now.
            buffer.reserve(CHUNK);
            let count = reader.read_buf(&mut buffer).await?;
            let chunk = buffer.split().freeze();
            Ok((count > 0).then_some((chunk, (reader, buffer))))
        },
    )
    .boxed()
}
