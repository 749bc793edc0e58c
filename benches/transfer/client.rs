//! One transfer by the crate, in a process of its own.

use std::path::PathBuf;

use clap::Subcommand;
use futures::TryStreamExt;
use machine_images::Error;
use machine_images::djinn::{Client, Image, Source};

use crate::small;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The base URL.
    base: String,
    /// Trust this certificate.
    #[arg(long)]
    certificate: Option<PathBuf>,
    #[arg(long)]
    multi_thread: bool,
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Contents to a file, without waiting for the disk.
    Save {
        id: i64,
        file: PathBuf,
        /// As many as pay, without a number.
        connections: Option<usize>,
    },
    /// Contents to nothing.
    Count { id: i64 },
    /// A file to a new image.
    Upload { file: PathBuf },
    /// To another server, by way of a file if there is one. Both are hashed.
    Copy {
        id: i64,
        sink: String,
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Small images, there and back, in several ways.
    Small {
        sink: String,
        image: PathBuf,
        file: PathBuf,
    },
    /// All images.
    List {
        #[arg(long, default_value_t = 0)]
        prefetch: usize,
    },
    /// All images, with reqwest and serde_json alone.
    ListByHand,
}

pub(crate) fn run(args: Args) {
    let mut builder = match args.multi_thread {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    builder
        .enable_all()
        .build()
        .unwrap()
        .block_on(work(args))
        .unwrap();
}

async fn work(args: Args) -> Result<(), Error> {
    if let Work::ListByHand = args.work {
        println!("{}", list_by_hand(&args.base).await);
        return Ok(());
    }
    let mut client = Client::builder(args.base).token("bench");
    if let Some(path) = args.certificate {
        client = client.root_certificates(std::fs::read(path).unwrap());
    }
    let images = client.build()?.images();
    match args.work {
        Work::Save {
            id,
            file,
            connections,
        } => {
            let mut content = images.save(id, file).durable(false);
            if let Some(connections) = connections {
                content = content.connections(connections);
            }
            content.await?;
        }
        Work::Count { id } => {
            let mut content = images.content(id).await?;
            let length = content.length();
            let mut count = 0;
            while let Some(chunk) = content.chunk().await? {
                count += chunk.len() as u64;
            }
            assert_eq!(Some(count), length);
        }
        Work::Upload { file } => {
            images
                .create_upload("bench", Source::file(file))
                .send()
                .await?;
        }
        Work::Copy { id, sink, file } => {
            let sink = Client::builder(sink).token("bench").build()?.images();
            match file {
                None => drop(images.copy(id).to(&sink).name("bench").await?),
                Some(file) => {
                    images
                        .save(id, &file)
                        .durable(false)
                        .compute_sha256(true)
                        .await?;
                    sink.create_upload("saved", Source::file(file)).await?;
                }
            }
        }
        Work::Small { sink, image, file } => {
            let sink = Client::builder(sink).token("bench").build()?.images();
            small::measure(images, sink, &image, &file).await?;
        }
        Work::List { prefetch } => {
            let all = images.list().prefetch(prefetch).stream();
            println!(
                "{}",
                all.try_fold(0, |count, _| async move { Ok(count + 1) })
                    .await?
            );
        }
        Work::ListByHand => {}
    }
    Ok(())
}

async fn list_by_hand(base: &str) -> usize {
    let client = reqwest::Client::new();
    let mut count = 0;
    for page in 1.. {
        let request = client.get(format!("{base}/images?page={page}"));
        let response = request.bearer_auth("bench").send().await.unwrap();
        let last = format!("page={page}>; rel=\"next\"");
        let link = response.headers()["link"].to_str().unwrap();
        let is_last = link.contains(&last);
        let body = response.bytes().await.unwrap();
        let images: Vec<Image> = serde_json::from_slice(&body).unwrap();
        count += images.len();
        if is_last {
            break;
        }
    }
    count
}
