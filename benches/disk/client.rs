//! One transfer by the crate, in a process of its own.

use std::path::PathBuf;

use clap::Subcommand;
use machine_images::Error;
use machine_images::djinn::{Client, Source};
use machine_images::qcow2::Compression;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The base URL.
    base: String,
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// The disk of an image to a file, without waiting for the disk.
    SaveRaw { id: i64, target: PathBuf },
    /// A raw disk to a new image.
    UploadRaw {
        disk: PathBuf,
        compression: Option<String>,
    },
}

pub(crate) fn run(args: Args) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(work(args)).unwrap();
}

async fn work(args: Args) -> Result<(), Error> {
    let images = Client::builder(args.base).token("bench").build()?.images();
    match args.work {
        Work::SaveRaw { id, target } => {
            images.save_raw(id, target).durable(false).await?;
        }
        Work::UploadRaw { disk, compression } => {
            let disk = Source::raw(disk);
            let source: Source = match compression.as_deref() {
                Some("zlib") => disk.compress(Compression::Zlib).into(),
                Some("zstd") => disk.compress(Compression::Zstd).into(),
                _ => disk.into(),
            };
            images.create_upload("bench", source).await?;
        }
    }
    Ok(())
}
