use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use tempfile::{TempDir, TempPath};

/// The first bytes of a qcow2 file.
const MAGIC: [u8; 4] = [0x51, 0x46, 0x49, 0xfb];

/// A file system's block: what is all zero in a block is left out of the file.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// The bytes of an image in a file that goes when the image goes.
#[derive(Debug)]
pub(super) struct Content {
    path: TempPath,
    length: u64,
    is_qcow2: bool,
}

impl Content {
    pub(super) fn of_bytes(bytes: &[u8], dir: &TempDir) -> io::Result<Self> {
        let mut writer = ContentWriter::new(dir)?;
        writer.write(bytes)?;
        writer.finish()
    }

    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Whether the first four bytes are those of a qcow2 file; the server looks no further.
    pub(super) fn is_qcow2(&self) -> bool {
        self.is_qcow2
    }

    pub(super) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        std::fs::read(&self.path)
    }
}

/// Content as it arrives, with holes where it is zero.
pub(super) struct ContentWriter {
    file: File,
    path: TempPath,
    length: u64,
    start: Vec<u8>,
}

impl ContentWriter {
    pub(super) fn new(dir: &TempDir) -> io::Result<Self> {
        let (file, path) = tempfile::NamedTempFile::new_in(dir)?.into_parts();
        Ok(Self {
            file,
            path,
            length: 0,
            start: Vec::with_capacity(MAGIC.len()),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let missing = MAGIC.len() - self.start.len();
        self.start.extend(bytes.iter().take(missing));
        let mut rest = bytes;
        while !rest.is_empty() {
            let zero = prefix(rest, true);
            self.length += zero as u64;
            rest = &rest[zero..];
            let data = prefix(rest, false);
            if data > 0 {
                self.file.seek(SeekFrom::Start(self.length))?;
                self.file.write_all(&rest[..data])?;
                self.length += data as u64;
                rest = &rest[data..];
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<Content> {
        self.file.set_len(self.length)?;
        Ok(Content {
            path: self.path,
            length: self.length,
            is_qcow2: self.start == MAGIC,
        })
    }
}

/// The length of the leading blocks that are all zero, or of those that are not.
fn prefix(bytes: &[u8], zero: bool) -> usize {
    bytes
        .chunks(BLOCK)
        .take_while(|block| (**block == ZEROS[..block.len()]) == zero)
        .map(<[u8]>::len)
        .sum()
}
