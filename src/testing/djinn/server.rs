use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::namespace::Visibility;
use super::new_image::NewImage;
use super::site::Site;
use super::state::{Grant, Row, State};
use crate::testing::content::Content;
use crate::testing::record::Received;
use crate::testing::rule::FaultRule;
use crate::testing::server::{Listen, Server};
use crate::testing::wire::lock;

const USER: &str = "tester";
const TOKEN: &str = "866913559a626dc4522c6aa7b1554861";

/// The user whose images are seeded.
const DEFAULT: usize = 0;

/// A Djinn CI server with its images API, on loopback until it is dropped.
///
/// It follows what the real server of the release of 2023-11-05 was seen to do, to the order of
/// JSON keys. Known to differ:
///
/// - names are unique even under parallel creations, unless
///   [`unique_names`](DjinnServerBuilder::unique_names) is off;
/// - namespaces and collaborators cannot be changed over HTTP;
/// - `multipart/form-data` uploads are not read: they get the `303` that the real server gives
///   to a form it cannot read;
/// - every `Host` is the right one, so that errors are JSON ([`Fault::Html`] gives HTML);
/// - `download_url` in the query of an upload starts no job;
/// - there are no webhooks.
///
/// [`Fault::Html`]: crate::testing::Fault::Html
pub struct DjinnServer {
    server: Server,
    pub(super) site: Arc<Site>,
    url: Url,
}

impl DjinnServer {
    /// Starts a server with one user, on a free port of 127.0.0.1, with the API under `/api`.
    ///
    /// # Errors
    /// If there is no port, no thread or no temporary directory to be had.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// A server to be configured.
    pub fn builder() -> DjinnServerBuilder {
        DjinnServerBuilder::default()
    }

    /// The base address of the API, such as `http://127.0.0.1:40123/api`.
    #[must_use]
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// The token of the user who is always there; it may do everything.
    #[must_use]
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Adds an image of the default user, as if it had been uploaded; returns its id.
    ///
    /// # Errors
    /// If the content cannot be written to a temporary file.
    pub fn add_image(&self, name: &str, content: impl AsRef<[u8]>) -> io::Result<i64> {
        self.add_sparse_image(name, content, 0)
    }

    /// Adds an image as [`add_image`](Self::add_image) does, with zeros after its bytes up to
    /// `length`. They take neither memory nor disk, so that it may be large.
    ///
    /// # Errors
    /// If the content cannot be written to a temporary file.
    pub fn add_sparse_image(
        &self,
        name: &str,
        content: impl AsRef<[u8]>,
        length: u64,
    ) -> io::Result<i64> {
        self.new_image(name).content(content).length(length).add()
    }

    /// Returns an image to be added, with an author, a namespace or a time of creation.
    pub fn new_image(&self, name: &str) -> NewImage<'_> {
        NewImage::new(self, name)
    }

    /// Adds a namespace, as `path` of the default user or as `path@owner`; returns its id. Those
    /// above it are created if they are missing; below another one it has the visibility of that
    /// one.
    ///
    /// # Errors
    /// If there is no such user, the namespace exists already, or it is too deep.
    pub fn add_namespace(&self, path: &str, visibility: Visibility) -> io::Result<i64> {
        let mut state = lock(&self.site.state);
        let (path, owner) = state.find_place(path, DEFAULT)?;
        if state.namespaces_at(owner, path).next().is_some() {
            let problem = format!("namespace {path} exists already");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            state.ensure_namespace(owner, parent)?;
        }
        Ok(state.add_namespace(owner, path, visibility))
    }

    /// Shares a namespace, given as `path` of the default user or as `path@owner`, and all that
    /// belong to the same root with a user. Collaborators list it, upload into it and delete
    /// from it.
    ///
    /// # Errors
    /// If there is no such namespace or user.
    pub fn add_collaborator(&self, namespace: &str, user: &str) -> io::Result<()> {
        let mut state = lock(&self.site.state);
        let user = state.find_user(user)?;
        let (path, owner) = state.find_place(namespace, DEFAULT)?;
        let found = state.namespaces_at(owner, path).next();
        let Some(id) = found.map(|found| found.id) else {
            let problem = format!("there is no namespace {path}");
            return Err(io::Error::new(io::ErrorKind::NotFound, problem));
        };
        state.share(id, user);
        Ok(())
    }

    /// Adds many images of the default user, named `image-00000` and so on, that share one tiny
    /// content; returns their ids.
    ///
    /// # Errors
    /// If the content cannot be written to a temporary file.
    pub fn add_images(&self, count: usize) -> io::Result<Vec<i64>> {
        let content = Arc::new(Content::of_bytes(b"QFI\xfb", &self.site.dir)?);
        let mut state = lock(&self.site.state);
        let ids = (0..count).map(|index| {
            let name = format!("image-{index:05}");
            let content = Some(Arc::clone(&content));
            let row = Row {
                content,
                ..Row::new(DEFAULT, &name)
            };
            state.add_image(row).id
        });
        Ok(ids.collect())
    }

    /// Serves bytes as a source for download jobs, with the type that they insist on; returns
    /// where.
    ///
    /// # Errors
    /// If the bytes cannot be written to a temporary file.
    pub fn publish(&self, bytes: impl AsRef<[u8]>) -> io::Result<Url> {
        let content = Content::of_bytes(bytes.as_ref(), &self.site.dir)?;
        let mut published = lock(&self.site.published);
        published.push(Arc::new(content));
        let mut url = self.url.clone();
        url.set_path(&format!("/published/{}.qcow2", published.len() - 1));
        Ok(url)
    }

    /// The number of images of all users.
    #[must_use]
    pub fn image_count(&self) -> usize {
        lock(&self.site.state).images.len()
    }

    /// The content of an image; `None` if there is no such image, or nothing in it (yet).
    #[must_use]
    pub fn content(&self, id: i64) -> Option<Vec<u8>> {
        let content = lock(&self.site.state).images.get(&id)?.content.clone()?;
        content.bytes().ok()
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

    /// Goes away, as when the server is killed and started again: all connections are reset and
    /// new ones refused for `wait`, then it serves on with the state it had. Returns once it has
    /// gone.
    ///
    /// Images that are being copied, as with [`Fault::SlowCopy`], are lost; jobs go on.
    ///
    /// [`Fault::SlowCopy`]: crate::testing::Fault::SlowCopy
    pub fn go_away(&self, wait: Duration) {
        self.server.go_away(wait);
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

impl std::fmt::Debug for DjinnServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DjinnServer")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// A [`DjinnServer`] to be.
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
    /// The path of the API, `/api` if it is not set; `""` is the root.
    pub fn base_path(mut self, path: &str) -> Self {
        let path = path.trim_matches('/');
        self.base_path = match path {
            "" => String::new(),
            path => format!("/{path}"),
        };
        self
    }

    /// Adds a user with a token that may do everything with the user's own images.
    pub fn user(mut self, name: &str, token: &str) -> Self {
        self.users.push((name.to_owned(), token.to_owned()));
        self
    }

    /// Adds a token of the default user with these scopes only, such as `image:read` and
    /// `image:write`; as on the real server, deleting takes `image:write`, `GET /images/:id`
    /// takes none, and the list of a namespace takes `namespace:read` unless it is public.
    pub fn scoped_token(mut self, token: &str, scopes: &[&str]) -> Self {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.scoped.push((token.to_owned(), scopes));
        self
    }

    /// How long a download job stays queued before it starts, 50 ms if it is not set.
    pub fn download_delay(mut self, delay: Duration) -> Self {
        self.download_delay = delay;
        self
    }

    /// Sets whether a name is looked for again when an image is inserted. Defaults to `true`.
    ///
    /// The real server looks before it copies an upload, and its table has no unique index: with
    /// `false`, uploads of one name whose copies overlap each make an image, as there.
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
    /// If the address is taken, or there is no thread or temporary directory to be had.
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
        let site = Site::new(address, &self.base_path, delay, self.unique_names, state)?;
        let url = Url::parse(&site.base_url()).map_err(io::Error::other)?;
        let site = Arc::new(site);
        let service = Box::new(Arc::clone(&site));
        let server = Server::start(listener, self.listen.latency, service)?;
        Ok(DjinnServer { server, site, url })
    }
}
