//! Random faults against random calls. After each run, these rules must hold:
//!
//! - no file is incomplete, and no byte differs;
//! - an upload makes at most one image, however often the server was away or slow, and another
//!   user's image is never taken for it;
//! - a copy to another server makes at most one image there, and never one with other bytes;
//! - credentials are sent to their own server alone;
//! - every call returns, and fails only with a kind of error that a fault explains.
//!
//! `cargo run --release --example chaos -- --runs 1000 [--seed N] [--jobs N]`
//!
//! Seeds are counted from the first, which is printed. To repeat a run that failed, use `--runs 1`
//! and `--seed` with its number.

#![allow(clippy::print_stdout, reason = "it talks to a person")]

#[path = "chaos/calls.rs"]
mod calls;
#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/other_server.rs"]
mod other_server;
#[path = "chaos/rules.rs"]
mod rules;
#[path = "chaos/run.rs"]
mod run;
#[path = "chaos/summary.rs"]
mod summary;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

/// Random faults against random calls.
#[derive(Parser)]
struct Args {
    /// Number of runs.
    #[arg(long, default_value_t = 100)]
    runs: u64,
    /// Seed of the first run. Defaults to a random one.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of runs at a time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
}

#[tokio::main]
async fn main() -> std::io::Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    println!("{} runs from seed {seed}", args.runs);
    let began = Instant::now();
    let summary = run::run_all(seed, args.runs, args.jobs).await?;
    println!("{summary}in {:.1} s", began.elapsed().as_secs_f64());
    Ok(match summary.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
