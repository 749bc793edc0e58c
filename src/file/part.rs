//! The file beside the target, which becomes the target when it is complete.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use jiff::Timestamp;

use super::Sink;
use super::guarded::{self as sys, New, Replaced};
use super::paths::Paths;
use super::zeros;
use crate::error::{Error, ErrorKind};
use crate::thread::Caller;

/// The number of times that a file may be another one by the time it is locked.
const TRIES: usize = 100;

/// An exclusive hold on the file beside a target, and on the state file beside that.
pub(crate) struct PartFile {
    file: File,
    paths: Paths,
    new: New,
    /// An earlier process may have left something in it.
    is_old: bool,
    /// There is nothing in it that could be continued.
    is_useless: AtomicBool,
    /// The byte from which on nothing was ever written, so that zeros can be left out.
    untouched: AtomicU64,
    /// The length of the file, which grows if it was not set.
    length: AtomicU64,
}

impl PartFile {
    /// Takes hold of the file beside `target`, or gives `None` if someone else has it.
    pub(crate) fn open(target: &Path) -> io::Result<Option<Self>> {
        let paths = Paths::new(target)?;
        check_target(&paths.target)?;
        // Where files have no lasting identity they are other ones for ever.
        for _ in 0..TRIES {
            let old = sys::open_any(&paths.part).transpose();
            let is_old = old.is_some();
            let make = || sys::create(&paths.part, sys::PRIVATE);
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
                        untouched: AtomicU64::new(0),
                        length: AtomicU64::new(0),
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
        sys::look(&paths.state, Some(new.owner))?;
        Ok((!is_old || !sys::is_shared(file)?).then_some(new))
    }

    /// Opens the state file of an earlier process, unless others could write to it.
    pub(crate) fn open_state(&self) -> io::Result<Option<File>> {
        // One beside a new file is another's.
        if !self.is_old {
            return Ok(None);
        }
        match sys::open(&self.paths.state, self.new.owner)? {
            Some(file) if !sys::is_shared(&file)? => Ok(Some(file)),
            _ => Ok(None),
        }
    }

    /// Makes the state file. From then on what was written can be continued.
    pub(crate) fn create_state(&self) -> io::Result<File> {
        self.check()?;
        let file = sys::create(&self.paths.state, sys::PRIVATE)?;
        self.is_useless.store(false, Ordering::Relaxed);
        Ok(file)
    }

    /// Prepares a file of `length` bytes to be continued, of which an earlier process has written
    /// nothing that counts from byte `end` on. Returns `false` if it is not such a file.
    pub(crate) fn resume(&self, end: u64, length: u64) -> io::Result<bool> {
        if !(end..=length).contains(&self.file.metadata()?.len()) {
            return Ok(false);
        }
        // There may be anything.
        self.file.set_len(end)?;
        self.set_len(length)?;
        self.untouched.store(end, Ordering::Relaxed);
        Ok(true)
    }

    /// Prepares a file of `length` bytes to be continued, of which anything may be written. Returns
    /// `false` if it is not such a file.
    #[cfg(feature = "disk")]
    pub(crate) fn resume_scattered(&self, length: u64) -> io::Result<bool> {
        self.untouched.store(u64::MAX, Ordering::Relaxed);
        self.length.store(length, Ordering::Relaxed);
        Ok(self.file.metadata()?.len() == length)
    }

    /// Empties the file, and removes the state file.
    pub(crate) fn reset(&self) -> io::Result<()> {
        self.check()?;
        self.untouched.store(0, Ordering::Relaxed);
        self.length.store(0, Ordering::Relaxed);
        self.is_useless.store(true, Ordering::Relaxed);
        sys::remove(&self.paths.state, self.new.owner)?;
        // Cutting an empty file would do no harm, but that ext4 takes a file that was cut to
        // nothing for one that is replaced, and writes all of it to the disk when it is closed.
        match self.file.metadata()?.len() {
            0 => Ok(()),
            _ => self.file.set_len(0),
        }
    }

    /// Fails unless this is still the file at its path, which others find locked. Nothing
    /// may be done to a path without.
    fn check(&self) -> io::Result<()> {
        match sys::is_at(&self.file, &self.paths.part)? {
            true => Ok(()),
            false => Err(Replaced(self.paths.part.clone()).into()),
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its length, which may be one that no file can have.
    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        self.length.store(length, Ordering::Relaxed);
        self.file.set_len(length).map_err(|error| {
            let message = format!("no file of {length} bytes can be made: {error}");
            io::Error::new(error.kind(), message)
        })
    }

    /// Makes the file the target, which it replaces at one stroke, if the caller still waits.
    pub(crate) fn finish(
        &self,
        durable: bool,
        modified: Option<Timestamp>,
        caller: &Caller,
    ) -> io::Result<()> {
        let target = &self.paths.target;
        check_target(target)?;
        if let Some(time) = modified {
            let time = SystemTime::try_from(time).map_err(io::Error::other)?;
            self.file.set_modified(time)?;
        }
        if durable {
            self.file.sync_all()?;
        }
        caller.if_waiting(|| {
            self.check()?;
            // Not earlier: a part file that others can write to is of no use to the next fetch.
            sys::set_mode(&self.file, sys::mode_at(target, self.new))?;
            let renamed = fs::rename(&self.paths.part, target);
            if renamed.is_err() {
                let _ = sys::set_mode(&self.file, sys::PRIVATE);
            }
            renamed
        })?;
        // From here on there may be another's file under the old name, and nothing is a failure.
        self.is_useless.store(false, Ordering::Relaxed);
        if fs::symlink_metadata(target).is_ok() && !sys::is_at(&self.file, target)? {
            return Err(Replaced(target.clone()).into());
        }
        if fs::symlink_metadata(&self.paths.part).is_err() {
            let _ = sys::remove(&self.paths.state, self.new.owner);
        }
        if durable {
            // The mode.
            let _ = self.file.sync_all();
            // A directory may be one that cannot be read.
            let _ = sys::sync_directory(target);
        }
        Ok(())
    }
}

/// The same bytes at the same place.
impl Sink for PartFile {
    /// Zeros become holes.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        if end > self.length.load(Ordering::Relaxed) {
            self.set_len(end)?;
        }
        let is_touched = offset < self.untouched.load(Ordering::Relaxed);
        let mut zeros = 0;
        let last = (bytes.len(), bytes.len());
        for (start, end) in zeros::written(bytes, offset).chain([last]) {
            let (before, at) = (offset + zeros as u64, offset + start as u64);
            // Something may be there.
            if is_touched && before < at && !sys::zero_out(&self.file, before, at) {
                sys::write_at(&self.file, &bytes[zeros..start], before)?;
            }
            sys::write_at(&self.file, &bytes[start..end], at)?;
            zeros = end;
        }
        Ok(())
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        sys::read_at(&self.file, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        failed(what, &self.paths.part, error)
    }
}

impl Drop for PartFile {
    /// Still under the lock. What cannot be continued is of no use, however the fetch ended.
    fn drop(&mut self) {
        let state = &self.paths.state;
        // On a full disk nothing could be recorded.
        let has_no_record = || fs::symlink_metadata(state).is_ok_and(|state| state.len() == 0);
        let is_useless = *self.is_useless.get_mut() || has_no_record();
        if is_useless && self.check().is_ok() {
            let _ = sys::remove(state, self.new.owner);
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
pub(crate) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let replaced = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(replaced) = replaced {
        let replaced: &Replaced = replaced;
        return Error::plain(ErrorKind::Busy, replaced.to_string());
    }
    Error::io(format!("cannot {what} {}", path.display()), error)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_private_until_it_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("image");
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o664)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let part = PartFile::open(&target).unwrap().unwrap();

        let finished = part.finish(true, None, &Caller::who_has_left());

        assert!(finished.is_err());
        assert_eq!(mode(&part.paths.part), 0o600);
        part.finish(true, None, &Caller::who_waits()).unwrap();
        assert_eq!((mode(&target), fs::read(&target).unwrap()), (0o664, vec![]));
    }
}
