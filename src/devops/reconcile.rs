//! Creations that look up the image after a lost response.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::model::{Created, Image, NewImage};
use super::register::{Register, taken};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Extra;
use crate::transport::Transport;

/// The default time limit of a lookup.
pub(super) const WITHIN: Duration = Duration::from_secs(60);

/// The first and the longest pause between two lookups; each is twice the one before.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// The record that the service has under the id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// An image with the fields that were sent.
    Same,
    Other,
}

/// Sends the image until it exists or cannot be created.
pub(super) async fn create(register: &Register, within: Duration) -> Result<Created> {
    let transport = &register.images.transport;
    // So that an image found later is new.
    if look(register, transport).await? != Found::Nothing {
        return Err(name_taken(register));
    }
    let mut retries = transport.retry().start();
    // An earlier attempt may have created it.
    let mut unclear = false;
    loop {
        let mut error = match register.post().await {
            Ok(created) => return Ok(created),
            Err(error) => error,
        };
        let kind = error.kind();
        let is_looked_up = is_unclear(kind) || (unclear && kind == ErrorKind::NameTaken);
        if !is_looked_up {
            if kind == ErrorKind::Connect {
                // Retried already.
                return Err(error);
            }
            unclear |= kind != ErrorKind::NotSent;
            retries.wait(error, true).await?;
            continue;
        }
        unclear = true;
        match find(register, within).await {
            Some(Found::Same) => {
                return Ok(Created {
                    id: register.image.id.clone(),
                    message: None,
                    extra: Extra::new(),
                });
            }
            Some(Found::Other) => return Err(name_taken(register).attempts_of(&error)),
            Some(Found::Nothing) if kind != ErrorKind::NameTaken => error = error.looked_for(),
            _ => return Err(error),
        }
        // The time of the lookup does not count towards that of the retries.
        retries.restart_clock();
        retries.pause(error, true).await?;
    }
}

/// Returns `true` if the server may have created the image although the call failed.
fn is_unclear(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::OutcomeUnknown
            | ErrorKind::Decode
            | ErrorKind::UnexpectedContent
            | ErrorKind::Limit
    )
}

fn name_taken(register: &Register) -> Error {
    Error::plain(ErrorKind::NameTaken, taken(&register.image.id))
}

/// Repeats the lookup until the server answers; `None` if it does not in time, or unclearly.
async fn find(register: &Register, within: Duration) -> Option<Found> {
    let once = register.images.transport.once();
    let began = Instant::now();
    let mut interval = FIRST;
    loop {
        let left = within.saturating_sub(began.elapsed()).max(interval);
        match timeout(left, look(register, &once)).await {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(error)) if !error.is_retryable() => return None,
            _ => {}
        }
        if began.elapsed() >= within {
            return None;
        }
        sleep(interval).await;
        interval = (interval * 2).min(LONGEST);
    }
}

async fn look(register: &Register, transport: &Transport) -> Result<Found> {
    let sent = &register.image;
    let request = register.images.request(Method::GET, &sent.id)?;
    let response = match transport.fetch(request).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        response => response?,
    };
    let image: Image = response.json()?;
    let is_same = image.id == sent.id && is_same(&response.json()?, sent)?;
    Ok(if is_same { Found::Same } else { Found::Other })
}

/// Returns `true` if a stored record is the one that was sent.
fn is_same(stored: &Extra, sent: &NewImage) -> Result<bool> {
    let sent = serde_json::to_value(sent).map_err(|error| Error::invalid(error.to_string()))?;
    let mut fields = sent.as_object().into_iter().flatten();
    Ok(fields.all(|(name, sent)| {
        // Version 2 drops unknown fields.
        let stored = stored.get(name);
        stored.is_none_or(|stored| stored == sent || stored == &trimmed(sent))
    }))
}

/// Returns a value as version 2 stores it.
fn trimmed(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let is_space = |c: char| matches!(c, '\t'..='\r' | ' ' | '\0');
            text.trim_matches(is_space).into()
        }
        value => value.clone(),
    }
}
