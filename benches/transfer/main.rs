//! Transfers against curl: `cargo bench --bench transfer`, and `-- --help` for what can be chosen.
//!
//! nginx and a few small servers run on loopback; this program starts itself once for every
//! transfer, so that time and memory are those of one process, and curl in turn.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod cases;
mod client;
mod embedded;
mod images;
mod lines;
mod lists;
mod measure;
mod namespace;
mod nginx;
mod pages;
mod sink;
mod small;
mod throttle;

use clap::{Parser, Subcommand};

/// Compares transfers with curl.
#[derive(Parser)]
struct Args {
    /// The size of the images in MiB.
    #[arg(long, default_value_t = 2048)]
    size: u64,
    /// How often each pair is run.
    #[arg(long, default_value_t = 11)]
    pairs: usize,
    /// Only the cases whose name has this in it.
    #[arg(long)]
    case: Option<String>,
    /// Run the crate on tokio's multi-thread runtime instead of a current-thread one.
    #[arg(long)]
    multi_thread: bool,
    /// Where the fetched files go; should be a disk.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    directory: std::path::PathBuf,
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
    /// The crate's own servers.
    #[command(hide = true)]
    Servers { image: std::path::PathBuf },
}

impl Args {
    fn wants(&self, case: &str) -> bool {
        self.case.as_deref().is_none_or(|part| case.contains(part))
    }
}

fn main() {
    let args = Args::parse();
    match args.work {
        Some(Work::Client(work)) => return client::run(work),
        Some(Work::Servers { image }) => return embedded::serve(image),
        None => {}
    }
    namespace::enter();
    cases::run(&args);
    lines::run(&args);
    lists::run(&args);
    small::run(&args);
}
