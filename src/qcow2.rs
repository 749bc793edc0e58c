//! Inspection of QCOW2 images before anyone trusts them.
//!
//! A disk image that comes from elsewhere is usually given to QEMU next, and some images make
//! QEMU read files of its host: one that names a backing file or an external data file does.
//! This module reads the header, says what is in it ([`Header`]) and what is wrong with it
//! ([`Finding`]), and lets a [`Policy`] decide ([`Report::verdict`]). It never runs QEMU, never
//! opens what an image names, and does no I/O of its own but for [`inspect_file`].
//!
//! # Which way in
//!
//! | the caller has | use |
//! |---|---|
//! | the first bytes: a range request, a stream that passes | [`inspect`] |
//! | a way to read any range, asynchronously perhaps | [`Inspector`] |
//! | a local file | [`inspect_file`] |
//!
//! [`inspect`] decides all that the first cluster and the total length can decide, which for an
//! image without snapshots, bitmaps and LUKS is everything, and takes the first 64 KiB of it at
//! most, unless a cluster is larger and its extensions or names are farther on. A bad header is
//! refused within 64 KiB always. Where the snapshot table, the bitmap directory or the LUKS
//! header is elsewhere it leaves a note, [`Code::TableUnread`]; [`Inspector`] reads those too.
//!
//! # Limits
//!
//! No image takes long, whatever is in it: one with more than 128 header extensions or 192 names
//! of features is [`Code::TooManyExtensions`], one with more than 1024 bitmaps or 4 MiB of tables
//! [`Code::TablesTooLarge`]. QEMU opens such images; no known program writes them.
//!
//! # What is not looked at
//!
//! The contents of the L1, L2 and refcount tables (`qemu-img check` does that), the LUKS
//! header beyond its magic and version, and the data.
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

mod examine;
mod extensions;
#[cfg(feature = "fs")]
mod file;
mod fixed;
mod format;
mod header;
mod inspector;
mod known;
mod layout;
mod policy;
mod report;
mod tables;
#[cfg(test)]
mod tests;

#[cfg(feature = "fs")]
pub use file::inspect_file;
#[cfg(feature = "fs")]
pub(crate) use file::inspect_open_file;
pub use format::Format;
pub use header::{
    Bitmap, Compression, DataFile, Encryption, Feature, FeatureKind, Features, Header, Snapshot,
    Table,
};
pub use inspector::{Inspection, Inspector, inspect};
pub use policy::Policy;
pub use report::{Code, Finding, Report, Severity, Verdict};
