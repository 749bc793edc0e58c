//! Parts of the models of both services.

use serde_json::{Map, Value};

/// Fields of an entity that this version of the crate does not know, kept as they were read.
pub type Extra = Map<String, Value>;
