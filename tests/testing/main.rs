//! The embedded servers, held against the captures and descriptions of the real ones.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod away;
mod devops;
mod devops_captures;
// Download jobs need a client, and a client without a crypto provider cannot be built.
#[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
mod djinn_captures;
mod djinn_content;
mod djinn_create;
#[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
mod djinn_download;
mod djinn_list;
mod djinn_shared;
mod faults;
mod http;
