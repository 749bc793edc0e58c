//! One request that uploads an image.

use reqwest::Method;

use super::images::QEMU_DISK;
use super::model::Image;
use super::name::{self, NamespacePath};
use crate::error::Result;
use crate::progress::Meter;
use crate::source::Source;
use crate::transport::{Request, Transport};

/// The place of an image to upload.
pub(super) struct Target {
    pub(super) transport: Transport,
    pub(super) name: String,
    pub(super) namespace: Option<NamespacePath>,
}

impl Target {
    pub(super) async fn upload(&self, source: Source, meter: Meter) -> Result<Image> {
        let mut request = Request::new(Method::POST)
            .path(["images"])?
            .query("name", &self.name);
        if let Some(namespace) = &self.namespace {
            request = request.query("namespace", &namespace.to_string());
        }
        let request = request.upload(source, meter.clone(), QEMU_DISK);
        let response = self.transport.fetch(request).await;
        let response = response.map_err(|error| name::taken(error, &self.name))?;
        meter.finish();
        response.json()
    }
}
