//! The commands for Djinn CI.

use std::io::{self, Write};
use std::time::Duration;

use bytes::BytesMut;
use futures::{StreamExt, TryStreamExt, stream};
use machine_images::Saved;
use machine_images::djinn::{Client, DownloadState, Image, Images, List, Source};
use machine_images::testing::DjinnServer;
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::args::{Content, Djinn, DjinnCommand, wrong_usage};
use super::bar::Bar;
use super::inspect;
use super::output::{Failure, Output, Result, closed, given, note_embedded};

pub(crate) async fn run(args: Djinn, output: &Output) -> Result {
    let (client, _embedded) = client(&args)?;
    let images = client.images();
    match args.command {
        DjinnCommand::List {
            search,
            limit,
            prefetch,
        } => {
            let mut list = images.list().prefetch(prefetch);
            if let Some(text) = search {
                list = list.search(text);
            }
            if let Some(limit) = limit {
                list = list.limit(limit);
            }
            print_all(list, output).await
        }
        DjinnCommand::Get { id } => show(output, &images.get(id).send().await?),
        DjinnCommand::Upload {
            name,
            file,
            namespace,
            no_inspect,
        } => {
            let source = match file.as_str() {
                "-" => Source::stream(standard_input(), None),
                path => Source::file(path),
            };
            let bar = Bar::new(output, &name);
            let mut upload = images.create_upload(name, source).progress(bar);
            if let Some(namespace) = namespace {
                upload = upload.namespace(namespace);
            }
            if no_inspect {
                upload = upload.unchecked();
            }
            show(output, &upload.send().await?)
        }
        DjinnCommand::Download {
            name,
            url,
            namespace,
            wait,
        } => {
            let mut download = images.create_download(name, url);
            if let Some(namespace) = namespace {
                download = download.namespace(namespace);
            }
            let image = download.send().await?;
            match wait {
                None => show(output, &image),
                Some(seconds) => wait_for(&images, image.id.0, seconds, output).await,
            }
        }
        DjinnCommand::Wait { id, timeout } => wait_for(&images, id, timeout, output).await,
        DjinnCommand::Inspect { id } => {
            let report = images.content(id).inspect().await?;
            inspect::show(&format!("image {id}"), &report, output)
        }
        DjinnCommand::Content(args) => content(&images, args, output).await,
        DjinnCommand::Delete { id } => {
            images.delete(id).send().await?;
            output.deleted(&id)
        }
    }
}

/// A client for the server that was named, or else for an embedded one.
fn client(args: &Djinn) -> Result<(Client, Option<DjinnServer>)> {
    let Some(server) = given(&args.server) else {
        note_embedded("DJINN_API_SERVER");
        let embedded = DjinnServer::start()
            .map_err(|error| Failure::Io("cannot start a server".into(), error))?;
        let client = Client::builder(embedded.url())
            .token(embedded.token())
            .build()?;
        return Ok((client, Some(embedded)));
    };
    let mut builder = Client::builder(server);
    if let Some(token) = given(&args.token) {
        builder = builder.token(token);
    }
    Ok((builder.build()?, None))
}

async fn print_all(list: List, output: &Output) -> Result {
    let mut all = list.stream();
    if output.json {
        while let Some(image) = all.try_next().await? {
            output.line(&image)?;
        }
        return Ok(());
    }
    let mut rows = vec![
        ["ID", "NAME", "NAMESPACE", "CREATED", "STATE"]
            .map(String::from)
            .to_vec(),
    ];
    while let Some(image) = all.try_next().await? {
        let namespace = image
            .namespace
            .as_ref()
            .map(|namespace| namespace.path.clone());
        rows.push(vec![
            image.id.to_string(),
            image.name.clone(),
            namespace.unwrap_or_default(),
            image.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
            state(&image).to_owned(),
        ]);
    }
    output.table(&rows)
}

fn state(image: &Image) -> &'static str {
    match image.download.as_ref().map(|download| download.state()) {
        None | Some(DownloadState::Finished) => "ready",
        Some(DownloadState::Queued) => "queued",
        Some(DownloadState::Running) => "downloading",
        Some(_) => "failed",
    }
}

fn show(output: &Output, image: &Image) -> Result {
    let text = |part: Option<String>| part.unwrap_or_default();
    let download = image.download.as_ref();
    output.object(
        image,
        &[
            ("id", image.id.to_string()),
            ("name", image.name.clone()),
            (
                "namespace",
                text(
                    image
                        .namespace
                        .as_ref()
                        .map(|namespace| namespace.path.clone()),
                ),
            ),
            (
                "driver",
                text(image.driver.as_ref().map(ToString::to_string)),
            ),
            ("created", image.created_at.to_string()),
            (
                "author",
                text(image.author.as_ref().map(|author| author.username.clone())),
            ),
            (
                "owner",
                text(image.user.as_ref().map(|user| user.username.clone())),
            ),
            ("state", state(image).to_owned()),
            (
                "source",
                text(download.map(|download| download.source.to_string())),
            ),
            (
                "error",
                text(download.and_then(|download| download.error.clone())),
            ),
            ("url", image.url.to_string()),
        ],
    )
}

async fn wait_for(images: &Images, id: i64, seconds: u64, output: &Output) -> Result {
    let wait = images
        .wait_downloaded(id)
        .timeout(Duration::from_secs(seconds))
        .progress(Bar::new(output, format!("image {id}")));
    show(output, &wait.send().await?)
}

async fn content(images: &Images, args: Content, output: &Output) -> Result {
    let bar = Bar::new(output, format!("image {}", args.id));
    let request = images.content(args.id).progress(bar);
    if args.file == "-" {
        if args.sha256.is_some() {
            wrong_usage("--sha256 needs a file: standard output cannot be taken back");
        }
        let mut chunks = request.send().await?.stream();
        let mut out = io::stdout().lock();
        while let Some(chunk) = chunks.next().await {
            out.write_all(&chunk?).map_err(closed)?;
        }
        return out.flush().map_err(closed);
    }
    let mut request = request
        .connections(args.connections)
        .resume(!args.no_resume);
    if let Some(digest) = args.sha256 {
        request = request.sha256(digest);
    }
    let saved: Saved = request.save_to(&args.file).await?;
    let sha256 = saved.sha256.map(|digest| digest.to_string());
    output.object(
        &json!({
            "saved": args.file,
            "bytes": saved.bytes,
            "fetched": saved.fetched,
            "resumed_from": saved.resumed_from,
            "sha256": sha256,
        }),
        &[
            ("saved", args.file.clone()),
            ("bytes", saved.bytes.to_string()),
            ("fetched", saved.fetched.to_string()),
            ("resumed from", saved.resumed_from.to_string()),
            ("sha256", sha256.clone().unwrap_or_default()),
            ("time", format!("{:.2?}", saved.elapsed)),
        ],
    )
}

fn standard_input() -> impl futures::Stream<Item = io::Result<bytes::Bytes>> + Send {
    stream::try_unfold(BytesMut::new(), |mut buffer| async {
        buffer.reserve(256 * 1024);
        let count = tokio::io::stdin().read_buf(&mut buffer).await?;
        Ok((count > 0).then(|| (buffer.split().freeze(), buffer)))
    })
}
