//! The embedded servers, held against the captures of the real one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod djinn_content;
mod djinn_create;
mod djinn_download;
mod djinn_list;
mod faults;
mod http;
