//! A block device as the target of a raw disk.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate};

use crate::error::Error;
use crate::file::{Sink, failed, read_at, write_at};

/// Zeros are written in pieces where the device cannot be told to have them.
const ZEROS: usize = 1 << 20;

/// A block device, which is written in place.
pub(super) struct Device {
    file: File,
    path: PathBuf,
}

impl Device {
    /// Returns `true` if there is a block device at the path.
    pub(super) fn is_at(path: &Path) -> bool {
        path.metadata()
            .is_ok_and(|found| found.file_type().is_block_device())
    }

    /// Opens a device that nobody has mounted, if it has room for `size` bytes.
    pub(super) fn open(path: &Path, size: u64) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true);
        // Linux refuses this for a device that is in use.
        options.custom_flags((OFlags::EXCL | OFlags::NONBLOCK).bits() as i32);
        let mut file = options.open(path)?;
        let room = file.seek(SeekFrom::End(0))?;
        match room < size {
            true => {
                let message = format!("it has {room} bytes, and the disk {size}");
                Err(io::Error::new(io::ErrorKind::StorageFull, message))
            }
            false => Ok(Self {
                file,
                path: path.to_owned(),
            }),
        }
    }

    /// Makes a range read as zeros, by the device itself if it can.
    pub(super) fn zero(&self, start: u64, end: u64) -> io::Result<()> {
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        for flags in [punch, FallocateFlags::ZERO_RANGE] {
            if fallocate(&self.file, flags, start, end - start).is_ok() {
                return Ok(());
            }
        }
        let zeros = vec![0; ZEROS];
        for at in (start..end).step_by(ZEROS) {
            let count = (end - at).min(ZEROS as u64) as usize;
            write_at(&self.file, &zeros[..count], at)?;
        }
        Ok(())
    }

    pub(super) fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Sink for Device {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_at(&self.file, bytes, offset)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        read_at(&self.file, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        failed(what, &self.path, error)
    }
}
