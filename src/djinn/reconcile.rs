//! Uploads that find out what came of them.

use std::time::Duration;

use futures::TryStreamExt;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep, timeout};

use super::create_upload::Target;
use super::find::is_user;
use super::name::is_taken;
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
    let search = Search::begin(target, options).await?;
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
        match (kind, whole) {
            (ErrorKind::NotSent, _) => {}
            // The one before may have taken the name after all.
            (kind, Some(length)) if is_unclear(kind) || kind == ErrorKind::NameTaken => {
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
}

impl<'a> Search<'a> {
    /// Refuses a name that is taken: what is found later was not there before.
    async fn begin(target: &'a Target, options: Reconcile) -> Result<Self> {
        let me = user::user(&target.transport).await?;
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
        };
        if !search.named().await?.is_empty() {
            return Err(Error::plain(ErrorKind::NameTaken, is_taken(&target.name)));
        }
        // Later on, looking is repeated here.
        search.images.transport = target.transport.once();
        Ok(search)
    }

    /// Looks for the image until it is there, or the server has had the time to make it. An error
    /// means that the server could not be asked.
    async fn find(&self, length: u64) -> Result<Option<Image>> {
        let Reconcile { within, .. } = self.options;
        let began = Instant::now();
        let copying = Duration::from_secs(length / BYTES_A_SECOND);
        let enough = copying + within / 4;
        let deadline = copying + within;
        let mut interval = FIRST.min(within / 16);
        loop {
            let left = deadline.saturating_sub(began.elapsed());
            let look = timeout(left.max(interval), self.look(length)).await;
            match look {
                Ok(Ok(Some(image))) => return Ok(Some(image)),
                Ok(Ok(None)) if began.elapsed() >= enough => return Ok(None),
                Ok(Err(error)) if !error.is_retryable() => return Err(error),
                _ => {}
            }
            if began.elapsed() >= deadline {
                let message = format!("the server could not be asked within {deadline:?}");
                return Err(Error::plain(ErrorKind::Timeout, message));
            }
            sleep(interval).await;
            interval = (interval * 2).min(LONGEST);
        }
    }

    async fn look(&self, length: u64) -> Result<Option<Image>> {
        for found in self.named().await? {
            // The list of a namespace leaves most of it out.
            let image = get::fetch(&self.images.transport, found.id).await?;
            let is_mine = is_user(&self.me, image.author_id, image.author.as_ref());
            if is_mine && image.download.is_none() && self.has_contents(image.id, length).await? {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    /// The images of that name where the new one is to be, whoever created them.
    async fn named(&self) -> Result<Vec<Image>> {
        let name = &self.target.name;
        let Some(namespace) = &self.target.namespace else {
            let named = self.images.named_without_namespace(name, &self.me);
            return named.try_collect().await;
        };
        let named = self.images.named_in(name, &self.owner, namespace.path());
        match named.try_collect().await {
            // It is created with its first image.
            Err(error) if error.kind() == ErrorKind::NotFoundOrUnauthorized => Ok(Vec::new()),
            named => named,
        }
    }

    async fn has_contents(&self, id: ImageId, length: u64) -> Result<bool> {
        if length > 0 {
            let start = self.images.content(id).range(0..1).send().await?;
            if start.total() != Some(length) {
                return Ok(false);
            }
        }
        let Some(sha256) = self.options.sha256 else {
            return Ok(true);
        };
        let mut content = self.images.content(id).send().await?;
        let mut hasher = Sha256::new();
        while let Some(chunk) = content.chunk().await? {
            hasher.update(&chunk);
        }
        Ok(Digest(hasher.finalize().into()) == sha256)
    }
}
