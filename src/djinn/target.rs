//! The name and namespace of a new image, and the request that creates it.

use percent_encoding::percent_decode_str;
use reqwest::Method;
use serde::Serialize;
use url::Url;

use super::images::QEMU_DISK;
use super::model::Image;
use super::name::{self, NamespacePath};
use crate::error::Result;
use crate::progress::Meter;
use crate::source::Source;
use crate::transport::{Request, Transport};

/// The parameters of a download.
#[derive(Serialize)]
struct Parameters<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    download_url: &'a str,
}

/// The name and namespace of a new image, and the server.
#[derive(Clone)]
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

    pub(super) async fn download(&self, url: &Url) -> Result<Image> {
        let body = Parameters {
            name: &self.name,
            namespace: self.namespace.as_ref().map(ToString::to_string),
            download_url: url.as_str(),
        };
        let mut request = Request::new(Method::POST).path(["images"])?.json(&body)?;
        for secret in secrets(url) {
            // The server repeats URLs in lower case.
            request = request.secret(&secret).secret(&secret.to_lowercase());
        }
        let response = self.transport.fetch(request).await;
        let response = response.map_err(|error| name::taken(error, &self.name))?;
        response.json()
    }
}

/// Returns the secrets of a URL: its password, or else its user, and long values of its query, such
/// as signatures; percent-encoded and decoded. Short ones are removed with the query of the URL.
fn secrets(url: &Url) -> Vec<String> {
    let pairs = url.query().unwrap_or_default().split('&');
    let values = pairs.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    let login = url.password().unwrap_or(url.username());
    let sent = values.filter(|value| value.len() >= 8).chain([login]);
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    sent.flat_map(|text| [text.to_owned(), decoded(text)])
        .collect()
}
