//! Changes to an image.

use reqwest::Method;
use serde::Serialize;

use super::call::operation;
use super::{ApiVersion, Image, ImageId, Images, NewImage, Updated};
use crate::error::{Error, Result};

impl Images {
    /// Changes an image's remote user, its name, or both.
    ///
    /// `Endpoint: PUT /v3/image/:image_id`
    ///
    /// The login needs `create_image`, and `read_images` unless both fields are set on version 3.
    ///
    /// An update never erases a field that is not set. The documented request has both fields and
    /// nothing else, so one that is not set is filled in from a `GET`. Version 2 replaces the
    /// whole record: it gets the record as the `GET` gave it, template and unknown fields
    /// included, with the changes. A server on the paths of version 3 gets the whole record if it
    /// refuses the documented request for want of a `provider`.
    ///
    /// Between the `GET` and the `PUT` is a moment in which a change by another client is undone,
    /// since the service has no conditional requests. On version 3 an update of both fields has
    /// none.
    ///
    /// ```
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// let updated = images.update("ami-63071b0a").remote_user("admin").send().await?;
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

/// Changes an image: see [`Images::update`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Update {
    images: Images,
    id: ImageId,
    remote_user: Option<String>,
    name: Option<String>,
}

/// What the written API has in an update.
#[derive(Serialize)]
struct Documented<'a> {
    remote_user: &'a str,
    name: &'a str,
}

impl Update {
    /// Sets the user to log in as on a machine made of the image.
    pub fn remote_user(mut self, user: impl Into<String>) -> Self {
        self.remote_user = Some(user.into());
        self
    }

    /// Sets the name, which may be empty.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sends the changes. Repeated like a request that only reads, since a second `PUT` changes
    /// nothing more.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) before a byte is sent if nothing is set,
    /// or for an id that a URL cannot carry; [`NotFound`](crate::ErrorKind::NotFound) if there is
    /// no such image; [`Rejected`](crate::ErrorKind::Rejected) if the service does not take the
    /// values; [`UnknownRoute`](crate::ErrorKind::UnknownRoute) for an id with a slash on
    /// version 2; and those of [`Call::send`](super::Call::send).
    pub async fn send(self) -> Result<Updated> {
        let operation = operation("update image", &self.id);
        operation.run(self.perform()).await
    }

    async fn perform(self) -> Result<Updated> {
        if self.remote_user.is_none() && self.name.is_none() {
            let why = "neither a remote user nor a name is set";
            return Err(Error::invalid(why));
        }
        let mut known = None;
        if self.images.version != ApiVersion::V2 {
            if self.remote_user.is_none() || self.name.is_none() {
                known = Some(self.get().await?);
            }
            let image = known.as_ref();
            let documented = Documented {
                remote_user: filled(&self.remote_user, image.map(|image| &image.remote_user)),
                name: filled(&self.name, image.map(|image| &image.name)),
            };
            match self.put(&documented).await {
                Err(error) if wants_whole_record(&error) => {}
                answer => return answer,
            }
        }
        let image = match known {
            Some(image) => image,
            None => self.get().await?,
        };
        self.put(&self.whole_record(image)).await
    }

    async fn get(&self) -> Result<Image> {
        let request = self.images.on_image(Method::GET, &self.id)?;
        self.images.transport.fetch(request).await?.json()
    }

    async fn put(&self, body: &impl Serialize) -> Result<Updated> {
        let request = self.images.on_image(Method::PUT, &self.id)?.json(body)?;
        self.images.transport.fetch(request).await?.json()
    }

    /// The record as it is to be. A template that there is not is left out.
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

fn filled<'a>(set: &'a Option<String>, known: Option<&'a String>) -> &'a str {
    set.as_ref().or(known).map_or("", String::as_str)
}

/// `Parameter(s) 'provider' can not be undefined`, which changed nothing.
fn wants_whole_record(error: &Error) -> bool {
    let message = error.message().unwrap_or_default();
    matches!(error.status(), Some(400 | 422)) && message.contains("'provider'")
}
