//! The operations on images.

use crate::transport::Transport;

/// The media type of an image's content; a server accepts no other spelling of it.
pub(crate) const QEMU_DISK: &str = "application/x-qemu-disk";

/// The operations on images; cheap to clone.
#[derive(Clone, Debug)]
pub struct Images {
    pub(super) transport: Transport,
}
