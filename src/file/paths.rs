//! The paths of the files of a transfer.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;

const PART: &str = ".part";
const STATE: &str = ".part.state";
const SPARE: &str = ".part.new";
/// The length of a file's name that every usual file system takes, in bytes.
const MAX_NAME: usize = 255;
/// The part of a longer name that is kept for people to recognize.
const KEPT: usize = 150;

/// The paths of one fetch, which do not change with the working directory.
pub(super) struct Paths {
    pub(super) target: PathBuf,
    /// The part file.
    pub(super) part: PathBuf,
    pub(super) state: PathBuf,
    /// A file that is made and renamed, or removed, within a step.
    pub(super) spare: PathBuf,
}

impl Paths {
    pub(super) fn new(target: &Path) -> io::Result<Self> {
        let target = std::path::absolute(target)?;
        let text = target.as_os_str().as_encoded_bytes();
        let is_directory =
            text.ends_with(b"/") || text.ends_with(std::path::MAIN_SEPARATOR_STR.as_bytes());
        let Some(name) = target.file_name().filter(|_| !is_directory) else {
            let message = "it cannot be a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        let stem = match name.len() + STATE.len() {
            ..=MAX_NAME => name.to_owned(),
            _ => shortened(name.as_encoded_bytes(), &name.to_string_lossy()),
        };
        let beside = |suffix: &str| {
            let mut name = stem.clone();
            name.push(suffix);
            target.with_file_name(name)
        };
        Ok(Self {
            part: beside(PART),
            state: beside(STATE),
            spare: beside(SPARE),
            target,
        })
    }
}

/// The beginning of a name and a digest of it.
fn shortened(name: &[u8], text: &str) -> OsString {
    let mut kept = KEPT.min(text.len());
    while !text.is_char_boundary(kept) {
        kept -= 1;
    }
    let digest = Digest::of(name).to_string();
    // 32 of its digits tell names apart.
    format!("{}~{digest:.32}", &text[..kept]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_fits_and_only_long_ones_are_shortened() {
        let fits = Paths::new(Path::new(&"n".repeat(244))).unwrap();
        assert!(fits.target.is_absolute());
        assert_eq!(fits.state.file_name().unwrap().len(), MAX_NAME);
        for name in ["n".repeat(245), "é".repeat(127), "€".repeat(85)] {
            let paths = Paths::new(Path::new(&name)).unwrap();
            for path in [&paths.part, &paths.state, &paths.spare] {
                assert!(path.file_name().unwrap().len() <= 200);
            }
        }
        for none in ["", "/", "..", "name/", "name/.."] {
            assert!(Paths::new(Path::new(none)).is_err(), "{none}");
        }
    }
}
