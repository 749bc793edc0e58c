use std::io::{self, ErrorKind};

use jiff::Timestamp;

use super::state::{Grant, State, micros};

/// Namespaces are nested less deep than this.
const DEPTH: usize = 20;

/// The visibility of a namespace of a [`DjinnServer`](super::DjinnServer).
///
/// As on the real server this is about the list of its images alone: one image of a namespace,
/// contents included, is served to everybody who knows its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// The owner and collaborators.
    #[default]
    Private,
    /// Every user.
    Internal,
    /// Everybody, without a token too.
    Public,
}

impl Visibility {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
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
    /// Of a root: who may use it, and all below it, with the owner.
    pub(super) collaborators: Vec<usize>,
}

/// A namespace would be too deep.
#[derive(Debug)]
pub(super) struct TooDeep;

impl From<TooDeep> for io::Error {
    fn from(_: TooDeep) -> Self {
        Self::new(ErrorKind::InvalidInput, "a namespace is nested too deep")
    }
}

impl State {
    /// The namespaces of a path, which may be several; the first one counts.
    pub(super) fn namespaces_at<'a>(
        &'a self,
        owner: usize,
        path: &'a str,
    ) -> impl Iterator<Item = &'a Namespace> {
        self.namespaces
            .values()
            .filter(move |namespace| namespace.owner == owner && namespace.path == path)
    }

    /// The namespace of a path. If it is not there it is made with all above it, even with those
    /// that are there: the real server has two of them then.
    pub(super) fn ensure_namespace(&mut self, owner: usize, path: &str) -> Result<i64, TooDeep> {
        if let Some(known) = self.namespaces_at(owner, path).next() {
            return Ok(known.id);
        }
        let ends = path.match_indices('/').map(|(at, _)| at);
        let ends: Vec<usize> = ends.chain([path.len()]).collect();
        let mut last = 0;
        for (depth, end) in ends.into_iter().enumerate() {
            if depth >= DEPTH {
                return Err(TooDeep);
            }
            last = self.add_namespace(owner, &path[..end], Visibility::Private);
        }
        Ok(last)
    }

    /// Adds a namespace below the one that its path says, which it takes its visibility from.
    pub(super) fn add_namespace(
        &mut self,
        owner: usize,
        path: &str,
        visibility: Visibility,
    ) -> i64 {
        let parent = path
            .rsplit_once('/')
            .and_then(|(parent, _)| self.namespaces_at(owner, parent).next());
        let last = self.namespaces.last_key_value();
        let id = last.map_or(1, |(last, _)| last + 1);
        let namespace = Namespace {
            id,
            owner,
            path: path.to_owned(),
            parent: parent.map(|parent| parent.id),
            root: parent.map_or(id, |parent| parent.root),
            visibility: parent.map_or(visibility, |parent| parent.visibility),
            created: micros(Timestamp::now()),
            collaborators: Vec::new(),
        };
        self.namespaces.insert(id, namespace);
        id
    }

    /// The path and the owner of `path` or `path@owner`.
    pub(super) fn find_place<'a>(
        &self,
        place: &'a str,
        user: usize,
    ) -> io::Result<(&'a str, usize)> {
        match place.split_once('@') {
            Some((path, owner)) => Ok((path, self.find_user(owner)?)),
            None => Ok((place, user)),
        }
    }

    pub(super) fn find_user(&self, name: &str) -> io::Result<usize> {
        self.user(name)
            .ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("there is no user {name}")))
    }

    fn root(&self, namespace: i64) -> Option<&Namespace> {
        let namespace = self.namespaces.get(&namespace)?;
        self.namespaces.get(&namespace.root)
    }

    /// Shares the root of a namespace with a user.
    pub(super) fn share(&mut self, namespace: i64, user: usize) {
        let root = self.namespaces.get(&namespace).map(|known| known.root);
        if let Some(root) = root.and_then(|root| self.namespaces.get_mut(&root)) {
            root.collaborators.push(user);
        }
    }

    /// Whether the namespace's root is shared with a user, who does not own it.
    pub(super) fn is_collaborator(&self, namespace: i64, user: usize) -> bool {
        self.root(namespace)
            .is_some_and(|root| root.collaborators.contains(&user))
    }

    /// Whether a user may create images in a namespace.
    pub(super) fn may_create_in(&self, namespace: i64, user: usize) -> bool {
        let owner = self.namespaces.get(&namespace).map(|known| known.owner);
        owner == Some(user) || self.is_collaborator(namespace, user)
    }

    /// Whether whoever has this token, or none, may list a namespace.
    pub(super) fn may_list(&self, namespace: &Namespace, grant: Option<&Grant>) -> bool {
        let grant = grant.filter(|grant| grant.namespaces);
        match namespace.visibility {
            Visibility::Public => true,
            Visibility::Internal => grant.is_some(),
            Visibility::Private => {
                grant.is_some_and(|grant| self.may_create_in(namespace.id, grant.user))
            }
        }
    }
}
