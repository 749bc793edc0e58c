use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::like::Like;
use super::namespace::Namespace;
use crate::testing::content::Content;

/// A user and what its tokens may do.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) created: Timestamp,
}

/// What a token stands for.
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

/// A download job, as it stands.
#[derive(Clone, Debug)]
pub(super) struct Download {
    pub(super) source: String,
    pub(super) created: Timestamp,
    pub(super) started: Option<Timestamp>,
    pub(super) finished: Option<Timestamp>,
    pub(super) error: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) id: i64,
    /// Who created it.
    pub(super) author: usize,
    /// The owner of its namespace, or else its author.
    pub(super) owner: usize,
    pub(super) name: String,
    pub(super) namespace: Option<i64>,
    pub(super) created: Timestamp,
    pub(super) content: Option<Arc<Content>>,
    pub(super) download: Option<Download>,
}

/// An image to be.
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

/// All that the server knows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) users: Vec<User>,
    pub(super) tokens: BTreeMap<String, Grant>,
    pub(super) namespaces: BTreeMap<i64, Namespace>,
    pub(super) images: BTreeMap<i64, Image>,
    /// Images by name: the order of lists. The collation of the real server that was looked at
    /// is that of bytes.
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

    /// Whether a name is taken in a namespace, or else among all that a user owns.
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

    /// Adds an image with an id that is not taken.
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

    /// All images in the order of lists.
    fn images(&self) -> impl Iterator<Item = &Image> {
        self.by_name
            .iter()
            .filter_map(|(_, id)| self.images.get(id))
    }

    /// What the list of a user shows: all that the user owns, and what matches the search in the
    /// namespaces that others share with the user.
    pub(super) fn images_of(&self, user: usize, search: &Like) -> Vec<&Image> {
        let is_shared = |image: &Image| {
            image
                .namespace
                .is_some_and(|id| self.is_collaborator(id, user))
        };
        self.images()
            .filter(|image| image.owner == user || search.matches(&image.name) && is_shared(image))
            .collect()
    }

    /// What the list of a namespace shows.
    pub(super) fn images_in(&self, namespace: i64, search: &Like) -> Vec<&Image> {
        self.images()
            .filter(|image| image.namespace == Some(namespace) && search.matches(&image.name))
            .collect()
    }

    /// Whether a user may delete an image.
    pub(super) fn may_delete(&self, user: usize, image: &Image) -> bool {
        image.owner == user
            || image
                .namespace
                .is_some_and(|id| self.is_collaborator(id, user))
    }
}

/// A time as the database keeps it.
pub(super) fn micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
