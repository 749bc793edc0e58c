//! The result of an inspection.

use std::fmt;

use serde::Serialize;

use super::format::Format;
use super::header::{Bitmap, Header, Snapshot};

/// The severity of a finding. Ordered: `Note < Warn < Reject`.
///
/// ```
/// use machine_images::qcow2::Severity;
/// assert!(Severity::Note < Severity::Warn && Severity::Warn < Severity::Reject);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Harmless information.
    Note,
    /// Legal, but rarely intended.
    Warn,
    /// A reason to reject the image.
    Reject,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Reject => "reject",
        })
    }
}

/// The decision about an image.
///
/// ```
/// use machine_images::qcow2::Verdict;
/// assert_eq!(Verdict::Reject.to_string(), "reject");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No finding rejects the image.
    Accept,
    /// At least one finding rejects the image.
    Reject,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
        })
    }
}

/// Declares [`Code`] with each code's stable name and default severity in one place.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal, $severity:ident;)*) => {
        /// The kind of a [`Finding`]. The names are stable.
        ///
        /// A table of all codes is below the example.
        ///
        /// ```
        /// use machine_images::qcow2::{Code, Severity};
        /// assert_eq!(Code::BackingFile.as_str(), "backing_file");
        /// assert_eq!(Code::BackingFile.default_severity(), Severity::Reject);
        /// ```
        ///
        /// | code | name | default severity |
        /// |---|---|---|
        $(#[doc = concat!(
            "| [`", stringify!($code), "`](Self::", stringify!($code), ") | `", $name, "` | ",
            stringify!($severity), " |"
        )])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum Code {
            $(
                $(#[$doc])*
                #[doc = ""]
                #[doc = concat!("Default severity: [`", stringify!($severity), "`](Severity::",
                    stringify!($severity), ").")]
                #[serde(rename = $name)]
                $code,
            )*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// Returns the stable name, in snake_case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name),* }
            }

            /// Returns the severity under the default [`Policy`](super::Policy).
            #[must_use]
            pub const fn default_severity(self) -> Severity {
                match self { $(Self::$code => Severity::$severity),* }
            }
        }
    };
}

codes! {
    /// The file is not a QCOW2 image. [`Report::format`] is what was detected.
    NotQcow2 = "not_qcow2", Reject;
    /// QEMU detects another format unless it is given one.
    AmbiguousFormat = "ambiguous_format", Reject;
    /// The file ends before a part that its header names.
    Truncated = "truncated", Reject;
    /// A version other than 2 and 3.
    UnsupportedVersion = "unsupported_version", Reject;
    /// Clusters smaller than 512 bytes or larger than 2 MiB.
    ClusterBits = "cluster_bits", Reject;
    /// A header length that the format does not allow.
    HeaderLength = "header_length", Reject;
    /// The image names a backing file, which QEMU would read.
    BackingFile = "backing_file", Reject;
    /// A file name that is too long or outside the first cluster.
    NameOutOfBounds = "name_out_of_bounds", Reject;
    /// The guest's data is in an external file, which QEMU would read.
    DataFile = "data_file", Reject;
    /// An unknown incompatible feature, without which the image cannot be read.
    UnknownFeature = "unknown_feature", Reject;
    /// A compression type that is unknown or contradicts the feature bits.
    CompressionType = "compression_type", Reject;
    /// Extended L2 entries with clusters smaller than 16 KiB.
    SubclusterSize = "subcluster_size", Reject;
    /// Reference counts wider than 64 bits.
    RefcountBits = "refcount_bits", Reject;
    /// An encryption method other than AES and LUKS.
    EncryptionMethod = "encryption_method", Reject;
    /// The LUKS header is missing, malformed or misplaced.
    EncryptionHeader = "encryption_header", Reject;
    /// A malformed header extension.
    HeaderExtension = "header_extension", Reject;
    /// More header extensions or feature names than an inspection reads.
    TooManyExtensions = "too_many_extensions", Reject;
    /// The refcount table is missing, too large or misplaced.
    RefcountTable = "refcount_table", Reject;
    /// The L1 table is too large or misplaced.
    L1Table = "l1_table", Reject;
    /// The snapshot table is too large, misplaced or malformed.
    SnapshotTable = "snapshot_table", Reject;
    /// The bitmap directory is too large, misplaced or malformed.
    BitmapDirectory = "bitmap_directory", Reject;
    /// A virtual size that the L1 table or QEMU does not support.
    VirtualSize = "virtual_size", Reject;
    /// A virtual size above [`Policy::max_virtual_size`](super::Policy::max_virtual_size).
    VirtualSizeLimit = "virtual_size_limit", Reject;
    /// More bitmaps or tables than an inspection reads.
    TablesTooLarge = "tables_too_large", Reject;
    /// The guest's data is encrypted.
    Encrypted = "encrypted", Warn;
    /// The image contains internal snapshots: older states of the disk.
    InternalSnapshots = "internal_snapshots", Warn;
    /// The image was not closed properly, and its refcounts need a repair.
    Dirty = "dirty", Warn;
    /// QEMU marked the image as corrupt.
    Corrupt = "corrupt", Warn;
    /// Version 2 of the format, obsolete since 2013.
    Version2 = "version_2", Warn;
    /// A data file that is named, but not used because its feature bit is not set.
    UnusedDataFile = "unused_data_file", Warn;
    /// Bitmaps that were invalidated by a program without bitmap support.
    StaleBitmaps = "stale_bitmaps", Warn;
    /// The image contains persistent dirty bitmaps.
    Bitmaps = "bitmaps", Note;
    /// An unknown compatible or autoclear feature, which can be ignored.
    UnknownOptionalFeature = "unknown_optional_feature", Note;
    /// An unknown header extension, which can be ignored.
    UnknownExtension = "unknown_extension", Note;
    /// A table outside the inspected bytes.
    TableUnread = "table_unread", Note;
    /// A guest's disk that begins like an image, of QCOW2 for instance. Found if the contents are
    /// inspected, too.
    InnerImage = "inner_image", Warn;
    /// The format of the guest's disk, such as a partition table. Found if the contents are
    /// inspected, too.
    Contents = "contents", Note;
    /// An invalid entry of an L1 table. Found where the guest's disk is read, not by an inspection.
    L1Entry = "l1_entry", Reject;
    /// An invalid entry of an L2 table. Found where the guest's disk is read, not by an inspection.
    L2Entry = "l2_entry", Reject;
    /// A cluster that cannot be decompressed. Found where the guest's disk is read, not by an
    /// inspection.
    CompressedCluster = "compressed_cluster", Reject;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One observation about an image.
///
/// ```
/// use machine_images::qcow2::{self, Code, Inspection, Policy};
///
/// let Inspection::Done(report) = qcow2::inspect(b"<html>", Some(6), &Policy::default()) else {
///     unreachable!("all six bytes are there");
/// };
/// assert_eq!(report.findings[0].code, Code::NotQcow2);
/// assert_eq!(report.findings[0].to_string(), "not a QCOW2 image but HTML");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The kind of the finding.
    pub code: Code,
    /// The severity under the policy of the inspection.
    pub severity: Severity,
    /// Its offset in the image, in bytes.
    pub offset: u64,
    /// A description for people. Text from the image is escaped in it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Finding {}

#[cfg(feature = "disk")]
impl Report {
    /// Adds a finding of the guest's disk.
    pub(crate) fn add(&mut self, code: Code, severity: Severity, message: String) {
        self.findings.push(Finding {
            code,
            severity,
            offset: 0,
            message,
        });
    }
}

#[cfg(feature = "disk")]
impl Finding {
    /// Makes a finding of the default severity.
    pub(crate) fn new(code: Code, offset: u64, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.default_severity(),
            offset,
            message: message.into(),
        }
    }
}

/// The result of an inspection: the format, the header and all findings.
///
/// ```
/// use machine_images::qcow2::{self, Format, Inspection, Policy, Verdict};
///
/// let bytes = [b"KDMV".as_slice(), &[0; 40_000]].concat();
/// match qcow2::inspect(&bytes, None, &Policy::default()) {
///     Inspection::Done(report) => {
///         assert_eq!(report.format, Format::Vmdk);
///         assert_eq!(report.verdict(), Verdict::Reject);
///     }
///     more => unreachable!("{more:?}"),
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The format of the file, detected from its content.
    pub format: Format,
    /// The QCOW2 header, if it could be parsed.
    pub header: Option<Header>,
    /// The internal snapshots, if their table was read. The header has their number.
    pub snapshots: Vec<Snapshot>,
    /// The dirty bitmaps, if their directory was read. The header has their number.
    pub bitmaps: Vec<Bitmap>,
    /// The format of what is on the guest's disk, if the contents were inspected, too.
    pub contents: Option<Format>,
    /// All findings, in the order of the inspection.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Returns [`Verdict::Reject`] if any finding has the severity [`Severity::Reject`].
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.rejections().next() {
            Some(_) => Verdict::Reject,
            None => Verdict::Accept,
        }
    }

    /// Returns the findings for which the image is rejected.
    pub fn rejections(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.severity == Severity::Reject)
    }

    /// Returns `true` if there is a finding of this kind, at any severity.
    #[must_use]
    pub fn has(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }
}
