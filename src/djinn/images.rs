//! The operations on images.

use crate::transport::Transport;

/// The media type of an image's content; a server accepts no other spelling of it.
pub(crate) const QEMU_DISK: &str = "application/x-qemu-disk";

/// The operations on the images of a server; cheap to clone.
///
/// Each method returns a builder with the options that apply to the call. Awaiting the builder sends
/// the requests; `send()` does the same where a plain future is needed, as for `tokio::spawn`.
///
/// ```
/// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
/// let image = images.get(42).await?;
/// let fetch = tokio::spawn(images.content(image.id).range(0..512).send());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Images {
    pub(super) transport: Transport,
}
