//! Creations that look for the image after a lost response.

use std::collections::HashSet;
use std::time::Duration;

use futures::TryStreamExt;
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::find::is_in;
use super::name::is_taken;
use super::target::Target;
use super::user::{is_user, user};
use super::{Image, ImageId, Images, List, NamespacePath, Source, SourceUrl, User, get};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Meter;

/// The first pause between two lookups, the least if there is little time, and the longest; each is
/// twice the one before.
const FIRST: Duration = Duration::from_millis(250);
const LEAST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(5);

/// The least rate at which a server copies an upload; a real one was seen to copy 1 GiB in 6 s.
const BYTES_PER_SECOND: u64 = 50 * 1024 * 1024;

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

/// The property by which the image of a creation is told from others of its name.
enum Sign {
    /// The length of an upload.
    Length(u64),
    /// The source of the server's download.
    Source(Url),
}

impl Sign {
    /// Returns the time that the server may take to create the image.
    fn delay(&self) -> Duration {
        match self {
            Self::Length(length) => Duration::from_secs(length / BYTES_PER_SECOND),
            Self::Source(_) => Duration::ZERO,
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
            let is_sent = match is_mine {
                true => existing(self.has_sign(&images, &image).await)?.flatten(),
                false => Some(false),
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

    /// Returns `true` if an image has the sign of the one that was sent, and `None` if that is yet to
    /// be seen.
    async fn has_sign(&self, images: &Images, image: &Image) -> Result<Option<bool>> {
        Ok(match (&self.sent, &image.download) {
            (Some(Sign::Length(length)), None) => {
                Some(total_length(images, image.id).await? == *length)
            }
            (Some(Sign::Source(sent)), Some(download)) => Some(is_source(sent, &download.source)),
            // The server stores an image before its download.
            (Some(Sign::Source(_)), None) => None,
            _ => Some(false),
        })
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

/// Returns `true` if the server shows this URL as the source of a download: in lower case, without the
/// password, and with more or fewer characters percent-encoded.
fn is_source(sent: &Url, shown: &SourceUrl) -> bool {
    let decoded = |text: &str| {
        let mut bytes: Vec<u8> = percent_decode_str(text).collect();
        bytes.make_ascii_lowercase();
        bytes
    };
    let parts = |url: &Url| {
        let host = url.host_str().map(str::to_owned);
        let address = (url.scheme().to_owned(), host, url.port_or_known_default());
        (address, decoded(url.path()), url.query().map(decoded))
    };
    Url::parse(&shown.to_string()).is_ok_and(|shown| parts(&shown) == parts(sent))
}

/// Returns the length of an image's content.
async fn total_length(images: &Images, id: ImageId) -> Result<u64> {
    match images.content(id).range(0..1).send().await {
        Ok(start) => match start.total() {
            Some(total) => Ok(total),
            None => {
                let message = "the response does not have the length of the image";
                Err(Error::plain(ErrorKind::Range, message))
            }
        },
        // No first byte.
        Err(error) if error.status() == Some(416) => Ok(0),
        Err(error) => Err(error),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_known_again_as_the_server_shows_it() {
        let sent = Url::parse("https://User:Secret@Example.org/Ok.qcow2?Sig=AbC").unwrap();
        for (shown, is_same) in [
            ("https://user:xxxxx@example.org/ok.qcow2?sig=abc", true),
            ("https://example.org/ok.qcow2?sig=abc", true),
            ("https://user:xxxxx@example.org:443/ok.qcow2?sig=abc", true),
            ("http://user:xxxxx@example.org/ok.qcow2?sig=abc", false),
            ("https://user:xxxxx@example.org/other.qcow2?sig=abc", false),
            ("https://user:xxxxx@example.org/ok.qcow2", false),
            ("not a URL", false),
            ("", false),
        ] {
            let shown = SourceUrl::from(shown.to_owned());
            assert_eq!(is_source(&sent, &shown), is_same, "{shown}");
        }
        // As the server encodes it once it has to.
        let sent = Url::parse("http://h/A|b^c%20d/\u{e9}").unwrap();
        let shown = SourceUrl::from("http://h/a%7cb%5ec%20d/%c3%a9".to_owned());
        assert!(is_source(&sent, &shown));
    }
}
