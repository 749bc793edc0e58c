//! Settings from environment variables.

use std::env::VarError;

use super::OPERATION;
use crate::error::{Error, Result};

/// Returns an environment variable, if it is set and not empty.
pub(crate) fn from_env(name: &str) -> Result<Option<String>> {
    Ok(variable(name)?.filter(|value| !value.is_empty()))
}

/// Returns an environment variable that must not be empty.
pub(crate) fn required_env(name: &str) -> Result<String> {
    from_env(name)?.ok_or_else(|| not_set(name))
}

/// Returns an environment variable that must be set, but may be empty.
pub(crate) fn set_env(name: &str) -> Result<String> {
    variable(name)?.ok_or_else(|| not_set(name))
}

fn variable(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(invalid(format!("{name} is not UTF-8"))),
    }
}

/// Returns the error of a client that cannot be built.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(message).during(&OPERATION)
}

fn not_set(name: &str) -> Error {
    invalid(format!("{name} is not set"))
}
