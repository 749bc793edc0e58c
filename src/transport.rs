//! The only place that speaks HTTP: credentials, retries, timeouts, redirects and the meaning of a
//! status, for both services.

mod body;
mod content_range;
mod credentials;
mod failure;
mod handle;
mod http_client;
mod link;
mod origin;
mod rate;
mod redact;
mod repeat;
mod request;
mod response;
mod retry_after;
mod send;
mod service;

pub(crate) use content_range::ContentRange;
pub(crate) use credentials::{Credentials, all_secrets};
pub(crate) use handle::{Inner, Timeouts, Transport};
pub(crate) use http_client::Settings;
#[cfg(feature = "rustls")]
pub(crate) use http_client::warm_up;
pub(crate) use link::Links;
pub(crate) use origin::{public_url, same_origin};
pub(crate) use rate::MinRate;
pub(crate) use request::{JSON, Request, check_segment};
pub(crate) use response::Response;
pub(crate) use retry_after::http_date;
pub(crate) use service::{Meaning, Refused, Service};
