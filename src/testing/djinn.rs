//! The Djinn CI server.

mod create;
mod download;
mod entity;
mod get;
mod like;
mod list;
mod namespace;
mod new_image;
mod routes;
mod server;
mod site;
mod source;
mod state;

pub use namespace::Visibility;
pub use new_image::NewImage;
pub use server::{DjinnServer, DjinnServerBuilder};
