//! Creations that look for the image after a lost response.

mod sign;

use std::collections::HashSet;
use std::time::Duration;

use futures::TryStreamExt;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::find::is_in;
use super::name::is_taken;
use super::target::Target;
use super::user::{is_user, user};
use super::{Image, ImageId, Images, List, NamespacePath, Source, User, get};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Meter;
use sign::Sign;

/// The first pause between two lookups, the least if there is little time, and the longest; each is
/// twice the one before.
const FIRST: Duration = Duration::from_millis(250);
const LEAST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(5);

/// The maximum number of passes over a list that changes.
const MAX_PASSES: u32 = 10;

/// The image to look for, and the time limit.
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

/// Returns `true` if the server may have created the image although the call failed.
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
pub(super) struct Search<'a> {
    target: &'a Target,
    images: Images,
    /// The token's user.
    me: User,
    /// The namespace of the image, with its owner.
    namespace: Option<NamespacePath>,
    options: Reconcile,
    /// The sign of an image that was sent to its end and not clearly answered.
    sent: Option<Sign>,
    /// Images that the creation did not make: those that existed before, in any namespace, and
    /// those that were found to be others.
    others: HashSet<ImageId>,
}

impl<'a> Search<'a> {
    /// Fails if the name is taken, so that an image found later is new.
    pub(super) async fn begin(target: &'a Target, options: Reconcile) -> Result<Self> {
        let me = user(&target.transport).await.map_err(unknown_user)?;
        let namespace = target.namespace.as_ref().map(|namespace| {
            let owner = namespace.owner().unwrap_or(&me.username);
            namespace.of(owner)
        });
        let mut search = Self {
            target,
            images: Images {
                transport: target.transport.clone(),
            },
            me,
            namespace,
            options,
            sent: None,
            others: HashSet::new(),
        };
        let listed = search.list(&search.images).await?;
        if listed.named.is_empty() {
            search.others = listed.ids;
            return Ok(search);
        }
        Err(Error::plain(ErrorKind::NameTaken, is_taken(&target.name)))
    }

    /// Sends the image until it exists or cannot be created.
    pub(super) async fn upload(mut self, mut source: Source, meter: Meter) -> Result<Image> {
        let mut retries = self.target.transport.retry().start();
        loop {
            let again = source.again();
            let error = match self.target.upload(source, meter.clone()).await {
                Ok(image) => return Ok(image),
                Err(error) => error,
            };
            let sign = Sign::Length(error.sent());
            let error = match self.settle(error, sign).await? {
                Ok(image) => return Ok(image),
                Err(error) => error,
            };
            let Some(again) = again else {
                return Err(error);
            };
            // The time of the upload and the lookup does not count towards that of the retries.
            retries.restart_clock();
            retries.pause(error, true).await?;
            source = again;
        }
    }

    /// Asks for a download until the image exists or cannot be created.
    pub(super) async fn download(mut self, url: &Url) -> Result<Image> {
        let mut retries = self.target.transport.retry().start();
        loop {
            let error = match self.target.download(url).await {
                Ok(image) => return Ok(image),
                Err(error) => error,
            };
            let error = match self.settle(error, Sign::Source(url.clone())).await? {
                Ok(image) => return Ok(image),
                Err(error) => error,
            };
            retries.restart_clock();
            retries.pause(error, true).await?;
        }
    }

    /// Finds out what came of a creation that failed: returns its image, or the error that allows for
    /// another attempt.
    ///
    /// Fails if there must be none.
    async fn settle(&mut self, mut error: Error, sign: Sign) -> Result<Result<Image, Error>> {
        let kind = error.kind();
        if is_unclear(kind) {
            self.sent = Some(sign);
        }
        // An earlier attempt may have created it. The body of the response may be lost.
        let may_be_taken = match kind {
            ErrorKind::NameTaken => true,
            ErrorKind::Rejected => error.fields().is_none(),
            _ => false,
        };
        let is_looked_for = self.sent.is_some() && (is_unclear(kind) || may_be_taken);
        if is_looked_for {
            match self.find().await {
                Ok(Some(image)) => return Ok(Ok(image)),
                Ok(None) if kind == ErrorKind::OutcomeUnknown => error = error.looked_for(),
                _ => return Err(error),
            }
        } else if kind != ErrorKind::NotSent {
            return Err(error);
        }
        Ok(Err(error))
    }

    /// Looks for the image until it exists, or the server has had the time to create it.
    ///
    /// Fails if the server could not be asked.
    async fn find(&mut self) -> Result<Option<Image>> {
        let Reconcile { within, .. } = self.options;
        let began = Instant::now();
        let copying = self.sent.as_ref().map_or(Duration::ZERO, Sign::delay);
        let enough = copying.saturating_add(within / 4);
        let deadline = copying.saturating_add(within);
        let mut interval = (within / 16).clamp(LEAST, FIRST);
        loop {
            let asked = began.elapsed();
            // The last lookup has some time, too.
            let left = deadline.saturating_sub(asked).max(FIRST);
            let error = match timeout(left, self.candidates()).await {
                Ok(Ok(candidates)) => match self.choose(candidates).await {
                    Ok(None) if asked < enough => None,
                    Ok(found) => return Ok(found),
                    Err(error) => Some(error),
                },
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            if let Some(error) = error {
                tracing::debug!(
                    target: "machine_images::djinn",
                    error = %error,
                    "the image cannot be looked for"
                );
            }
            if began.elapsed() >= deadline {
                let message = format!("the server could not be asked within {deadline:?}");
                return Err(Error::plain(ErrorKind::Timeout, message));
            }
            sleep(interval).await;
            interval = (interval * 2).min(LONGEST);
        }
    }

    /// Returns the images that the creation may have made, without comparing their digests.
    async fn candidates(&mut self) -> Result<Vec<Image>> {
        // The lookup is repeated as a whole.
        let images = Images {
            transport: self.images.transport.once(),
        };
        let mut candidates = Vec::new();
        for found in self.list(&images).await?.named {
            if self.others.contains(&found.id) {
                continue;
            }
            // The list of a namespace leaves most fields out.
            let Some(image) = existing(get::fetch(&images.transport, found.id).await)? else {
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
            let is_sent = match &self.sent {
                Some(sign) if is_mine => existing(sign.is_of(&image, &images).await)?.flatten(),
                _ => Some(false),
            };
            match is_sent {
                Some(true) => candidates.push(image),
                Some(false) => drop(self.others.insert(image.id)),
                // Deleted, or not complete yet.
                None => {}
            }
        }
        Ok(candidates)
    }

    /// Returns the first image with the expected digest; without one, the first.
    async fn choose(&mut self, candidates: Vec<Image>) -> Result<Option<Image>> {
        for image in candidates {
            let Some(expected) = self.options.sha256 else {
                return Ok(Some(image));
            };
            match existing(self.images.digest(image.id).await)? {
                Some(found) if found.sha256 == expected => return Ok(Some(image)),
                // Not to be fetched again.
                Some(_) => self.others.insert(image.id),
                None => false,
            };
        }
        Ok(None)
    }

    /// Lists the images in the place of the new one.
    async fn list(&self, images: &Images) -> Result<Listed> {
        let name = &self.target.name;
        // The search takes `_` for any character, and finds more.
        let list = || images.list().search(name);
        let Some(namespace) = &self.namespace else {
            let is_there = |image: &Image| {
                image.namespace_id.is_none()
                    && is_user(&self.me, image.user_id, image.user.as_ref())
            };
            return self.collect(list(), is_there).await;
        };
        let within = list().namespace(namespace.clone());
        match self.collect(within, |_| true).await {
            // A namespace is created with its first image, the token may lack the permission to
            // list it, and the server fails to list one of two with the same path. Their images
            // are in the list of all.
            Err(error) if matches!(error.status(), Some(404 | 500)) => {}
            listed => return listed,
        }
        self.collect(list(), |image| is_in(image, namespace)).await
    }

    async fn collect(&self, list: List, is_there: impl Fn(&Image) -> bool) -> Result<Listed> {
        let mut images = list.consistent(MAX_PASSES).stream();
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

/// The images of a list.
#[derive(Default)]
struct Listed {
    /// The images of the name in the place, of any author.
    named: Vec<Image>,
    /// The ids of all images.
    ids: HashSet<ImageId>,
}

/// Returns `None` for an image that does not exist any more.
fn existing<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error) if error.kind() == ErrorKind::NotFoundOrUnauthorized => Ok(None),
        answer => answer.map(Some),
    }
}

/// Adds what else a 404 may mean.
fn unknown_user(error: Error) -> Error {
    if error.kind() != ErrorKind::Unauthorized {
        return error;
    }
    let text = "the token is wrong, or the server does not tell its user, as `reconcile` needs";
    error.meaning(ErrorKind::Unauthorized, text)
}
