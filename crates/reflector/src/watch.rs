//! Keeps the receiver's view of one resource at the cluster's present state.

#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Unanswered, refused};
use crate::body::{Body, Format, Part};
use crate::counters::{Cause, count};
use crate::error::Remedy;
use crate::patience::Tries;
use crate::protobuf::Change;
use crate::request::{Ask, watch_seconds};
use crate::trim::Trim;
use crate::wire::Malformed;
use crate::{Client, Error, Event, Options, Resource, json, protobuf};

/// A watch that ended by itself after so long is followed by the next one at once.
const LASTED: Duration = Duration::from_secs(1);

/// Lists the resource and watches it, until cancelled or until the receiver is gone. Failures are told as events, and
/// tried again by itself. While the receiver does not take events, nothing is read from the API server either; what
/// happens meanwhile is not lost: the watch goes on where it was, or begins with a new list.
pub async fn watch(
    client: Client,
    resource: Resource,
    options: Options,
    out: Sender<Event>,
    cancel: CancellationToken,
) {
    let heard = out.clone();
    let mut watch = Watch::new(client, resource, options, out);
    tokio::select! {
        () = cancel.cancelled() => {}
        () = heard.closed() => {}
        () = watch.run() => {}
    }
}

/// How two resource versions follow each other. All that is served so far are numbers that grow; of others nothing is known.
fn order(version: &str, other: &str) -> Option<Ordering> {
    Some(version.parse::<u64>().ok()?.cmp(&other.parse().ok()?))
}

struct Watch {
    client: Client,
    resource: Resource,
    options: Options,
    out: Sender<Event>,
    trim: Trim,
    /// What to ask for.
    format: Format,
    /// Whether to ask for streamed lists.
    streamed: bool,
    /// Where the view is; none without a complete list.
    version: Option<String>,
    /// Whether the last that was told is that it does not go on.
    failing: bool,
}

enum End {
    /// The receiver is gone.
    Closed,
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Watch {
    fn new(client: Client, resource: Resource, options: Options, out: Sender<Event>) -> Self {
        let trim = Trim::of(&options, resource);
        let format = if options.protobuf { Format::Protobuf } else { Format::Json };
        let streamed = options.streamed;
        let (version, failing) = (None, false);
        Self { client, resource, options, out, trim, format, streamed, version, failing }
    }

    async fn run(&mut self) {
        let mut tries = Tries::new(self.options.patience);
        // Counted for themselves: a server that was out of reach and has forgotten is not to be waited for twice.
        let mut expiries = Tries::new(self.options.patience);
        let mut watched = false;
        loop {
            let began = Instant::now();
            let resumed = self.version.is_some();
            if resumed && watched {
                count(&self.options.counters.reconnects);
            }
            let end = match self.version.clone() {
                Some(version) => {
                    let seconds = watch_seconds(self.options.watch_for);
                    self.follow(Ask::Watch { version, seconds }).await
                }
                None => self.list().await,
            };
            // After a list in pages comes the first watch, at once.
            let first = !resumed && end.is_ok();
            watched = self.version.is_some() && (resumed || self.streamed);
            tries.went_well_for(began.elapsed());
            expiries.went_well_for(began.elapsed());
            let pause = match end {
                Err(End::Closed) => return,
                Ok(()) if first || began.elapsed() >= LASTED => continue,
                Ok(()) => tries.pause(Remedy::Soon, None),
                Err(End::Failed(error)) => {
                    match self.failed(error, &mut tries, &mut expiries).await {
                        Some(pause) => pause,
                        None => return,
                    }
                }
            };
            sleep(pause).await;
        }
    }

    /// The pause before the next try; none if the receiver is gone.
    async fn failed(
        &mut self,
        error: Error,
        tries: &mut Tries,
        expiries: &mut Tries,
    ) -> Option<Duration> {
        tracing::debug!(resource = %self.resource, %error, "watch failed");
        let counters = &self.options.counters;
        let asked = match &error {
            Error::Refused { retry_after, .. } => *retry_after,
            _ => None,
        };
        if let Error::Expired { .. } = error {
            count(&counters.expired);
            self.version = None;
            return Some(expiries.pause(error.remedy(), asked));
        }
        let pause = tries.pause(error.remedy(), asked);
        match &error {
            // It is opened again where it was. Whoever cannot do that tells.
            Error::Interrupted { .. } | Error::Silent { .. } if self.version.is_some() => {
                if matches!(error, Error::Silent { .. }) {
                    count(&counters.silent);
                }
                return Some(pause);
            }
            Error::Unauthorized { .. } => {
                if let Err(error) = self.client.reload().await {
                    tracing::debug!(%error, "credentials cannot be read anew");
                }
            }
            _ => {}
        }
        count(&counters.failures);
        self.failing = true;
        let resource = self.resource;
        self.out.send(Event::Failed { resource, error }).await.ok().map(|()| pause)
    }

    async fn list(&mut self) -> Result<(), End> {
        count(&self.options.counters.lists);
        if self.streamed {
            let seconds = watch_seconds(self.options.watch_for);
            match self.follow(Ask::Stream { seconds }).await {
                Err(End::Failed(error)) if error.is_refused_form() && self.version.is_none() => {
                    tracing::debug!(resource = %self.resource, %error, "lists in pages");
                    self.streamed = false;
                }
                // An old API server leaves out the end that it does not know.
                Err(End::Failed(Error::Silent { .. })) if self.version.is_none() => {
                    self.streamed = false;
                }
                end => return end,
            }
        }
        self.pages().await
    }

    /// Consistent with one moment: all pages are of the resource version of the first.
    async fn pages(&mut self) -> Result<(), End> {
        let (mut limit, mut next) = (self.options.page, String::new());
        loop {
            let begins = next.is_empty();
            let mut answer = match self.ask(&Ask::Page { limit, next }).await {
                // The first page is too long ago: all at once cannot expire.
                Err(Error::Expired { .. }) if !begins => {
                    count(&self.options.counters.expired);
                    (limit, next) = (0, String::new());
                    continue;
                }
                answer => answer?,
            };
            if begins {
                self.send(Event::Relisting(self.resource)).await?;
            }
            let (version, after) = self.page(&mut answer).await?;
            next = after;
            if next.is_empty() {
                self.failing = false;
                self.send(Event::Listed(self.resource)).await?;
                self.version = Some(version);
                return Ok(());
            }
        }
    }

    /// Tells the objects of one page; its resource version, and where the next one begins.
    async fn page(&mut self, answer: &mut Answer) -> Result<(String, String), End> {
        let (resource, verb, format) = (self.resource, "list", answer.format);
        let malformed = |reason| Error::Malformed { resource, verb, reason };
        let mut body = Body::list(format, self.options.limits.object_bytes);
        let mut meta = (String::new(), String::new());
        while let Some(chunk) =
            answer.chunk(self.options.list_silence, &self.options.counters).await?
        {
            body.push(chunk);
            while let Some(part) = body.next().map_err(malformed)? {
                let event = match part {
                    Part::Item(item) => self.applied(format, item).map(|(event, _)| event),
                    Part::TooLarge => {
                        self.trim.count(Cause::ObjectTooLarge);
                        None
                    }
                    Part::Metadata(text) => {
                        let read = match format {
                            Format::Protobuf => protobuf::list_meta(text),
                            Format::Json => json::list_meta(text),
                        };
                        meta = read.map_err(malformed)?;
                        None
                    }
                };
                if let Some(event) = event {
                    count(&self.options.counters.applied);
                    self.send(event).await?;
                }
            }
        }
        if !body.complete() || meta.0.is_empty() {
            let reason = "it is not complete".into();
            return Err(Error::Interrupted { resource, verb, reason }.into());
        }
        Ok(meta)
    }

    /// Tells what a watch says, until it ends.
    async fn follow(&mut self, ask: Ask) -> Result<(), End> {
        let mut listing = matches!(ask, Ask::Stream { .. });
        let mut answer = self.ask(&ask).await?;
        let (resource, verb) = (self.resource, ask.verb());
        if listing {
            self.send(Event::Relisting(resource)).await?;
        } else if std::mem::take(&mut self.failing) {
            self.send(Event::Resumed(resource)).await?;
        }
        let mut body = Body::watch(answer.format, self.options.limits.object_bytes);
        let interrupted =
            |reason: &str| Error::Interrupted { resource, verb, reason: reason.into() };
        loop {
            let within =
                if listing { self.options.list_silence } else { self.options.watch_silence };
            let Some(chunk) = answer.chunk(within, &self.options.counters).await? else { break };
            body.push(chunk);
            loop {
                let part = body.next().map_err(|reason| {
                    count(&self.options.counters.malformed);
                    Error::Malformed { resource, verb, reason }
                })?;
                match part {
                    Some(Part::Item(event)) => {
                        self.event(answer.format, event, &mut listing).await?;
                    }
                    Some(Part::TooLarge) => self.trim.count(Cause::ObjectTooLarge),
                    Some(Part::Metadata(_)) => {}
                    None => break,
                }
            }
        }
        match (listing, body.complete()) {
            (false, true) => Ok(()),
            (true, _) => Err(interrupted("it ended before the list was complete").into()),
            (false, false) => Err(interrupted("it ended within an event").into()),
        }
    }

    async fn event(&mut self, format: Format, event: &[u8], listing: &mut bool) -> Result<(), End> {
        let read = match format {
            Format::Protobuf => protobuf::event(event),
            Format::Json => json::event(event),
        };
        let Some((change, object)) = self.readable(read) else { return Ok(()) };
        let told = match change {
            Change::Applied => self.applied(format, object),
            Change::Deleted => self.deleted(format, object),
            Change::Bookmark => return self.bookmark(format, object, listing).await,
            Change::Error => {
                let read = match format {
                    Format::Protobuf => protobuf::status(object),
                    Format::Json => json::status(object),
                };
                let refusal = self.readable(read).unwrap_or_default();
                return Err(refused(refusal, self.resource, "watch").into());
            }
            Change::Unknown => None,
        };
        let Some((event, version)) = told else { return Ok(()) };
        let reached = self.version.as_deref().and_then(|reached| order(&version, reached));
        if reached.is_some_and(Ordering::is_le) {
            count(&self.options.counters.stale);
            return Ok(());
        }
        count(match event {
            Event::Deleted(_) => &self.options.counters.deleted,
            _ => &self.options.counters.applied,
        });
        self.send(event).await?;
        if !*listing && !version.is_empty() {
            self.version = Some(version);
        }
        Ok(())
    }

    async fn bookmark(
        &mut self,
        format: Format,
        object: &[u8],
        listing: &mut bool,
    ) -> Result<(), End> {
        let Some(meta) = self.metadata(format, object) else { return Ok(()) };
        count(&self.options.counters.bookmarks);
        if meta.version.is_empty() {
            return Ok(());
        }
        if *listing && meta.initial_end {
            *listing = false;
            self.failing = false;
            self.send(Event::Listed(self.resource)).await?;
        }
        let reached = self.version.as_deref().and_then(|reached| order(&meta.version, reached));
        if reached.is_some_and(Ordering::is_lt) {
            let (resource, verb, reason) = (self.resource, "watch", "it has gone back".into());
            return Err(Error::Expired { resource, verb, reason }.into());
        }
        if !*listing {
            self.version = Some(meta.version);
        }
        Ok(())
    }

    /// The event of an object that is new or changed, and its resource version; none if it cannot be read.
    fn applied(&mut self, format: Format, object: &[u8]) -> Option<(Event, String)> {
        let read = match format {
            Format::Protobuf => protobuf::object(self.resource, object, &mut self.trim),
            Format::Json => json::object(self.resource, object, &mut self.trim),
        };
        let (object, version) = self.readable(read)?;
        Some((Event::Applied(object), version))
    }

    fn deleted(&mut self, format: Format, object: &[u8]) -> Option<(Event, String)> {
        let mut meta = self.metadata(format, object)?;
        if meta.name.is_empty() {
            self.trim.count(Cause::Nameless);
            return None;
        }
        let version = std::mem::take(&mut meta.version);
        Some((Event::Deleted(meta.key(self.resource)), version))
    }

    fn metadata(&mut self, format: Format, object: &[u8]) -> Option<crate::meta::Meta> {
        let read = match format {
            Format::Protobuf => protobuf::metadata_of(object, &mut self.trim),
            Format::Json => json::metadata_of(object, &mut self.trim),
        };
        self.readable(read)
    }

    fn readable<T>(&self, read: Result<T, Malformed>) -> Option<T> {
        if read.as_ref().is_err_and(|error| *error != Malformed::Nameless) {
            count(&self.options.counters.malformed);
        }
        read.ok()
    }

    /// Asks again in JSON where protobuf is not to be had.
    async fn ask(&mut self, ask: &Ask) -> Result<Answer, Error> {
        loop {
            let selector = self.options.selector.as_deref();
            let within = self.options.answer_within;
            let answer =
                Answer::to(&self.client, ask, self.resource, selector, self.format, within).await;
            match answer {
                Err(Unanswered::Format) => self.format = Format::Json,
                Err(Unanswered::Failed(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    async fn send(&self, event: Event) -> Result<(), End> {
        self.out.send(event).await.map_err(|_| End::Closed)
    }
}
