//! Inspection of local files.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::file::open_disk;
use crate::qcow2::{Inspection, Inspector, Policy, Report};

/// Inspects a local file or block device.
///
/// Blocks while it reads, usually 64 KiB and at most 6 MiB; in an async program call it inside
/// `tokio::task::spawn_blocking`. Never opens a file that the image names.
///
/// ```
/// use machine_images::qcow2::{self, Code, Format, Policy};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("disk.img");
/// std::fs::write(&path, b"\x1f\x8b\x08 no image")?;
/// let report = qcow2::inspect_file(&path, &Policy::default())?;
/// assert_eq!(report.format, Format::Gzip);
/// assert!(report.has(Code::NotQcow2));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Fails if the file cannot be opened or read, or is neither a regular file nor a block device, such
/// as a FIFO. A bad image is not an error: see [`Report::verdict`].
pub fn inspect_file(path: impl AsRef<Path>, policy: &Policy) -> io::Result<Report> {
    inspect_open_file(&open_disk(path.as_ref())?, policy)
}

/// Inspects an open file.
pub(crate) fn inspect_open_file(mut file: &File, policy: &Policy) -> io::Result<Report> {
    // The length in the metadata of a block device is zero.
    let total = file.seek(SeekFrom::End(0))?;
    let mut inspector = Inspector::new(policy.clone()).total(total);
    loop {
        match inspector.step() {
            Inspection::Done(report) => return Ok(report),
            Inspection::NeedMore(range) => {
                file.seek(SeekFrom::Start(range.start))?;
                let length = range.end.min(total).saturating_sub(range.start);
                // In one read, which a small image notices.
                let mut bytes = vec![0; length as usize];
                file.read_exact(&mut bytes)?;
                inspector.feed(range.start, &bytes);
            }
        }
    }
}
