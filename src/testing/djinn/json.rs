use hyper::StatusCode;
use serde_json::{Value, json};

use super::api::Api;
use super::state::{Download, Image, Namespace, State, User, micros};
use crate::sync::lock;
use crate::testing::message::{self, Answer};

impl Api {
    /// Returns an image as GET and lists show it.
    pub(super) fn image_json(&self, state: &State, image: &Image) -> Value {
        let namespace = self.namespace_json(state, image, true);
        let mut json = self.short_image_json(image);
        json["author"] = user(state.users.get(image.author));
        json["download"] = image.download.as_ref().map_or(Value::Null, download);
        json["namespace"] = namespace;
        json["user"] = user(state.users.get(image.owner));
        json
    }

    /// Returns an image as its creation shows it: with nanoseconds, an incomplete namespace, and
    /// no download.
    pub(super) fn created_image_json(&self, state: &State, image: &Image) -> Value {
        let mut json = self.image_json(state, image);
        json["created_at"] = image.created.to_string().into();
        json["download"] = Value::Null;
        json["namespace"] = self.namespace_json(state, image, false);
        json
    }

    /// Returns an image as the list of a namespace shows it. Keys are in the order of the real
    /// server.
    pub(super) fn short_image_json(&self, image: &Image) -> Value {
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

    /// Answers `GET /user`.
    pub(super) fn get_user(&self, index: usize) -> Answer {
        let state = lock(&self.state);
        let mut json = user(state.users.get(index));
        json["id"] = (index + 1).into();
        message::json(StatusCode::OK, &json)
    }

    fn namespace_json(&self, state: &State, image: &Image, is_complete: bool) -> Value {
        let namespace = image.namespace.and_then(|id| state.namespaces.get(&id));
        namespace.map_or(Value::Null, |namespace| {
            self.namespace_object(namespace, state.users.get(namespace.owner), is_complete)
        })
    }

    fn namespace_object(
        &self,
        namespace: &Namespace,
        owner: Option<&User>,
        is_complete: bool,
    ) -> Value {
        let base = self.base_url();
        let url = |part: &str| {
            if !is_complete {
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
            "user": if is_complete { user(owner) } else { Value::Null },
            "user_id": namespace.owner + 1,
            "variables_url": url("/-/variables"),
            "visibility": namespace.visibility.as_str(),
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
