use hyper::StatusCode;
use serde_json::{Value, json};

use super::namespace::Namespace;
use super::site::Site;
use super::state::{Download, Image, State, User, micros};
use crate::testing::message::{self, Answer};
use crate::testing::wire::lock;

impl Site {
    /// An image as GET and lists show it.
    pub(super) fn image(&self, state: &State, image: &Image) -> Value {
        let namespace = self.namespace(state, image, true);
        let mut entity = self.bare(image);
        entity["author"] = user(state.users.get(image.author));
        entity["download"] = image.download.as_ref().map_or(Value::Null, download);
        entity["namespace"] = namespace;
        entity["user"] = user(state.users.get(image.owner));
        entity
    }

    /// An image as its creation shows it: the time to the nanosecond, the namespace half
    /// filled in, the download not yet.
    pub(super) fn created_image(&self, state: &State, image: &Image) -> Value {
        let mut entity = self.image(state, image);
        entity["created_at"] = image.created.to_string().into();
        entity["download"] = Value::Null;
        entity["namespace"] = self.namespace(state, image, false);
        entity
    }

    /// An image as the list of a namespace shows it. The keys are in the order of the wire.
    pub(super) fn bare(&self, image: &Image) -> Value {
        json!({
            "author": null,
            "author_id": image.author + 1,
            "created_at": micros(image.created).to_string(),
            "download": null,
            "driver": "qemu",
            "id": image.id,
            "name": image.name,
            "namespace": null,
            "namespace_id": image.namespace,
            "url": format!("{}/images/{}", self.base_url(), image.id),
            "user": null,
            "user_id": image.owner + 1,
        })
    }

    /// The user that a token stands for.
    pub(super) fn user(&self, index: usize) -> Answer {
        let state = lock(&self.state);
        let mut entity = user(state.users.get(index));
        entity["id"] = (index + 1).into();
        message::json(StatusCode::OK, &entity)
    }

    fn namespace(&self, state: &State, image: &Image, whole: bool) -> Value {
        let namespace = image.namespace.and_then(|id| state.namespaces.get(&id));
        namespace.map_or(Value::Null, |namespace| {
            self.namespace_entity(namespace, state.users.get(namespace.owner), whole)
        })
    }

    fn namespace_entity(&self, namespace: &Namespace, owner: Option<&User>, whole: bool) -> Value {
        let base = self.base_url();
        let url = |part: &str| {
            if !whole {
                return base.clone();
            }
            let name = owner.map_or("", |owner| owner.name.as_str());
            format!("{base}/n/{name}/{}{part}", namespace.path)
        };
        let name = namespace.path.rsplit('/').next();
        json!({
            "build": null,
            "builds_url": url("/-/builds"),
            "collaborators_url": url("/-/collaborators"),
            "created_at": namespace.created.to_string(),
            "description": "",
            "id": namespace.id,
            "images_url": url("/-/images"),
            "invites_url": url("/-/invites"),
            "keys_url": url("/-/keys"),
            "name": name,
            "namespaces_url": url("/-/namespaces"),
            "objects_url": url("/-/objects"),
            "parent": null,
            "parent_id": namespace.parent,
            "path": namespace.path,
            "root_id": namespace.root,
            "url": url(""),
            "user": if whole { user(owner) } else { Value::Null },
            "user_id": namespace.owner + 1,
            "variables_url": url("/-/variables"),
            "visibility": namespace.visibility.name(),
            "webhooks_url": url("/-/webhooks"),
        })
    }
}

fn user(user: Option<&User>) -> Value {
    user.map_or(Value::Null, |user| {
        json!({
            "created_at": user.created.to_string(),
            "email": format!("{}@example.org", user.name),
            "username": user.name,
        })
    })
}

fn download(download: &Download) -> Value {
    let time = |time: jiff::Timestamp| micros(time).to_string();
    json!({
        "created_at": time(download.created),
        "error": download.error,
        "finished_at": download.finished.map(time),
        "source": download.source,
        "started_at": download.started.map(time),
    })
}
