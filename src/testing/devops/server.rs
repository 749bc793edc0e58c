use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::access::{Login, Policy};
use super::images::Images;
use super::routes::Office;
use crate::testing::record::Received;
use crate::testing::rule::FaultRule;
use crate::testing::server::{Listen, Server};
use crate::testing::wire::lock;

const USER: &str = "root";
const PASSWORD: &str = "secret";

/// A DevOps Service with its images API, on loopback until it is dropped.
///
/// It answers as the documentation of version 3 says, with the authentication, checks and
/// errors of version 2, whose answers it gives too if it is
/// [told to](DevopsServerBuilder::v2_manner).
///
/// ```
/// # #[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use machine_images::ErrorKind;
/// use machine_images::devops::Client;
/// use machine_images::testing::DevopsServer;
///
/// let server = DevopsServer::start()?;
/// server.add_image("ami-63071b0a", "ec2", "ec2-user", "debian-12");
/// server.mark_in_use("ami-63071b0a");
///
/// let (user, password) = server.login();
/// let client = Client::builder(server.url()).basic(user, password).build()?;
/// let error = client.images().delete("ami-63071b0a").send().await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Rejected);
/// assert_eq!(server.images()[0]["remote_user"], "ec2-user");
/// # Ok(())
/// # }
/// # #[cfg(not(any(feature = "rustls", not(feature = "rustls-no-provider"))))]
/// # fn main() {}
/// ```
pub struct DevopsServer {
    server: Server,
    office: Arc<Office>,
    url: Url,
}

impl DevopsServer {
    /// Starts a server with one user, who may do everything, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If there is no port or no thread to be had.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// A server to be configured.
    pub fn builder() -> DevopsServerBuilder {
        DevopsServerBuilder::default()
    }

    /// The address below which `/v3` is, such as `http://127.0.0.1:40123/`.
    #[must_use]
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// Name and password of the user who is always there.
    #[must_use]
    pub fn login(&self) -> (&'static str, &'static str) {
        (USER, PASSWORD)
    }

    /// Adds an image without any check, in place of one with the same id.
    pub fn add_image(&self, id: &str, provider: &str, remote_user: &str, name: &str) {
        lock(&self.office.images).put(serde_json::json!({
            "bootstrap_template": null,
            "id": id,
            "name": name,
            "provider": provider,
            "remote_user": remote_user,
        }));
    }

    /// Lets nobody delete this image any more.
    pub fn mark_in_use(&self, id: &str) {
        lock(&self.office.images).mark_in_use(id);
    }

    /// All images as the list shows them, in the order of their creation.
    #[must_use]
    pub fn images(&self) -> Vec<Value> {
        lock(&self.office.images).all().to_vec()
    }

    /// All requests since the start or [`clear_requests`](Self::clear_requests), in the order of
    /// their arrival, with what has been answered so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.server.shared.log.snapshot()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.server.shared.log.clear();
    }

    /// Lets a fault befall requests to come. Of several rules that match a request the first
    /// that is not used up counts.
    pub fn inject(&self, fault: impl Into<FaultRule>) {
        self.server.shared.faults.add(fault.into());
    }

    /// Forgets all faults; those under way go on.
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

/// A [`DevopsServer`] to be.
///
/// ```
/// use machine_images::testing::{DevopsServer, Policy};
///
/// let server = DevopsServer::builder()
///     .user("reader", "pw", &[Policy::ReadImages])
///     .token("t0k3n", &Policy::ALL)
///     .v2_manner(true)
///     .start()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DevopsServerBuilder {
    listen: Listen,
    base_path: String,
    logins: Vec<Login>,
    providers: Vec<String>,
    v2_manner: bool,
}

impl Default for DevopsServerBuilder {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            base_path: String::new(),
            logins: vec![Login::basic(USER, PASSWORD, &Policy::ALL)],
            providers: vec!["ec2".to_owned(), "openstack".to_owned()],
            v2_manner: false,
        }
    }
}

impl DevopsServerBuilder {
    /// The path before `/v3`; there is none if it is not set.
    pub fn base_path(mut self, path: &str) -> Self {
        self.base_path = match path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        self
    }

    /// Adds a user who logs in with HTTP Basic authentication.
    pub fn user(mut self, name: &str, password: &str, policies: &[Policy]) -> Self {
        self.logins.push(Login::basic(name, password, policies));
        self
    }

    /// Adds a bearer token.
    pub fn token(mut self, token: &str, policies: &[Policy]) -> Self {
        self.logins.push(Login::bearer(token, policies));
        self
    }

    /// Adds a provider to `ec2` and `openstack`.
    pub fn provider(mut self, name: &str) -> Self {
        self.providers.push(name.to_owned());
        self
    }

    /// Whether changes are answered as by version 2: creations with `201` and no id, updates
    /// and deletions with a message alone. The paths stay those of version 3.
    pub fn v2_manner(mut self, v2_manner: bool) -> Self {
        self.v2_manner = v2_manner;
        self
    }

    /// Listens on this address, for servers that others are to find.
    pub fn bind(mut self, address: impl Into<SocketAddr>) -> Self {
        self.listen.address = address.into();
        self
    }

    /// Lets every request wait this long before it is looked at, as on a distant server.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.listen.latency = latency;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// If the address is taken, or there is no thread to be had.
    pub fn start(self) -> io::Result<DevopsServer> {
        let listener = TcpListener::bind(self.listen.address)?;
        let address = listener.local_addr()?;
        let url = Url::parse(&format!("http://{address}{}", self.base_path));
        let url = url.map_err(io::Error::other)?;
        let office = Arc::new(Office {
            base_path: self.base_path,
            logins: self.logins,
            providers: self.providers,
            v2_manner: self.v2_manner,
            images: Mutex::new(Images::default()),
        });
        let service = Box::new(Arc::clone(&office));
        let server = Server::start(listener, self.listen.latency, service)?;
        Ok(DevopsServer {
            server,
            office,
            url,
        })
    }
}
