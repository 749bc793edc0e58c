//! Local files: as sources of bytes, and written beside their target before they get its name, with
//! a state to continue by.

mod guarded;
mod part;
mod paths;
mod state;
mod zeros;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::error::Error;
use crate::spans::Spans;
#[cfg(all(feature = "disk", unix))]
pub(crate) use guarded::zero_out;
#[cfg(feature = "disk")]
pub(crate) use guarded::{read_at, write_at};
pub(crate) use part::{PartFile, failed};
pub(crate) use state::{State, Subject};
#[cfg(feature = "disk")]
pub(crate) use zeros::is_zero;

/// The destination of the bytes of an image.
pub(crate) trait Sink: Send + Sync {
    /// Takes bytes of the image that begin at `offset`.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Gives back bytes of the image that it took.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Takes out of `done` what it took but has yet to write.
    fn settle(&self, _done: &mut Spans) {}
    /// Waits until what it took is on the disk.
    fn sync(&self) -> io::Result<()>;
    /// Makes an error of a failed step, with the name of the sink.
    fn failed(&self, what: &str, error: io::Error) -> Error;
}

/// Opens a regular file for reading, without blocking on a FIFO that has no writer.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// Opens a regular file that is at this very path, not behind a link.
pub(crate) fn open_in_place(path: &Path) -> io::Result<File> {
    // Looked at before, as opening a device can do something, and after, as it may be another one.
    if std::fs::symlink_metadata(path)?.is_file() {
        let file = open_regular(path)?;
        if guarded::is_at(&file, path)? {
            return Ok(file);
        }
    }
    Err(io::Error::other("not a regular file"))
}

/// Opens a regular file or a block device for reading; returns its length as well.
#[cfg(feature = "disk")]
pub(crate) fn open_with_length(path: &Path) -> io::Result<(File, u64)> {
    use std::io::Seek as _;

    let mut file = open_disk(path)?;
    // The length in the metadata of a block device is zero.
    let length = file.seek(io::SeekFrom::End(0))?;
    Ok((file, length))
}

/// Opens a regular file or a block device for reading, without blocking on a FIFO.
pub(crate) fn open_disk(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    let kind = file.metadata()?.file_type();
    #[cfg(unix)]
    let is_device = std::os::unix::fs::FileTypeExt::is_block_device(&kind);
    #[cfg(windows)]
    let is_device = false;
    match kind.is_file() || is_device {
        true => Ok(file),
        false => Err(io::Error::other(
            "neither a regular file nor a block device",
        )),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    set_nonblocking(&mut options);
    options.open(path)
}

#[cfg(unix)]
fn set_nonblocking(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;

    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
}

#[cfg(windows)]
fn set_nonblocking(_: &mut OpenOptions) {}
