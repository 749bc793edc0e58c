use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use hyper::{Method, StatusCode};

use super::api::{Api, MEDIA_TYPE};
use super::create::{is_form, redirect_back};
use super::get::not_found;
use super::state::Grant;
use crate::sync::lock;
use crate::testing::message::{Answer, Request, Service, empty, message, page, set};
use crate::testing::query::{Query, unescape};

impl Service for Arc<Api> {
    fn answer<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Answer> {
        route(self, request).boxed()
    }
}

async fn route(api: &Arc<Api>, request: &mut Request) -> Answer {
    let path = unescape(request.head.uri.path());
    let query = request.head.uri.query().unwrap_or_default().to_owned();
    if path.contains("//") {
        return moved(&path, &query);
    }
    if let Some(name) = path.strip_prefix("/published/") {
        return published(api, name);
    }
    let below = path.strip_prefix(api.base_path.as_str());
    let Some(below) = below.and_then(|below| below.strip_prefix('/')) else {
        return page(StatusCode::NOT_FOUND);
    };
    let query = Query::parse(&query);
    let method = request.head.method.clone();
    match *below.split('/').collect::<Vec<_>>() {
        ["images"] if method == Method::GET => match api.grant(request) {
            Some(grant) if grant.read => api.list(grant.user, &path, query),
            _ => not_found(),
        },
        ["images"] if method == Method::POST => match api.grant(request) {
            Some(grant) if grant.write => api.create(grant.user, &query, request).await,
            _ if is_form(request) => redirect_back(api, request),
            _ => not_found(),
        },
        ["images", id] if is_number(id) => image(api, request, &method, id),
        ["n", user, .., "-", "images"] if method == Method::GET => {
            let namespace = below
                .strip_prefix(&format!("n/{user}/"))
                .and_then(|rest| rest.strip_suffix("/-/images"))
                .unwrap_or_default();
            let grant = api.grant(request);
            api.list_namespace(grant.as_ref(), (user, namespace), &path, query)
        }
        ["user"] => match api.grant(request) {
            Some(grant) => api.get_user(grant.user),
            None => not_found(),
        },
        ["images"] => message(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
        _ => not_found(),
    }
}

fn image(api: &Api, request: &Request, method: &Method, digits: &str) -> Answer {
    if method != Method::GET && method != Method::DELETE {
        return message(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    }
    // The real server reads the row before it checks the token.
    let Ok(id) = digits.parse::<i32>() else {
        let problem = format!(
            "djinn-ci.com/namespace.(*Authenticator[...]).Auth - djinn-ci.com/namespace/auth.go:116: \
             djinn-ci.com/namespace.(*Authenticator[...]).getResourceAndOwner - \
             djinn-ci.com/namespace/auth.go:91: djinn-ci.com/database.(*Store[...]).SelectOne - \
             djinn-ci.com/database/database.go:351: ERROR: value \"{digits}\" is out of range for type \
             integer (SQLSTATE 22003)"
        );
        return message(StatusCode::INTERNAL_SERVER_ERROR, &problem);
    };
    let (id, grant) = (i64::from(id), api.grant(request));
    if method == Method::GET {
        return api.get(grant.map(|grant| grant.user), id, request);
    }
    let mut state = lock(&api.state);
    let is_allowed = |grant: Grant| {
        let image = state.images.get(&id);
        grant.write && image.is_some_and(|image| state.may_delete(grant.user, image))
    };
    if !grant.is_some_and(is_allowed) {
        return not_found();
    }
    if let Some(image) = state.images.get(&id) {
        api.webhooks.send("deleted", api.image_json(&state, image));
    }
    state.remove_image(id);
    empty(StatusCode::NO_CONTENT, &[])
}

impl Api {
    /// Returns the grant of the request's token. The scheme is case-sensitive.
    pub(super) fn grant(&self, request: &Request) -> Option<Grant> {
        let token = request.header(AUTHORIZATION)?.strip_prefix("Bearer ")?;
        lock(&self.state).tokens.get(token).cloned()
    }
}

/// Answers with published content, the source of download jobs.
fn published(api: &Api, name: &str) -> Answer {
    let number = name
        .strip_suffix(".qcow2")
        .and_then(|number| number.parse::<usize>().ok());
    let content = number.and_then(|number| lock(&api.published).get(number).cloned());
    let payload = content.and_then(|content| {
        let mut payload = content.payload().ok()?;
        content.append(0..content.len(), &mut payload);
        Some(payload)
    });
    let Some(payload) = payload else {
        return not_found();
    };
    let mut answer = empty(StatusCode::OK, &[(CONTENT_TYPE, MEDIA_TYPE)]);
    *answer.body_mut() = payload;
    answer
}

fn moved(path: &str, query: &str) -> Answer {
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let mut location = format!("/{}", segments.join("/"));
    if path.ends_with('/') {
        location.push('/');
    }
    if !query.is_empty() {
        location = format!("{location}?{query}");
    }
    let mut answer = empty(StatusCode::MOVED_PERMANENTLY, &[]);
    set(answer.headers_mut(), LOCATION, location);
    answer
}

fn is_number(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
}
