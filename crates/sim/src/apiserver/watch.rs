//! Watches: what is, if that is asked for, then every change, bookmarks between them, until the time is up.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::fault::WatchList;
use super::list::{Page, view};
use super::media::{Format, Media, Shape};
use super::object::Object;
use super::query::Options;
use super::requests::Ticket;
use super::resource::Resource;
use super::selector::Selector;
use super::service::Server;
use super::status::Status;
use super::store::Change;
use super::wire::{self, Event, Header};
use super::{table, transcode};

/// Bytes from which on what there is to tell is sent.
const CHUNK: usize = 64 << 10;
/// Changes that are looked at in one go.
const BATCH: usize = 64;

#[derive(Debug)]
pub struct Watch {
    server: Arc<Server>,
    resource: Resource,
    selector: Selector,
    media: Media,
    /// Told up to this version.
    version: u64,
    /// Still to be told before that goes on.
    first: VecDeque<Told>,
    /// No longer catching up with what was before it began.
    live: bool,
    bookmarks: Option<Interval>,
    deadline: Instant,
    news: watch::Receiver<u64>,
    drops: watch::Receiver<(u64, bool)>,
    has_columns: bool,
    ended: bool,
}

#[derive(Debug)]
enum Told {
    Object(Event, Arc<Object>),
    InitialEventsEnd(u64),
    Error(Status),
}

impl Watch {
    /// # Errors
    /// The status to send instead.
    pub fn start(
        server: Arc<Server>,
        resource: Resource,
        options: &Options,
        selector: Selector,
        media: Media,
    ) -> Result<Self, Status> {
        let faults = server.faults.now();
        // Before anything is read: no change may fall between.
        let news = server.store.news(resource);
        let drops = server.faults.drops();
        let mut first = VecDeque::new();
        let mut version = options.version.unwrap_or(0);
        let listed = match faults.watch_list {
            WatchList::Served => options.send_initial_events,
            WatchList::Ignored => None,
            WatchList::Refused if options.send_initial_events.is_some() => {
                let message = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
                return Err(Status::forbidden_option("sendInitialEvents", message));
            }
            WatchList::Refused => None,
        };
        let current = server.store.version();
        if version > current {
            return Err(Status::too_large(version, current));
        }
        if listed.unwrap_or(version == 0) {
            let page = Page::select(&server.store, resource, &Options::default(), &selector)?;
            version = page.version;
            first.extend(page.objects.into_iter().map(|object| Told::Object(Event::Added, object)));
            if listed == Some(true) && options.bookmarks {
                first.push_back(Told::InitialEventsEnd(version));
            }
        } else if version == 0 {
            version = current;
        } else if let Err(expired) = server.store.resume(resource, version) {
            let status = Status::too_old(version, expired.oldest);
            if faults.gone_by_status {
                return Err(status);
            }
            first.push_back(Told::Error(status));
        } else if faults.replay > 0 {
            let mut again = server.store.changes_before(resource, version, faults.replay);
            if faults.reversed {
                again.reverse();
            }
            first.extend(again.iter().filter_map(|change| tell(&selector, change)));
        }
        let period = server.settings.bookmark_interval;
        let timeout = options.timeout_s.filter(|&seconds| seconds > 0);
        let timeout = timeout.map_or(server.settings.watch_timeout, Duration::from_secs);
        let bookmarks = options.bookmarks.then(|| {
            let mut interval = interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Ok(Self {
            server,
            resource,
            selector,
            media,
            version,
            first,
            live: false,
            bookmarks,
            deadline: Instant::now() + timeout,
            news,
            drops,
            has_columns: false,
            ended: false,
        })
    }

    pub fn body(self, ticket: Ticket) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::unfold((self, ticket), async |(mut watch, ticket)| {
            let chunk = watch.next(&ticket).await?;
            Some((chunk, (watch, ticket)))
        })
    }

    async fn next(&mut self, ticket: &Ticket) -> Option<io::Result<Bytes>> {
        while !self.ended {
            if self.drops.has_changed().unwrap_or(true) {
                self.ended = true;
                let (_, abrupt) = *self.drops.borrow_and_update();
                return abrupt.then(|| Err(io::ErrorKind::ConnectionReset.into()));
            }
            let mut out = Vec::new();
            while let Some(told) = self.first.pop_front() {
                self.write(&told, ticket, &mut out);
                if out.len() >= CHUNK {
                    break;
                }
            }
            if out.is_empty() {
                self.news.borrow_and_update();
                // Read before the changes: all up to it are told if there are none.
                let version = self.server.store.version();
                let (changes, more) =
                    self.server.store.changes(self.resource, self.version, BATCH).ok()?;
                if self.live && more > self.server.settings.watch_buffer {
                    tracing::debug!(
                        resource = self.resource.name(),
                        more,
                        "watch cut off: too slow"
                    );
                    return None;
                }
                for change in &changes {
                    self.version = change.object.version;
                    if let Some(told) = tell(&self.selector, change) {
                        self.write(&told, ticket, &mut out);
                    }
                }
                if changes.is_empty() {
                    self.live = true;
                    if let Some(bookmark) = self.wait(version).await {
                        out = bookmark;
                    }
                }
            }
            if !out.is_empty() {
                ticket.sent(out.len(), 0);
                return Some(Ok(out.into()));
            }
        }
        None
    }

    /// Until something happens. Returns a bookmark if it is time for one.
    async fn wait(&mut self, version: u64) -> Option<Vec<u8>> {
        let tick = async {
            match &mut self.bookmarks {
                Some(interval) => interval.tick().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.news.changed() => return None,
            _ = self.drops.changed() => {
                self.drops.mark_changed();
                return None;
            }
            _ = tick => {}
            () = sleep_until(self.deadline) => {
                self.ended = true;
                self.bookmarks.as_ref()?;
            }
        }
        let mut out = Vec::new();
        self.bookmark(version, false, &mut out);
        Some(out)
    }

    fn write(&mut self, told: &Told, ticket: &Ticket, out: &mut Vec<u8>) {
        match told {
            Told::Object(event, object) => {
                ticket.sent(0, 1);
                self.object(*event, object, out);
            }
            Told::InitialEventsEnd(version) => self.bookmark(*version, true, out),
            Told::Error(status) => {
                self.value(Event::Error, ("v1", "Status"), &status.json(), out);
                self.ended = true;
            }
        }
    }

    fn object(&mut self, event: Event, object: &Object, out: &mut Vec<u8>) {
        let view = view(self.media.shape);
        match (self.media.shape, self.media.format) {
            (Shape::Table, _) => {
                let table = table::row(object, !self.has_columns);
                self.has_columns = true;
                wire::json_event(event, table.as_bytes(), out);
            }
            (shape, Format::Json) => {
                let header = if shape == Shape::Partial { Header::Partial } else { Header::Typed };
                let mut json = Vec::new();
                wire::json(object, header, &mut json);
                wire::json_event(event, &json, out);
            }
            (_, Format::Protobuf) => wire::protobuf_event(
                event,
                view.kind(self.resource),
                wire::protobuf_length(object, view),
                |out| wire::protobuf(object, view, out),
                out,
            ),
        }
    }

    /// Says that everything up to `version` has been told.
    fn bookmark(&self, version: u64, ends_initial: bool, out: &mut Vec<u8>) {
        let kind = view(self.media.shape).kind(self.resource);
        let mut metadata =
            json!({ "resourceVersion": version.to_string(), "creationTimestamp": null });
        if ends_initial {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let value = json!({ "kind": kind.1, "apiVersion": kind.0, "metadata": metadata });
        self.value(Event::Bookmark, kind, &value, out);
    }

    fn value(&self, event: Event, kind: (&str, &str), value: &Value, out: &mut Vec<u8>) {
        match self.media.format {
            Format::Json => wire::json_event(event, value.to_string().as_bytes(), out),
            Format::Protobuf => {
                let message = untyped(kind.1, value);
                let write = |out: &mut Vec<u8>| out.extend_from_slice(&message);
                wire::protobuf_event(event, kind, message.len(), write, out);
            }
        }
    }
}

/// The protobuf of an object that says its kind in JSON. Empty if its message is not described.
pub fn untyped(kind: &str, value: &Value) -> Vec<u8> {
    let Some(members) = value.as_object() else { return Vec::new() };
    let mut members = members.clone();
    members.retain(|key, _| key != "kind" && key != "apiVersion");
    // All objects begin with their metadata.
    let kind = if kind == "PartialObjectMetadata" { "Pod" } else { kind };
    transcode::message(kind, &Value::Object(members)).unwrap_or_default()
}

/// What a change is to somebody who sees only what the selector matches.
fn tell(selector: &Selector, change: &Change) -> Option<Told> {
    let before = change.previous.as_ref().is_some_and(|object| selector.matches(object));
    let after = change.kind != Event::Deleted && selector.matches(&change.object);
    let event = match (before, after) {
        (false, false) => return None,
        (false, true) => Event::Added,
        (true, true) => Event::Modified,
        (true, false) => Event::Deleted,
    };
    let object = match (&change.previous, event) {
        // As it was when it was last seen, at the version of its leaving.
        (Some(previous), Event::Deleted) => Arc::new(previous.at(change.object.version)),
        _ => Arc::clone(&change.object),
    };
    Some(Told::Object(event, object))
}
