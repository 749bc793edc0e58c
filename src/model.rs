//! What the models of both services are made of.

use serde_json::{Map, Value};

/// What newer servers add to an entity; it is kept, and written again.
pub type Extra = Map<String, Value>;
