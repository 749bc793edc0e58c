use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;

use tempfile::{TempDir, TempPath};

use super::body::Payload;

/// The first bytes of a QCOW2 file.
const MAGIC: [u8; 4] = [0x51, 0x46, 0x49, 0xfb];

/// The unit of holes: an aligned block of zeros is not written to the file.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// The size from which a hole is recorded.
const HOLE: u64 = 64 * 1024;

/// An image's content, in a temporary file that is deleted on drop.
#[derive(Debug)]
pub(super) struct Content {
    path: TempPath,
    length: u64,
    /// The ranges with data, in order, with holes between them.
    data: Vec<Range<u64>>,
    is_qcow2: bool,
}

impl Content {
    pub(super) fn of_bytes(bytes: &[u8], dir: &TempDir) -> io::Result<Self> {
        let mut writer = ContentWriter::new(dir)?;
        writer.write(bytes)?;
        writer.finish()
    }

    /// Appends zeros up to a length. They take no space on disk.
    pub(super) fn grow(mut self, length: u64) -> io::Result<Self> {
        self.length = self.length.max(length);
        File::options()
            .write(true)
            .open(&self.path)?
            .set_len(self.length)?;
        Ok(self)
    }

    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Returns `true` if the content begins like a QCOW2 file. The real server checks no more.
    pub(super) fn is_qcow2(&self) -> bool {
        self.is_qcow2
    }

    /// Returns an empty body that can contain ranges of this content.
    pub(super) fn payload(&self) -> io::Result<Payload> {
        File::open(&self.path).map(Payload::of_file)
    }

    /// Appends a range of the content to its payload. Holes are not read from the file, so that
    /// their zeros do not fill the page cache.
    pub(super) fn append(&self, range: Range<u64>, payload: &mut Payload) {
        let mut at = range.start;
        let first = self.data.partition_point(|data| data.end <= at);
        for data in self.data[first..]
            .iter()
            .take_while(|data| data.start < range.end)
        {
            let (start, end) = (data.start.max(at), data.end.min(range.end));
            payload.push_zeros(start - at);
            payload.push_range(start..end);
            at = end;
        }
        payload.push_zeros(range.end - at);
    }

    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        std::fs::read(&self.path)
    }
}

/// Writes content to a temporary file, with holes in place of zeros.
pub(super) struct ContentWriter {
    file: File,
    path: TempPath,
    length: u64,
    data: Vec<Range<u64>>,
    start: Vec<u8>,
}

impl ContentWriter {
    pub(super) fn new(dir: &TempDir) -> io::Result<Self> {
        let (file, path) = tempfile::NamedTempFile::new_in(dir)?.into_parts();
        Ok(Self {
            file,
            path,
            length: 0,
            data: Vec::new(),
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
                self.write_data(&rest[..data])?;
                rest = &rest[data..];
            }
        }
        Ok(())
    }

    fn write_data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let start = self.length;
        self.file.seek(SeekFrom::Start(start))?;
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        match self.data.last_mut() {
            Some(last) if start - last.end < HOLE => last.end = self.length,
            _ => self.data.push(start..self.length),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<Content> {
        self.file.set_len(self.length)?;
        Ok(Content {
            path: self.path,
            length: self.length,
            data: self.data,
            is_qcow2: self.start == MAGIC,
        })
    }
}

/// Returns the length of the leading blocks that are all zero, or of those that are not.
fn prefix(bytes: &[u8], zero: bool) -> usize {
    bytes
        .chunks(BLOCK)
        .take_while(|block| (**block == ZEROS[..block.len()]) == zero)
        .map(<[u8]>::len)
        .sum()
}
