//! Webhooks of a Djinn CI server: deliveries are verified and decoded.
//!
//! A namespace's webhook with the event `images` sends a `POST` for each change of an image in that
//! namespace. It is signed with the webhook's secret: the header `X-Djinn-CI-Signature` has the
//! HMAC-SHA256 of the body.
//!
//! [`from_headers`] checks a whole request, [`verify`] a signature and a body. Pass the body as it
//! was received: each byte counts, also the newline at its end.
//!
//! ```
//! use machine_images::djinn::webhook::{self, Action, Event};
//! use machine_images::http::HeaderMap;
//!
//! fn receive(headers: &HeaderMap, body: &[u8]) -> machine_images::Result<Event> {
//!     let event = webhook::from_headers(&["s3cr3t"], headers, body)?;
//!     if event.action == Action::Created {
//!         println!("new image {}: {}", event.image.id, event.image.name);
//!     }
//!     Ok(event)
//! }
//! ```
//!
//! # Rotating a secret
//!
//! A delivery is accepted if any of the secrets has signed it. Add the new secret, change the
//! webhook on the server, then remove the old secret:
//!
//! ```
//! # use machine_images::djinn::webhook;
//! # fn example(headers: &machine_images::http::HeaderMap, body: &[u8]) -> machine_images::Result<()> {
//! let event = webhook::from_headers(&["new s3cr3t", "s3cr3t"], headers, body)?;
//! # Ok(())
//! # }
//! ```
//!
//! A secret that is empty is an error: leave it out.
//!
//! # Security
//!
//! - Signatures are compared in constant time: by [`verify_slice`] of the crate `hmac`, which
//!   compares with the crate `subtle`. Every secret is tried, whichever of them matches.
//! - Nothing of a body is decoded before its signature is verified.
//! - The signature covers the body only. The headers, the [`hook_id`](Event::hook_id) among them,
//!   are not signed, and a delivery has no time or number: one that was recorded can be sent again.
//!   Take an event as a reason to [`get`](super::Images::get) the image, not as its state.
//! - The server sends a delivery once. One that is lost is not repeated.
//!
//! [`verify_slice`]: https://docs.rs/hmac/0.12/hmac/trait.Mac.html#method.verify_slice

mod event;

use hmac::{Hmac, Mac};
use http::HeaderMap;
use sha2::Sha256;

pub use event::{Action, Event, HookId};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::Operation;

/// The maximum length of a body in bytes: 1 MiB. Those of a real server have about 2 KiB.
///
/// Set it as the limit of the web server that receives deliveries, which holds the body in memory.
pub const MAX_BODY: usize = 1 << 20;

const OPERATION: Operation = Operation::new("verify webhook");

const EVENT: &str = "x-djinn-ci-event";
const HOOK_ID: &str = "x-djinn-ci-hook-id";
const SIGNATURE: &str = "x-djinn-ci-signature";

/// Verifies the signature of a delivery, and decodes its body.
///
/// `signature` is the value of the header `X-Djinn-CI-Signature`, `sha256=` and 64 hexadecimal
/// digits and nothing around them; an empty text if there is none. One of `secrets` must have signed the body.
///
/// ```
/// use machine_images::ErrorKind;
/// use machine_images::djinn::webhook;
///
/// let forged = format!("sha256={}", "0".repeat(64));
/// let error = webhook::verify(&["s3cr3t"], &forged, b"{}\n").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::SignatureMismatch);
/// ```
///
/// # Errors
///
/// - [`SignatureMissing`](ErrorKind::SignatureMissing) if the signature is empty: the webhook has no
///   secret, or the delivery is not from the server.
/// - [`SignatureMismatch`](ErrorKind::SignatureMismatch) if no secret has signed the body: the
///   webhook has another secret, the body was changed, or the delivery is not from the server.
/// - [`Limit`](ErrorKind::Limit) if the body is longer than [`MAX_BODY`].
/// - [`Decode`](ErrorKind::Decode) if the body is signed, but is not an event of an image.
/// - [`InvalidInput`](ErrorKind::InvalidInput) if there is no secret, or one is empty, which anyone
///   could sign with.
#[doc(alias = "hmac")]
pub fn verify(secrets: &[impl AsRef<[u8]>], signature: &str, body: &[u8]) -> Result<Event> {
    let checked = check(secrets, signature, body).and_then(|()| decode(body));
    checked.map_err(|error| error.during(&OPERATION))
}

/// Verifies and decodes a delivery, as [`verify`] does, by the headers of its request.
///
/// Header names are case-insensitive.
///
/// # Errors
///
/// - Those of [`verify`].
/// - [`UnexpectedContent`](ErrorKind::UnexpectedContent) if the delivery is signed, but of another
///   event than `images`: the webhook is subscribed to more.
pub fn from_headers(
    secrets: &[impl AsRef<[u8]>],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Event> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let checked = || {
        check(secrets, text(SIGNATURE).unwrap_or_default(), body)?;
        if let Some(event) = text(EVENT).filter(|&event| event != "images") {
            let message = format!("the delivery is of the event {event:?}, not of \"images\"");
            return Err(Error::plain(ErrorKind::UnexpectedContent, message));
        }
        let hook_id = text(HOOK_ID).and_then(|id| id.parse().ok());
        Ok(Event {
            hook_id,
            ..decode(body)?
        })
    };
    checked().map_err(|error| error.during(&OPERATION))
}

fn check(secrets: &[impl AsRef<[u8]>], signature: &str, body: &[u8]) -> Result<()> {
    let secrets = secrets.iter().map(AsRef::as_ref);
    if secrets.len() == 0 || secrets.clone().any(<[u8]>::is_empty) {
        return Err(Error::invalid(
            "a webhook needs a secret, which must not be empty",
        ));
    }
    if body.len() > MAX_BODY {
        let message = format!("the body is longer than {MAX_BODY} bytes");
        return Err(Error::plain(ErrorKind::Limit, message));
    }
    if signature.is_empty() {
        let message = "the delivery has no signature: does the webhook have a secret?";
        return Err(Error::plain(ErrorKind::SignatureMissing, message));
    }
    let digits = signature.strip_prefix("sha256=");
    let Some(signature) = digits.and_then(|digits| digits.parse::<Digest>().ok()) else {
        let message = "the signature is not \"sha256=\" and 64 hexadecimal digits";
        return Err(Error::plain(ErrorKind::SignatureMismatch, message));
    };
    // All of them, so that the time does not tell which one matches.
    match secrets.fold(false, |any, secret| any | signs(secret, &signature, body)) {
        true => Ok(()),
        false => {
            let message = "the signature is not that of the body by any of the secrets";
            Err(Error::plain(ErrorKind::SignatureMismatch, message))
        }
    }
}

/// Returns `true` if the signature is that of a body. Takes a time that does not depend on where a
/// signature differs.
fn signs(secret: &[u8], signature: &Digest, body: &[u8]) -> bool {
    // A key may have any length.
    Hmac::<Sha256>::new_from_slice(secret).is_ok_and(|mac| {
        mac.chain_update(body)
            .verify_slice(signature.as_bytes())
            .is_ok()
    })
}

fn decode(body: &[u8]) -> Result<Event> {
    let event = serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body is not an event of an image: {error}");
        Error::plain(ErrorKind::Decode, message)
    });
    // It is of the headers, whatever the body has.
    event.map(|event: Event| Event {
        hook_id: None,
        ..event
    })
}
