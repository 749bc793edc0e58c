//! Tests of the embedded servers, against captures and descriptions of the real ones.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

// A client without a crypto provider cannot be built.
#[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
mod clients;
mod devops;
mod devops_captures;
// Downloads need a client.
#[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
mod djinn_captures;
mod djinn_content;
mod djinn_create;
#[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
mod djinn_download;
mod djinn_list;
mod djinn_shared;
#[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
mod djinn_webhook;
mod faults;
mod http;
mod restart;
mod values;
