//! What a DevOps Service means by its answers.

use crate::transport::{Meaning, Refused, Service};

pub(super) static SERVICE: Service = Service { meaning };

fn meaning(refused: &Refused<'_>) -> Option<Meaning> {
    let _ = refused;
    None
}
