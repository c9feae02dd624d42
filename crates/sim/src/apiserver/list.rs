//! Lists: which objects, from which moment, and how they are written without holding the whole of it in memory.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use serde_json::{Map, Value, json};

use super::media::{Format, Media, Shape};
use super::object::Object;
use super::query::{Match, Options};
use super::requests::Ticket;
use super::resource::Resource;
use super::selector::Selector;
use super::status::Status;
use super::store::{Objects, Store};
use super::wire::{self, Header, View};
use super::{table, transcode};

/// Bytes that are written at a time, at least.
const CHUNK: usize = 64 << 10;

/// A list, or a page of one.
#[derive(Debug)]
pub struct Page {
    pub resource: Resource,
    /// As of this version.
    pub version: u64,
    pub objects: Vec<Arc<Object>>,
    /// Where the next page begins; empty at the end.
    pub continue_at: String,
    /// Objects on later pages, if that is known.
    pub remaining: Option<usize>,
}

impl Page {
    /// # Errors
    /// The status to send: versions too old or too new, tokens that say nothing.
    pub fn select(
        store: &Store,
        resource: Resource,
        options: &Options,
        selector: &Selector,
    ) -> Result<Self, Status> {
        let mut limit = options.limit;
        let mut start = String::new();
        let (version, objects) = if options.continue_from.is_empty() {
            let (current, objects) = store.list(resource);
            match (options.version, options.version_match) {
                (Some(version), _) if version > current => {
                    return Err(Status::too_large(version, current));
                }
                (Some(version), matching)
                    if version > 0
                        && (matching == Match::Exact
                            || matching == Match::Unset && options.limit > 0) =>
                {
                    let old = store.list_at(resource, version);
                    let too_old =
                        |expired: super::store::Expired| Status::too_old(version, expired.oldest);
                    (version, old.map_err(too_old)?)
                }
                (Some(0), _) => {
                    // The real server answers this from its cache, which does not page.
                    limit = 0;
                    (current, objects)
                }
                _ => (current, objects),
            }
        } else {
            let version;
            (version, start) = decode(&options.continue_from)?;
            match version {
                // The first page is gone; go on with what there is now.
                None => store.list(resource),
                Some(version) => match store.list_at(resource, version) {
                    Ok(objects) => (version, objects),
                    Err(_) => return Err(Status::continue_expired(encode(None, &start))),
                },
            }
        };
        let mut page = Self {
            resource,
            version,
            objects: Vec::new(),
            continue_at: String::new(),
            remaining: None,
        };
        let more = page.fill(&objects, selector, &start, limit);
        if let (Some(last), true) = (page.objects.last(), more > 0) {
            store.keep(resource, version, &objects);
            page.continue_at = encode(Some(version), &(last.key() + "\0"));
            page.remaining = (!selector.is_partial()).then_some(more);
        }
        Ok(page)
    }

    /// Takes what `selector` matches from `start` on. Returns how many are left.
    fn fill(&mut self, objects: &Objects, selector: &Selector, start: &str, limit: usize) -> usize {
        let prefix = match selector.namespace.as_str() {
            "" => String::new(),
            namespace => format!("{namespace}/"),
        };
        let from = if start > prefix.as_str() { start } else { prefix.as_str() };
        let range = objects.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        let range = range.take_while(|(key, _)| key.starts_with(&prefix));
        let mut left = 0;
        for (_, object) in range.filter(|(_, object)| selector.matches(object)) {
            if limit > 0 && self.objects.len() == limit {
                left += 1;
            } else {
                self.objects.push(Arc::clone(object));
            }
        }
        left
    }

    /// The body, made as it is read.
    pub fn body(
        self,
        media: Media,
        ticket: Ticket,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let (head, tail) = match (media.shape, media.format) {
            (Shape::Table, _) => {
                let table = table::list(self.resource, &self.metadata(), &self.objects);
                (table.into_bytes(), &b"\n"[..])
            }
            (shape, Format::Json) => (self.json_head(shape), &b"]}\n"[..]),
            (shape, Format::Protobuf) => self.protobuf_head(view(shape)),
        };
        let objects = if media.shape == Shape::Table { Vec::new() } else { self.objects };
        let writer = Writer { media, objects, next: 0, head, tail, ended: false, ticket };
        stream::unfold(writer, async |mut writer| {
            let chunk = writer.chunk()?;
            Some((Ok(chunk), writer))
        })
    }

    fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), self.version.to_string().into());
        if !self.continue_at.is_empty() {
            metadata.insert("continue".to_owned(), self.continue_at.as_str().into());
        }
        if let Some(remaining) = self.remaining {
            metadata.insert("remainingItemCount".to_owned(), remaining.into());
        }
        Value::Object(metadata)
    }

    fn json_head(&self, shape: Shape) -> Vec<u8> {
        let (version, kind) = view(shape).kind(self.resource);
        let metadata = self.metadata();
        format!(r#"{{"kind":"{kind}List","apiVersion":"{version}","metadata":{metadata},"items":["#)
            .into_bytes()
    }

    fn protobuf_head(&self, view: View) -> (Vec<u8>, &'static [u8]) {
        let metadata = transcode::message("ListMeta", &self.metadata()).unwrap_or_default();
        let mut length = transcode::field_length(1, metadata.len());
        for object in &self.objects {
            length += transcode::field_length(2, wire::protobuf_length(object, view));
        }
        let (version, kind) = view.kind(self.resource);
        let (mut head, tail) = wire::envelope(version, &format!("{kind}List"), length);
        transcode::bytes(1, &metadata, &mut head);
        (head, tail)
    }
}

pub fn view(shape: Shape) -> View {
    if shape == Shape::Partial { View::Partial } else { View::Full }
}

#[derive(Debug)]
struct Writer {
    media: Media,
    objects: Vec<Arc<Object>>,
    next: usize,
    head: Vec<u8>,
    tail: &'static [u8],
    ended: bool,
    ticket: Ticket,
}

impl Writer {
    fn chunk(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut out = std::mem::take(&mut self.head);
        out.reserve(CHUNK + CHUNK / 2);
        let first = self.next;
        while out.len() < CHUNK && self.next < self.objects.len() {
            let object = &self.objects[self.next];
            match self.media.format {
                Format::Json => {
                    if self.next > 0 {
                        out.push(b',');
                    }
                    let partial = self.media.shape == Shape::Partial;
                    wire::json(
                        object,
                        if partial { Header::Partial } else { Header::Untyped },
                        &mut out,
                    );
                }
                Format::Protobuf => {
                    let view = view(self.media.shape);
                    transcode::header(2, wire::protobuf_length(object, view), &mut out);
                    wire::protobuf(object, view, &mut out);
                }
            }
            self.next += 1;
        }
        if self.next == self.objects.len() {
            out.extend_from_slice(self.tail);
            self.ended = true;
        }
        self.ticket.sent(out.len(), self.next - first);
        Some(out.into())
    }
}

/// A token as the real server makes them. No version: go on with the present objects.
fn encode(version: Option<u64>, start: &str) -> String {
    let version = version.map_or(json!(-1), |version| json!(version));
    let token = json!({ "v": "meta.k8s.io/v1", "rv": version, "start": start });
    URL_SAFE_NO_PAD.encode(token.to_string())
}

fn decode(token: &str) -> Result<(Option<u64>, String), Status> {
    let wrong = || Status::bad_request("continue key is not valid");
    let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    let token: Value = serde_json::from_slice(&json).map_err(|_| wrong())?;
    let start = token["start"].as_str().filter(|start| !start.is_empty()).ok_or_else(wrong)?;
    match token["rv"].as_i64() {
        Some(-1) => Ok((None, start.to_owned())),
        Some(version) if version > 0 => Ok((Some(version.unsigned_abs()), start.to_owned())),
        _ => Err(wrong()),
    }
}
