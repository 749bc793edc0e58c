//! The embedded DevOps Service.

mod access;
mod answer;
mod api;
mod image;
mod route;
mod server;
mod state;

pub use access::AccessPolicy;
pub use server::{DevopsServer, DevopsServerBuilder};
