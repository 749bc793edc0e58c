//! Updating the record of an image.

use reqwest::Method;
use serde::Serialize;

use super::images::{Images, operation};
use super::model::{Image, ImageId, NewImage, Updated};
use super::version::ApiVersion;
use crate::call::awaitable;
use crate::error::{Error, Result};

impl Images {
    /// Changes an image's remote user, its name, or both.
    ///
    /// `Endpoint: PUT /v3/image/:image_id`
    ///
    /// The login needs `create_image`, and `read_images` unless both fields are set on version 3.
    ///
    /// An update never erases a field that is not set. The documented request has exactly the two
    /// fields, so one that is not set is taken from a `GET`. Version 2 replaces the whole record:
    /// it gets the record that the `GET` returned, template and unknown fields included, with the
    /// changes. A server of version 3 gets the whole record if it rejects the documented request
    /// because of a missing `provider`.
    ///
    /// The service has no conditional requests: a change by another client between the `GET` and
    /// the `PUT` is lost. On version 3, an update of both fields needs no `GET`.
    ///
    /// ```
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// let updated = images.update("ami-63071b0a").remote_user("admin").await?;
    /// if let Some(image) = updated.image {
    ///     println!("{} is logged in to as {}", image.name, image.remote_user);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn update(&self, id: impl Into<ImageId>) -> Update {
        Update {
            images: self.clone(),
            id: id.into(),
            remote_user: None,
            name: None,
        }
    }
}

/// A builder that changes an image: see [`Images::update`].
#[derive(Clone, Debug)]
#[must_use = "`update` does nothing unless awaited"]
pub struct Update {
    images: Images,
    id: ImageId,
    remote_user: Option<String>,
    name: Option<String>,
}

/// The documented body of an update.
#[derive(Serialize)]
struct Documented<'a> {
    remote_user: &'a str,
    name: &'a str,
}

impl Update {
    /// Sets the user to log in as on a machine made from the image. Defaults to no change.
    pub fn remote_user(mut self, user: impl Into<String>) -> Self {
        self.remote_user = Some(user.into());
        self
    }

    /// Sets the name, which may be empty. Defaults to no change.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sends the requests. Awaiting the builder does the same.
    ///
    /// A `PUT` is retried like a read, since a second one changes nothing more.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) if nothing is set, or for an id that a
    ///   URL cannot carry; nothing is sent.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such image.
    /// - [`Rejected`](crate::ErrorKind::Rejected) if the service refuses the values: see
    ///   [`message`](Error::message).
    /// - [`UnknownRoute`](crate::ErrorKind::UnknownRoute) for an id with a slash on version 2.
    /// - [Errors of every call](super#errors).
    pub async fn send(self) -> Result<Updated> {
        let operation = operation("update image", &self.id);
        operation.run(self.update()).await
    }

    async fn update(self) -> Result<Updated> {
        if self.remote_user.is_none() && self.name.is_none() {
            let message = "neither a remote user nor a name is set";
            return Err(Error::invalid(message));
        }
        let mut current = None;
        if self.images.version != ApiVersion::V2 {
            if self.remote_user.is_none() || self.name.is_none() {
                current = Some(self.images.fetch(&self.id).await?);
            }
            let image = current.as_ref();
            let documented = Documented {
                remote_user: either(&self.remote_user, image.map(|image| &image.remote_user)),
                name: either(&self.name, image.map(|image| &image.name)),
            };
            match self.put(&documented).await {
                Err(error) if wants_whole_record(&error) => {}
                updated => return updated,
            }
        }
        let image = match current {
            Some(image) => image,
            None => self.images.fetch(&self.id).await?,
        };
        self.put(&self.whole_record(image)).await
    }

    async fn put(&self, body: &impl Serialize) -> Result<Updated> {
        let request = self.images.request(Method::PUT, &self.id)?.json(body)?;
        self.images.transport.fetch(request).await?.json()
    }

    /// Returns the record with the changes. A missing template is left out, not null.
    fn whole_record(&self, image: Image) -> NewImage {
        NewImage {
            remote_user: self.remote_user.clone().unwrap_or(image.remote_user),
            name: self.name.clone().unwrap_or(image.name),
            id: image.id,
            provider: image.provider,
            bootstrap_template: image.bootstrap_template,
            extra: image.extra,
        }
    }
}

awaitable!(Update, send -> Updated);

fn either<'a>(set: &'a Option<String>, current: Option<&'a String>) -> &'a str {
    set.as_ref().or(current).map_or("", String::as_str)
}

/// Returns `true` for `Parameter(s) 'provider' can not be undefined`, which changed nothing.
fn wants_whole_record(error: &Error) -> bool {
    let message = error.message().unwrap_or_default();
    matches!(error.status(), Some(400 | 422)) && message.contains("'provider'")
}
