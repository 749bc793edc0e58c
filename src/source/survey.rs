//! The first pass over a raw disk: the clusters that hold data, and how short they become.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::compress::Compressor;
use crate::file::is_zero;
use crate::qcow2::{CLUSTER, Compression, Stored};

const BYTES: u64 = CLUSTER as u64;
/// The length of a window, which one task surveys.
const WINDOW: u64 = 512 * BYTES;
/// Data mostly shows itself in the first block.
const BLOCK: usize = 4096;

/// Finds the next window that begins with data: a range in bytes that starts with a cluster.
pub(super) fn next_window(file: &File, at: u64, length: u64) -> io::Result<Option<Range<u64>>> {
    let start = next_data(file, at, length)?;
    Ok(start.map(|start| start..length.min(start + WINDOW)))
}

/// Returns the clusters of a window that hold data.
pub(super) fn survey(
    file: &File,
    window: Range<u64>,
    compression: Option<Compression>,
) -> io::Result<Vec<Stored>> {
    let mut compressor = compression.map(Compressor::new).transpose()?;
    let mut cluster = vec![0; CLUSTER];
    let mut found = Vec::new();
    let mut next = Some(window.start);
    while let Some(at) = next.filter(|&at| at < window.end) {
        next = Some(at + BYTES);
        let length = BYTES.min(window.end - at) as usize;
        cluster[length..].fill(0);
        let (first, rest) = cluster.split_at_mut(BLOCK.min(length));
        read_at(file, first, at)?;
        let is_data = !is_zero(first);
        if !is_data || compressor.is_some() {
            let rest = &mut rest[..length - first.len()];
            read_at(file, rest, at + first.len() as u64)?;
        }
        if !is_data && is_zero(rest) {
            // Only here, as it is slow to ask where data ends.
            next = next_data(file, at + BYTES, window.end)?;
            continue;
        }
        let length = match &mut compressor {
            None => 0,
            // Less than a cluster.
            Some(compressor) => compressor.compress(&cluster)?.len() as u16,
        };
        found.push(Stored {
            cluster: at / BYTES,
            length,
        });
    }
    Ok(found)
}

/// Fills a buffer from a file that must not end before.
pub(super) fn read_at(file: &File, mut into: &mut [u8], mut at: u64) -> io::Result<()> {
    while !into.is_empty() {
        match super::file::read_at(file, into, at)? {
            0 => {
                let message = format!("it ended after {at} bytes: it became shorter meanwhile");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
            count => {
                into = &mut into[count..];
                at += count as u64;
            }
        }
    }
    Ok(())
}

/// Finds the cluster with the next data before `end`, as far as the file system knows.
fn next_data(file: &File, at: u64, end: u64) -> io::Result<Option<u64>> {
    if at >= end {
        return Ok(None);
    }
    let start = data(file, at)?.filter(|&start| start < end);
    Ok(start.map(|start| start - start % BYTES))
}

/// Returns the start of the next data, or `None` if only a hole is left.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn data(file: &File, at: u64) -> io::Result<Option<u64>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;

    match seek(file, SeekFrom::Data(at)) {
        Ok(start) => Ok(Some(start)),
        Err(Errno::NXIO) => Ok(None),
        // The file system does not know holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Some(at)),
        Err(error) => Err(error.into()),
    }
}

/// Everything is data where holes cannot be found.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn data(_: &File, at: u64) -> io::Result<Option<u64>> {
    Ok(Some(at))
}
