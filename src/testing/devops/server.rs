use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::access::{AccessPolicy, Login};
use super::api::Api;
use super::image::Image;
use super::state::{Provider, State};
use crate::devops::{ApiVersion, Client};
use crate::error::Result;
use crate::sync::lock;
use crate::testing::fault_rule::FaultRule;
use crate::testing::request_log::Received;
use crate::testing::server::{Listen, Server};

const USER: &str = "root";
const PASSWORD: &str = "secret";

/// An embedded DevOps Service with its images API. Stops when it is dropped.
///
/// By default it behaves as documented for version 3, with the errors of version 2 where the
/// documentation specifies none. With [`api_version`](DevopsServerBuilder::api_version), it
/// behaves like the public version 2.
///
/// ```
/// # #[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use machine_images::ErrorKind;
/// use machine_images::testing::DevopsServer;
///
/// let server = DevopsServer::start()?;
/// server.add_image("ami-63071b0a", "ec2", "ec2-user", "debian-12");
/// server.mark_in_use("ami-63071b0a", "proj.test");
///
/// let images = server.client()?.images();
/// let error = images.delete("ami-63071b0a").await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Rejected);
/// assert_eq!(server.images()[0]["remote_user"], "ec2-user");
/// # Ok(())
/// # }
/// # #[cfg(not(any(feature = "rustls", not(feature = "rustls-no-provider"))))]
/// # fn main() {}
/// ```
pub struct DevopsServer {
    server: Server,
    api: Arc<Api>,
    url: Url,
}

impl DevopsServer {
    /// Starts a server with one user, who has all access policies, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Returns an error if no port or thread is available.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Returns a builder that starts a server with other settings.
    pub fn builder() -> DevopsServerBuilder {
        DevopsServerBuilder::default()
    }

    /// Returns the URL above `/v3`, such as `http://127.0.0.1:40123/`.
    #[must_use]
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// Returns the name and password of the default user.
    #[must_use]
    pub fn login(&self) -> (&'static str, &'static str) {
        (USER, PASSWORD)
    }

    /// Returns a client for the server, with the default user's login and default settings.
    ///
    /// For other settings, pass [`url`](Self::url) and [`login`](Self::login) to
    /// [`Client::builder`].
    ///
    /// # Errors
    /// Returns [`InvalidInput`](crate::ErrorKind::InvalidInput) if TLS cannot be set up: with the
    /// feature `rustls-no-provider`, before the program installs a crypto provider.
    pub fn client(&self) -> Result<Client> {
        let version = if self.api.is_v2 {
            ApiVersion::V2
        } else {
            ApiVersion::V3
        };
        Client::builder(self.url())
            .basic(USER, PASSWORD)
            .api_version(version)
            .build()
    }

    /// Adds an image without checks. Replaces an image with the same id.
    pub fn add_image(&self, id: &str, provider: &str, remote_user: &str, name: &str) {
        lock(&self.api.state).put(Image {
            provider: provider.to_owned(),
            name: name.to_owned(),
            remote_user: remote_user.to_owned(),
            bootstrap_template: None,
            id: id.to_owned(),
        });
    }

    /// Marks an image as used by an environment, such as `proj.test`.
    ///
    /// An image in use cannot be deleted.
    pub fn mark_in_use(&self, id: &str, environment: &str) {
        lock(&self.api.state).mark_in_use(id, environment);
    }

    /// Removes an image from a provider, but not from the provider's filter.
    ///
    /// The service keeps an existing image with this id, but creates none, and version 2 does not
    /// update it.
    pub fn remove_from_provider(&self, provider: &str, id: &str) {
        lock(&self.api.state).remove_from_provider(provider, id);
    }

    /// Returns all images as the list shows them, in order of creation.
    #[must_use]
    pub fn images(&self) -> Vec<Value> {
        let state = lock(&self.api.state);
        let values = state.images().iter().map(serde_json::to_value);
        values.filter_map(Result::ok).collect()
    }

    /// Returns the requests since the start or [`clear_requests`](Self::clear_requests), in order
    /// of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.server.shared.log.snapshot()
    }

    /// Clears the log of requests.
    pub fn clear_requests(&self) {
        self.server.shared.log.clear();
    }

    /// Restarts the server: resets all connections, refuses new ones for `downtime`, then serves
    /// on with the same images. Returns once all are closed, or after a second, and does not wait
    /// for the end of `downtime`.
    pub fn restart(&self, downtime: Duration) {
        self.server.restart(downtime);
    }

    /// Adds a fault for later requests. If several rules match a request, the first that is not
    /// used up applies.
    pub fn inject(&self, fault: impl Into<FaultRule>) {
        self.server.shared.faults.add(fault.into());
    }

    /// Removes all faults. Faults in progress continue.
    pub fn clear_faults(&self) {
        self.server.shared.faults.clear();
    }
}

impl std::fmt::Debug for DevopsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevopsServer")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// A builder that starts a [`DevopsServer`].
///
/// ```
/// use machine_images::devops::ApiVersion;
/// use machine_images::testing::{AccessPolicy, DevopsServer};
///
/// let server = DevopsServer::builder()
///     .api_version(ApiVersion::V2)
///     .user("reader", "pw", &[AccessPolicy::ReadImages])
///     .filter("ec2", &["ami-1", "ami-2"])
///     .template("omnibus")
///     .start()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DevopsServerBuilder {
    listen: Listen,
    base_path: String,
    logins: Vec<Login>,
    providers: Vec<Provider>,
    templates: Vec<String>,
    version: ApiVersion,
}

impl Default for DevopsServerBuilder {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            base_path: String::new(),
            logins: vec![Login::basic(USER, PASSWORD, &AccessPolicy::ALL)],
            providers: vec![Provider::new("ec2", None), Provider::new("openstack", None)],
            templates: Vec::new(),
            version: ApiVersion::V3,
        }
    }
}

impl DevopsServerBuilder {
    /// Sets the path before `/v3`. Defaults to none.
    pub fn base_path(mut self, path: &str) -> Self {
        self.base_path = match path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        self
    }

    /// Adds a user who logs in with HTTP Basic authentication.
    pub fn user(mut self, name: &str, password: &str, policies: &[AccessPolicy]) -> Self {
        self.logins.push(Login::basic(name, password, policies));
        self
    }

    /// Adds a bearer token. Version 2 rejects every token with `400`.
    pub fn token(mut self, token: &str, policies: &[AccessPolicy]) -> Self {
        self.logins.push(Login::bearer(token, policies));
        self
    }

    /// Adds a provider that has an image for every id. Defaults to `ec2` and `openstack`.
    pub fn provider(self, name: &str) -> Self {
        self.set_provider(Provider::new(name, None))
    }

    /// Limits a provider to some images. Adds the provider if it does not exist.
    pub fn filter(self, provider: &str, ids: &[&str]) -> Self {
        self.set_provider(Provider::new(provider, Some(ids)))
    }

    fn set_provider(mut self, provider: Provider) -> Self {
        let mut providers = self.providers.iter_mut();
        match providers.find(|known| known.name() == provider.name()) {
            Some(known) => *known = provider,
            None => self.providers.push(provider),
        }
        self
    }

    /// Adds a bootstrap template. Images with other templates are refused.
    pub fn template(mut self, name: &str) -> Self {
        self.templates.push(name.to_owned());
        self
    }

    /// Sets the version of the API. Defaults to [`ApiVersion::V3`].
    ///
    /// Version 2 differs from the documentation of version 3:
    /// - Its paths are below `/v2.0`. This server has them below `/v3` too.
    /// - The response to a creation is `201`. The responses to changes have a message only, without
    ///   id or image.
    /// - An update requires the whole record, and replaces it.
    /// - An update and a deletion require `Content-Type: application/json`.
    /// - An image whose id contains a slash can only be created and listed.
    /// - The only logins are those with HTTP Basic authentication.
    pub fn api_version(mut self, version: ApiVersion) -> Self {
        self.version = version;
        self
    }

    /// Sets the address to listen on. Defaults to a free port of 127.0.0.1.
    pub fn bind(mut self, address: impl Into<SocketAddr>) -> Self {
        self.listen.address = address.into();
        self
    }

    /// Sets a delay before each request is processed, as on a distant server. Defaults to none.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.listen.latency = latency;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// Returns an error if the address is taken or no thread is available.
    pub fn start(self) -> io::Result<DevopsServer> {
        let listener = TcpListener::bind(self.listen.address)?;
        let address = listener.local_addr()?;
        let url = Url::parse(&format!("http://{address}{}", self.base_path));
        let url = url.map_err(io::Error::other)?;
        let api = Arc::new(Api {
            base_path: self.base_path,
            logins: self.logins,
            is_v2: self.version == ApiVersion::V2,
            state: Mutex::new(State::new(self.providers, self.templates)),
        });
        let service = Box::new(Arc::clone(&api));
        let server = Server::start(listener, self.listen.latency, service)?;
        Ok(DevopsServer { server, api, url })
    }
}
