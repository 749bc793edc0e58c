//! The meaning of a Djinn CI server's errors.

use reqwest::Method;

use crate::error::ErrorKind;
use crate::transport::{Meaning, Refused, Service};

pub(super) static SERVICE: Service = Service { meaning };

fn meaning(refused: &Refused<'_>) -> Option<Meaning> {
    match refused.status {
        // The same for everything that is wrong with the token.
        404 if refused.from_api => {
            let text = match *refused.method {
                Method::GET if refused.path.ends_with("/-/images") => {
                    "no such namespace, or the token is wrong or lacks namespace:read"
                }
                Method::GET if refused.path.ends_with("/images") => {
                    "the token is wrong or lacks image:read"
                }
                // The server checks no scope here.
                Method::GET => "not found, or the token is wrong",
                Method::DELETE => "not found, or the token is wrong or lacks image:write",
                _ => "the token is wrong or lacks image:write",
            };
            Meaning::new(ErrorKind::NotFoundOrUnauthorized, text)
        }
        404 => Meaning::unknown_route(),
        400 if is_name_taken(refused) => {
            let text = "a name must be unique, and this one exists already";
            Meaning::new(ErrorKind::NameTaken, text)
        }
        500 if *refused.method == Method::POST && is_too_large(refused) => Meaning::new(
            ErrorKind::TooLarge,
            "the image is larger than the server stores",
        ),
        _ => None,
    }
}

/// The limit of the server's store, as the last of the message's causes.
fn is_too_large(refused: &Refused<'_>) -> bool {
    let message = refused.message.unwrap_or_default();
    message.trim_end().ends_with("file too large")
}

/// `{"name":["Name already exists"]}`, perhaps with more.
fn is_name_taken(refused: &Refused<'_>) -> bool {
    let messages = refused.fields.and_then(|fields| fields.get("name"));
    let mut messages = messages.into_iter().flatten();
    messages.any(|message| message.contains("already exists"))
}
