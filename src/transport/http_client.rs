//! Making HTTP clients.

use std::time::Duration;

use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Cause, Error, Result};

/// Ten years: reqwest adds it to the present instant, which `Duration::MAX` would overflow.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const POOL_IDLE: Duration = Duration::from_secs(20);

/// The settings of HTTP clients.
pub(crate) struct Settings {
    /// Returns the caller's builder to start from.
    pub(crate) base: Option<Box<dyn Fn() -> reqwest::ClientBuilder + Send + Sync>>,
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) proxy: Option<SecretString>,
    pub(crate) user_agent: String,
    pub(crate) connect_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base: None,
            certificates: Vec::new(),
            proxy: None,
            user_agent: concat!("machine-images/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// Makes a client with a connection pool of its own.
    pub(crate) fn client(&self) -> Result<reqwest::Client> {
        #[cfg(all(feature = "rustls-no-provider", not(feature = "rustls")))]
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let message = "rustls needs a crypto provider to be installed first";
            return Err(Error::invalid(message));
        }
        let mut http = match &self.base {
            // Timeouts of the caller's builder cannot be unset, only made long.
            Some(base) => base().timeout(NEVER).read_timeout(NEVER),
            // Servers close idle connections, and a creation that is sent into one that is just
            // being closed has an unknown outcome.
            None => reqwest::Client::builder().pool_idle_timeout(POOL_IDLE),
        }
        .user_agent(&self.user_agent)
        .connect_timeout(self.connect_timeout)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        // Another crate in the program may have enabled these features.
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
                .map_err(|_| Error::invalid("the proxy's URL cannot be parsed"))?;
            http = http.proxy(proxy);
        }
        http.build()
            .map_err(|error| Error::new(Cause::Setup(Box::new(error))))
    }
}

/// Has the crypto provider gather its first random bytes, which takes it up to 40 ms, once a process:
/// meanwhile the connection is made.
#[cfg(feature = "rustls")]
pub(crate) fn warm_up() {
    use std::sync::Once;
    use std::thread;

    use rustls::crypto::{CryptoProvider, aws_lc_rs};

    static ONCE: Once = Once::new();
    // Without a thread, or without bytes, it is the handshake that waits, or fails.
    ONCE.call_once(|| {
        let _ = thread::Builder::new().spawn(|| {
            let provider = CryptoProvider::get_default().cloned();
            let provider = provider.unwrap_or_else(|| aws_lc_rs::default_provider().into());
            let _ = provider.secure_random.fill(&mut [0]);
        });
    });
}

#[cfg(any(
    feature = "rustls",
    feature = "rustls-no-provider",
    feature = "native-tls"
))]
fn add_certificates(http: reqwest::ClientBuilder, pem: &[u8]) -> Result<reqwest::ClientBuilder> {
    let certificates = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(Error::invalid("no PEM certificate in the text"));
    }
    Ok(http.tls_certs_merge(certificates))
}

#[cfg(not(any(
    feature = "rustls",
    feature = "rustls-no-provider",
    feature = "native-tls"
)))]
fn add_certificates(_: reqwest::ClientBuilder, _: &[u8]) -> Result<reqwest::ClientBuilder> {
    let message = "certificates need a TLS feature of this crate";
    Err(Error::invalid(message))
}
