//! What a flow says in words: the last column of `hubble observe`.

use std::borrow::Cow;
use std::fmt::Write;

use model::line::{Dns, Event, Kind, Line, Way};

pub fn of(line: &Line) -> String {
    match (line.kind, &line.dns) {
        (Kind::Dns, Some(dns)) => lookup(dns),
        (Kind::Drop, _) => {
            let reason = line.reason.as_deref().unwrap_or("unknown reason");
            let packets = line.packets.unwrap_or(1);
            // A number says little, and 0 nothing.
            let protocol = match line.protocol.bytes().all(|it| it.is_ascii_digit()) {
                true => "Packet",
                false => &line.protocol,
            };
            format!("{protocol} dropped: {reason}, {}", counted(packets, "packet"))
        }
        (Kind::Flow, _) => {
            let mut text = format!("{} traffic", line.protocol);
            if let Some(ms) = line.interval_ms {
                let _ = write!(text, " in {}", interval(ms));
            }
            text + &counters(line)
        }
        (Kind::Connection, _) => connection(line),
        (Kind::Dns, None) => "DNS".to_owned(),
    }
}

fn connection(line: &Line) -> String {
    let event = match line.event {
        Some(Event::Opened) => "opened",
        Some(Event::Accepted) => "accepted",
        Some(Event::Failed) => "failed",
        Some(Event::Closed) => "closed",
        None => "connection",
    };
    let mut text = format!("{} {event}", line.protocol);
    if let Some(error) = &line.error {
        let _ = write!(text, ": {error}");
    }
    let us = line.duration_us.or(line.connect_us.filter(|_| line.event == Some(Event::Opened)));
    if let Some(us) = us {
        let word = if line.event == Some(Event::Opened) { "in" } else { "after" };
        let _ = write!(text, " {word} {}", span(us));
    }
    text + &counters(line)
}

/// The source's bytes, as the arrow goes, whichever end was observed.
fn counters(line: &Line) -> String {
    let mut text = String::new();
    let (sent, received) = match line.direction {
        Some(Way::Ingress) => (line.bytes_received, line.bytes_sent),
        _ => (line.bytes_sent, line.bytes_received),
    };
    if let (Some(sent), Some(received)) = (sent, received) {
        let _ = write!(text, ", {sent} B sent, {received} B received");
    }
    if let Some(retransmits) = line.retransmits.filter(|it| *it > 0) {
        let _ = write!(text, ", {}", counted(retransmits.into(), "retransmit"));
    }
    text
}

fn lookup(dns: &Dns) -> String {
    let Dns { query, kind, .. } = dns;
    let Some(code) = &dns.code else {
        return format!("DNS Query {query}. {kind}: {}", dns.error.as_deref().unwrap_or("timeout"));
    };
    let answers: Vec<Cow<'_, str>> = match dns.answers.is_empty() {
        true => dns.aliases.iter().map(|it| Cow::from(&**it)).collect(),
        false => dns.answers.iter().map(|it| it.to_string().into()).collect(),
    };
    let answers = match (&**code, answers.is_empty()) {
        ("NOERROR", true) => "no data".to_owned(),
        ("NOERROR", false) => format!("{:?}", answers.join(",")),
        (code, _) => code.to_owned(),
    };
    let took = dns.duration_us.map(|us| format!(" in {}", span(us))).unwrap_or_default();
    format!("DNS Answer {answers} ({query}. {kind}){took}")
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Whole milliseconds are known.
fn interval(ms: u64) -> String {
    match ms {
        0 => "less than 1 ms".to_owned(),
        1..1_000 => format!("{ms} ms"),
        _ => span(ms.saturating_mul(1000)),
    }
}

/// Three digits are enough.
fn span(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.3} ms", us as f64 / 1e3),
        _ => format!("{:.3} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_packet_has_a_protocol_that_is_a_word() {
        let check = |protocol: &'static str, expected: &str| {
            let line = Line {
                kind: Kind::Drop,
                protocol: protocol.into(),
                reason: Some("NO_SOCKET".into()),
                packets: Some(2),
                ..Line::default()
            };
            assert_eq!(of(&line), expected);
        };
        check("TCP", "TCP dropped: NO_SOCKET, 2 packets");
        check("0", "Packet dropped: NO_SOCKET, 2 packets");
    }

    #[test]
    fn both_ends_tell_of_the_same_bytes() {
        let check = |direction: Way, sent: u64, received: u64, ms: u64, expected: &str| {
            let line = Line {
                kind: Kind::Flow,
                protocol: "TCP".into(),
                direction: Some(direction),
                bytes_sent: Some(sent),
                bytes_received: Some(received),
                interval_ms: Some(ms),
                ..Line::default()
            };
            assert_eq!(of(&line), expected);
        };
        check(Way::Egress, 95, 680, 0, "TCP traffic in less than 1 ms, 95 B sent, 680 B received");
        check(Way::Ingress, 680, 95, 20, "TCP traffic in 20 ms, 95 B sent, 680 B received");
        check(Way::Ingress, 680, 95, 4960, "TCP traffic in 4.960 s, 95 B sent, 680 B received");
    }
}
