//! The bytes of an image, once negotiated: a stream, a seekable reader, an inspection, a file.

mod body;
mod inspect;
mod location;
mod range;
mod read;
#[cfg(feature = "fs")]
mod refresh;
mod remote_reader;
mod response;
mod seekable;
mod stat;
mod stream;
mod version;

pub(crate) use body::Body;
pub(crate) use inspect::inspect_arriving;
pub(crate) use location::Location;
pub(crate) use range::{ByteRange, Empty};
#[cfg(feature = "fs")]
pub(crate) use refresh::{Expected, unchanged};
pub use remote_reader::RemoteReader;
#[cfg(feature = "fs")]
pub(crate) use response::ContentResponse;
#[cfg(feature = "disk")]
pub(crate) use seekable::{Ranges, Seekable, delegate};
pub use stat::ContentInfo;
pub use stream::Content;
pub(crate) use version::Version;
