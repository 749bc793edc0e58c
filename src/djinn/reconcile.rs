//! What came of an upload whose answer was lost.

use std::time::Duration;

use futures::TryStreamExt;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::create_upload::Target;
use super::{Image, ImageId, Images};
use crate::digest::Digest;
use crate::error::Result;

/// The first and the longest time between two looks; each is twice the one before.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(8);

/// How long a server may take to copy what it received: some seconds, and for each of so many
/// bytes one more. The real one was seen to copy 1 GiB in 6 s.
const PATIENCE: Duration = Duration::from_secs(4);
const BYTES_A_SECOND: u64 = 100 * 1024 * 1024;

/// Looks for the image until the server has had the time to make it.
///
/// `None` also if there is an image of that name with other contents: it is someone else's.
pub(super) async fn find(
    target: &Target,
    length: Option<u64>,
    sha256: Option<Digest>,
) -> Result<Option<Image>> {
    let images = Images {
        transport: target.transport.clone(),
    };
    let copying = Duration::from_secs(length.unwrap_or(0) / BYTES_A_SECOND);
    let deadline = Instant::now() + PATIENCE + copying;
    let mut interval = FIRST;
    loop {
        if let Some(image) = look(&images, target).await? {
            let same = has_contents(&images, image.id, length, sha256).await?;
            return Ok(same.then_some(image));
        }
        if Instant::now() + interval > deadline {
            return Ok(None);
        }
        tokio::time::sleep(interval).await;
        interval = (interval * 2).min(LONGEST);
    }
}

async fn look(images: &Images, target: &Target) -> Result<Option<Image>> {
    let mut all = images.list().search(&target.name).stream();
    while let Some(image) = all.try_next().await? {
        if image.name == target.name && is_in_namespace(&image, target) {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

fn is_in_namespace(image: &Image, target: &Target) -> bool {
    match (&target.namespace, &image.namespace) {
        (None, None) => image.namespace_id.is_none(),
        (Some(wanted), Some(found)) => {
            let owner = found.user.as_ref().map(|user| user.username.as_str());
            wanted.path() == found.path && wanted.owner().is_none_or(|name| owner == Some(name))
        }
        _ => false,
    }
}

async fn has_contents(
    images: &Images,
    id: ImageId,
    length: Option<u64>,
    sha256: Option<Digest>,
) -> Result<bool> {
    if let Some(length) = length {
        let start = images.content(id).range(0..1).send().await?;
        if start.total() != Some(length) {
            return Ok(false);
        }
    }
    let Some(sha256) = sha256 else {
        return Ok(true);
    };
    let mut content = images.content(id).send().await?;
    let mut hasher = Sha256::new();
    while let Some(chunk) = content.chunk().await? {
        hasher.update(&chunk);
    }
    Ok(Digest(hasher.finalize().into()) == sha256)
}
