//! The commands for the guest's disk inside an image.

use std::io::{self, Write};

use futures::TryStreamExt;
use machine_images::djinn::Images;
use machine_images::qcow2::ExtentKind;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncSeekExt};

use super::args::{Content, Read, wrong_usage};
use super::bar::Bar;
use super::djinn::{only_for_files, saved};
use super::output::{Failure, Output, Result, closed};

/// The bytes that a disk reads ahead by default.
const READ_AHEAD: u64 = 2 << 20;

pub(crate) async fn read(images: &Images, args: Read, output: &Output) -> Result {
    let failed = |error: io::Error| match error.downcast() {
        Ok(error) => Failure::Client(error),
        Err(error) => Failure::Io("cannot read the disk".into(), error),
    };
    let mut disk = images.disk(args.id).await?;
    let bar = Bar::new(output, format!("image {}", args.id));
    let total = disk.size().saturating_sub(args.offset);
    let total = total.min(args.length.unwrap_or(u64::MAX));
    if total < READ_AHEAD {
        disk = disk.read_ahead(total);
    }
    disk.seek(io::SeekFrom::Start(args.offset))
        .await
        .map_err(failed)?;
    let mut out = io::stdout().lock();
    let mut done = 0;
    while done < total {
        let bytes = disk.fill_buf().await.map_err(failed)?;
        let count = bytes
            .len()
            .min(usize::try_from(total - done).unwrap_or(usize::MAX));
        if count == 0 {
            break;
        }
        out.write_all(&bytes[..count]).map_err(closed)?;
        disk.consume(count);
        done += count as u64;
        bar.at(done, total);
    }
    out.flush().map_err(closed)
}

pub(crate) async fn map(images: &Images, id: i64, output: &Output) -> Result {
    let mut extents = images.disk(id).await?.extents();
    let mut held: Option<(u64, u64, &str)> = None;
    let mut rows = vec![["start", "length", "kind"].map(str::to_owned).to_vec()];
    let mut line = |(start, length, kind): (u64, u64, &str)| {
        if output.json {
            return output.line(&json!({ "start": start, "length": length, "kind": kind }));
        }
        rows.push(vec![start.to_string(), length.to_string(), kind.to_owned()]);
        Ok(())
    };
    while let Some(extent) = extents.try_next().await? {
        let kind = match extent.kind {
            ExtentKind::Zero => "zero",
            ExtentKind::Hole => "hole",
            _ => "data",
        };
        match &mut held {
            Some((_, length, last)) if *last == kind => *length += extent.length,
            _ => {
                if let Some(held) = held.replace((extent.start, extent.length, kind)) {
                    line(held)?;
                }
            }
        }
    }
    held.map_or(Ok(()), &mut line)?;
    match output.json {
        true => Ok(()),
        false => output.table(&rows),
    }
}

/// Fetches the guest's disk to a file or a block device.
pub(crate) async fn save(images: &Images, args: Content, output: &Output) -> Result {
    if args.refresh {
        wrong_usage("--raw always fetches: there is no --refresh with it");
    }
    if args.file == "-" {
        only_for_files(&args);
        if args.sha256.is_some() {
            wrong_usage("--sha256 with --raw needs a FILE: the digest is that of all of the image");
        }
        let (id, offset, length) = (args.id, 0, None);
        return read(images, Read { id, offset, length }, output).await;
    }
    let bar = Bar::new(output, format!("image {}", args.id));
    let mut request = images
        .save_raw(args.id, &args.file)
        .progress(bar)
        .resume(!args.no_resume);
    if let Some(connections) = args.connections {
        request = request.connections(connections.get());
    }
    if let Some(digest) = args.sha256 {
        request = request.sha256(digest);
    }
    saved(&request.await?, args.file, output)
}
