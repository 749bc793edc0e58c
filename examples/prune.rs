//! Deletes old images whose names begin alike, such as those of nightly builds.
//!
//! ```text
//! cargo run --example prune -- nightly- --older-than 30 --keep 3 --dry-run
//! ```
//!
//! Of the token's user's own images whose names begin with the prefix, the newest are kept,
//! however old they are; of the rest, those older than the given days are deleted. Exits with 1 if
//! an image could not be deleted.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::cmp::Reverse;
use std::process::ExitCode;

use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use machine_images::djinn::Client;
use machine_images::{ErrorKind, Result};

/// Deletes old images whose names begin alike. Needs DJINN_API_SERVER and DJINN_TOKEN.
#[derive(Parser)]
#[command(name = "prune")]
struct Args {
    /// Beginning of the names, such as nightly-.
    prefix: String,
    /// Delete images that are older than this.
    #[arg(long, value_name = "DAYS")]
    older_than: u32,
    /// Keep this many of the newest, however old they are.
    #[arg(long, value_name = "N", default_value_t = 1)]
    keep: usize,
    /// Print what would be deleted, and delete nothing.
    #[arg(long)]
    dry_run: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match prune(&Args::parse()).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("error: {failed} images could not be deleted");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the number of images that could not be deleted.
async fn prune(args: &Args) -> Result<usize> {
    let client = Client::from_env()?;
    let images = client.images();
    let me = client.check().await?.username;

    let mut found = images.list().search(&args.prefix).await?;
    found.retain(|image| {
        // The list also has images that others share.
        let is_mine = image.user.as_ref().is_some_and(|user| user.username == me);
        is_mine && image.name.starts_with(&args.prefix)
    });
    found.sort_by_key(|image| Reverse(image.created_at));

    let age = SignedDuration::from_hours(24 * i64::from(args.older_than));
    let limit = Timestamp::now() - age;
    let old = found.iter().skip(args.keep);
    let mut failed = 0;
    for image in old.filter(|image| image.created_at < limit) {
        let text = format!(
            "{} {}, created at {}",
            image.id, image.name, image.created_at
        );
        if args.dry_run {
            println!("would delete {text}");
            continue;
        }
        match images.delete(image.id).await {
            Ok(()) => println!("deleted {text}"),
            Err(error) if error.kind() == ErrorKind::NotFoundOrUnauthorized => {
                // Somebody else was faster, unless the token must not delete.
                failed += usize::from(images.get(image.id).await.is_ok());
                eprintln!("{error}");
            }
            Err(error) => {
                failed += 1;
                eprintln!("{error}");
            }
        }
    }
    Ok(failed)
}
