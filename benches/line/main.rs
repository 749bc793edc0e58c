//! Transfers on long lines against curl and aria2: `cargo bench --bench line`.
//!
//! Needs root, `ip` and /dev/net/tun: a server's and a client's network namespace are joined by an
//! emulated line. This program starts itself for every transfer, as `transfer` does.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![allow(clippy::print_stderr, clippy::print_stdout)]
// Some of what both benchmarks share is needed by one of them only.
#![allow(dead_code)]

mod cases;
#[path = "../transfer/client.rs"]
mod client;
#[path = "../transfer/images.rs"]
mod images;
mod line;
#[path = "../transfer/measure.rs"]
mod measure;
#[path = "../transfer/nginx.rs"]
mod nginx;
mod others;
#[path = "../transfer/pages.rs"]
mod pages;
#[path = "../transfer/sink.rs"]
mod sink;
mod small;

use clap::{Parser, Subcommand};

/// Compares transfers on long lines with curl and aria2.
#[derive(Parser)]
struct Args {
    /// How often each case is run.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the cases whose name has this in it.
    #[arg(long)]
    case: Option<String>,
    /// Connections of the crate, instead of as many as pay.
    #[arg(long)]
    connections: Option<usize>,
    // What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    work: Option<Work>,
}

#[derive(Subcommand)]
enum Work {
    /// One transfer by the crate: what this program starts itself for.
    #[command(hide = true)]
    Client(client::Args),
    /// The servers of uploads and lists.
    #[command(hide = true)]
    Serve,
}

impl Args {
    fn wants(&self, case: &str) -> bool {
        let part = self.case.as_deref();
        part.is_none_or(|part| case.contains(part))
    }
}

fn main() {
    let args = Args::parse();
    match args.work {
        Some(Work::Client(work)) => client::run(work),
        Some(Work::Serve) => others::serve(),
        None => match line::missing() {
            Some(missing) => println!("no line can be emulated here: {missing} is needed"),
            None => {
                cases::run(&args);
                others::run(&args);
            }
        },
    }
}
