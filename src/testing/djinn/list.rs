use hyper::StatusCode;
use hyper::header::LINK;
use serde_json::Value;

use super::api::Api;
use super::get::not_found;
use super::search::SearchPattern;
use super::state::{Grant, Image, Namespace};
use crate::sync::lock;
use crate::testing::message::{Answer, json, message, set};
use crate::testing::query::Query;

const PAGE: usize = 25;

/// The message for a path that two namespaces have.
const AMBIGUOUS: &str = "djinn-ci.com/namespace.(*Authenticator[...]).Auth - \
    djinn-ci.com/namespace/auth.go:116: \
    djinn-ci.com/namespace.(*Authenticator[...]).getResourceAndOwner - \
    djinn-ci.com/namespace/auth.go:55: djinn-ci.com/database.(*Store[...]).Get - \
    djinn-ci.com/database/database.go:440: djinn-ci.com/database.(*Store[...]).SelectOne - \
    djinn-ci.com/database/database.go:351: ERROR: more than one row returned by a subquery used \
    as an expression (SQLSTATE 21000)";

impl Api {
    /// Answers with the images of a user. `search` does not apply to the user's own images.
    pub(super) fn list(&self, user: usize, path: &str, query: Query) -> Answer {
        let state = lock(&self.state);
        let images = state.images_of(user, &search(&query));
        let (page, links) = paginate(images.len(), path, query);
        let rows = rows(&images, page).map(|image| self.image_json(&state, image));
        answer(rows.collect(), &links)
    }

    /// Answers with the images of a namespace that match `search`, if the token may list it.
    pub(super) fn list_namespace(
        &self,
        grant: Option<&Grant>,
        (owner, namespace): (&str, &str),
        path: &str,
        query: Query,
    ) -> Answer {
        let state = lock(&self.state);
        let Some(owner) = state.user(owner) else {
            return not_found();
        };
        let found: Vec<&Namespace> = state.namespaces_at(owner, namespace).collect();
        let namespace = match found[..] {
            [] => return not_found(),
            [namespace] => namespace,
            _ => return message(StatusCode::INTERNAL_SERVER_ERROR, AMBIGUOUS),
        };
        if !state.may_list(namespace, grant) {
            return not_found();
        }
        let images = state.images_in(namespace.id, &search(&query));
        let (page, links) = paginate(images.len(), path, query);
        let rows = rows(&images, page).map(|image| self.short_image_json(image));
        answer(rows.collect(), &links)
    }
}

fn search(query: &Query) -> SearchPattern {
    SearchPattern::new(query.first("search").unwrap_or_default())
}

fn rows<'a>(images: &'a [&'a Image], page: usize) -> impl Iterator<Item = &'a Image> {
    let skipped = page.saturating_sub(1).saturating_mul(PAGE);
    images.iter().skip(skipped).take(PAGE).copied()
}

fn answer(rows: Vec<Value>, links: &str) -> Answer {
    let mut answer = json(StatusCode::OK, &Value::Array(rows));
    set(answer.headers_mut(), LINK, links);
    answer
}

/// Returns the page to show and its links, with the real server's bugs: a page number above the
/// number of *images* is the last page; another one beyond the last page is empty, with the links
/// of the first; `next` on the last page is that page; an empty list has page 0.
fn paginate(total: usize, path: &str, mut query: Query) -> (usize, String) {
    let asked = query
        .first("page")
        .and_then(|page| page.parse::<i64>().ok());
    let asked = asked
        .and_then(|page| usize::try_from(page).ok())
        .unwrap_or(1);
    let pages = total.div_ceil(PAGE);
    let page = if asked > total { pages } else { asked.max(1) };
    let page = if total == 0 { 0 } else { page };
    let around = if page > pages { 1 } else { page };
    let mut link = |page: usize, rel: &str| {
        query.set("page", page.to_string());
        format!("<{path}?{}>; rel=\"{rel}\"", query.encode())
    };
    let prev = around.saturating_sub(1).max(pages.min(1));
    let prev = link(prev, "prev");
    let next = link((around + 1).min(pages), "next");
    (page, format!("{prev}, {next}"))
}
