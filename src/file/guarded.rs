//! Files as the system has them: opened so that nothing blocks and nothing foreign is written to.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

#[cfg(not(unix))]
pub(super) use other::*;
#[cfg(all(feature = "disk", not(unix)))]
pub(crate) use other::{read_at, write_at};
#[cfg(unix)]
pub(super) use unix::*;
#[cfg(all(feature = "disk", unix))]
pub(crate) use unix::{read_at, write_at, zero_out};

/// A file that is no longer, or not yet, the one at its path.
#[derive(Debug, thiserror::Error)]
#[error("{} was removed or replaced while it was being written", .0.display())]
pub(super) struct Replaced(pub(super) PathBuf);

impl From<Replaced> for io::Error {
    fn from(replaced: Replaced) -> Self {
        Self::other(replaced)
    }
}

fn options() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true);
    options
}

/// The owner and mode of new files in some directory.
#[derive(Clone, Copy)]
pub(super) struct New {
    /// Not everywhere the user of the process.
    pub(super) owner: Owner,
    pub(super) mode: Mode,
}

/// Opens a file; `None` if there is nothing. It is not to be believed before its owner is known.
pub(super) fn open_any(path: &Path) -> io::Result<Option<File>> {
    // Looked at before, as opening a device can do something.
    if look(path, None)?.is_none() {
        return Ok(None);
    }
    let mut options = options();
    guard(&mut options, None);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| named(path, error))?,
    };
    check(path, &file.metadata()?, None)?;
    Ok(Some(file))
}

/// The same of a file that this user made.
pub(super) fn open(path: &Path, owner: Owner) -> io::Result<Option<File>> {
    let Some(file) = open_any(path)? else {
        return Ok(None);
    };
    check(path, &file.metadata()?, Some(owner))?;
    Ok(Some(file))
}

/// Makes a file where there is none.
pub(super) fn create(path: &Path, mode: Mode) -> io::Result<File> {
    let mut options = options();
    options.create_new(true);
    guard(&mut options, Some(mode));
    options.open(path).map_err(|error| named(path, error))
}

/// Returns the file at the path, which must be of this owner and have no other name.
pub(super) fn look(path: &Path, owner: Option<Owner>) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => check(path, &found, owner).map(|()| Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(named(path, error)),
    }
}

/// Removes a file that this user made, if there is one.
pub(super) fn remove(path: &Path, owner: Owner) -> io::Result<()> {
    if look(path, Some(owner))?.is_none() {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, error)),
        _ => Ok(()),
    }
}

pub(super) fn check(path: &Path, found: &Metadata, owner: Option<Owner>) -> io::Result<()> {
    let wrong = if !found.is_file() {
        "is not a regular file"
    } else if owner.is_some_and(|owner| !is_own(found, owner)) {
        "belongs to another user"
    } else if has_other_names(found) {
        "has another name (a hard link)"
    } else {
        return Ok(());
    };
    let message = format!("{} {wrong}; remove it to go on", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// The same error with the file's name; of the same kind, which callers look at.
fn named(path: &Path, error: io::Error) -> io::Error {
    match is_in_use(&error) {
        true => error,
        false => io::Error::new(error.kind(), format!("{}: {error}", path.display())),
    }
}

#[cfg(unix)]
mod unix {
    use super::{File, Metadata, New, OpenOptions, Path, create, fs, io, named, remove};
    use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};

    use rustix::fs::{FlockOperation, OFlags, flock};
    use rustix::process::geteuid;

    pub(in crate::file) type Owner = u32;

    /// The permissions of a file.
    pub(in crate::file) type Mode = u32;

    /// Nobody else reads what may be meant for few.
    pub(in crate::file) const PRIVATE: Mode = 0o600;
    const WRITABLE_BY_OTHERS: Mode = 0o022;

    /// In a directory that others can write to, a link could have another file overwritten, and a
    /// FIFO be waited for.
    pub(super) fn guard(options: &mut OpenOptions, mode: Option<Mode>) {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(flags.bits() as i32);
        if let Some(mode) = mode {
            options.mode(mode);
        }
    }

    /// A new file tells the owner, which a file server or mount may decide.
    pub(super) fn is_own(found: &Metadata, owner: Owner) -> bool {
        found.uid() == geteuid().as_raw() || found.uid() == owner
    }

    pub(super) fn has_other_names(found: &Metadata) -> bool {
        found.nlink() > 1
    }

    pub(in crate::file) fn is_in_use(_: &io::Error) -> bool {
        false
    }

    /// Returns `true` if others can write to the file.
    pub(in crate::file) fn is_shared(file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.mode() & WRITABLE_BY_OTHERS != 0)
    }

    /// Takes the only lock, unless someone else has it.
    pub(in crate::file) fn lock(file: &File) -> io::Result<bool> {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns `true` if this is the file at the path, not through a link.
    pub(in crate::file) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
        let (held, found) = (file.metadata()?, fs::symlink_metadata(path));
        Ok(found.is_ok_and(|found| (held.dev(), held.ino()) == (found.dev(), found.ino())))
    }

    pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    pub(crate) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
        file.read_exact_at(bytes, at)
    }

    /// Makes a range of a file or block device read as zeros, if that can be had without writing
    /// them.
    #[cfg(target_os = "linux")]
    pub(crate) fn zero_out(file: &File, start: u64, end: u64) -> bool {
        use rustix::fs::{FallocateFlags, fallocate};

        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let ways = [
            punch,
            FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        ];
        ways.into_iter()
            .any(|way| fallocate(file, way, start, end - start).is_ok())
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn zero_out(_: &File, _: u64, _: u64) -> bool {
        false
    }

    pub(in crate::file) fn sync_directory(path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Makes a file to see what becomes of it: there is no way to ask for the process's mask that
    /// other threads would not notice, and a directory may have rules of its own.
    pub(in crate::file) fn try_new(spare: &Path) -> io::Result<New> {
        // Left behind by a crash.
        remove(spare, geteuid().as_raw())?;
        let found = create(spare, 0o666)?.metadata();
        fs::remove_file(spare).map_err(|error| named(spare, error))?;
        let found = found?;
        Ok(New {
            owner: found.uid(),
            mode: found.mode() & 0o777,
        })
    }

    /// The mode of what is there already, or else that of a new file. Another user's file gives no
    /// right to write.
    pub(in crate::file) fn mode_at(path: &Path, new: New) -> Mode {
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => new.mode,
            Ok(found) if is_own(&found, new.owner) => found.mode() & 0o777,
            Ok(found) => found.mode() & 0o777 & !WRITABLE_BY_OTHERS,
            Err(_) => new.mode,
        }
    }

    pub(in crate::file) fn set_mode(file: &File, mode: Mode) -> io::Result<()> {
        file.set_permissions(fs::Permissions::from_mode(mode))
    }
}

/// Windows keeps others from a file that was opened without sharing; it may still be renamed. Who
/// may do what is inherited from the directory.
#[cfg(not(unix))]
mod other {
    use super::{File, Metadata, New, OpenOptions, Path, io};
    use std::os::windows::fs::{FileExt, OpenOptionsExt};

    pub(in crate::file) type Owner = ();
    pub(in crate::file) type Mode = ();

    pub(in crate::file) const PRIVATE: Mode = ();

    pub(super) fn guard(options: &mut OpenOptions, _: Option<Mode>) {
        const FILE_SHARE_DELETE: u32 = 4;
        options.share_mode(FILE_SHARE_DELETE);
    }

    pub(super) fn is_own(_: &Metadata, (): Owner) -> bool {
        true
    }

    pub(super) fn has_other_names(_: &Metadata) -> bool {
        false
    }

    pub(in crate::file) fn is_in_use(error: &io::Error) -> bool {
        const ERROR_SHARING_VIOLATION: i32 = 32;
        error.raw_os_error() == Some(ERROR_SHARING_VIOLATION)
    }

    pub(in crate::file) fn is_shared(_: &File) -> io::Result<bool> {
        Ok(false)
    }

    pub(in crate::file) fn lock(_: &File) -> io::Result<bool> {
        Ok(true)
    }

    pub(in crate::file) fn is_at(_: &File, _: &Path) -> io::Result<bool> {
        Ok(true)
    }

    pub(crate) fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = file.seek_write(bytes, at)?;
            bytes = &bytes[count..];
            at += count as u64;
        }
        Ok(())
    }

    pub(crate) fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = file.seek_read(bytes, at)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes = &mut bytes[count..];
            at += count as u64;
        }
        Ok(())
    }

    pub(in crate::file) fn zero_out(_: &File, _: u64, _: u64) -> bool {
        false
    }

    pub(in crate::file) fn sync_directory(_: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(in crate::file) fn try_new(_: &Path) -> io::Result<New> {
        Ok(New {
            owner: (),
            mode: (),
        })
    }

    pub(in crate::file) fn mode_at(_: &Path, _: New) -> Mode {}

    pub(in crate::file) fn set_mode(_: &File, (): Mode) -> io::Result<()> {
        Ok(())
    }
}
