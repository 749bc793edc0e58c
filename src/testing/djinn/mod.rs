//! The Djinn CI server.

mod create;
mod download;
mod entity;
mod get;
mod list;
mod routes;
mod server;
mod site;
mod source;
mod state;

pub use server::{DjinnServer, DjinnServerBuilder};
