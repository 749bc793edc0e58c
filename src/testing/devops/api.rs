use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN, REFERER};
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};
use url::Url;

use super::access::{Login, log_in};
use super::answer::{Refusal, html, json_answer, pretty_answer};
use super::route::{Route, check_target};
use super::state::State;
use crate::sync::lock;
use crate::testing::message::{Answer, Request, Service};
use crate::testing::query::Query;

/// The API of a DevOps Service: its settings and state.
pub(super) struct Api {
    pub(super) base_path: String,
    pub(super) logins: Vec<Login>,
    pub(super) is_v2: bool,
    pub(super) state: Mutex<State>,
}

impl Service for Arc<Api> {
    fn answer<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Answer> {
        async move {
            let answered = self.respond(request).await;
            let answer = answered.unwrap_or_else(|refusal| refusal.into_answer(self.is_v2));
            // The request has been processed all the same.
            if self.is_v2 && is_json(&answer) && is_cross_site(request) {
                return Refusal::CrossSite.into_answer(self.is_v2);
            }
            answer
        }
        .boxed()
    }
}

impl Api {
    async fn respond(&self, request: &mut Request) -> Result<Answer, Refusal> {
        let head = &request.head;
        let path = head.uri.path();
        if self.is_v2 {
            check_target(path, head.uri.query())?;
            if matches!(head.method, Method::GET | Method::HEAD) && self.is_version(path) {
                return Ok(html(StatusCode::OK, "2.0.1"));
            }
        }
        let Some(path) = self.below_mount(path) else {
            return Err(Refusal::NotMounted(path.to_owned()));
        };
        let login = log_in(&self.logins, request, self.is_v2)?;
        let route = Route::find(&head.method, path, self.is_v2)?;
        if !accepts_json(request) {
            return Err(Refusal::NotAcceptable);
        }
        if route.needs_content_type(self.is_v2) && request.media_type() != "application/json" {
            return Err(Refusal::UnsupportedMediaType);
        }
        login.check(route.policy())?;
        self.perform(route, request).await
    }

    fn is_version(&self, path: &str) -> bool {
        path.strip_prefix(&self.base_path) == Some("/version")
    }

    /// Returns the rest of a path below `/v3`, or in version 2 also below `/v2.0`.
    fn below_mount<'a>(&self, path: &'a str) -> Option<&'a str> {
        let mounts: &[&str] = if self.is_v2 {
            &["/v2.0", "/v3"]
        } else {
            &["/v3"]
        };
        let path = path.strip_prefix(&self.base_path)?;
        let mut rests = mounts.iter().filter_map(|mount| path.strip_prefix(mount));
        rests.find(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    async fn perform(&self, route: Route, request: &mut Request) -> Result<Answer, Refusal> {
        match route {
            Route::List => self.list(request.head.uri.query().unwrap_or_default()),
            Route::Create => {
                let record = object(request).await?;
                let id = lock(&self.state).create(&record, self.is_v2)?;
                Ok(self.changed(
                    StatusCode::CREATED,
                    "Created",
                    || json!({"id": id, "message": "Created"}),
                ))
            }
            Route::Show(id) => self.show(&id),
            Route::Update(id) => self.update(&id, request).await,
            Route::Delete(id) => {
                lock(&self.state).delete(&id)?;
                let message = format!("Image '{id}' has been removed");
                Ok(self.changed(
                    StatusCode::OK,
                    &message,
                    || json!({"id": id, "message": "Deleted"}),
                ))
            }
            Route::Offers(provider) => Ok(self.json(&lock(&self.state).offers(&provider)?)),
            Route::Providers => Ok(self.json(&json!(lock(&self.state).providers()))),
            Route::Templates => Ok(self.json(&json!(lock(&self.state).templates()))),
            Route::Filter(provider) => Ok(self.json(&json!(lock(&self.state).filter(&provider)?))),
            Route::AddToFilter(provider) => {
                lock(&self.state).provider(&provider)?;
                let ids = ids(request).await?;
                let ids = lock(&self.state).add_to_filter(&provider, ids)?;
                Ok(self.json(&json!({"images": ids, "message": "Updated"})))
            }
            Route::RemoveFromFilter(provider) => {
                lock(&self.state).provider(&provider)?;
                let ids = ids(request).await?;
                let ids = lock(&self.state).remove_from_filter(&provider, &ids)?;
                Ok(self.json(&json!({"images": ids, "message": "Deleted"})))
            }
        }
    }

    fn list(&self, query: &str) -> Result<Answer, Refusal> {
        let query = Query::parse(query);
        let state = lock(&self.state);
        Ok(match query.first("provider") {
            None => json_answer(StatusCode::OK, &state.images(), self.is_v2),
            Some(provider) => {
                let images = state.images_of(provider)?;
                json_answer(StatusCode::OK, &images, self.is_v2)
            }
        })
    }

    fn show(&self, id: &str) -> Result<Answer, Refusal> {
        let state = lock(&self.state);
        let image = state.get(id)?;
        Ok(if self.is_v2 {
            pretty_answer(image, self.is_v2)
        } else {
            json_answer(StatusCode::OK, image, self.is_v2)
        })
    }

    async fn update(&self, id: &str, request: &mut Request) -> Result<Answer, Refusal> {
        lock(&self.state).get(id)?;
        let record = object(request).await?;
        if self.is_v2 {
            lock(&self.state).replace(id, record)?;
            let message = format!("Image '{id}' has been updated");
            return Ok(self.json(&json!({"message": message})));
        }
        let image = lock(&self.state).merge(id, &record)?;
        Ok(self.json(&json!({"image": image, "message": "Updated"})))
    }

    fn json(&self, value: &Value) -> Answer {
        json_answer(StatusCode::OK, value, self.is_v2)
    }

    /// Answers with a status and a message in version 2, with `200` and `documented` in version 3.
    fn changed(
        &self,
        status: StatusCode,
        message: &str,
        documented: impl FnOnce() -> Value,
    ) -> Answer {
        if self.is_v2 {
            return json_answer(status, &json!({"message": message}), self.is_v2);
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

/// Returns `true` if the `Referer` has another host and there is no `Origin`.
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
