mod contents;
mod create;
mod delete;
#[cfg(feature = "testing")]
mod digests;
mod errors;
#[cfg(all(feature = "fs", feature = "testing"))]
mod files;
mod json;
mod links;
mod list;
mod nesting;
mod ranges;
mod redirects;
mod retries;
mod secrets;
mod single;
mod sources;
#[cfg(feature = "testing")]
mod stat;
mod validation;
mod wait;
#[cfg(feature = "webhooks")]
mod webhook;
