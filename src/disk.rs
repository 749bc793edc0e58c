//! The guest's disk inside a QCOW2 image, read where the image is.
//!
//! A [`Disk`] is opened by [`Images::disk`](crate::djinn::Images::disk) on a server, and by
//! [`Disk::open`] on a local file. Both are the same from then on.

mod contents;
mod file;
mod guest;
mod open;
#[cfg(feature = "fs")]
mod places;
mod reader;

pub(crate) use contents::inspect_contents;
#[cfg(feature = "fs")]
pub(crate) use file::ImageFile;
#[cfg(feature = "fs")]
pub(crate) use guest::{Guest, rejected, undone};
pub use open::OpenDisk;
#[cfg(feature = "fs")]
pub(crate) use places::Places;
pub use reader::Disk;
