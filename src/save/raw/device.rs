//! A block device as the target of a raw disk.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::Error;
use crate::file::{Sink, failed, read_at, write_at, zero_out};

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
        let file = options.open(path)?;
        // A file that came in its place is not written over.
        match file.metadata()?.file_type().is_block_device() {
            true => Self::of(file, path, size),
            false => Err(io::Error::other("it is no block device any more")),
        }
    }

    fn of(mut file: File, path: &Path, size: u64) -> io::Result<Self> {
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
        match zero_out(&self.file, start, end) {
            true => Ok(()),
            false => self.write_zeros(start, end),
        }
    }

    fn write_zeros(&self, start: u64, end: u64) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 3 * ZEROS;

    /// What is a device here is a file: all that differs is how it is opened.
    fn device(size: u64) -> io::Result<Device> {
        let file = tempfile::tempfile().unwrap();
        write_at(&file, &[7; SIZE], 0).unwrap();
        Device::of(file, Path::new("device"), size)
    }

    fn contents(device: &Device) -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        device.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn zeros_are_where_they_belong_however_they_are_made() {
        type Zero = fn(&Device, u64, u64) -> io::Result<()>;

        for zero in [Device::zero as Zero, Device::write_zeros] {
            for (start, end) in [
                (0, SIZE),
                (4096, 8192),
                (513, 2 * ZEROS + 7),
                (9, 9),
                (9, 10),
            ] {
                let device = device(SIZE as u64).unwrap();
                zero(&device, start as u64, end as u64).unwrap();
                let mut expected = vec![7; SIZE];
                expected[start..end].fill(0);
                assert!(contents(&device) == expected, "{start}..{end}");
            }
        }
    }

    #[test]
    fn a_device_that_is_too_small_is_refused_and_a_larger_one_taken() {
        let error = device(SIZE as u64 + 1).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let message = error.to_string();
        assert_eq!(message, "it has 3145728 bytes, and the disk 3145729");
        let device = device(1000).unwrap();
        device.write(10, &[9; 10]).unwrap();
        let mut expected = vec![7; SIZE];
        expected[10..20].fill(9);
        assert!(contents(&device) == expected);
    }

    #[test]
    fn what_is_no_block_device_is_not_opened() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "precious").unwrap();
        assert!(!Device::is_at(file.path()) && !Device::is_at(Path::new("/")));
        assert!(Device::open(file.path(), 0).is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), b"precious");
    }
}
