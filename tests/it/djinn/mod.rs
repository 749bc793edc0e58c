mod contents;
mod create;
mod delete;
mod errors;
#[cfg(feature = "fs")]
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
mod validation;
mod wait;
