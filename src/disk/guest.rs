//! The bytes of the guest's disk, found by the tables of the image.

use std::collections::VecDeque;
use std::iter;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::file::ImageFile;
use crate::content::Ranges;
use crate::error::{Cause, Error, Result};
use crate::join::lost;
use crate::operation::Operation;
use crate::qcow2::{
    Code, Decompressor, Extent, ExtentKind, Finding, Lookup, Map, Report, Severity, Slice,
};
use crate::sync::lock;

/// The number of parts of L2 tables that are kept, of at most 64 KiB.
const TABLES: usize = 64;
/// The number of requests at once.
const AT_ONCE: usize = 4;
/// Ranges that are not further apart are read as one, as long as the bytes between them are no
/// more than those that are wanted, or than these.
const GAP: u64 = 64 << 10;
const SPARE: u64 = 1 << 20;
/// Reads are rounded to whole clusters, unless they are larger than this.
const WHOLE: u64 = 64 << 10;

/// The bytes of the guest's disk.
#[derive(Clone)]
pub(crate) struct Guest(Arc<Inner>);

struct Inner {
    file: ImageFile,
    report: Report,
    map: Map,
    /// The parts of L2 tables used last, by their place in the file.
    tables: Mutex<VecDeque<(u64, Bytes)>>,
}

impl Guest {
    pub(crate) fn new(file: ImageFile, report: Report, map: Map) -> Self {
        Self(Arc::new(Inner {
            file,
            report,
            map,
            tables: Mutex::default(),
        }))
    }

    pub(crate) fn map(&self) -> &Map {
        &self.0.map
    }

    pub(crate) fn report(&self) -> &Report {
        &self.0.report
    }

    pub(crate) fn operation(&self) -> Operation {
        self.0.file.operation()
    }

    /// Makes the error for a part of the image that is invalid.
    pub(crate) fn rejected(&self, finding: Finding) -> Error {
        rejected(&self.0.report, finding)
    }

    /// Returns all extents, unmerged, and reads several tables at once.
    pub(crate) fn extents(self) -> impl Stream<Item = Result<Extent>> + Send {
        let (this, size) = (self.clone(), self.map().geometry().size());
        let (mut at, mut room) = (0, self.map().geometry().file_length());
        let lookups = iter::from_fn(move || {
            let lookup = (at < size).then(|| this.map().lookup(at))?;
            let lookup = lookup.and_then(|lookup| fits(lookup, &mut room));
            at = match &lookup {
                Ok(Lookup::Extent(extent)) => extent.end(),
                Ok(Lookup::Table(slice)) => slice.guest.end,
                Err(_) => size,
            };
            Some(lookup)
        });
        let read = move |lookup: Result<Lookup, Finding>| {
            let this = self.clone();
            async move {
                match lookup {
                    Ok(lookup) => this.resolve(lookup, 0..u64::MAX).await,
                    Err(finding) => Err(this.rejected(finding)),
                }
            }
        };
        let found = stream::iter(lookups).map(read).buffered(AT_ONCE);
        found
            .map_ok(|extents| stream::iter(extents.into_iter().map(Ok)))
            .try_flatten()
    }

    /// Returns the extents of a range.
    async fn extents_within(&self, range: &Range<u64>) -> Result<Vec<Extent>> {
        let mut extents = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let lookup = self.map().lookup(at);
            let lookup = lookup.map_err(|finding| self.rejected(finding))?;
            at = match &lookup {
                Lookup::Extent(extent) => extent.end(),
                Lookup::Table(slice) => slice.guest.end,
            };
            extents.extend(self.resolve(lookup, range.clone()).await?);
        }
        Ok(extents)
    }

    /// Returns the extents of a lookup that are in a range.
    async fn resolve(&self, lookup: Lookup, range: Range<u64>) -> Result<Vec<Extent>> {
        match lookup {
            Lookup::Extent(extent) => Ok(extent.within(&range).into_iter().collect()),
            Lookup::Table(slice) => {
                let table = self.table(&slice).await?;
                let extents = self.map().extents(&slice, &table, range);
                extents.map_err(|finding| self.rejected(finding))
            }
        }
    }

    async fn table(&self, slice: &Slice) -> Result<Bytes> {
        let at = slice.file.start;
        let tables = || lock(&self.0.tables);
        {
            let mut tables = tables();
            let found = tables.iter().position(|(start, _)| *start == at);
            if let Some(found) = found.and_then(|index| tables.remove(index)) {
                tables.push_front(found.clone());
                return Ok(found.1);
            }
        }
        let bytes = self.file().read(slice.file.clone()).await?;
        let mut tables = tables();
        tables.push_front((at, bytes.clone()));
        tables.truncate(TABLES);
        Ok(bytes)
    }

    pub(crate) fn file(&self) -> &ImageFile {
        &self.0.file
    }

    /// Reads a range of the disk.
    pub(crate) async fn bytes(&self, range: Range<u64>) -> Result<Bytes> {
        let extents = self.extents_within(&range).await?;
        let geometry = self.map().geometry();
        let (end, compression) = (geometry.file_length(), geometry.compression());
        let needed = extents.iter().filter_map(|extent| place(extent, end));
        // Small clusters far apart must not bring many times what is wanted.
        let needed = joined(needed, (range.end - range.start).max(SPARE));
        let fetched = stream::iter(needed).map(|range| {
            let this = self.clone();
            async move { Ok((range.start, this.file().read(range).await?)) }
        });
        let parts = Parts {
            fetched: fetched.buffered(AT_ONCE).try_collect().await?,
            range,
            cluster: geometry.cluster_size(),
        };
        let is_compressed = |extent: &Extent| matches!(extent.kind, ExtentKind::Compressed { .. });
        let bytes = match extents.iter().any(is_compressed) {
            false => parts.assemble(&extents, None),
            true => {
                let decompress = move || parts.assemble(&extents, Decompressor::new(compression));
                tokio::task::spawn_blocking(decompress)
                    .await
                    .map_err(lost)?
            }
        };
        bytes.map_err(|finding| self.rejected(finding))
    }
}

impl Ranges for Guest {
    fn length(&self) -> Option<u64> {
        Some(self.map().geometry().size())
    }

    fn widen(&self, range: Range<u64>) -> Range<u64> {
        let whole = self.map().geometry().cluster_size().min(WHOLE);
        range.start - range.start % whole..range.end.saturating_add(whole - 1) / whole * whole
    }

    async fn read(self, range: Range<u64>) -> Result<(Self, Bytes)> {
        let end = range.end.min(self.map().geometry().size());
        match self.bytes(range.start..end).await {
            Ok(bytes) => Ok((self, bytes)),
            Err(error) => Err(error.during(&self.operation())),
        }
    }
}

/// Makes the error for a part of an image that is invalid.
pub(crate) fn rejected(report: &Report, finding: Finding) -> Error {
    let mut report = report.clone();
    // The inspection may have found it, and its policy may have allowed it.
    report.findings.retain(|found| *found != finding);
    report.findings.push(Finding {
        severity: Severity::Reject,
        ..finding
    });
    Error::new(Cause::Image(Box::new(report)))
}

/// Takes the length of a table from the room that is left for tables. A small file whose L1 table
/// names the same L2 tables over and over would take years to read.
fn fits(lookup: Lookup, room: &mut u64) -> Result<Lookup, Finding> {
    if let Lookup::Table(slice) = &lookup {
        let length = slice.file.end - slice.file.start;
        let Some(rest) = room.checked_sub(length) else {
            let message = "the L1 table names more L2 tables than the file has room for";
            return Err(Finding::new(Code::L1Entry, slice.file.start, message));
        };
        *room = rest;
    }
    Ok(lookup)
}

/// Returns the place of an extent in the file, as far as there is one.
fn place(extent: &Extent, file_length: u64) -> Option<Range<u64>> {
    let (offset, length) = match extent.kind {
        ExtentKind::Data { offset } => (offset, extent.length),
        ExtentKind::Compressed { offset, length } => (offset, length),
        ExtentKind::Zero | ExtentKind::Hole => return None,
    };
    Some(offset..(offset + length).min(file_length)).filter(|place| !place.is_empty())
}

/// Joins ranges that overlap or are near each other, with at most `spare` bytes between them.
fn joined(ranges: impl Iterator<Item = Range<u64>>, mut spare: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, range| {
        let gap = next.start.saturating_sub(range.end);
        let is_near = gap <= GAP.min(spare);
        if is_near {
            spare -= gap;
            range.end = range.end.max(next.end);
        }
        is_near
    });
    ranges
}

/// The parts of the file that a range of the disk is made of.
struct Parts {
    /// In order, and none overlaps another.
    fetched: Vec<(u64, Bytes)>,
    range: Range<u64>,
    cluster: u64,
}

impl Parts {
    fn assemble(
        &self,
        extents: &[Extent],
        mut decompressor: Option<Decompressor>,
    ) -> Result<Bytes, Finding> {
        let mut bytes = vec![0; (self.range.end - self.range.start) as usize];
        for extent in extents {
            let start = extent.start.max(self.range.start);
            let end = extent.end().min(self.range.end);
            let skipped = (start - extent.start) as usize;
            let into = (start - self.range.start) as usize..(end - self.range.start) as usize;
            let into = &mut bytes[into];
            match extent.kind {
                ExtentKind::Data { offset } => {
                    let found = self.found(offset, extent.length);
                    into[..found.len()].copy_from_slice(found);
                }
                ExtentKind::Compressed { offset, length } => {
                    let input = self.found(offset, length);
                    let mut cluster = vec![0; self.cluster as usize];
                    let filled = decompressor
                        .as_mut()
                        .is_some_and(|decompressor| decompressor.fill(input, &mut cluster));
                    if !filled {
                        return Err(undone(offset));
                    }
                    into.copy_from_slice(&cluster[skipped..skipped + into.len()]);
                }
                ExtentKind::Zero | ExtentKind::Hole => {}
            }
        }
        Ok(bytes.into())
    }

    /// Returns the bytes of the file from `offset` on, which are fewer at its end.
    fn found(&self, offset: u64, length: u64) -> &[u8] {
        let index = self.fetched.partition_point(|(start, _)| *start <= offset);
        let Some((start, bytes)) = index.checked_sub(1).map(|index| &self.fetched[index]) else {
            return &[];
        };
        let from = ((offset - start) as usize).min(bytes.len());
        &bytes[from..bytes.len().min(from + length as usize)]
    }
}

/// The finding of a compressed cluster that is damaged.
pub(crate) fn undone(offset: u64) -> Finding {
    let message = format!("the cluster compressed at {offset} cannot be decompressed");
    Finding::new(Code::CompressedCluster, offset, message)
}
