//! The model of a delivery.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::djinn::model::{Image, id, words};
use crate::model::Extra;

id! {
    /// The id of a webhook.
    HookId
}

words! {
    /// The change of an image that an [`Event`] reports.
    Action {
        /// The image was created: uploaded, or its download requested.
        Created = "created",
        /// The image was updated.
        Updated = "updated",
        /// The image was deleted.
        Deleted = "deleted",
        /// The server's download of the image ended. Documented, but not seen from a real server.
        Downloaded = "downloaded",
    }
}

/// A change of an image, as a webhook delivers it.
///
/// Serialization gives back what was deserialized, unknown fields included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The change.
    pub action: Action,
    /// The image. When it was created, it is as in the response to the creation: without
    /// [`download`](Image::download), and with an incomplete namespace.
    pub image: Image,
    /// The id of the webhook, by the header `X-Djinn-CI-Hook-ID`, which is not signed; `None` from
    /// [`verify`](super::verify), and if there is no such header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook_id: Option<HookId>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}
