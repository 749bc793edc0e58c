//! Servers, faults and values for testing a program that uses this crate.
//!
//! # Testing your program
//!
//! There are three ways, from the most realistic to the fastest.
//!
//! ## Against an embedded server
//!
//! [`DjinnServer`] and [`DevopsServer`] are complete servers of the images APIs. They behave like
//! the real ones: a Djinn CI server sends `404` for a bad token, for instance, and checks a name
//! only after the whole upload has arrived.
//!
//! ```
//! # #[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use machine_images::testing::{DjinnServer, empty_qcow2};
//!
//! let server = DjinnServer::start()?;
//! let id = server.add_image("debian-12", empty_qcow2(10 << 30))?;
//!
//! let images = server.client()?.images(); // pass them to your program
//! images.delete(id).await?;
//! assert_eq!(server.image_count(), 0);
//! # Ok(())
//! # }
//! # #[cfg(not(any(feature = "rustls", not(feature = "rustls-no-provider"))))]
//! # fn main() {}
//! ```
//!
//! A server runs on its own thread, on a free port of 127.0.0.1, until it is dropped. So it works
//! under any runtime, and each test can start its own. Image content is kept in temporary files.
//!
//! ## With faults
//!
//! A [`Fault`] breaks some of a server's responses: a status, a cut connection, a stall, a wrong
//! header. The server records each [request](Received).
//!
//! ```
//! # #[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use machine_images::testing::{DjinnServer, Fault};
//! # let server = DjinnServer::start()?;
//! let id = server.add_image("debian-12", "not an image")?;
//! server.inject(Fault::status(503).on("GET", "/images/1"));
//!
//! let image = server.client()?.images().get(id).await?; // retried
//! assert_eq!(image.name, "debian-12");
//! assert_eq!(server.requests().len(), 2);
//! # Ok(())
//! # }
//! # #[cfg(not(any(feature = "rustls", not(feature = "rustls-no-provider"))))]
//! # fn main() {}
//! ```
//!
//! ## Behind your own trait
//!
//! If your program calls the client through a trait, a test can implement it without a server.
//! [`image`], [`devops_image`], [`error`] and [`status_error`] make the values to return.
//!
//! ```
//! # use machine_images::{ErrorKind, Result, djinn::Image, testing};
//! # trait Catalog { fn find(&self, name: &str) -> impl Future<Output = Result<Image>>; }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! struct Fake;
//! impl Catalog for Fake {
//!     async fn find(&self, name: &str) -> Result<Image> {
//!         if name == "debian-12" {
//!             return Ok(testing::image(42, name));
//!         }
//!         Err(testing::error(ErrorKind::NotFoundOrUnauthorized))
//!     }
//! }
//! # assert_eq!(Fake.find("debian-12").await.unwrap().id, 42.into());
//! # assert_eq!(Fake.find("web").await.unwrap_err().kind(), ErrorKind::NotFoundOrUnauthorized);
//! # }
//! ```

mod apply_fault;
mod body;
mod connection;
mod content;
mod delivery;
mod devops;
mod djinn;
mod error;
mod fault;
mod fault_rule;
mod http_date;
mod image;
mod message;
mod qcow2;
mod query;
mod range;
mod request_log;
mod restart;
mod server;
mod shared;
mod socket;

pub use devops::{AccessPolicy, DevopsServer, DevopsServerBuilder};
pub use djinn::{DjinnServer, DjinnServerBuilder, ImageBuilder};
pub use error::{error, status_error};
pub use fault::{Fault, RetryAfter};
pub use fault_rule::FaultRule;
pub use image::{devops_image, image};
pub use qcow2::empty_qcow2;
pub use request_log::Received;
pub use socket::Close;
