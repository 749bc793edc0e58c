//! Holes that were proven by reading the source as an attacker would. Each test failed before its
//! hole was closed.

mod answers;
#[cfg(feature = "fs")]
mod copies;
#[cfg(feature = "fs")]
mod held;
#[cfg(feature = "fs")]
mod sources;
mod starved;
mod wait;
