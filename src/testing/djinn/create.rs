use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{LOCATION, REFERER, SET_COOKIE};
use jiff::Timestamp;
use serde_json::Value;

use super::api::Api;
use super::download;
use super::download_url::{DownloadUrl, DownloadUrlError};
use super::state::{Download, Row, State};
use crate::sync::lock;
use crate::testing::content::{Content, ContentWriter};
use crate::testing::message::{Answer, Request, empty, json, message};
use crate::testing::query::Query;

/// The size of a form up to which the real server reports a missing image. A larger form is an
/// invalid image.
const FORM_LIMIT: u64 = 10 << 20;

const NOT_QCOW2: &str = "File not a valid QCOW2 file format";
const TAKEN: &str = "Name already exists";
const FILE_REQUIRED: &str = "File field required";

/// Messages by field name.
type Problems = BTreeMap<String, Vec<String>>;

/// The content of a new image.
enum Origin {
    Upload(Option<Content>),
    Download(DownloadUrl),
}

impl Api {
    pub(super) async fn create(
        self: &Arc<Self>,
        user: usize,
        query: &Query,
        request: &mut Request,
    ) -> Answer {
        match request.media_type().as_str() {
            "application/json" => self.create_from_json(user, request).await,
            "application/x-www-form-urlencoded" => {
                self.create_from_form(user, query, request).await
            }
            // The real server reads the part `file`. This one answers as if the boundary were
            // missing.
            "multipart/form-data" => redirect_back(self, request),
            _ => match self.receive(request).await {
                Ok(content) => {
                    let content = Some(content).filter(|content| content.len() > 0);
                    let origin = Origin::Upload(content);
                    let namespace = match self.check(user, query, &origin) {
                        Ok(namespace) => namespace,
                        Err(problems) => return refused(&problems),
                    };
                    request.finish_copy().await;
                    self.insert(user, query, namespace, origin)
                }
                Err(_) => failed("unexpected EOF"),
            },
        }
    }

    async fn receive(&self, request: &mut Request) -> io::Result<Content> {
        let mut writer = ContentWriter::new(&self.dir)?;
        while let Some(chunk) = request.chunk().await? {
            writer.write(&chunk)?;
        }
        writer.finish()
    }

    async fn create_from_form(
        self: &Arc<Self>,
        user: usize,
        query: &Query,
        request: &mut Request,
    ) -> Answer {
        while let Ok(Some(_)) = request.chunk().await {}
        if request.received() > FORM_LIMIT {
            let problems = Problems::from([("file".to_owned(), vec![NOT_QCOW2.to_owned()])]);
            return refused(&problems);
        }
        self.create_image(user, query, Origin::Upload(None))
    }

    async fn create_from_json(self: &Arc<Self>, user: usize, request: &mut Request) -> Answer {
        let body = match request.small_body().await {
            Ok(body) if body.is_empty() => b"{}".to_vec(),
            Ok(body) => body,
            Err(_) => return failed("unexpected EOF"),
        };
        let fields: BTreeMap<String, Value> = match serde_json::from_slice(&body) {
            Ok(fields) => fields,
            Err(error) if error.is_eof() => return failed("unexpected EOF"),
            Err(_) => return failed("invalid character looking for beginning of value"),
        };
        let mut query = Query::default();
        for (field, label) in [("name", "Name"), ("namespace", "Namespace")] {
            match fields.get(field) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => query.set(field, text.clone()),
                Some(other) => {
                    let problem = format!("{label} cannot be {}", kind(other));
                    return refused(&Problems::from([(label.to_owned(), vec![problem])]));
                }
            }
        }
        if let Some(Err(problem)) = query.first("namespace").map(check_path) {
            return failed(&problem);
        }
        let origin = match fields.get("download_url") {
            None | Some(Value::Null) => Origin::Upload(None),
            Some(Value::String(url)) if url.is_empty() => Origin::Upload(None),
            Some(Value::String(url)) => match DownloadUrl::parse(url) {
                Ok(url) => Origin::Download(url),
                Err(DownloadUrlError::Unparsable(problem)) => {
                    return failed(&unparsable(360, &problem));
                }
                Err(DownloadUrlError::Refused(problem)) => {
                    let problem = format!("Download_url {problem}");
                    let problems = Problems::from([("download_url".to_owned(), vec![problem])]);
                    return refused(&problems);
                }
            },
            Some(other) => {
                let kind = kind(other);
                let problem = format!("json: cannot unmarshal {kind} into Go value of type string");
                return failed(&unparsable(369, &problem));
            }
        };
        self.create_image(user, &query, origin)
    }

    fn create_image(self: &Arc<Self>, user: usize, query: &Query, origin: Origin) -> Answer {
        match self.check(user, query, &origin) {
            Ok(namespace) => self.insert(user, query, namespace, origin),
            Err(problems) => refused(&problems),
        }
    }

    /// Checks a new image, and returns its namespace. Creates the namespace even if the image is
    /// invalid.
    fn check(&self, user: usize, query: &Query, origin: &Origin) -> Result<Option<i64>, Problems> {
        let name = query.first("name").unwrap_or_default();
        let path = query.first("namespace").filter(|path| !path.is_empty());
        let mut problems = Problems::new();
        let mut state = lock(&self.state);
        let namespace = match path {
            Some(path) => destination(&mut state, user, path)?,
            None => Destination::None,
        };
        check_name(&state, user, &namespace, name, &mut problems);
        check_file(origin, &mut problems);
        if let Destination::Refused(refusals) = namespace {
            for (field, mut messages) in refusals {
                problems.entry(field).or_default().append(&mut messages);
            }
            return Err(problems);
        }
        match problems.is_empty() {
            true => Ok(namespace.id()),
            false => Err(problems),
        }
    }

    fn insert(
        self: &Arc<Self>,
        user: usize,
        query: &Query,
        namespace: Option<i64>,
        origin: Origin,
    ) -> Answer {
        let name = query.first("name").unwrap_or_default();
        let mut state = lock(&self.state);
        if self.unique_names && state.is_taken(user, namespace, name) {
            let problems = Problems::from([("name".to_owned(), vec![TAKEN.to_owned()])]);
            return refused(&problems);
        }
        let (content, url) = match origin {
            Origin::Upload(content) => (content.map(Arc::new), None),
            Origin::Download(url) => (None, Some(url)),
        };
        let image = state.add_image(Row {
            namespace,
            content,
            ..Row::new(user, name)
        });
        let created = self.created_image_json(&state, &image);
        let answer = json(StatusCode::CREATED, &created);
        self.webhooks.send("created", created);
        if let Some(url) = url {
            if let Some(image) = state.images.get_mut(&image.id) {
                image.download = Some(Download {
                    source: url.redacted(),
                    created: Timestamp::now(),
                    started: None,
                    finished: None,
                    error: None,
                });
            }
            tokio::spawn(download::run(Arc::clone(self), image.id, url));
        }
        answer
    }
}

/// The namespace of a new image.
enum Destination {
    /// No namespace.
    None,
    Namespace(i64),
    /// The user may not create images there.
    Refused(Problems),
}

impl Destination {
    fn id(&self) -> Option<i64> {
        match self {
            Self::Namespace(id) => Some(*id),
            Self::None | Self::Refused(_) => None,
        }
    }
}

/// Returns the namespace `path` or `path@owner`. Creates it if it does not exist, even if the user
/// may not use it. An invalid path is the only problem reported.
fn destination(state: &mut State, user: usize, namespace: &str) -> Result<Destination, Problems> {
    if let Err(problem) = check_path(namespace) {
        return Err(Problems::from([("namespace".to_owned(), vec![problem])]));
    }
    let (path, owner) = match namespace.split_once('@') {
        Some((path, owner)) => (path, state.user(owner)),
        None => (namespace, Some(user)),
    };
    let twice = |problem: &str| {
        let fields = [("name", "Name"), ("namespace", "Namespace")];
        let problems = fields.map(|(field, label)| {
            let problem = format!("{label} {namespace}: namespace: {problem}");
            (field.to_owned(), vec![problem])
        });
        Ok(Destination::Refused(Problems::from(problems)))
    };
    let Some(owner) = owner else {
        return twice("invalid owner");
    };
    let Ok(id) = state.ensure_namespace(owner, path) else {
        return twice("cannot exceed depth of 20");
    };
    if state.may_create_in(id, user) {
        return Ok(Destination::Namespace(id));
    }
    let problem = "Namespace permission denied".to_owned();
    Ok(Destination::Refused(Problems::from([(
        "namespace".to_owned(),
        vec![problem],
    )])))
}

fn check_path(namespace: &str) -> Result<(), String> {
    let path = namespace.split('@').next().unwrap_or_default();
    if path
        .split('/')
        .all(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic()))
    {
        return Ok(());
    }
    Err(format!(
        "{namespace}: namespace: name can only contain letters and numbers"
    ))
}

fn check_name(
    state: &State,
    user: usize,
    destination: &Destination,
    name: &str,
    problems: &mut Problems,
) {
    let mut found = Vec::new();
    if name.is_empty() {
        found.push("Name field required".to_owned());
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(known) {
        found.push(r"Name does not match ^[a-zA-Z0-9_\-]+$".to_owned());
    }
    if !matches!(destination, Destination::Refused(_))
        && state.is_taken(user, destination.id(), name)
    {
        found.push(TAKEN.to_owned());
    }
    if !found.is_empty() {
        problems.insert("name".to_owned(), found);
    }
}

fn check_file(origin: &Origin, problems: &mut Problems) {
    let found = match origin {
        Origin::Upload(None) => vec![FILE_REQUIRED.to_owned(); 2],
        Origin::Upload(Some(content)) if !content.is_qcow2() => vec![NOT_QCOW2.to_owned()],
        _ => return,
    };
    problems.insert("file".to_owned(), found);
}

fn refused(problems: &Problems) -> Answer {
    json(StatusCode::BAD_REQUEST, &serde_json::json!(problems))
}

fn failed(problem: &str) -> Answer {
    let place = "djinn-ci.com/image/http.(*Handler).Store - djinn-ci.com/image/http/handler.go:101";
    message(
        StatusCode::INTERNAL_SERVER_ERROR,
        &format!("{place}: {problem}"),
    )
}

fn unparsable(line: u32, problem: &str) -> String {
    let image = "djinn-ci.com/image";
    let outer = format!("{image}.(*DownloadURL).UnmarshalJSON - {image}/download.go");
    if line == 369 {
        return format!("{outer}:{line}: {problem}");
    }
    format!(
        "{outer}:373: {image}.(*DownloadURL).UnmarshalText - {image}/download.go:{line}: {problem}"
    )
}

/// Redirects to where a browser came from, which the real server takes the sender of a form for.
pub(super) fn redirect_back(api: &Api, request: &Request) -> Answer {
    let home = format!("{}/", api.base_path);
    let location = request.header(REFERER).unwrap_or(&home);
    let cookie = "session=EMBEDDEDSERVER; Path=/; Domain=127.0.0.1; Max-Age=5184000";
    empty(
        StatusCode::SEE_OTHER,
        &[(LOCATION, location), (SET_COOKIE, cookie)],
    )
}

pub(super) fn is_form(request: &Request) -> bool {
    matches!(
        request.media_type().as_str(),
        "application/x-www-form-urlencoded" | "multipart/form-data"
    )
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
