//! The main job, shown once on a real image: upload it, have the server download another, list,
//! fetch both back, compare, delete.
//!
//! `cargo run --example tour [FILE]`
//!
//! Without `DJINN_API_SERVER` and `DJINN_TOKEN` it starts an embedded server. A real server cannot
//! reach this program: there, set `TOUR_URL` to the address of a QCOW2 image to download.

#![allow(clippy::print_stdout, reason = "it talks to a person")]
#![cfg_attr(not(feature = "testing"), allow(dead_code, unused_imports))]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::TryStreamExt;
use machine_images::djinn::{Client, Source};
#[cfg(feature = "testing")]
use machine_images::testing::DjinnServer;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/disk.qcow2");

#[cfg(feature = "testing")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os()
        .nth(1)
        .map_or_else(|| SHIPPED.into(), PathBuf::from);
    let original = std::fs::read(&file)?;
    println!(
        "The image is {} ({} bytes).\n",
        file.display(),
        original.len()
    );

    let (client, server) = match std::env::var_os("DJINN_API_SERVER") {
        Some(_) => (Client::from_env()?, None),
        None => {
            let server = DjinnServer::start()?;
            println!("1. Start an embedded Djinn CI server: {}", server.url());
            (server.client()?, Some(server))
        }
    };
    let images = client.images();

    println!("2. Create an image by upload.");
    let uploaded = images
        .create_upload("tour-uploaded", Source::file(&file))
        .await?;
    println!(
        "   image {} {:?}, created at {}",
        uploaded.id, uploaded.name, uploaded.created_at
    );

    println!("3. Create another by a download that the server makes, and wait for it.");
    let url = match (&server, std::env::var("TOUR_URL")) {
        (_, Ok(url)) => url.parse()?,
        (Some(server), _) => server.publish(&original)?,
        (None, _) => return Err("set TOUR_URL to an image that the server can reach".into()),
    };
    let downloaded = images.create_download("tour-downloaded", url).await?;
    let downloaded = images
        .wait_downloaded(downloaded.id)
        .timeout(Duration::from_secs(600))
        .await?;
    let source = downloaded
        .download
        .as_ref()
        .map(|download| download.source.to_string());
    println!(
        "   image {} from {}",
        downloaded.id,
        source.unwrap_or_default()
    );

    println!("4. List all images.");
    let mut all = images.list().stream();
    while let Some(image) = all.try_next().await? {
        println!("   {:>4}  {}", image.id, image.name);
    }

    println!("5. Inspect one, without fetching it.");
    let report = images.inspect(uploaded.id).await?;
    if let Some(header) = &report.header {
        println!(
            "   {}, version {}, a disk of {} bytes: {}",
            report.format,
            header.version,
            header.virtual_size,
            report.verdict()
        );
    }

    println!("6. Fetch both back, each to a file.");
    let directory = tempfile::tempdir()?;
    for image in [&uploaded, &downloaded] {
        let path = directory.path().join(format!("{}.qcow2", image.id));
        let saved = images.save(image.id, &path).await?;
        let same = is_same(&path, &original)?;
        println!(
            "   {}: {} bytes in {:?}, {same}",
            image.name, saved.bytes, saved.elapsed
        );
    }

    println!("7. Delete both.");
    for image in [uploaded, downloaded] {
        images.delete(image.id).await?;
        println!("   image {} deleted", image.id);
    }
    println!("\nThat was the main job.");
    Ok(())
}

fn is_same(path: &Path, original: &[u8]) -> Result<&'static str, Box<dyn Error>> {
    match std::fs::read(path)? == original {
        true => Ok("the same as the original"),
        false => Err(format!("{} differs from the original", path.display()).into()),
    }
}

/// Runs itself again with the feature `testing`, which a published package does not turn on for its
/// own examples.
#[cfg(not(feature = "testing"))]
fn main() -> Result<(), Box<dyn Error>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let status = std::process::Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--manifest-path", manifest])
        .args(["--example", "tour", "--features", "testing", "--"])
        .args(std::env::args_os().skip(1))
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err("the tour failed".into()),
    }
}
