mod webhooks;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::api::Api;
use super::image_builder::ImageBuilder;
use super::state::{Grant, Row, State};
use crate::djinn::{Client, ImageId, NamespaceId, Visibility};
use crate::error::Result;
use crate::sync::lock;
use crate::testing::content::Content;
use crate::testing::empty_qcow2;
use crate::testing::fault_rule::FaultRule;
use crate::testing::request_log::Received;
use crate::testing::server::{Listen, Server};

const USER: &str = "tester";
const TOKEN: &str = "866913559a626dc4522c6aa7b1554861";

/// The index of the default user.
const DEFAULT: usize = 0;

/// An embedded Djinn CI server with its images API. Stops when it is dropped.
///
/// It behaves like the real server of the release of 2023-11-05, down to the order of JSON keys.
/// Known differences:
///
/// - names are unique even under parallel creations, unless
///   [`unique_names`](DjinnServerBuilder::unique_names) is `false`;
/// - namespaces and collaborators cannot be changed over HTTP;
/// - `multipart/form-data` uploads are not read: the response is the `303` that the real server
///   sends for an unreadable form;
/// - every `Host` is valid, so errors are always JSON ([`Fault::Html`] sends HTML);
/// - `download_url` in the query of an upload starts no download;
/// - webhooks cannot be changed over HTTP, and are not limited to a namespace: see
///   [`webhook`](Self::webhook).
///
/// ```
/// # #[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use machine_images::testing::{DjinnServer, empty_qcow2};
///
/// let server = DjinnServer::start()?;
/// let id = server.add_image("debian-12", empty_qcow2(10 << 30))?;
///
/// let images = server.client()?.images();
/// assert_eq!(images.get(id).await?.name, "debian-12");
/// images.delete(id).await?;
/// assert_eq!(server.image_count(), 0);
/// # Ok(())
/// # }
/// # #[cfg(not(any(feature = "rustls", not(feature = "rustls-no-provider"))))]
/// # fn main() {}
/// ```
///
/// [`Fault::Html`]: crate::testing::Fault::Html
pub struct DjinnServer {
    server: Server,
    api: Arc<Api>,
    url: Url,
}

impl DjinnServer {
    /// Starts a server with one user, on a free port of 127.0.0.1, with the API below `/api`.
    ///
    /// # Errors
    /// Returns an error if no port, thread or temporary directory is available.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Returns a builder that starts a server with other settings.
    pub fn builder() -> DjinnServerBuilder {
        DjinnServerBuilder::default()
    }

    /// Returns the base URL of the API, such as `http://127.0.0.1:40123/api`.
    #[must_use]
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// Returns the token of the default user, which has all scopes.
    #[must_use]
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Returns a client for the server, with the default user's token and default settings.
    ///
    /// For other settings, pass [`url`](Self::url) and [`token`](Self::token) to
    /// [`Client::builder`].
    ///
    /// # Errors
    /// Returns [`InvalidInput`](crate::ErrorKind::InvalidInput) if TLS cannot be set up: with the
    /// feature `rustls-no-provider`, before the program installs a crypto provider.
    pub fn client(&self) -> Result<Client> {
        Client::builder(self.url()).token(TOKEN).build()
    }

    /// Adds an image of the default user and returns its id.
    ///
    /// For other settings, use [`new_image`](Self::new_image).
    ///
    /// # Errors
    /// Returns an error if the content cannot be written to a temporary file.
    pub fn add_image(&self, name: &str, content: impl AsRef<[u8]>) -> io::Result<ImageId> {
        self.new_image(name).content(content).add()
    }

    /// Returns a builder that adds an image with an author, namespace, creation time, id or length.
    pub fn new_image(&self, name: &str) -> ImageBuilder<'_> {
        ImageBuilder::new(&self.api, name)
    }

    /// Adds a namespace and returns its id.
    ///
    /// `path` is a path of the default user, or `path@owner`. Missing parents are created. A
    /// namespace below another has the visibility of its parent.
    ///
    /// As on the real server, the visibility limits only the list of the namespace's images: a
    /// single image of a namespace, with its content, is served to everyone who knows its id. An
    /// [`Other`](Visibility::Other) visibility counts as private.
    ///
    /// # Errors
    /// Returns an error if the owner does not exist, the namespace exists, or it is nested too
    /// deep.
    pub fn add_namespace(&self, path: &str, visibility: Visibility) -> io::Result<NamespaceId> {
        let mut state = lock(&self.api.state);
        let (path, owner) = state.resolve_namespace(path, DEFAULT)?;
        if state.namespaces_at(owner, path).next().is_some() {
            let problem = format!("namespace {path} exists already");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            state.ensure_namespace(owner, parent)?;
        }
        Ok(state.add_namespace(owner, path, visibility).into())
    }

    /// Shares a namespace, and all others below the same root, with a user.
    ///
    /// `namespace` is a path of the default user, or `path@owner`. Collaborators can list the
    /// namespace, upload to it and delete from it.
    ///
    /// # Errors
    /// Returns an error if the namespace or the user does not exist.
    pub fn add_collaborator(&self, namespace: &str, user: &str) -> io::Result<()> {
        let mut state = lock(&self.api.state);
        let user = state.find_user(user)?;
        let (path, owner) = state.resolve_namespace(namespace, DEFAULT)?;
        let found = state.namespaces_at(owner, path).next();
        let Some(id) = found.map(|found| found.id) else {
            let problem = format!("there is no namespace {path}");
            return Err(io::Error::new(io::ErrorKind::NotFound, problem));
        };
        state.share(id, user);
        Ok(())
    }

    /// Adds `count` images of the default user and returns their ids.
    ///
    /// They are named `image-00000`, `image-00001` and so on, and share one content: the
    /// [empty image](empty_qcow2) of a disk of 1 GiB.
    ///
    /// # Errors
    /// Returns an error if the content cannot be written to a temporary file.
    pub fn add_images(&self, count: usize) -> io::Result<Vec<ImageId>> {
        let content = Arc::new(Content::of_bytes(&empty_qcow2(1 << 30), &self.api.dir)?);
        let mut state = lock(&self.api.state);
        let ids = (0..count).map(|index| {
            let name = format!("image-{index:05}");
            let content = Some(Arc::clone(&content));
            let row = Row {
                content,
                ..Row::new(DEFAULT, &name)
            };
            state.add_image(row).id.into()
        });
        Ok(ids.collect())
    }

    /// Serves bytes as the source of a download, and returns the URL.
    ///
    /// They have the media type that downloads require. While this server is down, so is that URL: for
    /// a download that goes on during a [`restart`](Self::restart), publish on another server.
    ///
    /// # Errors
    /// Returns an error if the bytes cannot be written to a temporary file.
    pub fn publish(&self, bytes: impl AsRef<[u8]>) -> io::Result<Url> {
        let content = Content::of_bytes(bytes.as_ref(), &self.api.dir)?;
        let mut published = lock(&self.api.published);
        published.push(Arc::new(content));
        let mut url = self.url.clone();
        url.set_path(&format!("/published/{}.qcow2", published.len() - 1));
        Ok(url)
    }

    /// Returns the number of images of all users.
    #[must_use]
    pub fn image_count(&self) -> usize {
        lock(&self.api.state).images.len()
    }

    /// Returns the content of an image, or `None` if the image or its content does not exist.
    #[must_use]
    pub fn content(&self, id: impl Into<ImageId>) -> Option<Vec<u8>> {
        let id = id.into().get();
        let content = lock(&self.api.state).images.get(&id)?.content.clone()?;
        content.bytes().ok()
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
    ///
    /// Uploads delayed by [`Fault::SlowCopy`] are lost. Downloads continue.
    ///
    /// [`Fault::SlowCopy`]: crate::testing::Fault::SlowCopy
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

impl std::fmt::Debug for DjinnServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DjinnServer")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// A builder that starts a [`DjinnServer`].
///
/// ```
/// use std::time::Duration;
/// use machine_images::testing::DjinnServer;
///
/// let server = DjinnServer::builder()
///     .base_path("")
///     .user("eli", "72bcff1345c5005f318d16466eb229d0")
///     .download_delay(Duration::ZERO)
///     .start()?;
/// assert_eq!(server.url().path(), "/");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DjinnServerBuilder {
    listen: Listen,
    base_path: String,
    users: Vec<(String, String)>,
    scoped: Vec<(String, Vec<String>)>,
    download_delay: Duration,
    unique_names: bool,
}

impl Default for DjinnServerBuilder {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            base_path: "/api".to_owned(),
            users: vec![(USER.to_owned(), TOKEN.to_owned())],
            scoped: Vec::new(),
            download_delay: Duration::from_millis(50),
            unique_names: true,
        }
    }
}

impl DjinnServerBuilder {
    /// Sets the path of the API. Defaults to `/api`. An empty path is the root.
    ///
    /// The response to any other path is a `404` page of HTML, as of the web server in front of a
    /// real installation: see [`UnknownRoute`](crate::ErrorKind::UnknownRoute).
    pub fn base_path(mut self, path: &str) -> Self {
        let path = path.trim_matches('/');
        self.base_path = match path {
            "" => String::new(),
            path => format!("/{path}"),
        };
        self
    }

    /// Adds a user with a token that has all scopes.
    pub fn user(mut self, name: &str, token: &str) -> Self {
        self.users.push((name.to_owned(), token.to_owned()));
        self
    }

    /// Adds a token of the default user with some scopes, such as `image:read`.
    ///
    /// As on the real server, creating and deleting require `image:write`, the list of images
    /// `image:read`, the list of a namespace that is not public `namespace:read`, and
    /// `GET /images/:id` no scope.
    pub fn scoped_token(mut self, token: &str, scopes: &[&str]) -> Self {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.scoped.push((token.to_owned(), scopes));
        self
    }

    /// Sets the time for which a download is queued before it starts. Defaults to 50 ms.
    pub fn download_delay(mut self, delay: Duration) -> Self {
        self.download_delay = delay;
        self
    }

    /// Sets whether parallel creations of one name conflict. Defaults to `true`.
    ///
    /// The real server checks the name before it copies an upload, and its table has no unique
    /// index. With `false`, overlapping uploads of one name each create an image, as there.
    pub fn unique_names(mut self, unique: bool) -> Self {
        self.unique_names = unique;
        self
    }

    /// Sets the name of the default user. Defaults to `tester`.
    pub fn username(mut self, name: &str) -> Self {
        if let Some((default, _)) = self.users.first_mut() {
            name.clone_into(default);
        }
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
    /// Returns an error if the address is taken, or no thread or temporary directory is available.
    pub fn start(self) -> io::Result<DjinnServer> {
        let mut state = State::default();
        for (name, token) in &self.users {
            state.add_user(name, token);
        }
        for (token, scopes) in self.scoped {
            let has = |scope: &str| scopes.iter().any(|known| known == scope);
            let grant = Grant {
                user: DEFAULT,
                read: has("image:read"),
                write: has("image:write"),
                namespaces: has("namespace:read"),
            };
            state.tokens.insert(token, grant);
        }
        let listener = TcpListener::bind(self.listen.address)?;
        let address = listener.local_addr()?;
        let delay = self.download_delay;
        let api = Api::new(address, &self.base_path, delay, self.unique_names, state)?;
        let url = Url::parse(&api.base_url()).map_err(io::Error::other)?;
        let api = Arc::new(api);
        let service = Box::new(Arc::clone(&api));
        let server = Server::start(listener, self.listen.latency, service)?;
        Ok(DjinnServer { server, api, url })
    }
}
