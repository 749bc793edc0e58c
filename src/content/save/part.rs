//! The file beside the target, which becomes the target when it is whole.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use jiff::Timestamp;

use super::journal::{Journal, Subject};
use super::paths::Paths;
use super::spans::Spans;
use super::sys::{self, Access, New, Replaced};
use super::zeros;
use crate::error::{Error, ErrorKind};
use crate::thread::Caller;

/// The number of times that a file may be another one by the time it is locked.
const TRIES: usize = 100;

/// An exclusive hold on the file beside a target, and on the journal beside that.
pub(super) struct PartFile {
    file: File,
    paths: Paths,
    new: New,
    /// An earlier process may have left something in it.
    is_old: bool,
    /// There is nothing in it that could be continued.
    is_useless: AtomicBool,
}

/// The part of the file that an earlier process left.
pub(super) struct Found {
    pub(super) subject: Subject,
    pub(super) done: Spans,
    pub(super) journal: Journal,
}

impl PartFile {
    /// Takes hold of the file beside `target`, or gives `None` if someone else has it.
    pub(super) fn open(target: &Path) -> io::Result<Option<Self>> {
        let paths = Paths::new(target)?;
        check_target(&paths.target)?;
        // Where files have no lasting identity they are other ones for ever.
        for _ in 0..TRIES {
            let old = sys::open_any(&paths.part, Access::Anywhere).transpose();
            let is_old = old.is_some();
            let make = || sys::create(&paths.part, Access::Anywhere, sys::PRIVATE);
            let file = match old.unwrap_or_else(make) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) if sys::is_in_use(&error) => return Ok(None),
                file => file?,
            };
            if !sys::lock(&file)? {
                return Ok(None);
            }
            // Another process may have renamed it between the opening and the locking.
            if !sys::is_at(&file, &paths.part)? {
                continue;
            }
            match Self::own(&file, &paths, is_old) {
                Ok(None) => fs::remove_file(&paths.part)?,
                Ok(Some(new)) => {
                    return Ok(Some(Self {
                        file,
                        paths,
                        new,
                        is_old,
                        is_useless: AtomicBool::new(!is_old),
                    }));
                }
                Err(error) => {
                    if !is_old {
                        let _ = fs::remove_file(&paths.part);
                    }
                    return Err(error);
                }
            }
        }
        let message = format!("{} is another file each time", paths.part.display());
        Err(io::Error::other(message))
    }

    /// Looks at whose files they are, and at what new ones are like; `None` if others may still be
    /// writing to this one.
    fn own(file: &File, paths: &Paths, is_old: bool) -> io::Result<Option<New>> {
        let new = sys::try_new(&paths.spare)?;
        sys::check(&paths.part, &file.metadata()?, Some(new.owner))?;
        sys::look(&paths.journal, Some(new.owner))?;
        Ok((!is_old || !sys::is_shared(file)?).then_some(new))
    }

    /// Returns what can be resumed, if anything; everything else is discarded.
    pub(super) fn find(&self) -> io::Result<Option<Found>> {
        if let Some((journal, subject, mut done)) = self.find_journal()? {
            let length = self.file.metadata()?.len();
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

    fn find_journal(&self) -> io::Result<Option<(Journal, Subject, Spans)>> {
        // A journal beside a new file is another's.
        if !self.is_old {
            return Ok(None);
        }
        match sys::open(&self.paths.journal, Access::Append, self.new.owner)? {
            Some(file) if !sys::is_shared(&file)? => Journal::resume(file),
            _ => Ok(None),
        }
    }

    /// Empties the file, and forgets the journal.
    pub(super) fn reset(&self) -> io::Result<()> {
        self.check()?;
        self.is_useless.store(true, Ordering::Relaxed);
        sys::remove(&self.paths.journal, self.new.owner)?;
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
        let file = sys::create(&self.paths.journal, Access::Append, sys::PRIVATE)?;
        let journal = Journal::begin(file, subject)?;
        self.is_useless.store(false, Ordering::Relaxed);
        Ok(Some(journal))
    }

    /// Replaces a journal that has become long by a short one.
    pub(super) fn renew(&self, journal: &mut Journal, durable: bool) -> io::Result<()> {
        let path = &self.paths.journal;
        self.check()?;
        if fs::symlink_metadata(path).is_ok() && !sys::is_at(journal.file(), path)? {
            return Err(Replaced(path.clone()).into());
        }
        sys::remove(&self.paths.spare, self.new.owner)?;
        let file = sys::create(&self.paths.spare, Access::Append, sys::PRIVATE)?;
        journal.write_anew(file, durable)?;
        fs::rename(&self.paths.spare, path)
    }

    /// Fails unless this is still the file at its path, which others find locked. Nothing
    /// may be done to a path without.
    fn check(&self) -> io::Result<()> {
        match sys::is_at(&self.file, &self.paths.part)? {
            true => Ok(()),
            false => Err(Replaced(self.paths.part.clone()).into()),
        }
    }

    /// Writes bytes at a place. Where the file has never been written, zeros become holes.
    pub(super) fn write(&self, bytes: &[u8], at: u64, untouched: bool) -> io::Result<()> {
        if !untouched {
            return sys::write_at(&self.file, bytes, at);
        }
        for (start, end) in zeros::written(bytes, at) {
            sys::write_at(&self.file, &bytes[start..end], at + start as u64)?;
        }
        Ok(())
    }

    /// Has the system put the bytes on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Reads a range in order, as long as `each` piece is welcome.
    pub(super) fn read(
        &self,
        start: u64,
        end: u64,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start))?;
        let mut left = end - start;
        let mut rest = file.take(left);
        let mut buffer = vec![0; 256 * 1024];
        while left > 0 {
            match rest.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    each(&buffer[..count])?;
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
        &self.paths.part
    }

    /// Makes the file the target, which it replaces at one stroke, if the caller still waits.
    pub(super) fn finish(
        self,
        durable: bool,
        modified: Option<Timestamp>,
        caller: &Caller,
    ) -> io::Result<()> {
        let target = &self.paths.target;
        if durable {
            self.file.sync_all()?;
        }
        check_target(target)?;
        sys::set_mode(&self.file, sys::mode_at(target, self.new))?;
        if let Some(time) = modified {
            let time = SystemTime::try_from(time).map_err(io::Error::other)?;
            self.file.set_modified(time)?;
        }
        if durable {
            self.file.sync_all()?;
        }
        caller.if_waiting(|| {
            self.check()?;
            fs::rename(&self.paths.part, target)
        })?;
        // From here on there may be another's file under the old name, and nothing is a failure.
        self.is_useless.store(false, Ordering::Relaxed);
        if fs::symlink_metadata(target).is_ok() && !sys::is_at(&self.file, target)? {
            return Err(Replaced(target.clone()).into());
        }
        if fs::symlink_metadata(&self.paths.part).is_err() {
            let _ = sys::remove(&self.paths.journal, self.new.owner);
        }
        if durable {
            // A directory may be one that cannot be read.
            let _ = sys::sync_directory(target);
        }
        Ok(())
    }
}

impl Drop for PartFile {
    /// Still under the lock. What cannot be continued is of no use, however the fetch ended.
    fn drop(&mut self) {
        if *self.is_useless.get_mut() && self.check().is_ok() {
            let _ = fs::remove_file(&self.paths.part);
        }
    }
}

/// The rename would replace a device as readily as a file. A link is replaced.
fn check_target(target: &Path) -> io::Result<()> {
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_symlink() => {
            let is_other = fs::metadata(target).is_ok_and(|found| !found.is_file());
            if is_other { Err(not_a_file()) } else { Ok(()) }
        }
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(not_a_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")
}

/// Turns the error of a step into that of the call.
pub(super) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let replaced = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(replaced) = replaced {
        let replaced: &Replaced = replaced;
        return Error::plain(ErrorKind::Busy, replaced.to_string());
    }
    Error::io(format!("cannot {what} {}", path.display()), error)
}
