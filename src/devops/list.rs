//! Listing images.

use futures::{Stream, TryFutureExt, stream};
use reqwest::Method;

use super::images::Images;
use super::model::Image;
use crate::call::awaitable;
use crate::error::Result;
use crate::operation::Operation;
use crate::transport::Request;

impl Images {
    /// Lists the images that the service has a record of.
    ///
    /// `Endpoint: GET /v3/images`
    ///
    /// The login needs `read_images`. The service has no pages: all images come in one response.
    ///
    /// ```
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// for image in images.list().provider("ec2").await? {
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

/// A builder that lists images: see [`Images::list`].
#[derive(Clone, Debug)]
#[must_use = "`list` does nothing unless awaited or streamed"]
pub struct List {
    images: Images,
    provider: Option<String>,
}

impl List {
    /// Lists only the images of this provider.
    ///
    /// The query is one of version 2, and not documented for version 3. Images of other providers,
    /// which a server that does not know it sends as well, are left out.
    pub fn provider(mut self, provider: impl Into<String>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// Returns all images. Awaiting the builder does the same.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](crate::ErrorKind::NotFound) for a provider that the service does not know.
    /// - [Errors of every call](super#errors).
    pub async fn all(self) -> Result<Vec<Image>> {
        Operation::new("list images").run(self.fetch()).await
    }

    /// Returns a stream of the images.
    ///
    /// The whole list is fetched when the stream is first polled.
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
    /// If the list fails, the only item is the error that [`all`](Self::all) returns.
    pub fn stream(self) -> impl Stream<Item = Result<Image>> + Send + Unpin + 'static {
        let images = self.all();
        Box::pin(
            images
                .map_ok(|images| stream::iter(images.into_iter().map(Ok)))
                .try_flatten_stream(),
        )
    }

    /// Returns an iterator over the images, for programs without async code.
    ///
    /// The whole list is fetched for the first item.
    ///
    /// # Errors
    ///
    /// If the list fails, the only item is the error that [`all`](Self::all) returns.
    ///
    /// # Panics
    ///
    /// The iterator panics inside async code: see [`blocking`](crate::blocking#panics).
    #[cfg(feature = "blocking")]
    pub fn iter(self) -> impl Iterator<Item = Result<Image>> + Send + 'static {
        crate::blocking::iter(self.stream())
    }

    async fn fetch(self) -> Result<Vec<Image>> {
        let mut request = Request::new(Method::GET).path(["images"])?;
        if let Some(provider) = &self.provider {
            request = request.query("provider", provider);
        }
        let response = self.images.transport.fetch(request).await?;
        let mut images: Vec<Image> = response.json()?;
        if let Some(provider) = self.provider {
            images.retain(|image| image.provider.eq_ignore_ascii_case(&provider));
        }
        Ok(images)
    }
}

awaitable!(List, all -> Vec<Image>);
