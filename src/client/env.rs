//! Settings from the environment.

use std::env::VarError;

use super::OPERATION;
use crate::error::{Error, Result};

/// A variable of the environment, if it is set to something.
pub(crate) fn from_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable of the environment that must be set to something.
pub(crate) fn required_env(name: &str) -> Result<String> {
    from_env(name).ok_or_else(|| not_set(name))
}

/// A variable of the environment that must be set, if only to nothing.
pub(crate) fn set_env(name: &str) -> Result<String> {
    std::env::var(name).map_err(|error| match error {
        VarError::NotPresent => not_set(name),
        VarError::NotUnicode(_) => invalid(format!("{name} is not UTF-8")),
    })
}

/// An error of a client that cannot be built.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(message).during(&OPERATION)
}

fn not_set(name: &str) -> Error {
    invalid(format!("{name} is not set"))
}
