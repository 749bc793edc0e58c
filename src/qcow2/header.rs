//! The header of an image.

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
/// All known incompatible features.
pub(super) const INCOMPATIBLE: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;
/// Bit 0 of the compatible features.
pub(super) const LAZY_REFCOUNTS: u64 = 1;
/// Bit 0 of the autoclear features: the bitmaps are up to date.
pub(super) const BITMAPS: u64 = 1;
/// Bit 1: the external data file is a raw image.
pub(super) const RAW_DATA: u64 = 1 << 1;
/// Maximum length of the name of another file: QEMU's limit for a backing file.
pub(super) const NAME_MAX: u32 = 1023;

/// The header of a QCOW2 image. Sizes and offsets are in bytes.
///
/// The values are those of the image, even if they are invalid; the findings of the
/// [`Report`](super::Report) say which are. Bytes that are not UTF-8 become replacement characters.
///
/// ```
/// # #[cfg(all(feature = "fs", feature = "testing"))] {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("debian-12.qcow2");
/// # std::fs::write(&path, machine_images::testing::empty_qcow2(10 << 30))?;
/// use machine_images::qcow2::{self, Policy};
///
/// let report = qcow2::inspect_file(&path, &Policy::default())?;
/// if let Some(header) = &report.header {
///     println!("{} bytes in clusters of {}", header.virtual_size, header.cluster_size);
/// }
/// # assert_eq!(report.header.unwrap().virtual_size, 10 << 30);
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Header {
    /// Version of the format: 2 or 3.
    pub version: u32,
    /// Size of the guest's disk.
    pub virtual_size: u64,
    /// Size of a cluster, a power of two from 512 to 2 MiB.
    pub cluster_size: u64,
    /// Length of the header without its extensions.
    pub header_length: u32,
    /// Name of the backing file, if there is one. Empty if the name could not be read.
    pub backing_file: Option<String>,
    /// Format of the backing file. QEMU detects it if it is not given.
    pub backing_format: Option<String>,
    /// The external data file, if the image has one.
    pub data_file: Option<DataFile>,
    /// The encryption of the guest's data, if any.
    pub encryption: Option<Encryption>,
    /// The compression type of compressed clusters.
    pub compression: Compression,
    /// The feature bits.
    pub features: Features,
    /// Width of a refcount in bits, 1 to 64.
    pub refcount_bits: u64,
    /// The L1 table, the first level of the map from the guest's clusters to those of the file.
    pub l1_table: Table,
    /// The refcount table, the first level of the refcounts.
    pub refcount_table: Table,
    /// The table of internal snapshots.
    pub snapshot_table: Table,
    /// The directory of dirty bitmaps.
    pub bitmap_directory: Table,
    /// The LUKS header, if there is one.
    pub luks_header: Option<Table>,
}

/// The position of a table in the file.
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
    /// Its length in bytes. If entries vary in length, the minimum.
    pub length: u64,
}

impl Table {
    /// Makes a table of entries of equal length.
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
    /// Its name, if the image contains it.
    pub name: Option<String>,
    /// `true` if the data file is also a complete raw image.
    pub raw: bool,
}

/// The encryption of the guest's data.
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
    /// An unknown number.
    Other(u32),
}

/// The compression type of compressed clusters.
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
    /// Deflate, called zlib by QEMU.
    Zlib,
    /// Zstandard.
    Zstd,
    /// An unknown number.
    Other(u8),
}

/// The feature bits of an image. All zero in version 2.
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
    /// Features that a program must support to open the image.
    pub incompatible: u64,
    /// Features that a program can ignore.
    pub compatible: u64,
    /// Features that a program must clear when it writes and does not support them.
    pub autoclear: u64,
    /// The unknown features among these.
    pub unknown: Vec<Feature>,
}

impl Features {
    /// Returns `true` if the image was not closed properly.
    #[must_use]
    pub const fn dirty(&self) -> bool {
        self.incompatible & DIRTY != 0
    }

    /// Returns `true` if QEMU marked the image as corrupt.
    #[must_use]
    pub const fn corrupt(&self) -> bool {
        self.incompatible & CORRUPT != 0
    }

    /// Returns `true` if the image has an external data file.
    #[must_use]
    pub const fn data_file(&self) -> bool {
        self.incompatible & DATA_FILE != 0
    }

    /// Returns `true` if the image has extended L2 entries (subclusters).
    #[must_use]
    pub const fn extended_l2(&self) -> bool {
        self.incompatible & EXTENDED_L2 != 0
    }

    /// Returns `true` if refcount updates are deferred.
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
    /// The set that the feature belongs to.
    pub kind: FeatureKind,
    /// Its bit number, from 0 for the lowest.
    pub bit: u8,
    /// Its name in the image's feature name table, if given.
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
    /// Must be supported to open the image.
    Incompatible,
    /// Can be ignored.
    Compatible,
    /// Must be cleared by a program that writes and does not support it.
    Autoclear,
}

/// An internal snapshot: an older state of the disk in the same file.
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
    /// Its identifier, usually a number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Creation time in seconds since 1970.
    pub date_sec: u32,
    /// Nanoseconds of the creation time.
    pub date_nsec: u32,
    /// Running time of the guest in nanoseconds.
    pub vm_clock_nsec: u64,
    /// Size of the saved memory of the guest in bytes.
    pub vm_state_size: u64,
    /// Size of the guest's disk at that time, if the image says it.
    pub virtual_size: Option<u64>,
    /// The L1 table of the guest's disk at that time.
    pub l1_table: Table,
}

/// A persistent dirty bitmap, which tracks changes since a backup.
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
    /// Number of bytes of the disk per bit.
    pub granularity: u64,
    /// `true` if it was not saved properly.
    pub in_use: bool,
    /// `true` if QEMU records changes in it automatically.
    pub auto: bool,
}
