use std::io;

use super::DjinnServer;
use crate::djinn::ImageId;
use crate::sync::lock;

impl DjinnServer {
    /// Adds a webhook for the changes of images, and returns its id.
    ///
    /// Requests that create or delete an image are reported as `created` and `deleted`, and
    /// finished downloads as `downloaded`; changes by the methods of this type are not. Deliveries
    /// are sent to the URL in order, once each, signed with the secret unless it is empty.
    ///
    /// On the real server, a webhook belongs to a namespace. This one reports the images of all
    /// namespaces, and those without one. For other actions, see [`deliver`](Self::deliver).
    ///
    /// Another server keeps what it receives, for a test without a receiver:
    ///
    /// ```
    /// # use machine_images::testing::DjinnServer;
    /// let server = DjinnServer::start()?;
    /// let receiver = DjinnServer::start()?;
    /// server.webhook(receiver.url(), "s3cr3t")?;
    /// let id = server.add_image("disk", "content")?;
    ///
    /// server.deliver("updated", id)?;
    /// while receiver.requests().first().is_none_or(|request| request.status.is_none()) {
    ///     std::thread::sleep(std::time::Duration::from_millis(1));
    /// }
    /// let request = &receiver.requests()[0];
    /// assert!(request.header("X-Djinn-CI-Signature").is_some());
    /// assert!(request.body.starts_with(br#"{"action":"updated""#));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the URL is not an `http` URL, or no thread is available.
    pub fn webhook(&self, url: impl AsRef<str>, secret: &str) -> io::Result<i64> {
        self.api.webhooks.add(url.as_ref(), secret)
    }

    /// Sends an action with an image to all webhooks, such as `updated`, which no request to this
    /// server causes.
    ///
    /// # Errors
    /// Returns an error if the image does not exist.
    pub fn deliver(&self, action: &str, id: impl Into<ImageId>) -> io::Result<()> {
        let (state, id) = (lock(&self.api.state), id.into().get());
        let Some(image) = state.images.get(&id) else {
            let problem = format!("there is no image {id}");
            return Err(io::Error::new(io::ErrorKind::NotFound, problem));
        };
        let image = self.api.image_json(&state, image);
        self.api.webhooks.send(action, image);
        Ok(())
    }
}
