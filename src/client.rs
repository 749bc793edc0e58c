//! The builder that both clients share.

mod base_url;
mod env;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::attempt::{Attempt, Listener};
use crate::error::Result;
use crate::operation::Operation;
use crate::retry::RetryPolicy;
use crate::transport::{
    Credentials, Inner, MinRate, Service, Settings, Timeouts, Transport, proxy_login, public_url,
};
use base_url::base_url;
pub(crate) use env::{from_env, invalid, required_env, set_env};

type Locate = Box<dyn Fn(Url) -> Result<Url> + Send + Sync>;

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
    /// Finds the API below the base URL.
    locate: Locate,
    client: PhantomData<fn() -> C>,
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
            locate: Box::new(Ok),
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

    /// Sets where the API is for a base URL. Defaults to the base URL itself.
    pub(crate) fn set_locate(
        mut self,
        locate: impl Fn(Url) -> Result<Url> + Send + Sync + 'static,
    ) -> Self {
        self.locate = Box::new(locate);
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
        let transport = self.checked(service);
        transport.map_err(|error| error.during(&OPERATION))
    }

    fn checked(self, service: &'static Service) -> Result<Transport> {
        let base = (self.locate)(base_url(&self.base)?)?;
        #[cfg(all(feature = "rustls-no-provider", not(feature = "rustls")))]
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(crate::error::Error::invalid(
                "rustls needs a crypto provider to be installed first",
            ));
        }
        let progress = self.timeouts.min_rate.map_or(0, MinRate::least);
        let settings = self.http;
        let http = settings.client()?;
        let any = || http.get(base.clone());
        let (authorization, mut secrets) = self.credentials.header(any())?;
        if let Some(proxy) = &settings.proxy {
            secrets.extend(proxy_login(proxy, any()));
        }
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
