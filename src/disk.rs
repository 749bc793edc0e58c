//! The guest's disk inside a QCOW2 image, read where the image is.
//!
//! A [`Disk`] is opened by [`Images::disk`](crate::djinn::Images::disk) on a server, and by
//! [`Disk::open`] on a local file. Both are the same from then on.
//!
//! # Choosing a function
//!
//! | task | function |
//! |---|---|
//! | read some of the disk | [`Images::disk`](crate::djinn::Images::disk), then [`Disk::read_at`] or the traits of a reader |
//! | list what is data, zeros or nothing | [`Disk::extents`] |
//! | tell partition tables and images within the image | [`Inspect::contents`](crate::djinn::Inspect::contents) |
//! | make a raw disk of it, in a file or on a device | [`Images::save_raw`](crate::djinn::Images::save_raw) |
//! | read the bytes of the QCOW2 file itself | [`Images::reader`](crate::djinn::Images::reader) |
//! | follow the tables without I/O | [`qcow2::Map`](crate::qcow2::Map) |
//!
//! # Looking inside an image
//!
//! This program prints the partitions of an image on a server. It fetches a few hundred KiB, in four
//! requests: the header, the L1 table, the L2 table, and the first clusters of the disk.
//!
//! ```no_run
//! # // Not run, as it needs a server with an image; tests/qcow2/read.rs counts such requests.
//! use machine_images::djinn::Client;
//!
//! const SECTOR: u64 = 512;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let images = Client::from_env()?.images();
//!     let disk = images.disk(42).await?;
//!     // The MBR, the header of the GPT, and its table of 128 entries of 128 bytes.
//!     let mut start = vec![0; 34 * SECTOR as usize];
//!     let count = disk.read_at(0, &mut start).await?;
//!     start.truncate(count);
//!     let field = |at: usize| {
//!         let bytes = start.get(at..at + 8).unwrap_or(&[0; 8]);
//!         u64::from_le_bytes(bytes.try_into().unwrap())
//!     };
//!     if start.get(512..520) == Some(b"EFI PART") {
//!         for entry in (1024..start.len()).step_by(128) {
//!             let (first, last) = (field(entry + 32), field(entry + 40));
//!             if last > 0 {
//!                 println!("partition at {}: {} bytes", first * SECTOR, (last - first + 1) * SECTOR);
//!             }
//!         }
//!     } else if start.get(510..512) == Some(b"\x55\xaa") {
//!         for entry in (446..510).step_by(16) {
//!             // Two numbers of 32 bits: the first sector, and how many there are.
//!             let (first, count) = (field(entry + 8) & 0xffff_ffff, field(entry + 8) >> 32);
//!             if count > 0 {
//!                 println!("partition at {}: {} bytes", first * SECTOR, count * SECTOR);
//!             }
//!         }
//!     }
//!     Ok(())
//! }
//! ```

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
