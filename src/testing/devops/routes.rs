use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN, REFERER};
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};
use url::Url;

use super::access::{Login, log_in};
use super::call::{Call, check_target};
use super::data::Data;
use super::reply::{Refusal, html, json_answer, pretty_answer};
use crate::testing::message::{Answer, Request, Service};
use crate::testing::query::Query;
use crate::testing::wire::lock;

/// The state that a server and its connections share.
pub(super) struct State {
    pub(super) base_path: String,
    pub(super) logins: Vec<Login>,
    pub(super) v2_manner: bool,
    pub(super) data: Mutex<Data>,
}

impl Service for Arc<State> {
    fn answer<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Answer> {
        async move {
            let answered = self.respond(request).await;
            let answer = answered.unwrap_or_else(|refusal| refusal.into_answer(self.v2_manner));
            // The call has been performed even so.
            if self.v2_manner && is_json(&answer) && is_cross_site(request) {
                return Refusal::CrossSite.into_answer(self.v2_manner);
            }
            answer
        }
        .boxed()
    }
}

impl State {
    async fn respond(&self, request: &mut Request) -> Result<Answer, Refusal> {
        let head = &request.head;
        let path = head.uri.path();
        if self.v2_manner {
            check_target(path, head.uri.query())?;
            if matches!(head.method, Method::GET | Method::HEAD) && self.is_version(path) {
                return Ok(html(StatusCode::OK, "2.0.1"));
            }
        }
        let Some(path) = self.below_mount(path) else {
            return Err(Refusal::NotMounted(path.to_owned()));
        };
        let login = log_in(&self.logins, request, self.v2_manner)?;
        let call = Call::find(&head.method, path, self.v2_manner)?;
        if !accepts_json(request) {
            return Err(Refusal::NotAcceptable);
        }
        if call.needs_content_type(self.v2_manner) && request.media_type() != "application/json" {
            return Err(Refusal::UnsupportedMediaType);
        }
        login.check(call.policy())?;
        self.perform(call, request).await
    }

    fn is_version(&self, path: &str) -> bool {
        path.strip_prefix(&self.base_path) == Some("/version")
    }

    /// The rest of a path below `/v3`, or below `/v2.0` in the version 2 manner.
    fn below_mount<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mounts: &[&str] = if self.v2_manner {
            &["/v2.0", "/v3"]
        } else {
            &["/v3"]
        };
        let path = path.strip_prefix(&self.base_path)?;
        let mut rests = mounts.iter().filter_map(|mount| path.strip_prefix(mount));
        rests.find(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    async fn perform(&self, call: Call, request: &mut Request) -> Result<Answer, Refusal> {
        match call {
            Call::List => self.list(request.head.uri.query().unwrap_or_default()),
            Call::Create => {
                let record = object(request).await?;
                let id = lock(&self.data).create(&record, self.v2_manner)?;
                Ok(self.changed(
                    StatusCode::CREATED,
                    "Created",
                    || json!({"id": id, "message": "Created"}),
                ))
            }
            Call::Show(id) => self.show(&id),
            Call::Update(id) => self.update(&id, request).await,
            Call::Delete(id) => {
                lock(&self.data).delete(&id)?;
                let message = format!("Image '{id}' has been removed");
                Ok(self.changed(
                    StatusCode::OK,
                    &message,
                    || json!({"id": id, "message": "Deleted"}),
                ))
            }
            Call::Offers(provider) => Ok(self.json(&lock(&self.data).offers(&provider)?)),
            Call::Providers => Ok(self.json(&json!(lock(&self.data).providers()))),
            Call::Templates => Ok(self.json(&json!(lock(&self.data).templates()))),
            Call::Filter(provider) => Ok(self.json(&json!(lock(&self.data).filter(&provider)?))),
            Call::AddToFilter(provider) => {
                lock(&self.data).provider(&provider)?;
                let ids = ids(request).await?;
                let ids = lock(&self.data).add_to_filter(&provider, ids)?;
                Ok(self.json(&json!({"images": ids, "message": "Updated"})))
            }
            Call::RemoveFromFilter(provider) => {
                lock(&self.data).provider(&provider)?;
                let ids = ids(request).await?;
                let ids = lock(&self.data).remove_from_filter(&provider, &ids)?;
                Ok(self.json(&json!({"images": ids, "message": "Deleted"})))
            }
        }
    }

    fn list(&self, query: &str) -> Result<Answer, Refusal> {
        let query = Query::parse(query);
        let data = lock(&self.data);
        Ok(match query.first("provider") {
            None => json_answer(StatusCode::OK, &data.images(), self.v2_manner),
            Some(provider) => {
                let images = data.images_of(provider)?;
                json_answer(StatusCode::OK, &images, self.v2_manner)
            }
        })
    }

    fn show(&self, id: &str) -> Result<Answer, Refusal> {
        let data = lock(&self.data);
        let image = data.get(id)?;
        Ok(if self.v2_manner {
            pretty_answer(image, self.v2_manner)
        } else {
            json_answer(StatusCode::OK, image, self.v2_manner)
        })
    }

    async fn update(&self, id: &str, request: &mut Request) -> Result<Answer, Refusal> {
        lock(&self.data).get(id)?;
        let record = object(request).await?;
        if self.v2_manner {
            lock(&self.data).replace(id, record)?;
            let message = format!("Image '{id}' has been updated");
            return Ok(self.json(&json!({"message": message})));
        }
        let image = lock(&self.data).merge(id, &record)?;
        Ok(self.json(&json!({"image": image, "message": "Updated"})))
    }

    fn json(&self, value: &Value) -> Answer {
        json_answer(StatusCode::OK, value, self.v2_manner)
    }

    /// A status and a message from version 2, `200` and the documented answer from version 3.
    fn changed(
        &self,
        status: StatusCode,
        message: &str,
        documented: impl FnOnce() -> Value,
    ) -> Answer {
        if self.v2_manner {
            return json_answer(status, &json!({"message": message}), self.v2_manner);
        }
        self.json(&documented())
    }
}

async fn body(request: &mut Request) -> Result<Value, Refusal> {
    let invalid = || Refusal::invalid("Invalid JSON");
    let body = request.small_body().await.map_err(|_| invalid())?;
    let text = String::from_utf8(body).map_err(|_| Refusal::InvalidUtf8)?;
    serde_json::from_str(&text).map_err(|_| invalid())
}

async fn object(request: &mut Request) -> Result<Map<String, Value>, Refusal> {
    match body(request).await? {
        Value::Object(record) => Ok(record),
        _ => Err(Refusal::invalid("Invalid JSON, it should be an object")),
    }
}

async fn ids(request: &mut Request) -> Result<Vec<String>, Refusal> {
    let Ok(ids) = serde_json::from_value::<Vec<String>>(body(request).await?) else {
        return Err(Refusal::invalid("Invalid JSON, it should be an array"));
    };
    if ids.is_empty() {
        let problem = "Request body should not be an empty array";
        return Err(Refusal::invalid(problem));
    }
    Ok(ids)
}

/// Returns `true` if the `Accept` header lists `application/json`, and no text type before it.
/// Wildcards do not count.
fn accepts_json(request: &Request) -> bool {
    let values = request.head.headers.get_all(ACCEPT).iter();
    let mut types = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .map(|range| range.trim().to_ascii_lowercase());
    types
        .find(|range| range == "application/json" || range.starts_with("text/"))
        .is_some_and(|range| range == "application/json")
}

fn is_json(answer: &Answer) -> bool {
    let value = answer.headers().get(CONTENT_TYPE);
    value.is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

/// Returns `true` if the `Referer` is of another host and no `Origin` is given.
fn is_cross_site(request: &Request) -> bool {
    let referer = request.header(REFERER).and_then(|it| Url::parse(it).ok());
    let Some(referer) = referer else {
        return false;
    };
    let own = format!("http://{}", request.header(HOST).unwrap_or_default());
    let own = Url::parse(&own).ok();
    request.header(ORIGIN).is_none()
        && referer.host_str() != own.as_ref().and_then(|url| url.host_str())
}
