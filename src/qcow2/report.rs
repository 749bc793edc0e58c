//! What an inspection found, and what it means.

use std::fmt;

use serde::Serialize;

use super::{Bitmap, Format, Header, Snapshot};

/// How much a finding weighs. Ordered: `Note < Warn < Reject`.
///
/// ```
/// use machine_images::qcow2::Severity;
/// assert!(Severity::Note < Severity::Warn && Severity::Warn < Severity::Reject);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing, harmless.
    Note,
    /// Legal, but a reason to look twice.
    Warn,
    /// The image must not be handed to anyone.
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

/// What a report comes to.
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
        /// What kind of thing was found. The names are stable.
        ///
        /// ```
        /// use machine_images::qcow2::{Code, Severity};
        /// assert_eq!(Code::BackingFile.as_str(), "backing_file");
        /// assert_eq!(Code::BackingFile.default_severity(), Severity::Reject);
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* #[serde(rename = $name)] $code,)* }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// The stable name, in snake_case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name),* }
            }

            /// How much it weighs unless the [`Policy`](super::Policy) says otherwise.
            #[must_use]
            pub const fn default_severity(self) -> Severity {
                match self { $(Self::$code => Severity::$severity),* }
            }
        }
    };
}

codes! {
    /// The file is something else; [`Report::format`] says what.
    NotQcow2 = "not_qcow2", Reject;
    /// QEMU takes the image for another format when it has to guess.
    AmbiguousFormat = "ambiguous_format", Reject;
    /// The file ends before something that its header promises.
    Truncated = "truncated", Reject;
    /// A version other than 2 and 3.
    UnsupportedVersion = "unsupported_version", Reject;
    /// Clusters smaller than 512 bytes or larger than 2 MiB.
    ClusterBits = "cluster_bits", Reject;
    /// A header length that the format forbids.
    HeaderLength = "header_length", Reject;
    /// QEMU would read another file, named by the image.
    BackingFile = "backing_file", Reject;
    /// A name that is too long or not inside the first cluster.
    NameOutOfBounds = "name_out_of_bounds", Reject;
    /// The guest's data is in another file, named by the image.
    DataFile = "data_file", Reject;
    /// An incompatible feature that no known version of the format has.
    UnknownFeature = "unknown_feature", Reject;
    /// A compression type that is unknown or contradicts the feature bits.
    CompressionType = "compression_type", Reject;
    /// Extended L2 entries with clusters smaller than 16 KiB.
    SubclusterSize = "subcluster_size", Reject;
    /// Reference counts wider than 64 bits.
    RefcountBits = "refcount_bits", Reject;
    /// An encryption method other than AES and LUKS.
    EncryptionMethod = "encryption_method", Reject;
    /// The LUKS header is missing or not where the image says.
    EncryptionHeader = "encryption_header", Reject;
    /// A header extension that breaks the format.
    HeaderExtension = "header_extension", Reject;
    /// More header extensions, or feature names, than an inspection reads.
    TooManyExtensions = "too_many_extensions", Reject;
    /// The refcount table is missing, too large or misplaced.
    RefcountTable = "refcount_table", Reject;
    /// The L1 table is too large or misplaced.
    L1Table = "l1_table", Reject;
    /// The snapshot table is too large, misplaced or broken.
    SnapshotTable = "snapshot_table", Reject;
    /// The bitmap directory is too large, misplaced or broken.
    BitmapDirectory = "bitmap_directory", Reject;
    /// A virtual size that the L1 table or QEMU cannot hold.
    VirtualSize = "virtual_size", Reject;
    /// A virtual size above the policy's limit.
    VirtualSizeLimit = "virtual_size_limit", Reject;
    /// The tables take more reading than an inspection does.
    TablesTooLarge = "tables_too_large", Reject;
    /// The guest's data is encrypted.
    Encrypted = "encrypted", Warn;
    /// The image carries internal snapshots: older states of the disk.
    InternalSnapshots = "internal_snapshots", Warn;
    /// The image was not closed properly; its refcounts need a repair.
    Dirty = "dirty", Warn;
    /// QEMU marked the image as corrupt.
    Corrupt = "corrupt", Warn;
    /// Version 2 of the format, out of use since 2013.
    Version2 = "version_2", Warn;
    /// A data file is named, but the feature bit that makes QEMU open it is not set.
    UnusedDataFile = "unused_data_file", Warn;
    /// Bitmaps that a program without bitmap support has invalidated.
    StaleBitmaps = "stale_bitmaps", Warn;
    /// The image carries persistent dirty bitmaps.
    Bitmaps = "bitmaps", Note;
    /// A compatible or autoclear feature that may be ignored.
    UnknownOptionalFeature = "unknown_optional_feature", Note;
    /// A header extension that may be ignored.
    UnknownExtension = "unknown_extension", Note;
    /// A table that the header names was not among the bytes inspected.
    TableUnread = "table_unread", Note;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing found in an image.
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
    /// What kind of thing it is.
    pub code: Code,
    /// How much it weighs under the policy of the inspection.
    pub severity: Severity,
    /// Where in the image it is, in bytes.
    pub offset: u64,
    /// A sentence for a person. Text from the image is escaped in it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What an image is, and everything found in it.
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
    /// What the file is, whatever its name says.
    pub format: Format,
    /// The QCOW2 header, when it can be understood at all.
    pub header: Option<Header>,
    /// The internal snapshots, when their table was read; the header has their number.
    pub snapshots: Vec<Snapshot>,
    /// The dirty bitmaps, when their directory was read; the header has their number.
    pub bitmaps: Vec<Bitmap>,
    /// Everything found, in the order in which it was found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// What the findings come to: one of severity [`Severity::Reject`] rejects the image.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.rejections().next() {
            Some(_) => Verdict::Reject,
            None => Verdict::Accept,
        }
    }

    /// The findings that reject the image.
    pub fn rejections(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.severity == Severity::Reject)
    }

    /// Whether something of this kind was found, at any severity.
    #[must_use]
    pub fn has(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }
}
