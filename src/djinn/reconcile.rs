//! Uploads that find out what came of them.

use std::collections::HashSet;
use std::time::Duration;

use futures::{Stream, TryStreamExt};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep, timeout};

use super::find::is_user;
use super::name::is_taken;
use super::upload::Target;
use super::{Image, ImageId, Images, NamespacePath, Source, User, get, user};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Meter;

/// The first and the longest time between two looks; each is twice the one before.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// How long a server may take to copy what it received: a second for each of so many bytes. The
/// real one was seen to copy 1 GiB in 6 s.
const BYTES_A_SECOND: u64 = 50 * 1024 * 1024;

/// How often rows may move while the list is read before the upload.
const WALKS: u32 = 10;

/// What is looked for, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reconcile {
    pub(super) within: Duration,
    pub(super) sha256: Option<Digest>,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(60),
            sha256: None,
        }
    }
}

/// Uploads until there is the image, or it is known that there will be none.
pub(super) async fn upload(
    target: &Target,
    mut source: Source,
    meter: Meter,
    options: Reconcile,
) -> Result<Image> {
    let mut search = Search::begin(target, options).await?;
    let mut retries = target.transport.retry().start();
    // The length of what was sent whole at some time, without a clear answer.
    let mut whole = None;
    loop {
        let again = source.again();
        let error = match target.upload(source, meter.clone()).await {
            Ok(image) => return Ok(image),
            Err(error) => error,
        };
        let kind = error.kind();
        if is_unclear(kind) {
            whole = Some(error.sent());
        }
        // The one before may have taken the name after all. Of the refusal the body may be lost.
        let may_be_taken = match kind {
            ErrorKind::NameTaken => true,
            ErrorKind::Rejected => error.fields().is_none(),
            _ => false,
        };
        match (kind, whole) {
            (ErrorKind::NotSent, _) => {}
            (kind, Some(length)) if is_unclear(kind) || may_be_taken => {
                match search.find(length).await {
                    Ok(Some(image)) => return Ok(image),
                    Ok(None) if kind == ErrorKind::OutcomeUnknown => {}
                    _ => return Err(error),
                }
            }
            _ => return Err(error),
        }
        let Some(again) = again else {
            return Err(error);
        };
        // Sending and looking take their time, which is not that of the retries.
        retries.restart_clock();
        retries.pause(error, true).await?;
        source = again;
    }
}

/// Whether the server may have done what it did not clearly answer.
fn is_unclear(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::OutcomeUnknown
            | ErrorKind::Decode
            | ErrorKind::UnexpectedContent
            | ErrorKind::Limit
    )
}

/// The search for an image of a name that was free before.
struct Search<'a> {
    target: &'a Target,
    images: Images,
    /// The token's own user.
    me: User,
    /// The name of the user whose namespace it is.
    owner: String,
    options: Reconcile,
    /// Images that the upload did not make: those that were there before, wherever they were, and
    /// those that were looked into.
    others: HashSet<ImageId>,
}

impl<'a> Search<'a> {
    /// Refuses a name that is taken: what is found later was not there before.
    async fn begin(target: &'a Target, options: Reconcile) -> Result<Self> {
        let me = user::user(&target.transport).await.map_err(unknown_user)?;
        let owner = target.namespace.as_ref().and_then(NamespacePath::owner);
        let owner = owner.unwrap_or(&me.username).to_owned();
        let mut search = Self {
            target,
            images: Images {
                transport: target.transport.clone(),
            },
            me,
            owner,
            options,
            others: HashSet::new(),
        };
        let listed = search.list(&search.images).await?;
        if listed.named.is_empty() {
            search.others = listed.ids;
            return Ok(search);
        }
        Err(Error::plain(ErrorKind::NameTaken, is_taken(&target.name)))
    }

    /// Looks for the image until it is there, or the server has had the time to make it. An error
    /// means that the server could not be asked.
    async fn find(&mut self, length: u64) -> Result<Option<Image>> {
        let Reconcile { within, .. } = self.options;
        let began = Instant::now();
        let copying = Duration::from_secs(length / BYTES_A_SECOND);
        let enough = copying.saturating_add(within / 4);
        let deadline = copying.saturating_add(within);
        let mut interval = FIRST.min(within / 16);
        loop {
            let asked = began.elapsed();
            // The last look has some time, too.
            let left = deadline.saturating_sub(asked).max(FIRST);
            let error = match timeout(left, self.candidates(length)).await {
                Ok(Ok(candidates)) => match self.choose(candidates).await {
                    Ok(None) if asked < enough => None,
                    Ok(found) => return Ok(found),
                    Err(error) => Some(error),
                },
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            if let Some(error) = error {
                tracing::debug!(error = %error, "the upload cannot be looked for");
            }
            if began.elapsed() >= deadline {
                let message = format!("the server could not be asked within {deadline:?}");
                return Err(Error::plain(ErrorKind::Timeout, message));
            }
            sleep(interval).await;
            interval = (interval * 2).min(LONGEST);
        }
    }

    /// The images that the upload may have made, without a look at their digests.
    async fn candidates(&mut self, length: u64) -> Result<Vec<Image>> {
        // Looking is repeated as a whole.
        let images = Images {
            transport: self.images.transport.once(),
        };
        let mut candidates = Vec::new();
        for found in self.list(&images).await?.named {
            if self.others.contains(&found.id) {
                continue;
            }
            // The list of a namespace leaves most of it out.
            let Some(image) = there(get::fetch(&images.transport, found.id).await)? else {
                continue;
            };
            let is_same = |image: &Image| {
                let place = |image: &Image| (image.id, image.namespace_id);
                place(image) == place(&found) && image.name == found.name
            };
            if !is_same(&image) {
                continue;
            }
            let is_mine = is_user(&self.me, image.author_id, image.author.as_ref());
            if !is_mine || image.download.is_some() {
                self.others.insert(image.id);
                continue;
            }
            let Some(total) = there(total(&images, image.id).await)? else {
                continue;
            };
            if total == length {
                candidates.push(image);
            } else {
                self.others.insert(image.id);
            }
        }
        Ok(candidates)
    }

    /// The first image with the digest, if there is one to compare.
    async fn choose(&mut self, candidates: Vec<Image>) -> Result<Option<Image>> {
        for image in candidates {
            let Some(expected) = self.options.sha256 else {
                return Ok(Some(image));
            };
            match there(digest(&self.images, image.id).await)? {
                Some(found) if found == expected => return Ok(Some(image)),
                // It is not fetched for every look.
                Some(_) => self.others.insert(image.id),
                None => false,
            };
        }
        Ok(None)
    }

    /// The images where the new one is to be.
    async fn list(&self, images: &Images) -> Result<Listed> {
        let name = &self.target.name;
        // The search takes `_` for any letter, and finds more.
        let list = || images.list().search(name).steady(WALKS);
        let Some(namespace) = &self.target.namespace else {
            let is_there = |image: &Image| {
                image.namespace_id.is_none()
                    && is_user(&self.me, image.user_id, image.user.as_ref())
            };
            return self.collect(list().stream(), is_there).await;
        };
        let within = list().namespace(&self.owner, namespace.path()).stream();
        match self.collect(within, |_| true).await {
            // It is created with its first image, if the token may see it at all; and the server
            // cannot list one of two namespaces with the same path. The list of all images has
            // what is in them.
            Err(error) if matches!(error.status(), Some(404 | 500)) => {}
            listed => return listed,
        }
        let is_there = |image: &Image| {
            let is_owner = |user: &User| user.username == self.owner;
            let place = image.namespace.as_ref();
            place.is_some_and(|place| place.path == namespace.path())
                && image.user.as_ref().is_some_and(is_owner)
        };
        self.collect(list().stream(), is_there).await
    }

    async fn collect(
        &self,
        mut images: impl Stream<Item = Result<Image>> + Unpin,
        is_there: impl Fn(&Image) -> bool,
    ) -> Result<Listed> {
        let mut listed = Listed::default();
        while let Some(image) = images.try_next().await? {
            listed.ids.insert(image.id);
            if image.name == self.target.name && is_there(&image) {
                listed.named.push(image);
            }
        }
        Ok(listed)
    }
}

/// What a list has.
#[derive(Default)]
struct Listed {
    /// The images of the name in the place, whoever created them.
    named: Vec<Image>,
    /// All that were met.
    ids: HashSet<ImageId>,
}

/// Nothing for an image that is not there any more.
fn there<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error) if error.kind() == ErrorKind::NotFoundOrUnauthorized => Ok(None),
        answer => answer.map(Some),
    }
}

/// The length of an image's contents.
async fn total(images: &Images, id: ImageId) -> Result<u64> {
    match images.content(id).range(0..1).send().await {
        Ok(start) => match start.total() {
            Some(total) => Ok(total),
            None => {
                let message = "the server does not say how long the image is";
                Err(Error::plain(ErrorKind::Range, message))
            }
        },
        // There is no first byte.
        Err(error) if error.status() == Some(416) => Ok(0),
        Err(error) => Err(error),
    }
}

async fn digest(images: &Images, id: ImageId) -> Result<Digest> {
    let mut content = images.content(id).send().await?;
    let mut hasher = Sha256::new();
    while let Some(chunk) = content.chunk().await? {
        hasher.update(&chunk);
    }
    Ok(Digest(hasher.finalize().into()))
}

/// Says what else a 404 may mean.
fn unknown_user(error: Error) -> Error {
    if error.kind() != ErrorKind::Unauthorized {
        return error;
    }
    let text = "the token is wrong, or the server does not tell its user, as `reconcile` needs";
    error.meaning(ErrorKind::Unauthorized, text)
}
