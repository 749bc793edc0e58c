//! Creations that find out what came of them.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::register::{Register, taken};
use super::{Created, Image, NewImage};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Extra;
use crate::transport::Transport;

/// How long to go on looking.
pub(super) const WITHIN: Duration = Duration::from_secs(60);

/// The first and the longest time between two looks; each is twice the one before.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// What there is under the id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// An image with the fields that were sent.
    Same,
    Other,
}

/// Creates until there is the image, or it is known that there will be none.
pub(super) async fn create(register: &Register, within: Duration) -> Result<Created> {
    let transport = &register.images.transport;
    // What is found later was not there before.
    if look(register, transport).await? != Found::Nothing {
        return Err(name_taken(register));
    }
    let mut retries = transport.retry().start();
    // Whether an attempt before may have been done.
    let mut unclear = false;
    loop {
        let error = match register.post().await {
            Ok(created) => return Ok(created),
            Err(error) => error,
        };
        let kind = error.kind();
        let is_looked_up = is_unclear(kind) || (unclear && kind == ErrorKind::NameTaken);
        if !is_looked_up {
            if kind == ErrorKind::Connect {
                // Repeated already.
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
                    id: Some(register.image.id.clone()),
                    ..Created::default()
                });
            }
            Some(Found::Other) => return Err(name_taken(register).attempts_of(&error)),
            Some(Found::Nothing) if kind != ErrorKind::NameTaken => {}
            _ => return Err(error),
        }
        // Looking takes its time, which is not that of the retries.
        retries.restart_clock();
        retries.pause(error, true).await?;
    }
}

/// Whether the server may have done what it did not clearly answer.
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

/// Looks until the server answers; `None` if it does not in time, or gives no clear answer.
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
    let request = register.images.on_image(Method::GET, &sent.id)?;
    let answer = match transport.fetch(request).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        answer => answer?,
    };
    let image: Image = answer.json()?;
    let is_same = image.id == sent.id && is_same(&answer.json()?, sent)?;
    Ok(if is_same { Found::Same } else { Found::Other })
}

/// Whether a stored record is what the server makes of the one that was sent.
fn is_same(stored: &Extra, sent: &NewImage) -> Result<bool> {
    let sent = serde_json::to_value(sent).map_err(|error| Error::invalid(error.to_string()))?;
    let mut fields = sent.as_object().into_iter().flatten();
    Ok(fields.all(|(name, sent)| {
        // Version 2 drops fields that it does not know.
        let stored = stored.get(name);
        stored.is_none_or(|stored| stored == sent || stored == &trimmed(sent))
    }))
}

/// A value as version 2 stores it.
fn trimmed(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let is_space = |c: char| matches!(c, '\t'..='\r' | ' ' | '\0');
            text.trim_matches(is_space).into()
        }
        value => value.clone(),
    }
}
