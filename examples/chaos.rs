//! Random faults against random calls, and what must hold whatever happens: no file that is not
//! whole, no byte that differs, no second image of an upload, however often the server was away or
//! slow, none of another user's taken for it, no credentials sent elsewhere, no call that
//! hangs, no error of a kind that a fault does not explain.
//!
//! `cargo run --release --example chaos -- --runs 1000 [--seed N] [--jobs N]`
//!
//! Every run has a seed of its own, counted from the first, which is printed; a run that failed is
//! repeated with `--runs 1 --seed` and its number.

#![allow(clippy::print_stdout, reason = "it talks to a person")]

#[path = "chaos/calls.rs"]
mod calls;
#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/run.rs"]
mod run;
#[path = "chaos/stranger.rs"]
mod stranger;
#[path = "chaos/tally.rs"]
mod tally;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

/// Random faults against random calls.
#[derive(Parser)]
struct Args {
    /// How many runs to make.
    #[arg(long, default_value_t = 100)]
    runs: u64,
    /// The seed of the first run; a random one unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs under way at a time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
}

#[tokio::main]
async fn main() -> std::io::Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    println!("{} runs from seed {seed}", args.runs);
    let began = Instant::now();
    let tally = run::all(seed, args.runs, args.jobs).await?;
    println!("{tally}in {:.1} s", began.elapsed().as_secs_f64());
    Ok(match tally.broken.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
