use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};
use hyper::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::access::{Login, Policy, is_allowed};
use super::images::Images;
use crate::testing::message::{Answer, Request, Service, json, message, set, text};
use crate::testing::query::{Query, unescape};
use crate::testing::wire::lock;

/// A DevOps Service: what the public server and its connections share.
pub(super) struct Office {
    pub(super) base_path: String,
    pub(super) logins: Vec<Login>,
    pub(super) providers: Vec<String>,
    pub(super) v2_manner: bool,
    pub(super) images: Mutex<Images>,
}

/// Why a call is not performed.
struct Refusal {
    status: StatusCode,
    problem: String,
}

/// What a path and method stand for.
enum Call {
    List,
    ListOf(String),
    Create,
    Show(String),
    Update(String),
    Delete(String),
}

impl Call {
    fn of(method: &Method, path: &str) -> Option<Self> {
        // Segments are taken apart before they are unescaped: an id may hold a `%2F`.
        let segments: Vec<&str> = path.split('/').collect();
        Some(match (method, segments.as_slice()) {
            (&Method::GET, ["", "v3", "images"]) => Self::List,
            (&Method::GET, ["", "v3", "images", "provider", provider]) => {
                Self::ListOf(unescape(provider))
            }
            (&Method::POST, ["", "v3", "image"]) => Self::Create,
            (_, ["", "v3", "image", ""]) => return None,
            (&Method::GET, ["", "v3", "image", id]) => Self::Show(unescape(id)),
            (&Method::PUT, ["", "v3", "image", id]) => Self::Update(unescape(id)),
            (&Method::DELETE, ["", "v3", "image", id]) => Self::Delete(unescape(id)),
            _ => return None,
        })
    }

    fn policy(&self) -> Policy {
        match self {
            Self::List | Self::ListOf(_) | Self::Show(_) => Policy::ReadImages,
            Self::Create | Self::Update(_) => Policy::CreateImage,
            Self::Delete(_) => Policy::DeleteImage,
        }
    }
}

impl Service for Arc<Office> {
    fn answer<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Answer> {
        async move {
            let answered = match self.call(request) {
                Some(call) => self.perform(call, request).await,
                None => Ok(text(StatusCode::NOT_FOUND, None, "Not found")),
            };
            plain(answered.unwrap_or_else(|refusal| message(refusal.status, &refusal.problem)))
        }
        .boxed()
    }
}

impl Office {
    fn call(&self, request: &Request) -> Option<Call> {
        let path = request.head.uri.path();
        let path = path.strip_prefix(self.base_path.as_str())?;
        Call::of(&request.head.method, path)
    }

    async fn perform(&self, call: Call, request: &mut Request) -> Result<Answer, Refusal> {
        if !is_allowed(&self.logins, request, call.policy()) {
            let problem = "Unauthorized. Check your login, password and privileges";
            return Err(refused(StatusCode::UNAUTHORIZED, problem));
        }
        if !accepts_json(request) {
            let problem = "Accept header should contain 'application/json' type";
            return Err(refused(StatusCode::NOT_ACCEPTABLE, problem));
        }
        match call {
            Call::List => self.list(request.head.uri.query().unwrap_or_default()),
            Call::ListOf(provider) => self.list_of(&provider),
            Call::Create => {
                let record = record(request).await?;
                self.create(&record)
            }
            Call::Show(id) => {
                let images = lock(&self.images);
                let image = images.get(&id).ok_or_else(|| missing(&id))?;
                Ok(json(StatusCode::OK, image))
            }
            Call::Update(id) => {
                let record = record(request).await?;
                self.update(&id, &record)
            }
            Call::Delete(id) => self.delete(&id),
        }
    }

    fn list(&self, query: &str) -> Result<Answer, Refusal> {
        let query = Query::parse(query);
        let images = lock(&self.images);
        Ok(match query.first("provider") {
            None => json(StatusCode::OK, &json!(images.all())),
            Some(provider) => {
                self.check_provider(provider)?;
                json(StatusCode::OK, &json!(images.of_provider(provider)))
            }
        })
    }

    /// What the provider itself has: of the images known here.
    fn list_of(&self, provider: &str) -> Result<Answer, Refusal> {
        self.check_provider(provider)?;
        let images = lock(&self.images);
        let rows = images.of_provider(provider).into_iter();
        let rows =
            rows.map(|row| json!({"id": row["id"], "name": row["name"], "status": "ACTIVE"}));
        Ok(json(StatusCode::OK, &rows.collect()))
    }

    fn check_provider(&self, provider: &str) -> Result<(), Refusal> {
        if self.providers.iter().any(|known| known == provider) {
            return Ok(());
        }
        let problem = format!("Invalid provider '{provider}'");
        Err(refused(StatusCode::NOT_FOUND, problem))
    }

    fn create(&self, record: &Map<String, Value>) -> Result<Answer, Refusal> {
        let created = lock(&self.images).create(record, &self.providers);
        let id = created.map_err(invalid)?;
        if self.v2_manner {
            return Ok(message(StatusCode::CREATED, "Created"));
        }
        Ok(json(
            StatusCode::OK,
            &json!({"id": id, "message": "Created"}),
        ))
    }

    fn update(&self, id: &str, record: &Map<String, Value>) -> Result<Answer, Refusal> {
        let updated = lock(&self.images).update(id, record);
        let image = updated.ok_or_else(|| missing(id))?.map_err(invalid)?;
        if self.v2_manner {
            let words = format!("Image '{id}' has been updated");
            return Ok(message(StatusCode::OK, &words));
        }
        Ok(json(
            StatusCode::OK,
            &json!({"image": image, "message": "Updated"}),
        ))
    }

    fn delete(&self, id: &str) -> Result<Answer, Refusal> {
        let deleted = lock(&self.images).delete(id);
        deleted.ok_or_else(|| missing(id))?.map_err(invalid)?;
        if self.v2_manner {
            let words = format!("Image '{id}' has been removed");
            return Ok(message(StatusCode::OK, &words));
        }
        Ok(json(
            StatusCode::OK,
            &json!({"id": id, "message": "Deleted"}),
        ))
    }
}

/// The JSON object that a request has to bring.
async fn record(request: &mut Request) -> Result<Map<String, Value>, Refusal> {
    if request.media_type() != "application/json" {
        let problem = "Content-Type should be equal to 'application/json'";
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem));
    }
    let body = request.small_body().await;
    let record = body.ok().map(|body| serde_json::from_slice(&body));
    match record {
        Some(Ok(record)) => Ok(record),
        _ => Err(invalid("Invalid JSON: an object is expected")),
    }
}

fn accepts_json(request: &Request) -> bool {
    let values = request.head.headers.get_all(ACCEPT).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| matches!(range.trim(), "*/*" | "application/*" | "application/json"))
}

fn missing(id: &str) -> Refusal {
    refused(
        StatusCode::NOT_FOUND,
        format!("Image '{id}' does not exist"),
    )
}

fn invalid(problem: impl Into<String>) -> Refusal {
    refused(StatusCode::BAD_REQUEST, problem)
}

fn refused(status: StatusCode, problem: impl Into<String>) -> Refusal {
    let problem = problem.into();
    Refusal { status, problem }
}

/// The type as this service names it.
fn plain(mut answer: Answer) -> Answer {
    let length = answer.body().len().to_string();
    let headers = answer.headers_mut();
    set(headers, CONTENT_LENGTH, length);
    if headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application"))
    {
        set(headers, CONTENT_TYPE, "application/json");
    }
    answer
}
