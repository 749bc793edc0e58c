//! An image's bytes where they are.

use super::{ImageId, Images};
use crate::content::RemoteReader;
use crate::operation::Operation;

impl Images {
    /// Returns a reader that seeks and reads in an image on the server.
    ///
    /// `Endpoint: GET /images/:id` with `Accept: application/x-qemu-disk` and `Range`
    ///
    /// Nothing is sent before the first read, and nothing is inspected. The bytes are those of the
    /// QCOW2 file, not of the guest's disk.
    ///
    /// ```
    /// use std::io::SeekFrom;
    ///
    /// use tokio::io::{AsyncReadExt, AsyncSeekExt};
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut image = images.reader(42);
    /// let length = image.seek(SeekFrom::End(0)).await?;
    /// let mut last = [0; 512];
    /// image.seek(SeekFrom::End(-512)).await?;
    /// image.read_exact(&mut last).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "seek")]
    #[doc(alias = "range")]
    pub fn reader(&self, id: impl Into<ImageId>) -> RemoteReader {
        let id = id.into();
        let operation = Operation::new("read image").on(id);
        RemoteReader::new(self.location(operation, id))
    }
}
