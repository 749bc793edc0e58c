//! Calls for programs without async code.
//!
//! The calls and their builders are the same: [`Wait::wait`] sends what `.await` would, `iter()`
//! of a list yields what `stream()` would, and a [`Reader`] implements [`std::io`]'s traits.
//!
//! ```
//! use machine_images::blocking::Wait;
//! use machine_images::djinn::{Client, Source};
//!
//! # #[cfg(feature = "fs")]
//! fn main() -> machine_images::Result<()> {
//! #   if std::env::var_os("DJINN_TOKEN").is_none() { return Ok(()); }
//!     let images = Client::from_env()?.images();
//!     let source = Source::file("debian-12.qcow2");
//!     let image = images.create_upload("debian-12", source).wait()?;
//!     println!("created image {}", image.id);
//!     for image in images.list().iter() {
//!         println!("{}", image?.name);
//!     }
//!     Ok(())
//! }
//! # #[cfg(not(feature = "fs"))]
//! # fn main() {}
//! ```
//!
//! The bytes of an image are read in order, or from any position:
//!
//! ```
//! use std::io::{Read, Seek, SeekFrom};
//!
//! use machine_images::blocking::{Reader, Wait};
//! use machine_images::djinn::Images;
//!
//! fn example(images: &Images) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut content = Reader::new(images.content(42).wait()?);
//!     let mut target = std::fs::File::create("debian-12.qcow2")?;
//!     std::io::copy(&mut content, &mut target)?;
//!
//!     let mut image = Reader::new(images.reader(42));
//!     let mut last = [0; 512];
//!     image.seek(SeekFrom::End(-512))?;
//!     image.read_exact(&mut last)?;
//!     Ok(())
//! }
//! ```
//!
//! # Threads
//!
//! Calls may be made on any number of threads at once. Two threads in the background, started by the
//! first call, serve the connections of all clients. They also read the source of an upload and
//! call the listener of its progress: one that takes long holds up other calls. `save` calls it on
//! threads of its own, and every other call on the calling thread. A listener must not wait for a
//! call.
//!
//! # Panics
//!
//! Everything in this module that waits panics inside async code, where waiting would stop the
//! tasks of the thread. The message is tokio's: `Cannot start a runtime from within a runtime`.
//! Await the builder there. Threads of `tokio::task::spawn_blocking` may wait.
//!
//! # Ctrl-C
//!
//! No signal is handled: Ctrl-C ends a program that waits, as it ends any other. Then a `save`
//! leaves the file at its path as it was, and the next one resumes; the server creates nothing from
//! an upload that was not fully sent.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use futures::stream::{Stream, StreamExt};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};
use crate::sync::lock;

/// Waits for the result of a call.
///
/// Implemented by every builder, and by every other future with a [`Result`] of this crate:
///
/// ```
/// use machine_images::blocking::Wait;
/// use machine_images::djinn::Client;
///
/// # fn example(client: Client) -> machine_images::Result<()> {
/// let user = client.check().wait()?;
/// let image = client.images().find("debian-12").wait()?;
/// let header = client.images().content(42).range(0..512).wait()?.bytes().wait()?;
/// # Ok(())
/// # }
/// ```
pub trait Wait {
    /// The result of the call.
    type Output;

    /// Makes the call, and blocks the thread until its end.
    ///
    /// # Errors
    ///
    /// Those of the call, and [`Io`](crate::ErrorKind::Io) if the system has no thread for the
    /// connections.
    ///
    /// # Panics
    ///
    /// Panics inside async code: see the [module](self#panics).
    fn wait(self) -> Result<Self::Output>;
}

impl<T, C: IntoFuture<Output = Result<T>>> Wait for C {
    type Output = T;

    fn wait(self) -> Result<T> {
        runtime()?.block_on(self.into_future())
    }
}

/// Returns an iterator over the items of a stream, such as the pages of a list.
///
/// Nothing is requested before the first item, nor beyond the last one that is taken.
///
/// ```
/// use machine_images::blocking;
///
/// # fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
/// for page in blocking::iter(images.list().pages()) {
///     println!("{} images", page?.items.len());
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// The iterator panics inside async code: see the [module](self#panics).
pub fn iter<T>(stream: impl Stream<Item = Result<T>> + Unpin) -> impl Iterator<Item = Result<T>> {
    let mut stream = Some(stream);
    std::iter::from_fn(move || {
        let next = stream.as_mut()?.next();
        let next = match runtime() {
            Ok(runtime) => runtime.block_on(next),
            Err(error) => Some(Err(error)),
        };
        // Neither is a stream to be polled after its end, nor is there one after an error.
        if !matches!(next, Some(Ok(_))) {
            stream = None;
        }
        next
    })
}

/// A reader that blocks: of a [`Content`](crate::Content) in order, of a
/// [`RemoteReader`](crate::RemoteReader) or a disk (`disk::Disk`) from any position.
///
/// An [`io::Error`] of its traits wraps this crate's [`Error`], as that of the reader in it does.
///
/// # Panics
///
/// Its traits panic inside async code: see the [module](self#panics).
#[derive(Debug)]
pub struct Reader<R>(R);

impl<R> Reader<R> {
    /// Creates a blocking reader from an async one. Nothing is sent.
    pub fn new(reader: R) -> Self {
        Self(reader)
    }

    /// Returns the async reader, at the position that this one has reached.
    pub fn into_inner(self) -> R {
        self.0
    }
}

impl<R: AsyncRead + Unpin> Read for Reader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        io_runtime()?.block_on(self.0.read(into))
    }
}

impl<R: AsyncBufRead + Unpin> BufRead for Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        io_runtime()?.block_on(self.0.fill_buf())
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl<R: AsyncSeek + Unpin> Seek for Reader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        io_runtime()?.block_on(self.0.seek(to))
    }
}

fn io_runtime() -> io::Result<Arc<Runtime>> {
    runtime().map_err(io::Error::other)
}

/// Returns the runtime of all blocking calls, which the first of them makes.
fn runtime() -> Result<Arc<Runtime>> {
    static RUNTIME: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);
    let mut made = lock(&RUNTIME);
    if let Some(runtime) = &*made {
        return Ok(Arc::clone(runtime));
    }
    // Its threads serve connections between two calls, too: one that is not served is not reused.
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("machine-images-blocking")
        .enable_all()
        .build()
        .map_err(|error| Error::io("no threads for blocking calls", error))?;
    Ok(Arc::clone(made.insert(Arc::new(runtime))))
}
