//! The file beside the target, which becomes the target when it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::journal::{Journal, Subject};
use super::spans::Spans;
use super::zeros;

/// An exclusive hold on the file beside a target, and on the journal beside that.
pub(super) struct PartFile {
    file: File,
    path: PathBuf,
    journal_path: PathBuf,
    target: PathBuf,
    /// There is nothing in it that could be continued.
    litter: AtomicBool,
}

/// What an earlier process left behind.
pub(super) struct Found {
    pub(super) subject: Subject,
    pub(super) done: Spans,
    pub(super) journal: Journal,
}

impl PartFile {
    /// Takes hold of the file beside `target`, or gives `None` if someone else has it.
    pub(super) fn open(target: &Path) -> io::Result<Option<Self>> {
        // The rename would replace a device as readily as a file.
        let is_other = fs::metadata(target).is_ok_and(|found| !found.is_file());
        if is_other || target.file_name().is_none() {
            let message = "it cannot be a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let path = beside(target, ".part");
        let journal_path = beside(&path, ".journal");
        loop {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            exclusive(&mut options);
            no_follow(&mut options);
            let Some(file) = lock(options.open(&path))? else {
                return Ok(None);
            };
            // Another process may have renamed it between the opening and the locking.
            if is_at(&file, &path)? {
                return Ok(Some(Self {
                    file,
                    path,
                    journal_path,
                    target: target.to_owned(),
                    litter: AtomicBool::new(false),
                }));
            }
        }
    }

    /// What can be continued, if anything; everything else is thrown away.
    pub(super) fn find(&self) -> io::Result<Option<Found>> {
        let journal = match self.journal_options().open(&self.journal_path) {
            Ok(file) => Journal::resume(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let length = self.file.metadata()?.len();
        if let Some((journal, subject, mut done)) = journal {
            // Only the answer to a request says that it is still the same version, so that there
            // must be something to ask for.
            done.truncate(subject.length.saturating_sub(1));
            if (done.end()..=subject.length).contains(&length) && subject.length > 0 {
                // What lies behind the last span may be anything.
                self.file.set_len(done.end())?;
                self.file.set_len(subject.length)?;
                return Ok(Some(Found {
                    subject,
                    done,
                    journal,
                }));
            }
        }
        self.reset()?;
        Ok(None)
    }

    /// Empties the file, and forgets the journal.
    pub(super) fn reset(&self) -> io::Result<()> {
        self.litter.store(true, Ordering::Relaxed);
        remove_if_there(&self.journal_path)?;
        // Cutting an empty file would do no harm, but that ext4 takes a file that was cut to
        // nothing for one that is replaced, and writes all of it to the disk when it is closed.
        match self.file.metadata()?.len() {
            0 => Ok(()),
            _ => self.file.set_len(0),
        }
    }

    /// Prepares for `length` bytes, with a journal if there is a subject to name.
    pub(super) fn begin(
        &self,
        length: Option<u64>,
        subject: Option<&Subject>,
    ) -> io::Result<Option<Journal>> {
        self.reset()?;
        if let Some(length) = length {
            self.set_len(length)?;
        }
        let Some(subject) = subject else {
            return Ok(None);
        };
        let file = self
            .journal_options()
            .create(true)
            .open(&self.journal_path)?;
        let journal = Journal::begin(file, subject)?;
        self.litter.store(false, Ordering::Relaxed);
        Ok(Some(journal))
    }

    fn journal_options(&self) -> fs::OpenOptions {
        let mut options = File::options();
        options.read(true).append(true);
        no_follow(&mut options);
        options
    }

    /// Writes bytes at a place. Where the file has never been written, zeros become holes.
    pub(super) fn write(&self, bytes: &[u8], at: u64, untouched: bool) -> io::Result<()> {
        if !untouched {
            return write_at(&self.file, bytes, at);
        }
        for (start, end) in zeros::written(bytes, at) {
            write_at(&self.file, &bytes[start..end], at + start as u64)?;
        }
        Ok(())
    }

    /// Has the system put the bytes on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Reads a range in order.
    pub(super) fn read(&self, start: u64, end: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start))?;
        let mut left = end - start;
        let mut rest = file.take(left);
        let mut buffer = vec![0; 256 * 1024];
        while left > 0 {
            match rest.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    each(&buffer[..count]);
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives the file its length, which may be one that no file can have.
    pub(super) fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length).map_err(|error| {
            let message = format!("no file of {length} bytes can be made: {error}");
            io::Error::new(error.kind(), message)
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file the target, which it replaces at one stroke.
    pub(super) fn finish(self, durable: bool) -> io::Result<()> {
        if durable {
            self.file.sync_all()?;
        }
        fs::rename(&self.path, &self.target)?;
        // From here on there may be another's file under the old name.
        self.litter.store(false, Ordering::Relaxed);
        remove_if_there(&self.journal_path)?;
        if durable {
            sync_directory(&self.target)?;
        }
        Ok(())
    }
}

impl Drop for PartFile {
    /// Still under the lock. What cannot be continued is of no use, however the fetch ended.
    fn drop(&mut self) {
        if *self.litter.get_mut() {
            let _ = remove_if_there(&self.path);
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn exclusive(_: &mut fs::OpenOptions) {}

/// In a directory that others can write to, a link could have another file overwritten.
#[cfg(unix)]
fn no_follow(options: &mut fs::OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;

    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
}

#[cfg(unix)]
fn lock(opened: io::Result<File>) -> io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};

    let file = opened?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let (held, found) = (file.metadata()?, fs::metadata(path));
    Ok(found.is_ok_and(|found| (held.dev(), held.ino()) == (found.dev(), found.ino())))
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(unix)]
fn sync_directory(target: &Path) -> io::Result<()> {
    let parent = target.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Windows keeps others from a file that was opened without sharing; it may still be renamed.
#[cfg(windows)]
fn exclusive(options: &mut fs::OpenOptions) {
    const FILE_SHARE_DELETE: u32 = 4;
    std::os::windows::fs::OpenOptionsExt::share_mode(options, FILE_SHARE_DELETE);
}

#[cfg(windows)]
fn no_follow(_: &mut fs::OpenOptions) {}

#[cfg(windows)]
fn lock(opened: io::Result<File>) -> io::Result<Option<File>> {
    const ERROR_SHARING_VIOLATION: i32 = 32;
    match opened {
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        opened => opened.map(Some),
    }
}

#[cfg(windows)]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        bytes = &bytes[count..];
        at += count as u64;
    }
    Ok(())
}

#[cfg(windows)]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
