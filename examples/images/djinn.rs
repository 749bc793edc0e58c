//! The commands for Djinn CI.

use std::io::{self, Write};
use std::time::Duration;

use futures::TryStreamExt;
use machine_images::Saved;
use machine_images::djinn::{Client, DownloadState, Image, Images, Source};
#[cfg(feature = "disk")]
use machine_images::qcow2::Compression;
use serde_json::json;

#[cfg(feature = "disk")]
use super::args::Compress;
use super::args::{Content, Copy, Djinn, DjinnCommand, List, Upload, no_server, wrong_usage};
use super::bar::Bar;
#[cfg(feature = "disk")]
use super::disk;
use super::output::{Failure, Output, Result, closed, given};
use super::{demo, inspect};

pub(crate) async fn run(args: Djinn, output: &Output) -> Result {
    if args.demo {
        let (client, _server) = demo::djinn()?;
        return command(client.images(), args.command, output).await;
    }
    let client = client(given(&args.server), given(&args.token), output)?;
    command(client.images(), args.command, output).await
}

/// A client for the server that was named.
fn client(server: Option<&str>, token: Option<&str>, output: &Output) -> Result<Client> {
    let Some(server) = server else {
        no_server("DJINN_API_SERVER");
    };
    let mut builder = Client::builder(server).retry(output.retry());
    if let Some(token) = token {
        builder = builder.token(token);
    }
    Ok(builder.build()?)
}

async fn command(images: Images, command: DjinnCommand, output: &Output) -> Result {
    match command {
        DjinnCommand::List(args) => list(&images, args, output).await,
        DjinnCommand::Get { id } => show(output, &images.get(id).await?),
        DjinnCommand::Find { name, namespace } => {
            let mut find = images.find(&name);
            let mut place = String::new();
            if let Some(namespace) = namespace {
                place = format!(" in namespace {namespace}");
                find = find.namespace(namespace);
            }
            match find.await? {
                Some(image) => show(output, &image),
                None => Err(Failure::NotFound(format!(
                    "find image {name:?}: there is none of that name{place}"
                ))),
            }
        }
        DjinnCommand::Upload(args) => upload(&images, args, output).await,
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
            let image = download.await?;
            match wait {
                None => show(output, &image),
                Some(seconds) => wait_for(&images, image.id.get(), seconds, output).await,
            }
        }
        DjinnCommand::Wait { id, timeout } => wait_for(&images, id, timeout, output).await,
        DjinnCommand::Inspect { id } => {
            let report = images.inspect(id).await?;
            inspect::show(&format!("image {id}"), &report, output)
        }
        #[cfg(feature = "disk")]
        DjinnCommand::Content(args) if args.raw => disk::save(&images, args, output).await,
        DjinnCommand::Content(args) => content(&images, args, output).await,
        DjinnCommand::Digest { id } => digest(&images, id, output).await,
        #[cfg(feature = "disk")]
        DjinnCommand::Read(args) => disk::read(&images, args, output).await,
        #[cfg(feature = "disk")]
        DjinnCommand::Map { id } => disk::map(&images, id, output).await,
        DjinnCommand::Copy(args) => copy(&images, args, output).await,
        DjinnCommand::Delete { id } => {
            images.delete(id).await?;
            output.deleted(&id)
        }
    }
}

async fn list(images: &Images, args: List, output: &Output) -> Result {
    let of_namespace = args.namespace.is_some();
    let mut list = images.list();
    if let Some(namespace) = args.namespace {
        list = list.namespace(namespace);
    }
    if let Some(text) = args.search {
        list = list.search(text);
    }
    let mut walk = list.prefetch(args.prefetch);
    if let Some(limit) = args.limit {
        walk = walk.limit(limit);
    }
    let mut all = walk.stream();
    if output.json {
        while let Some(image) = all.try_next().await? {
            output.line(&image)?;
        }
        return Ok(());
    }
    let mut head = vec!["ID", "NAME", "CREATED", "NAMESPACE", "STATE"];
    if of_namespace {
        // The list of a namespace does not have the rest.
        head.truncate(3);
    }
    let columns = head.len();
    let mut rows = vec![head.into_iter().map(String::from).collect()];
    while let Some(image) = all.try_next().await? {
        let mut row = vec![
            image.id.to_string(),
            image.name.clone(),
            image.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
            namespace(&image),
            state(&image).to_owned(),
        ];
        row.truncate(columns);
        rows.push(row);
    }
    output.table(&rows)
}

async fn upload(images: &Images, args: Upload, output: &Output) -> Result {
    let source = source(&args);
    let bar = Bar::new(output, &args.name);
    let mut upload = images
        .create_upload(args.name, source)
        .reconcile(args.reconcile)
        .progress(bar);
    if let Some(digest) = args.sha256 {
        upload = upload.reconcile_sha256(digest);
    }
    if let Some(namespace) = args.namespace {
        upload = upload.namespace(namespace);
    }
    if args.no_inspect {
        upload = upload.unchecked();
    }
    show(output, &upload.await?)
}

fn source(args: &Upload) -> Source {
    #[cfg(feature = "disk")]
    if args.raw.raw {
        return raw(args);
    }
    match args.file.as_str() {
        "-" => Source::reader(tokio::io::stdin(), None),
        path => Source::file(path),
    }
}

#[cfg(feature = "disk")]
fn raw(args: &Upload) -> Source {
    if args.file == "-" {
        wrong_usage("--raw reads FILE twice, which standard input cannot be");
    }
    let disk = Source::raw(&args.file);
    match args.raw.compress {
        None => disk.into(),
        Some(Compress::Zlib) => disk.compress(Compression::Zlib).into(),
        Some(Compress::Zstd) => disk.compress(Compression::Zstd).into(),
    }
}

/// The path of the namespace that an image is in, if the server tells.
fn namespace(image: &Image) -> String {
    let namespace = image.namespace.as_ref();
    namespace.map_or_else(String::new, |namespace| namespace.path.clone())
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
            ("namespace", namespace(image)),
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
    show(output, &wait.await?)
}

async fn content(images: &Images, args: Content, output: &Output) -> Result {
    let bar = Bar::new(output, format!("image {}", args.id));
    if args.file == "-" {
        only_for_files(&args);
        let request = images.content(args.id).progress(bar);
        let mut content = match args.sha256 {
            Some(digest) => request.sha256(digest).await?,
            None => request.await?,
        };
        let mut out = io::stdout().lock();
        while let Some(chunk) = content.chunk().await? {
            out.write_all(&chunk).map_err(closed)?;
        }
        return out.flush().map_err(closed);
    }
    let mut request = images
        .save(args.id, &args.file)
        .progress(bar)
        .resume(!args.no_resume)
        .refresh(args.refresh);
    if let Some(connections) = args.connections {
        request = request.connections(connections.get());
    }
    if let Some(digest) = args.sha256 {
        request = request.sha256(digest);
    }
    saved(&request.await?, args.file, output)
}

/// Refuses what standard output cannot do.
pub(crate) fn only_for_files(args: &Content) {
    if args.refresh || args.connections.is_some() {
        wrong_usage("--refresh and --connections need a FILE: standard output is written in order");
    }
}

/// Shows what came of saving an image to a file.
pub(crate) fn saved(saved: &Saved, file: String, output: &Output) -> Result {
    let sha256 = saved.sha256.map(|digest| digest.to_string());
    output.object(
        &json!({
            "saved": file,
            "bytes": saved.bytes,
            "fetched": saved.fetched,
            "resumed_from": saved.resumed_from,
            "unchanged": saved.unchanged,
            "connections": saved.connections,
            "sha256": sha256,
        }),
        &[
            ("saved", file.clone()),
            ("bytes", saved.bytes.to_string()),
            ("fetched", saved.fetched.to_string()),
            ("resumed from", saved.resumed_from.to_string()),
            ("sha256", sha256.clone().unwrap_or_default()),
            ("time", format!("{:.2?}", saved.elapsed)),
        ],
    )
}

async fn digest(images: &Images, id: i64, output: &Output) -> Result {
    let bar = Bar::new(output, format!("image {id}"));
    let computed = images.digest(id).progress(bar).await?;
    let sha256 = computed.sha256.to_string();
    output.object(
        &json!({ "id": id, "bytes": computed.bytes, "sha256": sha256 }),
        &[
            ("id", id.to_string()),
            ("bytes", computed.bytes.to_string()),
            ("sha256", sha256.clone()),
        ],
    )
}

async fn copy(images: &Images, args: Copy, output: &Output) -> Result {
    let target = client(Some(&args.to), given(&args.to_token), output)?.images();
    let bar = Bar::new(output, format!("image {}", args.id));
    let mut copy = images.copy(args.id).to(&target).progress(bar);
    if let Some(name) = args.name {
        copy = copy.name(name);
    }
    if let Some(namespace) = args.namespace {
        copy = copy.namespace(namespace);
    }
    if let Some(digest) = args.sha256 {
        copy = copy.sha256(digest);
    }
    let copied = copy.await?;
    let (image, sha256) = (&copied.image, copied.sha256.to_string());
    output.object(
        &json!({ "image": image, "bytes": copied.bytes, "sha256": sha256 }),
        &[
            ("id", image.id.to_string()),
            ("name", image.name.clone()),
            ("namespace", namespace(image)),
            ("bytes", copied.bytes.to_string()),
            ("sha256", sha256.clone()),
            ("url", image.url.to_string()),
        ],
    )
}
