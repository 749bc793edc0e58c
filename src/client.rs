//! The builder of both clients.

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
    Credentials, Inner, MinRate, Service, Settings, Timeouts, Transport, all_secrets, public_url,
};
use base_url::base_url;
pub(crate) use env::{from_env, invalid, required_env, set_env};

type Locate = Box<dyn Fn(Url) -> Result<Url> + Send + Sync>;

const OPERATION: Operation = Operation::new("build client");

/// A builder that configures a client: the server, the credentials and the time limits.
///
/// | setting | default |
/// |---|---|
/// | [`connect_timeout`](Self::connect_timeout) | 10 s |
/// | [`response_timeout`](Self::response_timeout) | 5 minutes, from the last byte of the request |
/// | [`stall_timeout`](Self::stall_timeout) | 60 s without a byte in either direction |
/// | [`min_rate`](Self::min_rate) | none |
/// | [`retry`](Self::retry) | [`RetryPolicy::default`] |
/// | [`max_pages`](Self::max_pages) | 100,000 |
/// | [`max_response`](Self::max_response) | 4 MiB of JSON |
/// | [`user_agent`](Self::user_agent) | `machine-images/VERSION` |
/// | proxies, root certificates | those of the system |
///
/// The total time of a transfer is not limited: one that moves is never cut off, unless
/// [`min_rate`](Self::min_rate) is set.
///
/// Redirects are followed only for reads and only within the origin of the base URL. Credentials
/// are never sent to another origin.
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
#[must_use = "a builder does nothing until `build` is called"]
pub struct ClientBuilder<C> {
    base: String,
    http: Settings,
    credentials: Credentials,
    timeouts: Timeouts,
    retry: RetryPolicy,
    listener: Option<Listener>,
    max_pages: u64,
    max_response: usize,
    /// Turns the base URL into that of the API.
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
            max_response: 4 << 20,
            locate: Box::new(Ok),
            client: PhantomData,
        }
    }

    /// Authenticates with `Authorization: Bearer TOKEN`. Defaults to no credentials.
    ///
    /// The token is never shown: not in `Debug`, errors or traces.
    #[doc(alias = "bearer")]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::Bearer(token.into().into());
        self
    }

    pub(crate) fn set_basic(mut self, user: String, password: SecretString) -> Self {
        self.credentials = Credentials::Basic(user, password);
        self
    }

    /// Sets how the base URL becomes that of the API. Defaults to the base URL itself.
    pub(crate) fn set_locate(
        mut self,
        locate: impl Fn(Url) -> Result<Url> + Send + Sync + 'static,
    ) -> Self {
        self.locate = Box::new(locate);
        self
    }

    /// Sets the `User-Agent` header. Defaults to `machine-images/VERSION`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.http.user_agent = user_agent.into();
        self
    }

    /// Sets the time limit for connecting. Defaults to 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.http.connect_timeout = timeout;
        self
    }

    /// Sets the time limit for a response to begin. Defaults to 5 minutes.
    ///
    /// Counted from the last byte of the request. A Djinn CI server copies an upload before it
    /// responds, which takes it seconds for each GiB.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.response = timeout;
        self
    }

    /// Sets how long a transfer may go without moving a byte. Defaults to 60 s.
    ///
    /// An upload moves whenever the system accepts the next piece of it, of at most 256 KiB. The
    /// system has a buffer of its own: set a limit in which the slowest line carries a few MiB.
    #[doc(alias = "read_timeout")]
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.stall = timeout;
        self
    }

    /// Sets the minimum transfer rate. Disabled by default; zero disables it.
    ///
    /// A response body or an upload that moves fewer than `bytes_per_second` on average over a
    /// period of `over` fails with [`Stalled`](crate::ErrorKind::Stalled), even if it moves a byte
    /// now and then. Reads are then resumed or repeated by the [retry policy](Self::retry); an
    /// upload ends in [`NotSent`](crate::ErrorKind::NotSent). Curl has the same as `--speed-limit`
    /// and `--speed-time`.
    ///
    /// Only time spent waiting for the connection counts, not the time that the program takes to
    /// consume or supply bytes. Each connection of a transfer has its own rate. An upload moves in
    /// bursts as large as the system's buffers: choose `over` long enough for several of them.
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

    /// Reports every request to `listener` once its response was read, or has failed.
    ///
    /// Called on the thread that works on the request, so it should return at once.
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

    /// Sets the maximum size of a JSON response in bytes. Defaults to 4 MiB.
    ///
    /// A larger one fails with [`Limit`](crate::ErrorKind::Limit). A page of 25 images has about
    /// 20 KiB. Decoded, a response can take ten times as much memory.
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// Adds root certificates in PEM format to those of the system.
    #[doc(alias = "ca")]
    #[doc(alias = "tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.http.certificates.push(pem.into());
        self
    }

    /// Sends every request through this proxy. Defaults to the proxies of the system.
    ///
    /// The URL may carry a login: `http://user:password@proxy:3128`.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.http.proxy = Some(url.into().into());
        self
    }

    /// Uses `builder` as the base of every HTTP client, for options not exposed here.
    ///
    /// Called once for the client, and again for transfers to files, which have connections of
    /// their own. Redirects, timeouts, retries, decompression and the
    /// [`User-Agent`](Self::user_agent) are set by this crate afterwards. Set its
    /// `pool_idle_timeout` below the server's; without `builder` it is 20 s. A creation sent on a
    /// connection that is being closed fails with
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown).
    ///
    /// ```
    /// # fn example() -> machine_images::Result<()> {
    /// let client = machine_images::djinn::Client::builder("https://api.djinn-ci.com")
    ///     .reqwest_builder(|| reqwest::Client::builder().tcp_nodelay(false))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reqwest_builder(
        mut self,
        builder: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.http.base = Some(Box::new(builder));
        self
    }

    /// Checks the settings and makes the transport to the service.
    pub(crate) fn transport(self, service: &'static Service) -> Result<Transport> {
        let transport = self.checked(service);
        transport.map_err(|error| error.during(&OPERATION))
    }

    fn checked(self, service: &'static Service) -> Result<Transport> {
        let base = (self.locate)(base_url(&self.base)?)?;
        let progress = self.timeouts.min_rate.map_or(0, MinRate::least);
        #[cfg(feature = "rustls")]
        if base.scheme() == "https" {
            crate::transport::warm_up();
        }
        let settings = self.http;
        let http = settings.client()?;
        let request = || http.get(base.clone());
        let (authorization, secrets) = self.credentials.header(request())?;
        let secrets = all_secrets(secrets, settings.proxy.as_ref(), request);
        let inner = Inner {
            http: Box::new(move || settings.client()),
            #[cfg(feature = "fs")]
            spare: Default::default(),
            base,
            authorization,
            secrets,
            timeouts: self.timeouts,
            max_pages: self.max_pages,
            max_response: self.max_response,
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
