//! The map from the guest's disk to the image's file.

use std::iter;
use std::ops::Range;

use serde::Serialize;

use super::fields::Fields;
use super::geometry::Geometry;
use super::report::{Code, Finding};

/// The bits of an entry that are an offset in the file.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The bits of an L1 entry that must be zero.
const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;
/// The bits of an L2 entry that must be zero, unless the cluster is compressed.
const L2_RESERVED: u64 = 0x3f00_0000_0000_01fe;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
/// A compressed cluster's length counts sectors.
const SECTOR: u64 = 512;

/// A part of the guest's disk, and its place in the file. Offsets and lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Extent {
    /// Offset on the guest's disk.
    pub start: u64,
    /// Length on the guest's disk; 0 only past its end.
    pub length: u64,
    /// The place of its bytes.
    #[serde(flatten)]
    pub kind: ExtentKind,
}

/// The place of the bytes of an [`Extent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExtentKind {
    /// Bytes of the file. Bytes past the end of the file read as zeros.
    Data {
        /// Offset in the file.
        offset: u64,
    },
    /// One compressed cluster.
    Compressed {
        /// Offset in the file.
        offset: u64,
        /// Length in the file. The compressed bytes may be shorter. In JSON it is
        /// `compressed_length`.
        #[serde(rename = "compressed_length")]
        length: u64,
    },
    /// Marked as zeros in the L2 table.
    Zero,
    /// Nothing was ever written there; it reads as zeros.
    Hole,
}

impl Extent {
    /// Returns the end on the guest's disk.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Adds `next`, which begins at the end of this one, if both are one.
    pub(crate) fn merge(&mut self, next: &Self) -> bool {
        let is_one = match (self.kind, next.kind) {
            (ExtentKind::Data { offset }, ExtentKind::Data { offset: then }) => {
                offset + self.length == then
            }
            (ExtentKind::Zero, ExtentKind::Zero) | (ExtentKind::Hole, ExtentKind::Hole) => true,
            _ => false,
        };
        if is_one {
            self.length += next.length;
        }
        is_one
    }

    /// Returns the part that lies in `range`; compressed clusters stay whole.
    pub(crate) fn within(mut self, range: &Range<u64>) -> Option<Self> {
        let (start, end) = (self.start.max(range.start), self.end().min(range.end));
        match &mut self.kind {
            ExtentKind::Compressed { .. } => return (start < end).then_some(self),
            ExtentKind::Data { offset } => *offset += start - self.start,
            ExtentKind::Zero | ExtentKind::Hole => {}
        }
        let length = end.checked_sub(start).filter(|&length| length > 0)?;
        Some(Self {
            start,
            length,
            ..self
        })
    }
}

/// The next step to the extents of a place of the guest's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookup {
    /// The extent at the offset.
    Extent(Extent),
    /// The part of an L2 table to read and to give to [`Map::extents`].
    Table(Slice),
}

/// A part of an L2 table, at most 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slice {
    /// The part of the guest's disk that it describes.
    pub guest: Range<u64>,
    /// Its place in the file.
    pub file: Range<u64>,
}

/// The map from the guest's disk to the image's file.
///
/// It reads nothing: it says which bytes it needs, and is given them.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = include_bytes!("../../tests/data/disk.qcow2");
/// use machine_images::qcow2::{self, ExtentKind, Geometry, Lookup, Map};
///
/// # let policy = qcow2::Policy::default();
/// # let qcow2::Inspection::Done(report) = qcow2::inspect(file, Some(file.len() as u64), &policy)
/// #     else { unreachable!() };
/// let read = |range: std::ops::Range<u64>| &file[range.start as usize..range.end as usize];
/// let geometry = Geometry::new(&report, file.len() as u64)?;
/// let l1 = read(geometry.l1_table());
/// let map = Map::new(geometry, l1);
/// let mut at = 0;
/// while at < map.geometry().size() {
///     let extents = match map.lookup(at)? {
///         Lookup::Extent(extent) => vec![extent],
///         Lookup::Table(slice) => map.extents(&slice, read(slice.file.clone()), slice.guest.clone())?,
///         _ => break,
///     };
///     for extent in &extents {
///         if let ExtentKind::Data { offset } = extent.kind {
///             println!("{} bytes of {} are at {offset}", extent.length, extent.start);
///         }
///         at = extent.end();
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Map {
    geometry: Geometry,
    /// The L1 table.
    entries: Vec<u64>,
}

impl Map {
    /// Makes the map from the bytes of the [`l1_table`](Geometry::l1_table). Bytes that are not
    /// given are zeros, as QEMU reads past the end of a file.
    #[must_use]
    pub fn new(geometry: Geometry, l1_table: &[u8]) -> Self {
        let table = Fields(l1_table);
        let entries = (0..geometry.l1_entries()).map(|index| table.u64(index * 8));
        Self {
            entries: entries.collect(),
            geometry,
        }
    }

    /// Returns the geometry of the image.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Looks up an offset on the guest's disk. The extent that is returned holds it, or begins
    /// there. Past the end of the disk it is a hole without length.
    ///
    /// # Errors
    ///
    /// A [`Finding`] if the entry of the L1 table is invalid.
    pub fn lookup(&self, at: u64) -> Result<Lookup, Finding> {
        let (size, table_covers) = (self.geometry.size(), self.geometry.table_covers());
        let index = at / table_covers;
        let entry = usize::try_from(index)
            .ok()
            .filter(|_| at < size)
            .and_then(|i| self.entries.get(i));
        let entry = entry.copied().unwrap_or_default();
        let field = self.geometry.l1_table().start + index * 8;
        if entry & L1_RESERVED != 0 {
            let message = format!("reserved bits are set in the L1 entry {entry:#x}");
            return Err(Finding::new(Code::L1Entry, field, message));
        }
        let table = entry & OFFSET;
        if table == 0 {
            let end = self.hole_end(index).saturating_mul(table_covers);
            return Ok(Lookup::Extent(Extent {
                start: at,
                length: end.min(size).saturating_sub(at),
                kind: ExtentKind::Hole,
            }));
        }
        let cluster = self.geometry.cluster_size();
        if let Some(wrong) = self.geometry.misplaced(table, cluster) {
            let message = format!("the L2 table at {table} {wrong}");
            return Err(Finding::new(Code::L1Entry, field, message));
        }
        let covers = self.geometry.slice_covers();
        let start = at - at % covers;
        let entries = (start % table_covers) / cluster;
        let length = covers / cluster * self.geometry.entry_length();
        let file = table + entries * self.geometry.entry_length();
        Ok(Lookup::Table(Slice {
            guest: start..(start + covers).min(size),
            file: file..file + length,
        }))
    }

    /// Returns the first L1 entry after this one that is not zero, or `u64::MAX`: what the table of
    /// a snapshot is too short for is a hole.
    fn hole_end(&self, index: u64) -> u64 {
        let next = usize::try_from(index + 1).unwrap_or(usize::MAX);
        let rest = self.entries.get(next..).unwrap_or_default();
        let zeros = rest.iter().position(|&entry| entry != 0);
        zeros.map_or(u64::MAX, |zeros| index + 1 + zeros as u64)
    }

    /// Returns the extents of a range of the guest's disk that a part of an L2 table describes, in
    /// order and without gaps. A compressed cluster is whole even if it begins or ends outside.
    ///
    /// # Errors
    ///
    /// A [`Finding`] for the first entry that is invalid.
    pub fn extents(
        &self,
        slice: &Slice,
        table: &[u8],
        range: Range<u64>,
    ) -> Result<Vec<Extent>, Finding> {
        let mut extents: Vec<Extent> = Vec::new();
        let (cluster, length) = (self.geometry.cluster_size(), self.geometry.entry_length());
        let end = slice.guest.end.min(self.geometry.size());
        let range = range.start.max(slice.guest.start)..range.end.min(end);
        let skipped = range.start.saturating_sub(slice.guest.start) / cluster;
        let first = slice.guest.start + skipped * cluster;
        let starts = (first..range.end).step_by(cluster as usize);
        for (index, start) in (skipped as usize..).zip(starts) {
            let entry = Entry {
                start,
                value: Fields(table).u64(index * length as usize),
                bitmap: match length {
                    16 => Some(Fields(table).u64(index * 16 + 8)),
                    _ => None,
                },
            };
            let field = slice.file.start.saturating_add(index as u64 * length);
            for extent in entry.extents(&self.geometry, field)? {
                let Some(extent) = extent.within(&range) else {
                    continue;
                };
                if !extents.last_mut().is_some_and(|last| last.merge(&extent)) {
                    extents.push(extent);
                }
            }
        }
        Ok(extents)
    }
}

/// An entry of an L2 table.
struct Entry {
    /// The offset of the cluster on the guest's disk.
    start: u64,
    value: u64,
    /// The state of the subclusters, of an extended entry.
    bitmap: Option<u64>,
}

impl Entry {
    fn extents(
        &self,
        geometry: &Geometry,
        field: u64,
    ) -> Result<impl Iterator<Item = Extent> + use<>, Finding> {
        let wrong = |message: String| Finding::new(Code::L2Entry, field, message);
        let (start, value, cluster) = (self.start, self.value, geometry.cluster_size());
        let extent = |kind| Extent {
            start,
            length: cluster.min(geometry.size() - start),
            kind,
        };
        let (mut whole, mut parts) = (None, None);
        if value & COMPRESSED != 0 {
            whole = Some(extent(compressed(value, geometry).map_err(wrong)?));
            return Ok(whole.into_iter().chain(Subclusters::of(parts)));
        }
        if value & L2_RESERVED != 0 {
            return Err(wrong(format!("reserved bits are set in {value:#x}")));
        }
        let offset = value & OFFSET;
        let is_zero = self.bitmap.is_none() && value & ZERO != 0;
        if is_zero && geometry.version() < 3 {
            return Err(wrong(
                "a cluster of zeros in an image of version 2".to_owned(),
            ));
        }
        if offset % cluster != 0 {
            return Err(wrong(format!("the cluster at {offset} is not aligned")));
        }
        let has_data = match self.bitmap {
            None => offset != 0 && !is_zero,
            Some(bitmap) => bitmap & u64::from(u32::MAX) != 0,
        };
        if let Some(bad) = geometry.misplaced(offset, 1).filter(|_| has_data) {
            return Err(wrong(format!("the cluster at {offset} {bad}")));
        }
        match self.bitmap {
            Some(bitmap) if bitmap & (bitmap >> 32) & u64::from(u32::MAX) != 0 => {
                let message = format!("subclusters are both data and zeros: {bitmap:#x}");
                return Err(wrong(message));
            }
            Some(bitmap) => {
                parts = Some(Subclusters {
                    start,
                    length: cluster / 32,
                    offset,
                    bitmap,
                    index: 0,
                });
            }
            None if is_zero => whole = Some(extent(ExtentKind::Zero)),
            None if offset == 0 => whole = Some(extent(ExtentKind::Hole)),
            None => whole = Some(extent(ExtentKind::Data { offset })),
        }
        Ok(whole.into_iter().chain(Subclusters::of(parts)))
    }
}

/// Reads the descriptor of a compressed cluster.
fn compressed(value: u64, geometry: &Geometry) -> Result<ExtentKind, String> {
    let bits = geometry.cluster_bits() - 8;
    let offset = value & ((1 << (62 - bits)) - 1);
    let sectors = ((value >> (62 - bits)) & ((1 << bits) - 1)) + 1;
    let length = sectors * SECTOR - offset % SECTOR;
    match geometry.misplaced(offset, 1) {
        Some(wrong) => Err(format!("the compressed cluster at {offset} {wrong}")),
        None => Ok(ExtentKind::Compressed {
            offset,
            // The last sector of a file need not be whole.
            length: length.min(geometry.file_length() - offset),
        }),
    }
}

/// The 32 parts of a cluster with an extended entry.
struct Subclusters {
    start: u64,
    length: u64,
    offset: u64,
    bitmap: u64,
    index: u64,
}

impl Subclusters {
    fn of(parts: Option<Self>) -> impl Iterator<Item = Extent> + use<> {
        parts
            .into_iter()
            .flat_map(|mut parts| iter::from_fn(move || parts.next()))
    }

    fn next(&mut self) -> Option<Extent> {
        let index = (self.index < 32).then_some(self.index)?;
        self.index += 1;
        let skipped = index * self.length;
        Some(Extent {
            start: self.start + skipped,
            length: self.length,
            kind: match (self.bitmap >> index & 1, self.bitmap >> (32 + index) & 1) {
                (_, 1) => ExtentKind::Zero,
                (1, _) => ExtentKind::Data {
                    offset: self.offset + skipped,
                },
                _ => ExtentKind::Hole,
            },
        })
    }
}

#[cfg(test)]
mod tests;
