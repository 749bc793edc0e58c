//! The DevOps Service.

mod access;
mod images;
mod routes;
mod server;

pub use access::Policy;
pub use server::{DevopsServer, DevopsServerBuilder};
