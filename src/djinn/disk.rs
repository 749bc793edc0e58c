//! The guest's disk in an image, where the image is.

use super::{ImageId, Images};
use crate::disk::OpenDisk;
use crate::operation::Operation;

impl Images {
    /// Opens the guest's disk in an image on the server, without fetching the image.
    ///
    /// `Endpoint: GET /images/:id` with `Accept: application/x-qemu-disk` and `Range`
    ///
    /// The image is inspected first, as by [`inspect`](Self::inspect). The first read of an image
    /// takes at most four requests: for the header, the L1 table, the L2 table and the data.
    ///
    /// ```
    /// use tokio::io::AsyncReadExt;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut disk = images.disk(42).await?;
    /// let mut first = [0; 512];
    /// disk.read_exact(&mut first).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`reader`](Self::reader) reads the bytes of the QCOW2 file.
    #[doc(alias = "guest")]
    #[doc(alias = "mount")]
    pub fn disk(&self, id: impl Into<ImageId>) -> OpenDisk {
        let id = id.into();
        let operation = Operation::new("read disk of image").on(id);
        OpenDisk::remote(self.location(operation, id))
    }
}
