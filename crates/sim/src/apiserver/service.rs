//! From a request to its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName};
use hyper::{Method, Request, Response};
use serde_json::Value;

use super::access::{User, Users};
use super::fault::Faults;
use super::list::{Page, view};
use super::media::{Format, Media, Shape};
use super::query::{Options, Target};
use super::requests::{Requests, Ticket};
use super::resource::Resource;
use super::selector::Selector;
use super::status::Status;
use super::store::Store;
use super::watch::{Watch, untyped};
use super::wire::{self, Header};
use super::{discovery, media, review, table};

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What all connections share.
#[derive(Debug)]
pub struct Server {
    pub store: Store,
    pub users: Users,
    pub faults: Faults,
    pub requests: Arc<Requests>,
    pub settings: Settings,
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub bookmark_interval: Duration,
    /// Of watches that name none.
    pub watch_timeout: Duration,
    /// Changes that a watcher may be behind.
    pub watch_buffer: usize,
}

/// Which of a cluster's servers is spoken to.
#[derive(Clone, Debug)]
pub enum Role {
    ApiServer { address: String },
    Kubelet { node: String },
}

/// Never fails: what goes wrong is an answer, too.
pub async fn answer(server: Arc<Server>, role: Role, request: Request<Incoming>) -> Response<Body> {
    let text = |name: HeaderName| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let path = request.uri().path().to_owned();
    let user = server.users.authenticate(text(AUTHORIZATION).as_deref());
    let target = match &role {
        Role::Kubelet { node } => (path == "/pods").then(|| kubelet_pods(node)),
        Role::ApiServer { .. } => Target::parse(&path),
    };
    let options = Options::parse(request.uri().query().unwrap_or_default());
    let is_watch = options.as_ref().is_ok_and(|options| options.watch);
    let verb = match (request.method(), &target) {
        (&Method::POST, _) => "create",
        (&Method::GET, Some(target)) if target.is_kubelet => "get",
        (&Method::GET, Some(_)) if is_watch => "watch",
        (&Method::GET, Some(target)) if target.name.is_empty() => "list",
        (&Method::GET, _) => "get",
        _ => "other",
    };
    let name = user.as_ref().map_or("", |user| user.name.as_str());
    let ticket = server.requests.note(&path, verb, name);
    let json_only = server.faults.now().json_only;
    let media = Media::negotiate(text(ACCEPT).as_deref(), json_only);
    let plain = Media { format: Format::Json, shape: Shape::Full };
    let format = media.as_ref().map_or(Format::Json, |media| media.format);
    let call = Call { server, role, path, user, verb, ticket, media, options };
    match call.answer(target, request).await {
        Ok(response) => response,
        Err((status, ticket)) => {
            ticket.failed();
            let media = Media { format, ..plain };
            let body = one(media, ("v1", "Status"), &status.json());
            ticket.sent(body.len(), 0);
            respond(status.code, media.content_type(false), body)
        }
    }
}

fn kubelet_pods(node: &str) -> Target {
    Target {
        resource: Resource::Nodes,
        namespace: String::new(),
        name: node.to_owned(),
        is_kubelet: true,
    }
}

struct Call {
    server: Arc<Server>,
    role: Role,
    path: String,
    user: Option<User>,
    verb: &'static str,
    ticket: Ticket,
    media: Result<Media, Status>,
    options: Result<Options, Status>,
}

impl Call {
    async fn answer(
        self,
        target: Option<Target>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, (Status, Ticket)> {
        macro_rules! check {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(status) => return Err((status, self.ticket)),
                }
            };
        }
        match self.path.trim_end_matches('/') {
            "/healthz" | "/readyz" | "/livez" => {
                return Ok(respond(200, "text/plain", "ok".into()));
            }
            "/version" => {
                let body = discovery::version().to_string().into();
                return Ok(respond(200, media::JSON, body));
            }
            _ => {}
        }
        if let Some(retry_after_s) = self.server.faults.take_overload() {
            return Err((Status::too_many_requests(retry_after_s), self.ticket));
        }
        let Some(user) = &self.user else {
            return Err((Status::unauthorized(), self.ticket));
        };
        if let Some(review) = review::Kind::at(&self.path) {
            return self.review(review, request).await;
        }
        let Some(target) = target else {
            let Role::ApiServer { address } = &self.role else {
                return Err((Status::no_such_path(), self.ticket));
            };
            let answer = discovery::answer(&self.path, address).ok_or_else(Status::no_such_path);
            let body = Bytes::from(check!(answer).to_string());
            self.ticket.sent(body.len(), 0);
            return Ok(respond(200, media::JSON, body));
        };
        let resource = target.resource;
        if request.method() != Method::GET {
            return Err((Status::method(resource.name()), self.ticket));
        }
        let what = if target.is_kubelet { "nodes/proxy".to_owned() } else { resource.qualified() };
        if !user.may(self.verb, &what, &target.namespace) {
            let name = if target.is_kubelet { "nodes/proxy" } else { resource.name() };
            let status = Status::forbidden(
                &user.name,
                self.verb,
                name,
                resource.group(),
                &target.name,
                &target.namespace,
            );
            return Err((status, self.ticket));
        }
        let media = check!(self.media);
        let options = check!(self.options);
        check!(options.check());
        if target.is_kubelet {
            let fields = format!("spec.nodeName={}", target.name);
            let selector = check!(Selector::parse(Resource::Pods, "", "", &fields));
            let store = &self.server.store;
            let all = Options::default();
            let page = check!(Page::select(store, Resource::Pods, &all, &selector));
            let media = Media { format: Format::Json, shape: Shape::Full };
            return Ok(stream(media.content_type(false), page.body(media, self.ticket)));
        }
        if !target.name.is_empty() && !options.watch {
            let object = self.server.store.get(resource, &target.namespace, &target.name);
            let object = check!(object.ok_or_else(|| Status::not_found(resource, &target.name)));
            let body = single(media, &object);
            self.ticket.sent(body.len(), 1);
            return Ok(respond(200, media.content_type(false), body));
        }
        let fields = match target.name.as_str() {
            "" => options.fields.clone(),
            name => format!("metadata.name={name}"),
        };
        let selector =
            check!(Selector::parse(resource, &target.namespace, &options.labels, &fields));
        if options.watch {
            let server = Arc::clone(&self.server);
            let watch = check!(Watch::start(server, resource, &options, selector, media));
            return Ok(stream(media.content_type(true), watch.body(self.ticket)));
        }
        let slow = self.server.faults.now().slow_lists;
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let page = check!(Page::select(&self.server.store, resource, &options, &selector));
        Ok(stream(media.content_type(false), page.body(media, self.ticket)))
    }

    async fn review(
        self,
        review: review::Kind,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, (Status, Ticket)> {
        let (resource, group) = (review.resource(), review.group());
        let name = self.user.as_ref().map_or("", |user| user.name.as_str());
        let qualified = format!("{resource}.{group}");
        let may = self.user.as_ref().is_some_and(|user| user.may("create", &qualified, ""));
        if request.method() != Method::POST {
            return Err((Status::method(resource), self.ticket));
        }
        if !may {
            let status = Status::forbidden(name, "create", resource, group, "", "");
            return Err((status, self.ticket));
        }
        let content_type = request.headers().get(CONTENT_TYPE);
        let content_type =
            content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let body = Limited::new(request.into_body(), review::MAX_BYTES).collect().await;
        let answer = match body {
            Ok(body) => review.answer(&self.server.users, &content_type, &body.to_bytes()),
            Err(_) => Err(Status::bad_request("the body is too long, or was cut off")),
        };
        match (answer, self.media) {
            (Ok(answer), Ok(media)) => {
                let version = format!("{group}/v1");
                let body = one(media, (&version, review.kind()), &answer);
                self.ticket.sent(body.len(), 1);
                Ok(respond(201, media.content_type(false), body))
            }
            (Err(status), _) | (_, Err(status)) => Err((status, self.ticket)),
        }
    }
}

fn single(media: Media, object: &super::object::Object) -> Bytes {
    let mut body = Vec::new();
    match (media.shape, media.format) {
        (Shape::Table, _) => body = table::row(object, true).into_bytes(),
        (Shape::Partial, Format::Json) => wire::json(object, Header::Partial, &mut body),
        (_, Format::Json) => wire::json(object, Header::Typed, &mut body),
        (shape, Format::Protobuf) => {
            let (version, kind) = view(shape).kind(object.resource);
            let mut message = Vec::new();
            wire::protobuf(object, view(shape), &mut message);
            body = wire::enveloped(version, kind, &message);
        }
    }
    body.into()
}

/// `value`: an object that says its kind.
fn one(media: Media, (version, kind): (&str, &str), value: &Value) -> Bytes {
    match media.format {
        Format::Json => value.to_string().into(),
        Format::Protobuf => wire::enveloped(version, kind, &untyped(kind, value)).into(),
    }
}

fn respond(code: u16, content_type: &'static str, body: Bytes) -> Response<Body> {
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    build(code, content_type, body)
}

fn stream(
    content_type: &'static str,
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Response<Body> {
    build(200, content_type, StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync())
}

fn build(code: u16, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    let value = hyper::header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}
