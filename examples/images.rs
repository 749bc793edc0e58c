//! Machine images from the command line, on top of the crate's public API only.
//!
//! `cargo run --example images -- --help`

#[path = "images/args.rs"]
mod args;
#[path = "images/bar.rs"]
mod bar;
#[path = "images/demo.rs"]
mod demo;
#[path = "images/devops.rs"]
mod devops;
#[cfg(feature = "disk")]
#[path = "images/disk.rs"]
mod disk;
#[path = "images/djinn.rs"]
mod djinn;
#[path = "images/inspect.rs"]
mod inspect;
#[path = "images/output.rs"]
mod output;

use std::pin::pin;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use clap::Parser;
use futures::FutureExt;
#[cfg(unix)]
use rustix::process::Signal;
use tokio::runtime::Builder;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};

use args::{Args, Service};
use output::{Failure, Output, Result};

fn main() -> ExitCode {
    let Args { json, service } = Args::parse();
    let output = Output::new(json);
    match run(service, &output) {
        Ok(()) | Err(Failure::ClosedOutput) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(service: Service, output: &Output) -> Result {
    let (ready, is_ready) = mpsc::channel();
    let waiting = thread::Builder::new().spawn(|| end_on_ctrl_c(ready));
    let failed = |error| Failure::Io("cannot start".into(), error);
    waiting.map_err(failed)?;
    let _ = is_ready.recv();
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let result = runtime.block_on(async {
        // A file beyond the limit of `ulimit -f` is an error of writing then, as on a full disk.
        #[cfg(unix)]
        let _limited = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
        match service {
            Service::Djinn(args) => djinn::run(args, output).await,
            Service::Devops(args) => devops::run(args, output).await,
            Service::Inspect { file } => inspect::file(&file, output),
        }
    });
    // A thread may be reading standard input, which nothing can end.
    runtime.shutdown_background();
    result
}

/// Waits on a thread of its own, as the other one may be writing to a pipe that nobody reads. Says
/// so as soon as it does.
fn end_on_ctrl_c(ready: mpsc::Sender<()>) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let pressed = async {
        let mut pressed = pin!(tokio::signal::ctrl_c());
        let first = pressed.as_mut().now_or_never();
        drop(ready);
        match first {
            Some(pressed) => pressed,
            None => pressed.await,
        }
    };
    if runtime
        .and_then(|runtime| runtime.block_on(pressed))
        .is_ok()
    {
        // At once: threads that are still writing leave a state that can be resumed.
        std::process::exit(130);
    }
}
