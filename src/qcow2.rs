//! Inspection of QCOW2 images before they are used.
//!
//! An image can make QEMU read files of its host: by naming a backing file or an external data
//! file. This module reads the header ([`Header`]), lists what is wrong with it ([`Finding`]), and
//! decides by a [`Policy`] whether to accept the image ([`Report::verdict`]). It never runs QEMU,
//! never opens a file that an image names, and does no I/O except in [`inspect_file`].
//!
//! # Choosing a function
//!
//! | input | function |
//! |---|---|
//! | the first bytes, from a range request or a stream | [`inspect`] |
//! | anything that can be read at an offset, also asynchronously | [`Inspector`] |
//! | a local file | `inspect_file` (feature `fs`) |
//!
//! [`inspect`] examines the first cluster and the total length. For an image without snapshots,
//! bitmaps and LUKS that is everything, and it needs at most the first 64 KiB, unless clusters are
//! larger and the extensions or names lie further in. A snapshot table, bitmap directory or LUKS
//! header elsewhere in the file is reported as [`Code::TableUnread`]; [`Inspector`] reads those too.
//!
//! # Limits
//!
//! The effort is bounded whatever the image contains. More than 128 header extensions or 192
//! feature names are [`Code::TooManyExtensions`]; more than 1024 bitmaps or 4 MiB of tables are
//! [`Code::TablesTooLarge`]. QEMU opens such images, but no known program writes them.
//!
//! # Not inspected
//!
//! - the contents of the L1, L2 and refcount tables, which `qemu-img check` checks;
//! - the LUKS header beyond its magic and version;
//! - the guest's data.
//!
//! ```
//! use machine_images::qcow2::{self, Code, Inspection, Policy};
//!
//! // Version 3, and nothing else in order.
//! let mut image = vec![0; 512];
//! image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
//! match qcow2::inspect(&image, Some(512), &Policy::default()) {
//!     Inspection::Done(report) => assert!(report.has(Code::ClusterBits)),
//!     Inspection::NeedMore(range) => unreachable!("{range:?} is past the end"),
//! }
//! ```

mod bitmaps;
#[cfg(feature = "disk")]
mod cluster;
mod examination;
mod examine;
mod extensions;
mod extents;
mod fields;
mod format;
#[cfg(feature = "disk")]
mod geometry;
mod header;
mod header_checks;
mod header_fields;
mod inspector;
#[cfg(all(feature = "fs", feature = "disk"))]
mod layout;
mod luks;
#[cfg(feature = "disk")]
mod map;
#[cfg(all(feature = "fs", feature = "disk"))]
mod parts;
mod policy;
mod report;
mod snapshots;
#[cfg(all(feature = "fs", feature = "disk"))]
mod stored;
mod table_bounds;
#[cfg(test)]
mod tests;

#[cfg(feature = "fs")]
pub use crate::inspect::inspect_file;
#[cfg(feature = "disk")]
pub(crate) use cluster::Decompressor;
#[cfg(feature = "disk")]
pub(crate) use format::DETECTABLE;
pub use format::Format;
#[cfg(feature = "disk")]
pub use geometry::Geometry;
pub use header::{
    Bitmap, Compression, DataFile, Encryption, Feature, FeatureKind, Features, Header, Snapshot,
    Table,
};
pub(crate) use inspector::FIRST_READ;
pub use inspector::{Inspection, Inspector, inspect};
#[cfg(all(feature = "fs", feature = "disk"))]
pub(crate) use layout::{Layout, MAX_SIZE};
#[cfg(feature = "disk")]
pub use map::{Extent, ExtentKind, Lookup, Map, Slice};
#[cfg(all(feature = "fs", feature = "disk"))]
pub(crate) use parts::{Part, Parts};
pub use policy::Policy;
pub use report::{Code, Finding, Report, Severity, Verdict};
#[cfg(all(feature = "fs", feature = "disk"))]
pub(crate) use stored::{CLUSTER, Clusters, Stored};
