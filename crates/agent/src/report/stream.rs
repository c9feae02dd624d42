//! The stream of reports on an open connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use proto::telemetry::report::Kind;
use proto::telemetry::{self as wire, Ack, Report};
use proto::{Dictionary, TelemetryClient};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::spool::Spooled;
use super::{ANSWER, Health, Reporter, repeat};

/// How often changes of the probes' health are looked for.
const HEALTH: Duration = Duration::from_secs(10);
/// Batches that were sent and are not stored yet: a hub that does not get on is not sent more.
const IN_FLIGHT: u64 = 8192;

/// A connection to a hub, and what to show there.
#[derive(Clone)]
pub struct Opened {
    pub channel: Channel,
    pub authorization: Option<HeaderValue>,
}

/// Reports for as long as it is polled: a stream that ends is followed by another one.
pub async fn run(reporter: Arc<Reporter>, opened: Opened) -> Infallible {
    repeat("reports", || report(&reporter, &opened)).await
}

async fn report(reporter: &Reporter, opened: &Opened) -> Result<(), Status> {
    let (out, messages) = mpsc::channel(1);
    let introduction = Kind::Introduction(introduction(reporter));
    // There is room: it is the first one.
    let _ = out.try_send(Report { kind: Some(introduction) });
    let request = opened.request(ReceiverStream::new(messages))?;
    let mut client = TelemetryClient::new(opened.channel.clone());
    let silent = |_| Status::deadline_exceeded("the hub does not answer");
    let mut acks = timeout(ANSWER, client.report(request)).await.map_err(silent)??.into_inner();
    let first = timeout(ANSWER, acks.message()).await.map_err(silent)??;
    let Some(Ack { sequence }) = first else { return Ok(()) };
    reporter.spool.acknowledge(sequence);
    let _streaming = Telling::new(reporter, sequence);
    tokio::select! {
        ended = listen(reporter, acks) => ended,
        () = tell(reporter, &out, sequence) => Ok(()),
    }
}

/// Whose end says that nothing is sent any more.
struct Telling<'a>(&'a Reporter);

impl<'a> Telling<'a> {
    fn new(reporter: &'a Reporter, sequence: u64) -> Self {
        reporter.spool.sent(Some(sequence));
        Self(reporter)
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.spool.sent(None);
    }
}

impl Opened {
    /// With what is to be shown.
    ///
    /// # Errors
    /// That cannot be sent.
    pub fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        if let Some(value) = &self.authorization {
            let value = MetadataValue::try_from(value.as_bytes());
            let mut value = value.map_err(|error| Status::internal(error.to_string()))?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

pub(super) fn introduction(reporter: &Reporter) -> wire::Introduction {
    wire::Introduction {
        node: reporter.node.to_string(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        life: reporter.life,
    }
}

async fn listen(reporter: &Reporter, mut acks: Streaming<Ack>) -> Result<(), Status> {
    while let Some(Ack { sequence }) = acks.message().await? {
        reporter.spool.acknowledge(sequence);
    }
    Ok(())
}

/// Sends what is not stored yet, and then what comes. Returns when the stream takes nothing more.
async fn tell(reporter: &Reporter, out: &mpsc::Sender<Report>, stored: u64) {
    let mut dictionary = Dictionary::default();
    let mut news = reporter.spool.news();
    let mut sent = stored;
    let (mut told, mut kept, mut asked) = (None, None, None::<Instant>);
    loop {
        // Before it is looked for: what comes meanwhile is told as news.
        news.mark_unchanged();
        if asked.is_none_or(|asked| asked.elapsed() >= HEALTH) {
            asked = Some(Instant::now());
            let health = (reporter.health)();
            if told.as_ref() != Some(&health) {
                let message = Report { kind: Some(Kind::Health(health_out(&health))) };
                told = Some(health);
                if out.send(message).await.is_err() {
                    return;
                }
            }
            let [records, most, seen] = reporter.records.kept();
            let now = Kind::Kept(wire::Kept { records, most, seen });
            if kept.as_ref() != Some(&now) {
                kept = Some(now.clone());
                if out.send(Report { kind: Some(now) }).await.is_err() {
                    return;
                }
            }
        }
        let acknowledged = reporter.spool.facts().acknowledged;
        match reporter.spool.after(sent).filter(|_| sent < acknowledged + IN_FLIGHT) {
            Some(next) => {
                sent = next.sequence;
                let message = batch(&mut dictionary, &next);
                if out.send(Report { kind: Some(Kind::Batch(message)) }).await.is_err() {
                    return;
                }
                reporter.spool.sent(Some(sent));
            }
            None => {
                tokio::select! {
                    changed = news.changed() => if changed.is_err() { return },
                    () = sleep(HEALTH) => {}
                    () = out.closed() => return,
                }
            }
        }
    }
}

fn batch(dictionary: &mut Dictionary, it: &Spooled) -> wire::Batch {
    let Spooled { sequence, batch, lost } = it;
    let losses = lost.iter().map(|lost| wire::Loss {
        cause: "spool_full".to_owned(),
        rows: lost.rows,
        since_s: lost.since_s,
        until_s: lost.until_s,
    });
    wire::Batch {
        sequence: *sequence,
        start_s: batch.start_s,
        length_s: batch.length_s,
        definitions: dictionary.define(batch.keys.iter().map(|key| (key.id, &key.key))),
        rows: batch.keys.len() as u32,
        columns: batch.columns.clone().into(),
        columns_bytes: batch.columns_bytes,
        losses: losses.collect(),
    }
}

fn health_out(health: &Health) -> wire::Health {
    let state = |state| match serde_json::to_value(state) {
        Ok(serde_json::Value::String(state)) => state,
        _ => String::new(),
    };
    let programs = health.programs.iter().map(|it| wire::Program {
        probe: it.probe.clone(),
        program: it.program.clone(),
        state: state(it.state),
        reason: it.reason.clone(),
    });
    wire::Health { programs: programs.collect(), lost: health.lost }
}
