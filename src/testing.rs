//! Embedded servers with the real servers' habits, and faults, for tests.
//!
//! [`DjinnServer`] is a Djinn CI server reduced to its images, with the oddities that were
//! seen on the real one: relative `Link` headers that never end, `404` for a bad token,
//! content checks after the whole body. Image contents are kept in temporary files.
//! [`DevopsServer`] is a DevOps Service, likewise.
//!
//! Both run on a thread of their own, on loopback, and stop when they are dropped; so they serve
//! under any runtime and in programs without one. They record every request, and let a
//! [`Fault`] befall those that a [`FaultRule`] names.
//!
//! ```
//! use machine_images::testing::{DjinnServer, empty_qcow2};
//!
//! let server = DjinnServer::start()?;
//! let id = server.add_image("debian-12", empty_qcow2(10 << 30))?;
//! assert_eq!(server.image_count(), 1);
//! assert!(server.content(id).is_some());
//! println!("{} with {}", server.url(), server.token());
//! # Ok::<(), std::io::Error>(())
//! ```

mod absence;
mod body;
mod connection;
mod content;
mod date;
mod devops;
mod djinn;
mod fault;
mod inflict;
mod message;
mod qcow2;
mod query;
mod range;
mod record;
mod rule;
mod server;
mod shape;
mod wire;

pub use devops::{DevopsServer, DevopsServerBuilder, Policy};
pub use djinn::{DjinnServer, DjinnServerBuilder, NewImage, Visibility};
pub use fault::{Fault, RetryAfter};
pub use qcow2::empty_qcow2;
pub use record::Received;
pub use rule::FaultRule;
pub use wire::Close;
