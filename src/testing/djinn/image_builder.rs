use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use super::api::Api;
use super::state::Row;
use crate::djinn::ImageId;
use crate::sync::lock;
use crate::testing::content::Content;

/// A builder that adds an image to a [`DjinnServer`](super::DjinnServer), as if it had been
/// uploaded.
///
/// | setting | default |
/// |---|---|
/// | [`author`](Self::author) | the default user |
/// | [`namespace`](Self::namespace) | none |
/// | [`created_at`](Self::created_at) | now |
/// | [`id`](Self::id) | the next unused id |
/// | [`content`](Self::content) | empty |
/// | [`length`](Self::length) | that of the content |
///
/// ```
/// use machine_images::djinn::Visibility;
/// use machine_images::testing::{DjinnServer, empty_qcow2};
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
#[must_use = "the image is not added before `add`"]
pub struct ImageBuilder<'a> {
    api: &'a Api,
    name: String,
    author: Option<String>,
    namespace: Option<String>,
    created_at: Option<Timestamp>,
    id: Option<i64>,
    content: Vec<u8>,
    length: u64,
}

impl<'a> ImageBuilder<'a> {
    pub(super) fn new(api: &'a Api, name: &str) -> Self {
        Self {
            api,
            name: name.to_owned(),
            author: None,
            namespace: None,
            created_at: None,
            id: None,
            content: Vec::new(),
            length: 0,
        }
    }

    /// Sets the user who created the image. Defaults to the default user.
    ///
    /// The author owns the image unless it is in a namespace.
    pub fn author(mut self, name: &str) -> Self {
        self.author = Some(name.to_owned());
        self
    }

    /// Sets the namespace, as `path` or `path@owner`. Defaults to none.
    ///
    /// The owner of the namespace owns the image. The namespace is created if it does not exist,
    /// and need not be shared with the author.
    pub fn namespace(mut self, path: &str) -> Self {
        self.namespace = Some(path.to_owned());
        self
    }

    /// Sets the creation time. Defaults to now.
    pub fn created_at(mut self, time: Timestamp) -> Self {
        self.created_at = Some(time);
        self
    }

    /// Sets the id. Defaults to the next unused id. Later images get higher ids.
    pub fn id(mut self, id: impl Into<ImageId>) -> Self {
        self.id = Some(id.into().get());
        self
    }

    /// Sets the content. Defaults to no bytes.
    pub fn content(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.content = bytes.as_ref().to_vec();
        self
    }

    /// Sets the length of the content, by appending zeros. Defaults to that of the bytes.
    ///
    /// The zeros take neither memory nor disk space. A smaller length has no effect.
    pub fn length(mut self, length: u64) -> Self {
        self.length = length;
        self
    }

    /// Adds the image and returns its id. The name is not checked.
    ///
    /// # Errors
    /// Returns an error if the author or the owner of the namespace does not exist, the id is
    /// taken, the namespace is nested too deep, or the content cannot be written to a temporary
    /// file.
    pub fn add(self) -> io::Result<ImageId> {
        let api = self.api;
        let content = Content::of_bytes(&self.content, &api.dir)?.grow(self.length)?;
        let mut state = lock(&api.state);
        let author = match &self.author {
            Some(name) => state.find_user(name)?,
            None => 0,
        };
        let namespace = match &self.namespace {
            Some(namespace) => {
                let (path, owner) = state.resolve_namespace(namespace, author)?;
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
        Ok(image.id.into())
    }
}
