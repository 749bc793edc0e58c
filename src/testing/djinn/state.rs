use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::search::SearchPattern;
use crate::djinn::Visibility;
use crate::testing::content::Content;

/// A user of the server.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) created: Timestamp,
}

/// The user of a token, and the scopes of the token.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) user: usize,
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) namespaces: bool,
}

impl Grant {
    pub(super) fn everything(user: usize) -> Self {
        Self {
            user,
            read: true,
            write: true,
            namespaces: true,
        }
    }
}

/// The state of a download job.
#[derive(Clone, Debug)]
pub(super) struct Download {
    pub(super) source: String,
    pub(super) created: Timestamp,
    pub(super) started: Option<Timestamp>,
    pub(super) finished: Option<Timestamp>,
    pub(super) error: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub(super) id: i64,
    pub(super) owner: usize,
    pub(super) path: String,
    pub(super) parent: Option<i64>,
    pub(super) root: i64,
    pub(super) visibility: Visibility,
    pub(super) created: Timestamp,
    /// On a root namespace: the users it is shared with, and all namespaces below it.
    pub(super) collaborators: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) id: i64,
    /// The user who created it.
    pub(super) author: usize,
    /// The owner of the namespace, or the author if there is none.
    pub(super) owner: usize,
    pub(super) name: String,
    pub(super) namespace: Option<i64>,
    pub(super) created: Timestamp,
    pub(super) content: Option<Arc<Content>>,
    pub(super) download: Option<Download>,
}

/// An image to add.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) author: usize,
    pub(super) name: &'a str,
    pub(super) namespace: Option<i64>,
    pub(super) created: Timestamp,
    pub(super) content: Option<Arc<Content>>,
}

impl<'a> Row<'a> {
    pub(super) fn new(author: usize, name: &'a str) -> Self {
        Self {
            author,
            name,
            namespace: None,
            created: Timestamp::now(),
            content: None,
        }
    }
}

/// The users, namespaces and images of a server.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) users: Vec<User>,
    pub(super) tokens: BTreeMap<String, Grant>,
    pub(super) namespaces: BTreeMap<i64, Namespace>,
    pub(super) images: BTreeMap<i64, Image>,
    /// The images by name, which is the order of lists. The real server that was examined sorts
    /// names by their bytes.
    by_name: BTreeSet<(String, i64)>,
    last_image: i64,
}

impl State {
    pub(super) fn add_user(&mut self, name: &str, token: &str) {
        self.users.push(User {
            name: name.to_owned(),
            created: micros(Timestamp::now()),
        });
        let user = self.users.len() - 1;
        self.tokens
            .insert(token.to_owned(), Grant::everything(user));
    }

    pub(super) fn user(&self, name: &str) -> Option<usize> {
        self.users.iter().position(|user| user.name == name)
    }

    /// Returns `true` if a name is taken in a namespace, or without one among all images of a user.
    pub(super) fn is_taken(&self, user: usize, namespace: Option<i64>, name: &str) -> bool {
        self.by_name
            .range((name.to_owned(), i64::MIN)..=(name.to_owned(), i64::MAX))
            .filter_map(|(_, id)| self.images.get(id))
            .any(|image| match namespace {
                Some(_) => image.namespace == namespace,
                None => image.owner == user,
            })
    }

    pub(super) fn add_image(&mut self, row: Row<'_>) -> Image {
        self.add_image_as(self.last_image + 1, row)
    }

    /// Adds an image with an unused id.
    pub(super) fn add_image_as(&mut self, id: i64, row: Row<'_>) -> Image {
        self.last_image = self.last_image.max(id);
        let namespace = row.namespace.and_then(|id| self.namespaces.get(&id));
        let image = Image {
            id,
            author: row.author,
            owner: namespace.map_or(row.author, |namespace| namespace.owner),
            name: row.name.to_owned(),
            namespace: row.namespace,
            created: row.created,
            content: row.content,
            download: None,
        };
        self.by_name.insert((row.name.to_owned(), id));
        self.images.insert(id, image.clone());
        image
    }

    pub(super) fn remove_image(&mut self, id: i64) {
        if let Some(image) = self.images.remove(&id) {
            self.by_name.remove(&(image.name, id));
        }
    }

    /// Returns all images in the order of lists.
    fn images(&self) -> impl Iterator<Item = &Image> {
        self.by_name
            .iter()
            .filter_map(|(_, id)| self.images.get(id))
    }

    /// Returns the images in the list of a user: all that the user owns, and the matches in
    /// namespaces shared with the user.
    pub(super) fn images_of(&self, user: usize, search: &SearchPattern) -> Vec<&Image> {
        let is_shared = |image: &Image| {
            image
                .namespace
                .is_some_and(|id| self.is_collaborator(id, user))
        };
        self.images()
            .filter(|image| image.owner == user || search.matches(&image.name) && is_shared(image))
            .collect()
    }

    /// Returns the images in the list of a namespace.
    pub(super) fn images_in(&self, namespace: i64, search: &SearchPattern) -> Vec<&Image> {
        self.images()
            .filter(|image| image.namespace == Some(namespace) && search.matches(&image.name))
            .collect()
    }

    /// Returns `true` if a user may delete an image.
    pub(super) fn may_delete(&self, user: usize, image: &Image) -> bool {
        image.owner == user
            || image
                .namespace
                .is_some_and(|id| self.is_collaborator(id, user))
    }
}

/// Truncates a time to microseconds, as the database does.
pub(super) fn micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
