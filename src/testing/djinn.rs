//! The embedded Djinn CI server.

mod api;
mod create;
mod download;
mod download_url;
mod get;
mod json;
mod list;
mod namespace;
mod new_image;
mod routes;
mod search;
mod server;
mod state;
mod visibility;

pub use new_image::NewImage;
pub use server::{DjinnServer, DjinnServerBuilder};
pub use visibility::Visibility;
