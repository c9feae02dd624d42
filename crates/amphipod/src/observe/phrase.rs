//! The parts of a record in words, the same for every format.

use std::net::SocketAddr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::line::{Dns, End, Event, Kind, Line, Way};
use model::status::Lost;

use super::errors::{self, explain};
use crate::paint::{Span, Tone};
use crate::units::{bytes, interval_ms, plural, span_us};

/// Wall-clock time in the reader's zone.
pub struct Clock {
    zone: TimeZone,
    today: Date,
}

impl Clock {
    pub fn new(zone: TimeZone, now: jiff::Timestamp) -> Self {
        let today = now.to_zoned(zone.clone()).date();
        Self { zone, today }
    }

    /// `10:24:01.123`; with the date where that is not the day on which the command began.
    pub fn show(&self, line: &Line) -> String {
        let Ok(time) = line.time.parse::<jiff::Timestamp>() else {
            return line.time.clone();
        };
        let zoned = time.to_zoned(self.zone.clone());
        let format =
            if zoned.date() == self.today { "%H:%M:%S.%3f" } else { "%Y-%m-%d %H:%M:%S.%3f" };
        zoned.strftime(format).to_string()
    }
}

/// `shop/cart-7d9f:41234`; the best name that is known: pod, workload, service, DNS name, address. A service is followed by
/// what the kernel chose behind it, `shop/svc/cart:80 (cart-7d9f:8080)`, or else by the workload that all of it is:
/// `shop/svc/cart:80 (cart)`.
pub fn end(end: &End) -> String {
    if let Some(backend) = end.backend {
        let front = End { pod: None, workload: None, backend: None, ..end.clone() };
        let address = SocketAddr::new(backend.ip.to_canonical(), backend.port);
        let behind = match end.pod.as_deref().or_else(|| workload(end)) {
            Some(name) => format!("{name}:{}", backend.port),
            None => address.to_string(),
        };
        return format!("{} ({behind})", self::end(&front));
    }
    if let (None, Some(_), Some(workload)) = (&end.pod, &end.service, workload(end)) {
        let front = End { workload: None, ..end.clone() };
        return format!("{} ({workload})", self::end(&front));
    }
    match (named(end), end.ip, end.port) {
        (Some(name), _, 0) => name,
        (Some(name), _, port) => format!("{name}:{port}"),
        (None, Some(ip), 0) => ip.to_canonical().to_string(),
        (None, Some(ip), port) => SocketAddr::new(ip.to_canonical(), port).to_string(),
        (None, None, 0) => "?".to_owned(),
        (None, None, port) => format!("?:{port}"),
    }
}

fn named(end: &End) -> Option<String> {
    let within = |name: &str| match &end.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    if let Some(name) = end.pod.as_deref().or_else(|| workload(end)) {
        Some(within(name))
    } else if let Some(service) = &end.service {
        Some(within(&format!("svc/{service}")))
    } else {
        end.names.first().map(ToString::to_string)
    }
}

/// The workload, unless it only says that the end is somewhere outside.
fn workload(end: &End) -> Option<&str> {
    let outside = end.workload_kind.as_deref() == Some("External");
    end.workload.as_deref().filter(|_| !outside)
}

/// `3 records of node-1 lost: reader too slow`, `records of node-2 missing: no answer`.
pub fn lost(it: &Lost) -> String {
    let of = match it.node.as_str() {
        "" => String::new(),
        node => format!(" of {node}"),
    };
    let why = match it.reason.as_str() {
        "" => "reader too slow",
        "no_answer" => "no answer",
        "replica_unreachable" => "this hub cannot be reached by the one that was asked",
        other => other,
    };
    match it.lost {
        0 => format!("records{of} missing: {why}"),
        1 => format!("1 record{of} lost: {why}"),
        number => format!("{number} records{of} lost: {why}"),
    }
}

/// `curl[1234]`: the process at the local end, where no pod names it.
pub fn process(line: &Line) -> Option<String> {
    let local = match line.direction? {
        Way::Egress => &line.source,
        Way::Ingress => &line.destination,
    };
    let process = line.process.as_ref().filter(|_| local.pod.is_none())?;
    match process.pid {
        Some(pid) => Some(format!("{}[{pid}]", process.comm)),
        None => (!process.comm.is_empty()).then(|| process.comm.clone()),
    }
}

/// `TCP`; 0 is no protocol but an unknown one, as of a packet that was discarded before anybody looked.
pub fn protocol(line: &Line) -> &str {
    if line.protocol == "0" { "?" } else { &line.protocol }
}

/// What happened, in one word.
pub fn event(line: &Line) -> Span {
    match (line.kind, line.event) {
        (Kind::Connection, Some(Event::Opened)) => (Tone::Good, "opened".to_owned()),
        (Kind::Connection, Some(Event::Accepted)) => (Tone::Good, "accepted".to_owned()),
        (Kind::Connection, Some(Event::Failed)) => (Tone::Bad, "failed".to_owned()),
        (Kind::Connection, Some(Event::Closed)) => (Tone::Plain, "closed".to_owned()),
        (Kind::Connection, None) => (Tone::Plain, "connection".to_owned()),
        (Kind::Flow, _) => (Tone::Plain, "flow".to_owned()),
        (Kind::Drop, _) => (Tone::Bad, "dropped".to_owned()),
        (Kind::Dns, _) => (Tone::Plain, "dns".to_owned()),
    }
}

/// `egress` or `ingress`, where two records can tell of the same: each end makes its own.
pub fn seen(line: &Line) -> Option<&'static str> {
    let both = matches!(line.kind, Kind::Flow | Kind::Dns) || line.event == Some(Event::Closed);
    line.direction.filter(|_| both).map(way)
}

pub fn way(way: Way) -> &'static str {
    match way {
        Way::Egress => "egress",
        Way::Ingress => "ingress",
    }
}

/// How it went, most important first.
pub fn details(line: &Line) -> Vec<Span> {
    let mut spans = Vec::new();
    if let Some(dns) = &line.dns {
        lookup(dns, &mut spans);
    }
    let failed = line.event == Some(Event::Failed);
    if let Some(reason) = &line.reason {
        spans.push((Tone::Bad, reason.to_string()));
    }
    if let Some(error) = &line.error {
        let text = match explain(error) {
            Some(meaning) => format!("{error} ({meaning})"),
            None => error.to_string(),
        };
        spans.push((if failed { Tone::Bad } else { Tone::Odd }, text));
    }
    if let Some(packets) = line.packets {
        spans.push((Tone::Plain, plural(packets, "packet")));
    }
    if let Some(dropped) = line.bytes {
        spans.push((Tone::Plain, bytes(dropped)));
    }
    match (line.event, line.connect_us, line.duration_us) {
        (Some(Event::Opened), Some(connect), _) => spans.push((Tone::Plain, span_us(connect))),
        (_, _, Some(duration)) => spans.push((Tone::Plain, format!("after {}", span_us(duration)))),
        _ => {}
    }
    if let Some(interval) = line.interval_ms.filter(|&ms| ms > 0) {
        spans.push((Tone::Faint, format!("in {}", interval_ms(interval))));
    }
    if let Some(traffic) = traffic(line) {
        spans.push((Tone::Plain, traffic));
    }
    if let Some(rtt) = line.rtt_us {
        spans.push((Tone::Plain, format!("rtt {}", span_us(rtt.into()))));
    }
    if let Some(retransmits) = line.retransmits.filter(|&number| number > 0) {
        spans.push((Tone::Odd, plural(retransmits.into(), "retransmit")));
    }
    spans
}

/// Addresses of an answer that are shown; how many there are in all is said.
const SHOWN: usize = 2;

/// `AAAA api.example`, how it ended, the addresses, how long it took.
fn lookup(dns: &Dns, spans: &mut Vec<Span>) {
    spans.push((Tone::Plain, format!("{} {}", dns.kind, dns.query)));
    let tone = match dns.code.as_deref() {
        Some("NOERROR") => Tone::Good,
        Some("NXDOMAIN") => Tone::Odd,
        _ => Tone::Bad,
    };
    let outcome = dns.error.as_ref().or(dns.code.as_ref());
    spans.extend(outcome.map(|outcome| match errors::rcode(outcome) {
        Some(meaning) => (tone, format!("{outcome} ({meaning})")),
        None => (tone, outcome.to_string()),
    }));
    let mut shown: Vec<_> = dns.answers.iter().take(SHOWN).map(ToString::to_string).collect();
    if dns.answers.len() > SHOWN {
        shown.push(format!("{} more", dns.answers.len() - SHOWN));
    }
    if !shown.is_empty() {
        spans.push((Tone::Plain, shown.join(", ")));
    } else if let Some(records) = dns.answer_count.filter(|_| tone == Tone::Good) {
        spans.push((Tone::Faint, plural(records.into(), "record")));
    }
    if let Some(duration) = dns.duration_us {
        let after = if dns.error.is_some() { "after " } else { "" };
        spans.push((Tone::Plain, format!("{after}{}", span_us(duration))));
    }
    if let Some(retries) = dns.retries {
        spans.push((Tone::Odd, format!("asked {} times", u64::from(retries) + 1)));
    }
}

/// Payload as the source sees it, whichever end counted: the line reads from left to right.
fn traffic(line: &Line) -> Option<String> {
    let (sent, received) = match line.direction {
        Some(Way::Ingress) => (line.bytes_received?, line.bytes_sent?),
        _ => (line.bytes_sent?, line.bytes_received?),
    };
    Some(format!("sent {} received {}", bytes(sent), bytes(received)))
}
