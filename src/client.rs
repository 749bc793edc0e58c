//! The builder that both clients share.

use std::env::VarError;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::attempt::{Attempt, Listener};
use crate::error::{Error, Result};
use crate::http::Settings;
use crate::operation::Operation;
use crate::retry::RetryPolicy;
use crate::transport::{Inner, MinRate, Service, Timeouts, Transport, public_url};

const OPERATION: Operation = Operation::new("build client");

/// Builds a client: where the server is, who asks, and how long to wait.
///
/// | setting | default |
/// |---|---|
/// | [`connect_timeout`](Self::connect_timeout) | 10 s |
/// | [`response_timeout`](Self::response_timeout) | 5 minutes, from the last byte of the request |
/// | [`stall_timeout`](Self::stall_timeout) | 60 s without a byte in either direction |
/// | [`min_rate`](Self::min_rate) | none |
/// | [`retry`](Self::retry) | [`RetryPolicy::default`] |
/// | [`user_agent`](Self::user_agent) | `machine-images/VERSION` |
/// | proxies, root certificates | those of the system |
///
/// There is no limit on the time of a whole transfer: one that moves is never cut off, unless
/// [`min_rate`](Self::min_rate) asks it to move faster.
///
/// Redirects are followed only for reading and only within the origin of the base URL, which is
/// the only one that the credentials ever go to.
///
/// ```
/// use std::time::Duration;
/// use machine_images::djinn;
///
/// # fn example() -> machine_images::Result<()> {
/// let client = djinn::Client::builder("https://api.djinn-ci.com")
///     .token("1a2b3c")
///     .stall_timeout(Duration::from_secs(20))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct ClientBuilder<C> {
    base: String,
    http: Settings,
    credentials: Credentials,
    timeouts: Timeouts,
    retry: RetryPolicy,
    listener: Option<Listener>,
    max_pages: u64,
    max_answer: usize,
    /// The path of the API's version below the base URL, if it is set.
    version: Option<&'static str>,
    client: PhantomData<fn() -> C>,
}

enum Credentials {
    None,
    Bearer(SecretString),
    Basic(String, SecretString),
}

impl<C> ClientBuilder<C> {
    pub(crate) fn new(base: impl Into<String>) -> Self {
        Self {
            base: base.into(),
            http: Settings::default(),
            credentials: Credentials::None,
            timeouts: Timeouts {
                response: Duration::from_secs(300),
                stall: Duration::from_secs(60),
                min_rate: None,
            },
            retry: RetryPolicy::default(),
            listener: None,
            max_pages: 100_000,
            max_answer: 4 << 20,
            version: None,
            client: PhantomData,
        }
    }

    /// Sends `Authorization: Bearer TOKEN`.
    pub fn token(mut self, token: impl Into<SecretString>) -> Self {
        self.credentials = Credentials::Bearer(token.into());
        self
    }

    pub(crate) fn set_basic(mut self, user: String, password: SecretString) -> Self {
        self.credentials = Credentials::Basic(user, password);
        self
    }

    pub(crate) fn set_version(mut self, version: &'static str) -> Self {
        self.version = Some(version);
        self
    }

    /// What the client calls itself.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.http.user_agent = user_agent.into();
        self
    }

    /// How long making a connection may take.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.http.connect_timeout = timeout;
        self
    }

    /// How long the server may take to begin its answer, from the last byte of the request on.
    ///
    /// A Djinn CI server copies an upload before it answers, which takes it seconds for each GiB.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.response = timeout;
        self
    }

    /// How long a transfer may stand still.
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.stall = timeout;
        self
    }

    /// The least rate of a body, in bytes a second, and the time over which it must be reached:
    /// what curl calls `--speed-limit` and `--speed-time`. None unless told; zero for either is
    /// none again.
    ///
    /// A server that sends a byte now and then never stalls, and never ends. With a least rate an
    /// answer's body, or an upload, that moves fewer bytes than that in a whole stretch of `over`
    /// counts as [`Stalled`](crate::ErrorKind::Stalled): reading is resumed or repeated as the
    /// [retry policy](Self::retry) has it, an upload ends in [`NotSent`](crate::ErrorKind::NotSent).
    ///
    /// Only the time counts in which the connection is waited for, not the time that a program
    /// takes for what it got, or a source for what is to be sent. Each connection of a fetch to a
    /// file has its own rate. An upload moves in bursts, as large as the system's buffers; `over`
    /// should be long enough for a few of them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use machine_images::djinn;
    ///
    /// # fn example() -> machine_images::Result<()> {
    /// let client = djinn::Client::builder("https://api.djinn-ci.com")
    ///     .min_rate(10_000, Duration::from_secs(30))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn min_rate(mut self, bytes_per_second: u64, over: Duration) -> Self {
        self.timeouts.min_rate = MinRate::new(bytes_per_second, over);
        self
    }

    /// Sets when requests are sent again. Defaults to [`RetryPolicy::default`].
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Reports every request to `listener` when its answer has been read, or failed.
    ///
    /// It is called on the thread that works on the request, and should return at once.
    ///
    /// ```
    /// use machine_images::djinn;
    ///
    /// # fn example() -> machine_images::Result<()> {
    /// let client = djinn::Client::builder("https://api.djinn-ci.com")
    ///     .on_attempt(|attempt| {
    ///         println!("{} {} {:?}", attempt.method, attempt.url, attempt.status);
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "metrics")]
    pub fn on_attempt(mut self, listener: impl Fn(&Attempt) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Sets the maximum number of pages per listing. Defaults to 100,000.
    pub fn max_pages(mut self, pages: u64) -> Self {
        self.max_pages = pages;
        self
    }

    /// Sets the maximum length of a JSON answer in bytes. Defaults to 4 MiB; a page of 25 images
    /// takes about 20 KiB.
    ///
    /// A longer one fails with [`Limit`](crate::ErrorKind::Limit). What is decoded of it can take
    /// ten times as much memory.
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// Trusts the certificates in this PEM text besides those of the system.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.http.certificates.push(pem.into());
        self
    }

    /// Sends every request through this proxy, such as `http://user:password@proxy:3128`.
    pub fn proxy(mut self, url: impl Into<SecretString>) -> Self {
        self.http.proxy = Some(url.into());
        self
    }

    /// Starts from an own [`reqwest::ClientBuilder`], for what this builder has no setting for.
    ///
    /// It is a builder, not a client, because this crate's own rules are set on it: no redirects
    /// behind its back, no total timeout, no retries but its own. It is asked for again for
    /// transfers of files, whose connections are their own.
    ///
    /// ```
    /// # fn example() -> machine_images::Result<()> {
    /// let client = machine_images::djinn::Client::builder("https://api.djinn-ci.com")
    ///     .http(|| reqwest::Client::builder().tcp_nodelay(false))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn http(
        mut self,
        builder: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.http.own = Some(Box::new(builder));
        self
    }

    /// Checks the settings and makes what sends requests to the service.
    pub(crate) fn transport(self, service: &'static Service) -> Result<Transport> {
        self.transport_at(service, |base, _| Ok(base))
    }

    /// The same for a service whose API is not at the base URL itself: `locate` gets that, and the
    /// version that is set.
    pub(crate) fn transport_at(
        self,
        service: &'static Service,
        locate: impl FnOnce(Url, Option<&'static str>) -> Result<Url>,
    ) -> Result<Transport> {
        let transport = self.checked(service, locate);
        transport.map_err(|error| error.during(&OPERATION))
    }

    fn checked(
        self,
        service: &'static Service,
        locate: impl FnOnce(Url, Option<&'static str>) -> Result<Url>,
    ) -> Result<Transport> {
        let base = locate(base_url(&self.base)?, self.version)?;
        #[cfg(all(feature = "rustls-no-provider", not(feature = "rustls")))]
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(invalid(
                "rustls needs a crypto provider to be installed first",
            ));
        }
        let progress = self.timeouts.min_rate.map_or(0, MinRate::least);
        let settings = self.http;
        let http = settings.client()?;
        let any = || http.get(base.clone());
        let (authorization, mut secrets) = self.credentials.header(any())?;
        secrets.extend(
            settings
                .proxy
                .iter()
                .flat_map(|proxy| proxy_login(proxy, any())),
        );
        let inner = Inner {
            http: Box::new(move || settings.client()),
            #[cfg(feature = "fs")]
            spare: Default::default(),
            base,
            authorization,
            secrets,
            timeouts: self.timeouts,
            max_pages: self.max_pages,
            max_answer: self.max_answer,
            knows_http: false.into(),
            listener: self.listener,
            service,
        };
        Ok(Transport::new(inner, http, self.retry.progress(progress)))
    }
}

impl<C> fmt::Debug for ClientBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = Url::parse(&self.base).map(|url| public_url(&url));
        f.debug_struct("ClientBuilder")
            .field("base", &base.unwrap_or_default())
            .field("user_agent", &self.http.user_agent)
            .field("connect_timeout", &self.http.connect_timeout)
            .field("timeouts", &self.timeouts)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The header's value, and what must never be shown.
    fn header(
        &self,
        any: reqwest::RequestBuilder,
    ) -> Result<(Option<HeaderValue>, Vec<SecretString>)> {
        let (secret, request) = match self {
            Self::None => return Ok((None, Vec::new())),
            Self::Bearer(token) => {
                let text = token.expose_secret();
                if text.is_empty() || text.contains(char::is_whitespace) {
                    return Err(invalid("the token is empty or has white space in it"));
                }
                (token, any.bearer_auth(text))
            }
            Self::Basic(user, _) if user.contains(':') => {
                return Err(invalid("the user's name has a colon in it"));
            }
            Self::Basic(user, password) => (
                password,
                any.basic_auth(user, Some(password.expose_secret())),
            ),
        };
        let request = request.build().ok();
        let value = request.and_then(|mut request| request.headers_mut().remove(AUTHORIZATION));
        let value = value.ok_or_else(|| invalid("the token cannot be sent in a header"))?;
        let sent = value.to_str().unwrap_or_default();
        let sent = sent.split_once(' ').map_or(sent, |(_, encoded)| encoded);
        let mut secrets = vec![secret.clone(), sent.into()];
        secrets.retain(|secret| !secret.expose_secret().is_empty());
        Ok((Some(value), secrets))
    }
}

/// A proxy's password, as it is written, meant and sent.
fn proxy_login(proxy: &SecretString, any: reqwest::RequestBuilder) -> Vec<SecretString> {
    let url = Url::parse(proxy.expose_secret()).ok();
    let Some((url, password)) = url.as_ref().and_then(|url| Some((url, url.password()?))) else {
        return Vec::new();
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let plain = decoded(password);
    let login = Credentials::Basic(decoded(url.username()), plain.clone().into());
    let sent = login.header(any).map_or(Vec::new(), |(_, secrets)| secrets);
    [password.into(), plain.into()]
        .into_iter()
        .chain(sent)
        .collect()
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(message).during(&OPERATION)
}

const HAS_TLS: bool = cfg!(any(
    feature = "rustls",
    feature = "rustls-no-provider",
    feature = "native-tls"
));

fn base_url(text: &str) -> Result<Url> {
    let invalid = |why: &str| invalid(format!("the base URL {why}"));
    let url = Url::parse(text.trim()).map_err(|_| invalid("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(invalid("is not one of http or https"));
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

/// A variable of the environment, if it is set to something.
pub(crate) fn from_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable of the environment that must be set to something.
pub(crate) fn required_env(name: &str) -> Result<String> {
    from_env(name).ok_or_else(|| not_set(name))
}

/// A variable of the environment that must be set, if only to nothing.
pub(crate) fn set_env(name: &str) -> Result<String> {
    std::env::var(name).map_err(|error| match error {
        VarError::NotPresent => not_set(name),
        VarError::NotUnicode(_) => invalid(format!("{name} is not UTF-8")),
    })
}

fn not_set(name: &str) -> Error {
    invalid(format!("{name} is not set"))
}
