//! The header of an image, typed.

use serde::Serialize;

/// Bit 0 of the incompatible features: refcounts may be wrong.
pub(super) const DIRTY: u64 = 1;
/// Bit 1: QEMU found the image's structures damaged.
pub(super) const CORRUPT: u64 = 1 << 1;
/// Bit 2: the guest's data is in another file.
pub(super) const DATA_FILE: u64 = 1 << 2;
/// Bit 3: the compression type is not deflate.
pub(super) const COMPRESSION: u64 = 1 << 3;
/// Bit 4: L2 entries of 16 bytes, with a bitmap of subclusters.
pub(super) const EXTENDED_L2: u64 = 1 << 4;
/// Every incompatible feature there is.
pub(super) const INCOMPATIBLE: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;
/// Bit 0 of the compatible features.
pub(super) const LAZY_REFCOUNTS: u64 = 1;
/// Bit 0 of the autoclear features: the bitmaps are up to date.
pub(super) const BITMAPS: u64 = 1;
/// Bit 1: the external data file is a raw image.
pub(super) const RAW_DATA: u64 = 1 << 1;

/// What the header of a QCOW2 image says, as far as it was read. Sizes and offsets are in bytes.
///
/// Fields that are wrong are given as they are; the findings of the
/// [`Report`](super::Report) say which. Names that are not UTF-8 are given with replacement
/// characters.
///
/// ```no_run
/// use machine_images::qcow2::{self, Policy};
///
/// # #[cfg(feature = "fs")]
/// let report = qcow2::inspect_file("debian-12.qcow2", &Policy::default())?;
/// # #[cfg(feature = "fs")]
/// if let Some(header) = report.header {
///     println!("{} bytes in clusters of {}", header.virtual_size, header.cluster_size);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Header {
    /// Version of the format: 2 or 3.
    pub version: u32,
    /// Size of the disk that the guest sees.
    pub virtual_size: u64,
    /// Size of a cluster, a power of two from 512 to 2 MiB.
    pub cluster_size: u64,
    /// Length of the header without its extensions.
    pub header_length: u32,
    /// Name of the backing file; empty when there is one but its name could not be read.
    pub backing_file: Option<String>,
    /// Format of the backing file; without one QEMU guesses.
    pub backing_format: Option<String>,
    /// The external data file, when the image needs one.
    pub data_file: Option<DataFile>,
    /// How the guest's data is encrypted, if it is.
    pub encryption: Option<Encryption>,
    /// How compressed clusters are compressed.
    pub compression: Compression,
    /// What the image uses of the format's options.
    pub features: Features,
    /// Width of a reference count, in bits: 1 to 64.
    pub refcount_bits: u64,
    /// The first level of the table from the guest's clusters to the file's.
    pub l1_table: Table,
    /// The first level of the table of reference counts.
    pub refcount_table: Table,
    /// Where the internal snapshots are listed; `entries` is their number.
    pub snapshot_table: Table,
    /// Where the dirty bitmaps are listed; `entries` is their number.
    pub bitmap_directory: Table,
    /// Where the LUKS header is.
    pub luks_header: Option<Table>,
}

/// Where in the file a table is.
///
/// ```
/// use machine_images::qcow2::Table;
/// assert_eq!(Table::default().entries, 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Table {
    /// Offset of its first byte.
    pub offset: u64,
    /// Number of its entries.
    pub entries: u64,
    /// Its length in bytes; the least it may be where entries vary in length.
    pub length: u64,
}

impl Table {
    /// A table of entries of one length. The lengths of the format cannot overflow (32 bits of
    /// entries, 21 bits each), a table of unknown entries may.
    pub(super) const fn new(offset: u64, entries: u64, entry_length: u64) -> Self {
        Self {
            offset,
            entries,
            length: entries.saturating_mul(entry_length),
        }
    }
}

/// An external data file.
///
/// ```
/// # fn show(header: &machine_images::qcow2::Header) {
/// if let Some(file) = &header.data_file {
///     println!("data in {:?}, raw: {}", file.name, file.raw);
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DataFile {
    /// Its name, when the image has it and it was read; QEMU must be told otherwise.
    pub name: Option<String>,
    /// Whether it is a raw image of its own.
    pub raw: bool,
}

/// How the guest's data is encrypted.
///
/// ```
/// use machine_images::qcow2::Encryption;
/// assert_eq!(serde_json::to_string(&Encryption::Luks)?, r#""luks""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Encryption {
    /// AES-CBC, weak and obsolete.
    Aes,
    /// LUKS.
    Luks,
    /// A number that the format does not know.
    Other(u32),
}

/// How compressed clusters are compressed.
///
/// ```
/// use machine_images::qcow2::Compression;
/// assert_eq!(serde_json::to_string(&Compression::Zstd)?, r#""zstd""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Compression {
    /// Deflate, which QEMU calls zlib.
    Zlib,
    /// Zstandard.
    Zstd,
    /// A number that the format does not know.
    Other(u8),
}

/// The feature bits of an image; all zero in version 2.
///
/// ```
/// # fn show(header: &machine_images::qcow2::Header) {
/// if header.features.dirty() {
///     println!("run qemu-img check -r leaks");
/// }
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Features {
    /// Bits that a program must know to open the image.
    pub incompatible: u64,
    /// Bits that a program may ignore.
    pub compatible: u64,
    /// Bits that a program that does not know them must clear when it writes.
    pub autoclear: u64,
    /// The bits among these that the format does not know.
    pub unknown: Vec<Feature>,
}

impl Features {
    /// Whether the image was not closed properly.
    #[must_use]
    pub const fn dirty(&self) -> bool {
        self.incompatible & DIRTY != 0
    }

    /// Whether QEMU marked the image as corrupt.
    #[must_use]
    pub const fn corrupt(&self) -> bool {
        self.incompatible & CORRUPT != 0
    }

    /// Whether the image has an external data file.
    #[must_use]
    pub const fn data_file(&self) -> bool {
        self.incompatible & DATA_FILE != 0
    }

    /// Whether the image has extended L2 entries (subclusters).
    #[must_use]
    pub const fn extended_l2(&self) -> bool {
        self.incompatible & EXTENDED_L2 != 0
    }

    /// Whether refcounts are updated late.
    #[must_use]
    pub const fn lazy_refcounts(&self) -> bool {
        self.compatible & LAZY_REFCOUNTS != 0
    }
}

/// One feature bit.
///
/// ```
/// # fn show(header: &machine_images::qcow2::Header) {
/// for feature in &header.features.unknown {
///     println!("{:?} bit {}: {:?}", feature.kind, feature.bit, feature.name);
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Feature {
    /// Which of the three sets it is in.
    pub kind: FeatureKind,
    /// Its bit, counted from the lowest.
    pub bit: u8,
    /// Its name in the image's own table, if it is there.
    pub name: Option<String>,
}

/// The three sets of features.
///
/// ```
/// use machine_images::qcow2::FeatureKind;
/// assert_ne!(FeatureKind::Incompatible, FeatureKind::Compatible);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// Must be known to open the image.
    Incompatible,
    /// May be ignored.
    Compatible,
    /// Must be cleared by a writer that does not know it.
    Autoclear,
}

/// An internal snapshot: an older state of the disk, kept in the same file.
///
/// ```
/// # fn show(report: &machine_images::qcow2::Report) {
/// for snapshot in &report.snapshots {
///     println!("{} {}", snapshot.id, snapshot.name);
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its identifier, a number as a rule.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub date_sec: u32,
    /// And nanoseconds.
    pub date_nsec: u32,
    /// How long the guest had been running, in nanoseconds.
    pub vm_clock_nsec: u64,
    /// Size of the machine's saved memory, in bytes.
    pub vm_state_size: u64,
}

/// A persistent dirty bitmap: what changed since some backup.
///
/// ```
/// # fn show(report: &machine_images::qcow2::Report) {
/// for bitmap in &report.bitmaps {
///     println!("{}: {} bytes a bit", bitmap.name, bitmap.granularity);
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Bitmap {
    /// Its name.
    pub name: String,
    /// How many bytes of the disk one bit stands for.
    pub granularity: u64,
    /// Whether it was not saved properly.
    pub in_use: bool,
    /// Whether QEMU keeps it up to date of itself.
    pub auto: bool,
}
