//! Creation.

use std::time::Duration;

use super::call::operation;
use super::register::Register;
use super::{Created, Images, NewImage, reconcile};
use crate::error::Result;
use crate::transport::check_segment;

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
    /// let created = images.create(image).reconcile(true).send().await?;
    /// println!("{}", created.message.unwrap_or_default());
    /// # Ok(())
    /// # }
    /// ```
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

/// Registers an image: see [`Images::create`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Create {
    register: Register,
    /// How long to look for an image whose creation was not clearly answered.
    reconcile: Option<Duration>,
}

impl Create {
    /// Looks up the image if the answer is lost, instead of failing with
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown). Defaults to `false`.
    ///
    /// The login needs `read_images` as well. Before the creation the id is looked up: one that
    /// is taken fails with [`NameTaken`](crate::ErrorKind::NameTaken), and nothing is sent. If the
    /// answer is lost, the id is looked up again until the [deadline](Self::reconcile_within).
    /// If the image is not there, it is sent again as often as the
    /// [retry policy](crate::ClientBuilder::retry) allows, which is safe since ids are unique.
    ///
    /// | after a lost answer the server | result |
    /// |---|---|
    /// | has an image with the fields that were sent | success, with the id and no message |
    /// | has an image with other fields | `NameTaken` |
    /// | has no such image | sent again |
    /// | is away until the deadline | `OutcomeUnknown`; `Connect` while sending again |
    ///
    /// Fields are compared as version 2 stores them: strings are trimmed, and a field that the
    /// server does not show counts as equal.
    ///
    /// Not a guarantee: an equal image under the same id may be another client's, if that client
    /// created it during the call.
    #[doc(alias = "idempotent")]
    pub fn reconcile(mut self, reconcile: bool) -> Self {
        self.reconcile = reconcile.then(|| self.reconcile.unwrap_or(reconcile::WITHIN));
        self
    }

    /// Turns on [`reconcile`](Self::reconcile), and sets how long each lookup is repeated while
    /// the server cannot be reached. Defaults to 60 s.
    pub fn reconcile_within(mut self, limit: Duration) -> Self {
        self.reconcile = Some(limit);
        self
    }

    /// Sends the image.
    ///
    /// The `id` and `message` of the answer are `None` if the server leaves them out; version 2
    /// has no id.
    ///
    /// # Errors
    ///
    /// [`NameTaken`](crate::ErrorKind::NameTaken) if the id exists already;
    /// [`Rejected`](crate::ErrorKind::Rejected) if the service does not take the record, such as
    /// for its provider;
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the connection breaks before the
    /// answer: [`reconcile`](Self::reconcile) finds out;
    /// [`NotSent`](crate::ErrorKind::NotSent) if it breaks before everything was sent;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an id that a URL cannot carry, because
    /// such an image could be neither shown nor deleted; and those of
    /// [`Call::send`](super::Call::send).
    pub async fn send(self) -> Result<Created> {
        let operation = operation("create image", &self.register.image.id);
        operation.run(self.perform()).await
    }

    async fn perform(self) -> Result<Created> {
        check_segment(self.register.image.id.as_str())?;
        match self.reconcile {
            None => self.register.post().await,
            Some(within) => reconcile::create(&self.register, within).await,
        }
    }
}
