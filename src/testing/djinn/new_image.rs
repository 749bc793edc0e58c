use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use super::server::DjinnServer;
use super::state::Row;
use crate::testing::content::Content;
use crate::testing::wire::lock;

/// An image to be added to a [`DjinnServer`], as if it had been uploaded some time ago.
///
/// ```
/// use machine_images::testing::{DjinnServer, Visibility, empty_qcow2};
///
/// let server = DjinnServer::builder().user("eli", "t0k3n").start()?;
/// server.add_namespace("lab", Visibility::Private)?;
/// server.add_collaborator("lab", "eli")?;
/// let id = server
///     .new_image("debian-12")
///     .author("eli")
///     .namespace("lab@tester")
///     .created_at("2026-11-22T00:57:43Z".parse().unwrap())
///     .content(empty_qcow2(1 << 30))
///     .add()?;
/// # assert!(server.content(id).is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is added before `add`"]
pub struct NewImage<'a> {
    server: &'a DjinnServer,
    name: String,
    author: Option<String>,
    namespace: Option<String>,
    created_at: Option<Timestamp>,
    id: Option<i64>,
    content: Vec<u8>,
    length: u64,
}

impl<'a> NewImage<'a> {
    pub(super) fn new(server: &'a DjinnServer, name: &str) -> Self {
        Self {
            server,
            name: name.to_owned(),
            author: None,
            namespace: None,
            created_at: None,
            id: None,
            content: Vec::new(),
            length: 0,
        }
    }

    /// Sets the user who creates the image. Defaults to the default user.
    ///
    /// Without a namespace the author owns the image, too.
    pub fn author(mut self, name: &str) -> Self {
        self.author = Some(name.to_owned());
        self
    }

    /// Sets the namespace as `path` or `path@owner`, whose owner owns the image. It is created
    /// if it is missing, and need not be shared with the author. Defaults to none.
    pub fn namespace(mut self, path: &str) -> Self {
        self.namespace = Some(path.to_owned());
        self
    }

    /// Sets the time of creation. Defaults to now.
    pub fn created_at(mut self, time: Timestamp) -> Self {
        self.created_at = Some(time);
        self
    }

    /// Sets the id. Defaults to the next one; later images get higher ids.
    pub fn id(mut self, id: i64) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the content. Defaults to nothing.
    pub fn content(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.content = bytes.as_ref().to_vec();
        self
    }

    /// Appends zeros to the content up to `length`. They take neither memory nor disk.
    pub fn length(mut self, length: u64) -> Self {
        self.length = length;
        self
    }

    /// Adds the image without any check of its name; returns its id.
    ///
    /// # Errors
    /// If there is no such user or namespace owner, the id is taken, the namespace is too deep,
    /// or the content cannot be written to a temporary file.
    pub fn add(self) -> io::Result<i64> {
        let site = &self.server.site;
        let content = Content::of_bytes(&self.content, &site.dir)?.grow(self.length)?;
        let mut state = lock(&site.state);
        let author = match &self.author {
            Some(name) => state.find_user(name)?,
            None => 0,
        };
        let namespace = match &self.namespace {
            Some(place) => {
                let (path, owner) = state.find_place(place, author)?;
                Some(state.ensure_namespace(owner, path)?)
            }
            None => None,
        };
        let row = Row {
            namespace,
            content: Some(Arc::new(content)),
            created: self.created_at.unwrap_or_else(Timestamp::now),
            ..Row::new(author, &self.name)
        };
        let image = match self.id {
            Some(id) if state.images.contains_key(&id) => {
                let problem = format!("image {id} exists already");
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
            }
            Some(id) => state.add_image_as(id, row),
            None => state.add_image(row),
        };
        Ok(image.id)
    }
}
