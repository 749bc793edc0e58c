//! The list of images.

use futures::{Stream, TryFutureExt, stream};
use reqwest::Method;

use super::{Image, Images};
use crate::error::Result;
use crate::operation::Operation;
use crate::transport::Request;

impl Images {
    /// Lists the images that the service has a record of.
    ///
    /// `Endpoint: GET /v3/images`
    ///
    /// The login needs `read_images`. The service has no pages: all images come in one answer.
    ///
    /// ```
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// for image in images.list().provider("ec2").send().await? {
    ///     println!("{} {}", image.id, image.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self) -> List {
        List {
            images: self.clone(),
            provider: None,
        }
    }
}

/// Lists images: see [`Images::list`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send` or `stream`"]
pub struct List {
    images: Images,
    provider: Option<String>,
}

impl List {
    /// Lists only the images of this provider.
    ///
    /// A parameter of version 2, not documented for version 3: a server that does not know it
    /// lists everything.
    pub fn provider(mut self, provider: impl Into<String>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// Fetches the list.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) for a provider that the service does not know; and
    /// those of [`Call::send`](super::Call::send).
    pub async fn send(self) -> Result<Vec<Image>> {
        self.images
            .call(Operation::new("list images"), self.request())
            .send()
            .await
    }

    /// Returns the images one by one, for code that takes a stream. The list is fetched, all at
    /// once, when the stream is first polled.
    ///
    /// ```
    /// use futures::TryStreamExt;
    ///
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// let mut all = images.list().stream();
    /// while let Some(image) = all.try_next().await? {
    ///     println!("{} {}", image.id, image.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), as the only item.
    pub fn stream(self) -> impl Stream<Item = Result<Image>> + Send + Unpin + 'static {
        let images = self.send();
        Box::pin(
            images
                .map_ok(|images| stream::iter(images.into_iter().map(Ok)))
                .try_flatten_stream(),
        )
    }

    fn request(&self) -> Result<Request> {
        let request = Request::new(Method::GET).path(["images"])?;
        Ok(match &self.provider {
            Some(provider) => request.query("provider", provider),
            None => request,
        })
    }
}
