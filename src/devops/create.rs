//! Creating the record of an image.

use std::time::Duration;

use super::images::{Images, operation};
use super::model::{Created, NewImage};
use super::reconcile;
use super::register::Register;
use crate::call::awaitable;
use crate::error::Result;

impl Images {
    /// Registers a provider's existing image.
    ///
    /// `Endpoint: POST /v3/image`
    ///
    /// The login needs `create_image`.
    ///
    /// ```
    /// use machine_images::devops::NewImage;
    ///
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// let image = NewImage::new("ami-63071b0a", "ec2", "ec2-user", "debian-12");
    /// let created = images.create(image).reconcile(true).await?;
    /// println!("{}: {}", created.id, created.message.unwrap_or_default());
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "register")]
    pub fn create(&self, image: NewImage) -> Create {
        Create {
            register: Register {
                images: self.clone(),
                image,
            },
            reconcile: None,
        }
    }
}

/// A builder that registers an image: see [`Images::create`].
#[derive(Clone, Debug)]
#[must_use = "`create` does nothing unless awaited"]
pub struct Create {
    register: Register,
    /// Time limit of each lookup after a lost response.
    reconcile: Option<Duration>,
}

impl Create {
    /// Looks up the image if the response is lost, instead of failing with
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown). Defaults to `false`.
    ///
    /// The login needs `read_images` as well. The id is looked up before the creation: one that
    /// exists fails with [`NameTaken`](crate::ErrorKind::NameTaken), and nothing is sent. If the
    /// response is lost, the id is looked up again until the [deadline](Self::reconcile_within).
    /// If there is no such image, it is sent again as often as the
    /// [retry policy](crate::ClientBuilder::retry) allows, which is safe since ids are unique.
    ///
    /// These count as a lost response: no response or a connection that breaks, a 502 or 504, and a
    /// 2xx that is not from the API. After a 503 or 429 the service has refused the image: it is
    /// sent again as the retry policy allows, without a lookup.
    ///
    /// Fields are compared as version 2 stores them: strings are trimmed, and a field that the
    /// server does not return counts as equal. An equal image under the same id may be another
    /// client's, if that client created it during the call.
    ///
    /// | after a lost response, the server | result |
    /// |---|---|
    /// | has an image with the fields that were sent | success, with no message |
    /// | has an image with other fields | `NameTaken` |
    /// | has no such image | sent again |
    /// | cannot be reached until the deadline | `OutcomeUnknown`; `Connect` while sending again |
    #[doc(alias = "idempotent")]
    pub fn reconcile(mut self, reconcile: bool) -> Self {
        self.reconcile = reconcile.then(|| self.reconcile.unwrap_or(reconcile::WITHIN));
        self
    }

    /// Enables [`reconcile`](Self::reconcile), and sets the time limit of each lookup while the
    /// server cannot be reached. Defaults to 60 s.
    pub fn reconcile_within(mut self, limit: Duration) -> Self {
        self.reconcile = Some(limit);
        self
    }

    /// Sends the request. Awaiting the builder does the same.
    ///
    /// # Errors
    ///
    /// - [`NameTaken`](crate::ErrorKind::NameTaken) if the id exists already.
    /// - [`Rejected`](crate::ErrorKind::Rejected) if the service refuses the record, for example
    ///   because of its provider: see [`message`](crate::Error::message).
    /// - [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the connection breaks before the
    ///   response: [`get`](Images::get) the image, or use [`reconcile`](Self::reconcile).
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) for an id that a URL cannot carry, since
    ///   such an image could be neither read nor deleted.
    /// - [Errors of every call](super#errors).
    pub async fn send(self) -> Result<Created> {
        let operation = operation("create image", &self.register.image.id);
        operation.run(self.create()).await
    }

    async fn create(self) -> Result<Created> {
        self.register.images.check_id(&self.register.image.id)?;
        match self.reconcile {
            None => self.register.post().await,
            Some(within) => reconcile::create(&self.register, within).await,
        }
    }
}

awaitable!(Create, send -> Created);
