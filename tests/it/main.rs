//! Everything that is tested through the public API, in one binary.

#[cfg(all(feature = "fs", feature = "testing"))]
mod end_to_end;
