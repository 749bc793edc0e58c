//! The bytes of an image, once negotiated: a stream, a seekable reader, an inspection, a file.

mod body;
mod inspect;
mod location;
mod range;
mod read;
mod remote_reader;
mod response;
#[cfg(feature = "fs")]
mod save;
mod stat;
mod stream;
mod version;

pub(crate) use location::Location;
pub(crate) use range::ByteRange;
pub use remote_reader::RemoteReader;
#[cfg(feature = "fs")]
pub(crate) use save::{Options, save};
#[cfg(feature = "fs")]
pub use save::{Saved, WhenBusy};
pub use stat::ContentInfo;
pub use stream::Content;
pub(crate) use version::Version;
