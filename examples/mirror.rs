//! Copies the images of one server to another, as often as it is run.
//!
//! ```text
//! cargo run --example mirror -- --to https://mirror.example.org --jobs 8
//! ```
//!
//! The images are the token's user's own or, with `--namespace`, those of a namespace. Each keeps
//! its name and the path of its namespace. One that the target has already is skipped, so that a run
//! which was interrupted is continued by running it again: also if the response to an upload was
//! lost, since the next run finds the image.
//!
//! With `--prune` the target loses what the source does not have, once all images are copied: unless the
//! source has none at all. An image that differs is replaced if that of the source passes an inspection;
//! the target is without it until the copy is done.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | the target has all images |
//! | 1 | some are missing, different or not ready; run it again |
//! | 2 | wrong usage |
//! | 130 | interrupted |
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use futures::{StreamExt, stream};
use indicatif::{MultiProgress, ProgressBar};
use machine_images::djinn::{Client, Image, ImageId, Images, NamespacePath, User};
use machine_images::qcow2::Verdict;
use machine_images::{ErrorKind, Progress, Result};

/// How often a list that changes is read.
const MAX_PASSES: u32 = 10;

/// Copies the images of one server to another.
#[derive(Parser)]
#[command(name = "mirror")]
struct Args {
    /// Base URL of the server to copy from.
    #[arg(long, env = "DJINN_API_SERVER", hide_env_values = true)]
    from: String,
    /// Token for that server.
    #[arg(long, env = "DJINN_TOKEN", hide_env_values = true)]
    from_token: String,
    /// Base URL of the server to copy to.
    #[arg(long, env = "MIRROR_API_SERVER", hide_env_values = true)]
    to: String,
    /// Token for that server.
    #[arg(long, env = "MIRROR_TOKEN", hide_env_values = true)]
    to_token: String,
    /// Copy the images of this namespace only, given as PATH or PATH@OWNER.
    #[arg(long, value_name = "NS")]
    namespace: Option<NamespacePath>,
    /// Copy the images whose name contains this text only.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Copy this many images at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Compare the digests of images that are on both servers, not only their lengths.
    #[arg(long)]
    verify: bool,
    /// Delete images from the target that the source does not have, and replace those that differ.
    #[arg(long)]
    prune: bool,
    /// Print what would be copied and deleted, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let mirrored = tokio::select! {
        mirrored = mirror(&args) => mirrored,
        _ = tokio::signal::ctrl_c() => return ExitCode::from(130),
    };
    match mirrored {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            let kind = error.downcast_ref().map(machine_images::Error::kind);
            match kind {
                Some(ErrorKind::InvalidInput) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The path of a namespace, and a name: an image is the same on both servers if it has the same.
type Place = (Option<String>, String);

/// Returns `true` if the target has all images.
async fn mirror(args: &Args) -> Result<bool, Box<dyn Error>> {
    let source = Client::builder(&args.from).token(&args.from_token);
    let target = Client::builder(&args.to).token(&args.to_token);
    let (source, target) = (source.build()?, target.build()?);
    let mirror = Mirror {
        args,
        wanted: list(&source, args, args.namespace.as_ref()).await?,
        present: list(&target, args, None).await?,
        source: source.images(),
        target: target.images(),
        bars: MultiProgress::new(),
    };
    if args.prune && mirror.wanted.is_empty() && !mirror.present.is_empty() {
        return Err("the source has no images, so that `--prune` would delete all".into());
    }
    let surplus = mirror.present.iter();
    let surplus = surplus.filter(|(place, _)| args.prune && mirror.is_surplus(place));
    let (first, last): (Vec<_>, Vec<_>) =
        surplus.partition(|(place, _)| mirror.is_in_the_way(place));
    let (mut deleted, mut copied) = (Counts::default(), Counts::default());
    let deletions = first.iter().map(|(place, id)| mirror.delete(place, **id));
    mirror.all(deletions, &mut deleted).await;
    for is_within in [false, true] {
        let images = mirror.wanted.iter();
        let images = images.filter(|((path, _), _)| path.is_some() == is_within);
        let copies = images.map(|(place, id)| mirror.image(place, *id));
        mirror.all(copies, &mut copied).await;
    }
    if copied.failed == 0 {
        let deletions = last.iter().map(|(place, id)| mirror.delete(place, **id));
        mirror.all(deletions, &mut deleted).await;
    }
    let failed = deleted.failed + copied.failed;
    println!(
        "{} copied, {} skipped, {} deleted, {failed} failed",
        copied.changed, copied.unchanged, deleted.changed
    );
    Ok(failed == 0)
}

/// Lists the images of a namespace, or the user's own.
async fn list(
    client: &Client,
    args: &Args,
    namespace: Option<&NamespacePath>,
) -> Result<HashMap<Place, ImageId>, Box<dyn Error>> {
    let me = client.check().await?;
    let mut list = client.images().list();
    if let Some(namespace) = namespace {
        list = list.namespace(namespace.clone());
    }
    let all = list.consistent(MAX_PASSES).await?.into_iter();
    // The server's own search does not apply to the user's images.
    let text = args.search.as_deref().unwrap_or_default();
    let mut images = HashMap::new();
    for image in all.filter(|image| image.name.contains(text)) {
        // The list also has images that others share.
        if namespace.is_none() && !is_of(&image, &me)? {
            continue;
        }
        let path = match namespace {
            Some(namespace) => Some(namespace.path().to_owned()),
            None => path_of(&image)?,
        };
        images.insert((path, image.name), image.id);
    }
    Ok(images)
}

/// Returns `true` if an image is the user's. An image of which that cannot be said is an error: it would
/// be missing in the list.
fn is_of(image: &Image, user: &User) -> Result<bool, String> {
    match (user.id, &image.user) {
        (Some(id), _) => Ok(image.user_id == id),
        (None, Some(owner)) => Ok(owner.username == user.username),
        (None, None) => Err(format!("{}: the server tells no user", image.name)),
    }
}

/// Returns the path of an image's namespace, which belongs to the token's user on the target.
fn path_of(image: &Image) -> Result<Option<String>, String> {
    let path = image.namespace.as_ref().map(|namespace| &namespace.path);
    match (image.namespace_id, path) {
        (None, None) => Ok(None),
        (_, Some(path)) if !path.contains('@') => Ok(Some(path.clone())),
        _ => Err(format!("{}: the server tells no namespace", image.name)),
    }
}

#[derive(Default)]
struct Counts {
    changed: usize,
    unchanged: usize,
    failed: usize,
}

struct Mirror<'a> {
    args: &'a Args,
    source: Images,
    target: Images,
    wanted: HashMap<Place, ImageId>,
    present: HashMap<Place, ImageId>,
    bars: MultiProgress,
}

impl Mirror<'_> {
    fn is_surplus(&self, place: &Place) -> bool {
        let path = self.args.namespace.as_ref().map(NamespacePath::path);
        let is_within = path.is_none() || place.0.as_deref() == path;
        is_within && !self.wanted.contains_key(place)
    }

    /// Returns `true` if an image keeps another one from being copied: a name outside of all
    /// namespaces must not be in any of them.
    fn is_in_the_way(&self, (path, name): &Place) -> bool {
        path.is_some() && self.wanted.contains_key(&(None, name.clone()))
    }

    /// Runs some of the work at a time. An error does not end the rest.
    async fn all<W>(&self, work: impl Iterator<Item = W>, counts: &mut Counts)
    where
        W: Future<Output = Result<bool, String>>,
    {
        let mut results = stream::iter(work).buffer_unordered(self.args.jobs.into());
        while let Some(result) = results.next().await {
            match result {
                Ok(true) => counts.changed += 1,
                Ok(false) => counts.unchanged += 1,
                Err(text) => {
                    counts.failed += 1;
                    self.bars.suspend(|| eprintln!("{text}"));
                }
            }
        }
    }

    /// Copies an image unless the target has it. Returns `false` if there was nothing to do.
    async fn image(&self, place: &Place, id: ImageId) -> Result<bool, String> {
        let failed = |error| format!("{}: {error:#}", place.1);
        if let Some(&present) = self.present.get(place) {
            if self.is_same(id, present).await.map_err(failed)? {
                return Ok(false);
            }
            if !self.args.prune {
                let text = "the target has another image of that name; `--prune` replaces it";
                return Err(format!("{}: {text}", place.1));
            }
            let report = self.source.inspect(id).await.map_err(failed)?;
            if report.verdict() != Verdict::Accept {
                let text = "the target has another image of that name, but the source's is bad";
                return Err(format!("{}: {text}", place.1));
            }
            self.delete(place, present).await?;
        }
        match self.copy(place, id).await {
            Ok(()) => Ok(true),
            // An upload of an earlier run may have ended meanwhile.
            Err(error) if error.kind() == ErrorKind::NameTaken => {
                match self.find(place).await.map_err(failed)? {
                    Some(found) if self.is_same(id, found).await.map_err(failed)? => Ok(false),
                    _ => Err(failed(error)),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn copy(&self, (path, name): &Place, id: ImageId) -> Result<()> {
        if self.args.dry_run {
            println!("would copy {name}");
            return Ok(());
        }
        let bar = self.bars.add(ProgressBar::no_length());
        let shown = bar.clone();
        let copy = self.source.copy(id).to(&self.target).name(name);
        let mut copy = copy.progress(move |progress: Progress| {
            shown.set_length(progress.total.unwrap_or(progress.done));
            shown.set_position(progress.done);
        });
        if let Some(path) = path {
            copy = copy.namespace(path.parse()?);
        }
        let copied = copy.await;
        bar.finish_and_clear();
        let bytes = copied?.bytes;
        self.bars
            .suspend(|| println!("copied {name}, {bytes} bytes"));
        Ok(())
    }

    async fn find(&self, (path, name): &Place) -> Result<Option<ImageId>> {
        let mut find = self.target.find(name);
        if let Some(path) = path {
            find = find.namespace(path.parse()?);
        }
        Ok(find.await?.map(|image| image.id))
    }

    /// Compares the lengths of two images, or else their digests.
    async fn is_same(&self, id: ImageId, present: ImageId) -> Result<bool> {
        if !self.args.verify {
            let (here, there) = (self.source.stat(id), self.target.stat(present));
            let (here, there) = futures::try_join!(here.send(), there.send())?;
            // A server need not tell it.
            if let (Some(here), Some(there)) = (here.length, there.length) {
                return Ok(here == there);
            }
        }
        let (here, there) = (self.source.digest(id), self.target.digest(present));
        let (here, there) = futures::try_join!(here.send(), there.send())?;
        Ok(here == there)
    }

    async fn delete(&self, (_, name): &Place, id: ImageId) -> Result<bool, String> {
        if self.args.dry_run {
            println!("would delete {name}");
            return Ok(true);
        }
        let deleted = self.target.delete(id).await;
        deleted.map_err(|error| format!("{name}: {error:#}"))?;
        self.bars.suspend(|| println!("deleted {name}"));
        Ok(true)
    }
}
