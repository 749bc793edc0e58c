//! The embedded Djinn CI server.

mod api;
mod create;
mod download;
mod download_url;
mod get;
mod image_builder;
mod json;
mod list;
mod namespace;
mod routes;
mod search;
mod server;
mod state;
mod webhook;

pub use image_builder::ImageBuilder;
pub use server::{DjinnServer, DjinnServerBuilder};
