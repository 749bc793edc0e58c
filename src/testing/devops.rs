//! The DevOps Service.

mod access;
mod call;
mod data;
mod record;
mod reply;
mod routes;
mod server;

pub use access::Policy;
pub use server::{DevopsServer, DevopsServerBuilder};
