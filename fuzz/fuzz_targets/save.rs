//! An image saved to a file, from a server that answers with any bytes.

#![no_main]
#![allow(dead_code)]

#[path = "../../tests/it/hostile/operations.rs"]
mod operations;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|answers: &[u8]| operations::save(answers, FOLDER.path()));
