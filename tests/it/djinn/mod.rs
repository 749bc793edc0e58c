mod contents;
mod create;
mod delete;
mod errors;
mod json;
#[cfg(feature = "fs")]
mod large_files;
mod links;
mod list;
mod ranges;
mod redirects;
mod retries;
mod secrets;
mod single;
mod sources;
mod validation;
mod wait;
