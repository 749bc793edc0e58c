//! The example programs, run as their users run them: their output, and how they end.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
// A client without a crypto provider cannot be built.
#![cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]

mod axum_proxy;
#[cfg(feature = "blocking")]
mod blocking;
mod ci_upload;
mod copy;
mod demo;
#[cfg(feature = "disk")]
mod disk;
mod djinn;
mod ends;
mod help;
mod mirror;
mod prune;
mod serve;
mod usage;
#[cfg(feature = "webhooks")]
mod webhook_receiver;

use std::path::Path;
use std::process::{Child, Command, Output};

use machine_images::testing::DjinnServer;
use serde_json::Value;

/// A real QCOW2 image.
const DISK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/disk.qcow2");

/// The variables that the programs read.
const VARIABLES: [&str; 8] = [
    "DJINN_API_SERVER",
    "DJINN_TOKEN",
    "DEVOPS_SERVER",
    "DEVOPS_USER",
    "DEVOPS_PASSWORD",
    "DEVOPS_TOKEN",
    "MIRROR_API_SERVER",
    "MIRROR_TOKEN",
];

/// The program `images`.
fn program() -> Command {
    example("images")
}

/// An example, which cargo builds beside the tests unless the command line says what to build.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let built = test.ancestors().nth(2).unwrap().join("examples").join(file);
    assert!(
        is_current(&built),
        "{} is missing or older than its source: `cargo build --example {name}` makes it",
        built.display()
    );
    let mut program = Command::new(built);
    for variable in VARIABLES {
        program.env_remove(variable);
    }
    program
}

/// An example that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns `false` for a program that was built before its source was last changed, which tests
/// nothing.
fn is_current(built: &Path) -> bool {
    let modified = |path: &str| {
        std::fs::metadata(path)
            .and_then(|data| data.modified())
            .ok()
    };
    let Some(time) = built.to_str().and_then(modified) else {
        return false;
    };
    // `PROGRAM: SOURCE SOURCE ...`
    let sources = std::fs::read_to_string(built.with_extension("d")).unwrap();
    let mut sources = sources.split_whitespace().skip(1).filter_map(modified);
    sources.all(|source| source <= time)
}

/// The program `images` on an embedded server.
fn on(server: &DjinnServer) -> Command {
    example_on("images", server)
}

/// An example on an embedded server.
fn example_on(name: &str, server: &DjinnServer) -> Command {
    let mut program = example(name);
    program.env("DJINN_API_SERVER", server.url().as_str());
    program.env("DJINN_TOKEN", server.token());
    program
}

/// How a run of the program ended.
#[derive(Debug)]
struct Ran {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:?}");
        self
    }

    /// The lines of standard output as JSON.
    #[track_caller]
    fn json(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The one line of a failure, as JSON.
    #[track_caller]
    fn failure(&self) -> Value {
        assert_eq!(self.status, Some(1), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.err).unwrap()
    }
}

/// Runs a command, its arguments separated by spaces.
fn run(mut program: Command, args: &str) -> Ran {
    Ran::new(program.args(args.split_whitespace()).output().unwrap())
}
