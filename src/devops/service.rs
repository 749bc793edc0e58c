//! The meaning of a DevOps Service's errors.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use url::form_urlencoded;

use crate::error::ErrorKind;
use crate::transport::{JSON, Meaning, Refused, Service};

pub(super) static SERVICE: Service = Service { meaning };

fn meaning(refused: &Refused<'_>) -> Option<Meaning> {
    match refused.status {
        401 => unauthorized(refused),
        400 if refused.empty && refused.login == Some("Bearer") => {
            let text = "the server accepts no token, only a user and a password (HTTP Basic)";
            Meaning::new(ErrorKind::Unauthorized, text)
        }
        400 | 409 | 422 if is_duplicate(refused) => {
            let text = "an id must be unique, and this one exists already";
            Meaning::new(ErrorKind::NameTaken, text)
        }
        404 => not_found(refused),
        _ => None,
    }
}

/// Tells a bad login from a missing privilege: both are 401, in different forms.
fn unauthorized(refused: &Refused<'_>) -> Option<Meaning> {
    let challenge = refused.headers.get(WWW_AUTHENTICATE);
    if challenge.is_some() || refused.empty {
        let is_basic = challenge.is_some_and(|value| value.as_bytes().starts_with(b"Basic"));
        let text = match refused.login {
            Some("Basic") => "the user or the password is wrong",
            Some(_) if is_basic => {
                "the token is refused; the server asks for a user and a password (HTTP Basic)"
            }
            Some(_) => "the token is refused",
            None => "the server requires a login, and none is set",
        };
        return Meaning::new(ErrorKind::Unauthorized, text);
    }
    if !refused.from_api {
        return None;
    }
    let text = match *refused.method {
        Method::GET => "the login lacks read_images",
        Method::DELETE => "the login lacks delete_image",
        _ => "the login lacks create_image",
    };
    Meaning::new(ErrorKind::Forbidden, text)
}

fn is_duplicate(refused: &Refused<'_>) -> bool {
    let message = refused.message.unwrap_or_default();
    *refused.method == Method::POST && message.starts_with("Duplicate key error")
}

fn not_found(refused: &Refused<'_>) -> Option<Meaning> {
    let has_message = refused.from_api && refused.message.is_some();
    let about_provider = has_message || is_overwritten(refused);
    if let Some(provider) = provider(refused).filter(|_| about_provider) {
        let text = format!("no such provider: {provider:?}");
        return Meaning::new(ErrorKind::NotFound, text);
    }
    if has_message {
        return None;
    }
    if ["%2F", "%5C"]
        .iter()
        .any(|slash| refused.path.contains(slash))
    {
        let text = "no such route: version 2 cannot address an id with a slash or backslash; \
                    is the base URL right?";
        return Meaning::new(ErrorKind::UnknownRoute, text);
    }
    Meaning::unknown_route()
}

/// Returns the provider whose images were requested.
fn provider(refused: &Refused<'_>) -> Option<String> {
    let query = refused.query.unwrap_or_default().as_bytes();
    let mut pairs = form_urlencoded::parse(query);
    let found = pairs.find(|(name, _)| name == "provider");
    found.map(|(_, provider)| provider.into_owned())
}

/// Returns `true` for a 404 whose body version 2 has replaced, and whose type it has kept.
fn is_overwritten(refused: &Refused<'_>) -> bool {
    let media_type = refused.headers.get(CONTENT_TYPE);
    let is_json = media_type.is_some_and(|value| value.as_bytes().starts_with(JSON.as_bytes()));
    is_json && refused.message == Some("Not found")
}
