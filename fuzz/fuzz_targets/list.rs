//! A list of images, from a server that answers with any bytes.

#![no_main]
#![allow(dead_code)]

#[path = "../../tests/it/hostile/operations.rs"]
mod operations;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|answers: &[u8]| operations::list(answers));
