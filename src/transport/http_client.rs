//! What every connection is made with.

use std::time::Duration;

use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Cause, Error, Result};

/// Ten years: reqwest adds it to the present instant, which the greatest duration would overflow.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const POOL_IDLE: Duration = Duration::from_secs(20);

/// The settings of the HTTP clients that a client of this crate has.
pub(crate) struct Settings {
    pub(crate) own: Option<Box<dyn Fn() -> reqwest::ClientBuilder + Send + Sync>>,
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) proxy: Option<SecretString>,
    pub(crate) user_agent: String,
    pub(crate) connect_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            own: None,
            certificates: Vec::new(),
            proxy: None,
            user_agent: concat!("machine-images/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// A client with connections of its own.
    pub(crate) fn client(&self) -> Result<reqwest::Client> {
        let mut http = match &self.own {
            // What a foreign builder may bring is undone; `None` cannot be set again.
            Some(own) => own().timeout(NEVER).read_timeout(NEVER),
            // Servers close idle connections, and a creation sent into one that is being closed
            // has an unknown outcome.
            None => reqwest::Client::builder().pool_idle_timeout(POOL_IDLE),
        }
        .user_agent(&self.user_agent)
        .connect_timeout(self.connect_timeout)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        // Another crate in the program may have turned these features on.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .referer(false);
        for pem in &self.certificates {
            http = add_certificates(http, pem)?;
        }
        if let Some(proxy) = &self.proxy {
            // Its error would show the URL with the password.
            let proxy = reqwest::Proxy::all(proxy.expose_secret())
                .map_err(|_| Error::invalid("the proxy's URL cannot be read"))?;
            http = http.proxy(proxy);
        }
        http.build()
            .map_err(|error| Error::new(Cause::Setup(Box::new(error))))
    }
}

#[cfg(any(
    feature = "rustls",
    feature = "rustls-no-provider",
    feature = "native-tls"
))]
fn add_certificates(http: reqwest::ClientBuilder, pem: &[u8]) -> Result<reqwest::ClientBuilder> {
    let certificates = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(Error::invalid("there is no PEM certificate in the text"));
    }
    Ok(http.tls_certs_merge(certificates))
}

#[cfg(not(any(
    feature = "rustls",
    feature = "rustls-no-provider",
    feature = "native-tls"
)))]
fn add_certificates(_: reqwest::ClientBuilder, _: &[u8]) -> Result<reqwest::ClientBuilder> {
    Err(Error::invalid(
        "certificates need a TLS feature of this crate",
    ))
}
