use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

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
}

#[derive(Clone, Debug)]
pub(super) struct Namespace {
    pub(super) id: i64,
    pub(super) owner: usize,
    pub(super) path: String,
    pub(super) parent: Option<i64>,
    pub(super) root: i64,
    pub(super) created: Timestamp,
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
    pub(super) owner: usize,
    pub(super) name: String,
    pub(super) namespace: Option<i64>,
    pub(super) created: Timestamp,
    pub(super) content: Option<Arc<Content>>,
    pub(super) download: Option<Download>,
}

/// All that the server knows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) users: Vec<User>,
    pub(super) tokens: BTreeMap<String, Grant>,
    pub(super) namespaces: BTreeMap<i64, Namespace>,
    pub(super) images: BTreeMap<i64, Image>,
    /// Images by owner and name: the order of lists. The collation of the real server that
    /// was looked at is that of bytes.
    by_name: BTreeSet<(usize, String, i64)>,
    last_image: i64,
    last_namespace: i64,
}

impl State {
    pub(super) fn add_user(&mut self, name: &str, token: &str) {
        self.users.push(User {
            name: name.to_owned(),
            created: micros(Timestamp::now()),
        });
        let user = self.users.len() - 1;
        self.tokens.insert(
            token.to_owned(),
            Grant {
                user,
                read: true,
                write: true,
            },
        );
    }

    pub(super) fn user(&self, name: &str) -> Option<usize> {
        self.users.iter().position(|user| user.name == name)
    }

    pub(super) fn is_taken(&self, owner: usize, namespace: Option<i64>, name: &str) -> bool {
        self.by_name
            .range((owner, name.to_owned(), i64::MIN)..=(owner, name.to_owned(), i64::MAX))
            .filter_map(|(_, _, id)| self.images.get(id))
            .any(|image| image.namespace == namespace)
    }

    pub(super) fn add_image(
        &mut self,
        owner: usize,
        name: &str,
        namespace: Option<i64>,
        content: Option<Arc<Content>>,
    ) -> Image {
        self.last_image += 1;
        let image = Image {
            id: self.last_image,
            owner,
            name: name.to_owned(),
            namespace,
            created: Timestamp::now(),
            content,
            download: None,
        };
        self.by_name.insert((owner, name.to_owned(), image.id));
        self.images.insert(image.id, image.clone());
        image
    }

    pub(super) fn remove_image(&mut self, id: i64) {
        if let Some(image) = self.images.remove(&id) {
            self.by_name.remove(&(image.owner, image.name, id));
        }
    }

    /// The images of a user in the order of lists.
    pub(super) fn images_of(&self, owner: usize) -> impl Iterator<Item = &Image> {
        self.by_name
            .range((owner, String::new(), i64::MIN)..(owner + 1, String::new(), i64::MIN))
            .filter_map(|(_, _, id)| self.images.get(id))
    }

    pub(super) fn namespace(&self, owner: usize, path: &str) -> Option<&Namespace> {
        self.namespaces
            .values()
            .find(|namespace| namespace.owner == owner && namespace.path == path)
    }

    /// The namespace of a path, made with all its parents if it is not there yet.
    pub(super) fn ensure_namespace(&mut self, owner: usize, path: &str) -> i64 {
        if let Some(known) = self.namespace(owner, path) {
            return known.id;
        }
        let parent = path
            .rsplit_once('/')
            .map(|(parent, _)| self.ensure_namespace(owner, parent));
        let root = parent
            .and_then(|id| self.namespaces.get(&id))
            .map(|n| n.root);
        self.last_namespace += 1;
        let id = self.last_namespace;
        let namespace = Namespace {
            id,
            owner,
            path: path.to_owned(),
            parent,
            root: root.unwrap_or(id),
            created: micros(Timestamp::now()),
        };
        self.namespaces.insert(id, namespace);
        id
    }
}

/// A time as the database keeps it.
pub(super) fn micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
