//! The first pass over a raw disk: the clusters that hold data, and how short they become.

use std::fs::File;
use std::io;
use std::ops::Range;

use crate::file::is_zero;
use crate::qcow2::{CLUSTER, Compression, Compressor, Stored};

const BYTES: u64 = CLUSTER as u64;
/// The length of a window, which one task surveys.
const WINDOW: u64 = 512 * BYTES;
/// Data mostly shows itself in the first block.
const BLOCK: usize = 4096;

/// Finds the next window that begins with data: a range in bytes that starts with a cluster.
pub(super) fn next_window(file: &File, at: u64, length: u64) -> io::Result<Option<Range<u64>>> {
    let extent = next_extent(file, at, length)?;
    Ok(extent.map(|Range { start, .. }| start..length.min(start + WINDOW)))
}

/// Returns the clusters of a window that hold data.
pub(super) fn survey(
    file: &File,
    window: Range<u64>,
    compression: Option<Compression>,
) -> io::Result<Vec<Stored>> {
    let mut compressor = compression.map(Compressor::new).transpose()?;
    let mut cluster = vec![0; CLUSTER];
    let (mut found, mut at) = (Vec::new(), window.start);
    while let Some(extent) = next_extent(file, at, window.end)? {
        at = extent.start;
        while at < extent.end {
            let number = at / BYTES;
            let length = BYTES.min(window.end - at) as usize;
            cluster[length..].fill(0);
            let (first, rest) = cluster.split_at_mut(BLOCK.min(length));
            read_at(file, first, at)?;
            let is_data = !is_zero(first);
            if !is_data || compressor.is_some() {
                read_at(
                    file,
                    &mut rest[..length - first.len()],
                    at + first.len() as u64,
                )?;
            }
            at += BYTES;
            if !is_data && is_zero(rest) {
                continue;
            }
            let length = match &mut compressor {
                None => 0,
                // Less than a cluster.
                Some(compressor) => compressor.compress(&cluster)?.len() as u16,
            };
            found.push(Stored {
                cluster: number,
                length,
            });
        }
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

/// Finds the next range that is no hole, from the start of a cluster on. Where the system does not
/// know holes there is none.
fn next_extent(file: &File, at: u64, end: u64) -> io::Result<Option<Range<u64>>> {
    if at >= end {
        return Ok(None);
    }
    let extent = data(file, at)?.filter(|extent| extent.start < end);
    Ok(extent.map(|extent| {
        let start = extent.start - extent.start % BYTES;
        start..extent.end.min(end)
    }))
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn data(file: &File, at: u64) -> io::Result<Option<Range<u64>>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;

    let seek = |to| match seek(file, to) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error),
    };
    let found = match seek(SeekFrom::Data(at)) {
        Ok(None) => return Ok(None),
        Ok(Some(start)) => seek(SeekFrom::Hole(start)).map(|end| start..end.unwrap_or(u64::MAX)),
        Err(error) => Err(error),
    };
    match found {
        // The file system does not know holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Some(at..u64::MAX)),
        found => Ok(Some(found?)),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn data(_: &File, at: u64) -> io::Result<Option<Range<u64>>> {
    Ok(Some(at..u64::MAX))
}
