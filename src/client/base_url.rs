//! The base URL of a service.

use url::Url;

use crate::error::{Error, Result};

const HAS_TLS: bool = cfg!(any(
    feature = "rustls",
    feature = "rustls-no-provider",
    feature = "native-tls"
));

/// Parses the base URL, and refuses one that cannot be used.
pub(super) fn base_url(text: &str) -> Result<Url> {
    let invalid = |why: &str| Error::invalid(format!("the base URL {why}"));
    let url = Url::parse(text.trim()).map_err(|_| invalid("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid("must use http or https"));
    }
    if url.scheme() == "https" && !HAS_TLS {
        return Err(invalid("is https, which needs a TLS feature of this crate"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("carries credentials; set them on the builder"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("has a query or a fragment"));
    }
    Ok(url)
}
