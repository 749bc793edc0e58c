//! Inspection of local files.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::{Inspection, Inspector, Policy, Report};

/// Inspects a local file, or a block device.
///
/// It blocks, for as long as reading 64 KiB as a rule and 6 MiB at most takes; in an async
/// program give it to `tokio::task::spawn_blocking`. It opens no other file, whatever the image
/// says.
///
/// # Errors
///
/// When the file cannot be opened or read. A bad image is no error but a [`Report`].
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
pub fn inspect_file(path: impl AsRef<Path>, policy: &Policy) -> io::Result<Report> {
    inspect_open_file(&File::open(path)?, policy)
}

/// Inspects a file that is open already.
pub(crate) fn inspect_open_file(mut file: &File, policy: &Policy) -> io::Result<Report> {
    // Not the metadata's length, which is zero for a block device.
    let total = file.seek(SeekFrom::End(0))?;
    let mut inspector = Inspector::new(policy.clone()).total(total);
    loop {
        match inspector.step() {
            Inspection::Done(report) => return Ok(report),
            Inspection::NeedMore(range) => {
                file.seek(SeekFrom::Start(range.start))?;
                let mut bytes = Vec::new();
                file.by_ref()
                    .take(range.end - range.start)
                    .read_to_end(&mut bytes)?;
                inspector.feed(range.start, &bytes);
            }
        }
    }
}
