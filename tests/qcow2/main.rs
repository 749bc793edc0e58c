//! QCOW2 inspection against the programs that others trust: `qemu-img` and oslo.utils.
//!
//! Tests whose tool is missing say so and pass, unless `MACHINE_IMAGES_REQUIRE_TOOLS=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]
#![cfg(feature = "fs")]

mod corpus;
#[cfg(all(feature = "disk", feature = "testing", unix))]
mod disks;
mod effort;
#[cfg(all(feature = "disk", feature = "testing", unix))]
mod guests;
mod image;
mod incremental;
mod mutants;
mod oslo;
mod qemu;
#[cfg(all(feature = "disk", feature = "testing", unix))]
mod read;
#[cfg(all(feature = "disk", feature = "testing", unix))]
mod save_raw;
