use std::io::{self, ErrorKind};

use jiff::Timestamp;

use super::state::{Grant, Namespace, State, micros};
use crate::djinn::Visibility;

/// The maximum depth of a namespace.
const DEPTH: usize = 20;

/// A namespace is nested too deep.
#[derive(Debug)]
pub(super) struct TooDeep;

impl From<TooDeep> for io::Error {
    fn from(_: TooDeep) -> Self {
        Self::new(ErrorKind::InvalidInput, "a namespace is nested too deep")
    }
}

impl State {
    /// Returns the namespaces of a path. If there are several, the first is used.
    pub(super) fn namespaces_at<'a>(
        &'a self,
        owner: usize,
        path: &'a str,
    ) -> impl Iterator<Item = &'a Namespace> {
        self.namespaces
            .values()
            .filter(move |namespace| namespace.owner == owner && namespace.path == path)
    }

    /// Returns the namespace of a path. If it does not exist, creates it with all its parents,
    /// even those that exist: the real server then has two of them.
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

    /// Adds a namespace below its parent, if there is one, with the visibility of the parent.
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
            visibility: parent.map_or(visibility, |parent| parent.visibility.clone()),
            created: micros(Timestamp::now()),
            collaborators: Vec::new(),
        };
        self.namespaces.insert(id, namespace);
        id
    }

    /// Splits `path` or `path@owner` into the path and the owner.
    pub(super) fn resolve_namespace<'a>(
        &self,
        namespace: &'a str,
        user: usize,
    ) -> io::Result<(&'a str, usize)> {
        match namespace.split_once('@') {
            Some((path, owner)) => Ok((path, self.find_user(owner)?)),
            None => Ok((namespace, user)),
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

    /// Returns `true` if the namespace's root is shared with a user other than the owner.
    pub(super) fn is_collaborator(&self, namespace: i64, user: usize) -> bool {
        self.root(namespace)
            .is_some_and(|root| root.collaborators.contains(&user))
    }

    /// Returns `true` if a user may create images in a namespace.
    pub(super) fn may_create_in(&self, namespace: i64, user: usize) -> bool {
        let owner = self.namespaces.get(&namespace).map(|known| known.owner);
        owner == Some(user) || self.is_collaborator(namespace, user)
    }

    /// Returns `true` if a request with this token, or with none, may list a namespace.
    pub(super) fn may_list(&self, namespace: &Namespace, grant: Option<&Grant>) -> bool {
        let grant = grant.filter(|grant| grant.namespaces);
        match &namespace.visibility {
            Visibility::Public => true,
            Visibility::Internal => grant.is_some(),
            Visibility::Private | Visibility::Other(_) => {
                grant.is_some_and(|grant| self.may_create_in(namespace.id, grant.user))
            }
        }
    }
}
