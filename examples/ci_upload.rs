//! Uploads the image that a CI job has built, and prints its id.
//!
//! ```text
//! cargo run --example ci_upload -- debian-12 debian-12.qcow2 --namespace lab
//! ```
//!
//! A job can run it again after any failure: an answer that is lost does not lead to a second
//! image, and an image that is there already with the same bytes is a success.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | the server has the image; its id is on standard output |
//! | 1 | it failed, and would fail again: the token, the file, the server's answer |
//! | 2 | wrong usage |
//! | 3 | there is another image of that name |
//! | 4 | the file is rejected: no QCOW2 image, or a dangerous one |
//! | 75 | it failed for now: run it again later |
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use machine_images::djinn::{Client, Image, NamespacePath, Source};
use machine_images::{Digest, Error, ErrorKind, Result};

/// Uploads an image once, however often it runs. Needs DJINN_API_SERVER and DJINN_TOKEN.
#[derive(Parser)]
#[command(name = "ci_upload")]
struct Args {
    /// Name of the image.
    name: String,
    /// QCOW2 file to upload.
    file: PathBuf,
    /// Namespace to put it in, as PATH or PATH@OWNER.
    #[arg(long, value_name = "NS")]
    namespace: Option<NamespacePath>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match upload(Args::parse()).await {
        Ok(image) => {
            println!("{}", image.id);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::from(exit_code(&error))
        }
    }
}

async fn upload(args: Args) -> Result<Image> {
    let images = Client::from_env()?.images();
    let digest = Digest::of_file(&args.file).await?;
    let mut upload = images
        .create_upload(&args.name, Source::file(args.file))
        .reconcile_sha256(digest);
    let mut find = images.find(&args.name);
    if let Some(namespace) = args.namespace {
        upload = upload.namespace(namespace.clone());
        find = find.namespace(namespace);
    }
    let taken = match upload.await {
        Err(error) if error.kind() == ErrorKind::NameTaken => error,
        result => return result,
    };
    // An earlier run of the job may have put it there.
    let Some(image) = find.await? else {
        return Err(taken);
    };
    let existing = images.digest(image.id).await?;
    if existing.sha256 == digest {
        Ok(image)
    } else {
        Err(taken)
    }
}

fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::NameTaken => 3,
        ErrorKind::ImageRejected => 4,
        // With `reconcile` it is safe to run it again even if the outcome is unknown.
        ErrorKind::OutcomeUnknown | ErrorKind::NotReady => 75,
        _ if error.is_retryable() => 75,
        _ => 1,
    }
}
