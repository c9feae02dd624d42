//! A block of names and values for each record: everything that is known of it.

use std::net::SocketAddr;

use model::line::{End, Line};

use super::phrase;
use crate::paint::{Paint, Tone};
use crate::units::span_us;

const WIDTH: usize = 13;

pub fn print(line: &Line, paint: &mut Paint) {
    let mut block = Block { paint };
    block.row("TIME", &line.time);
    block.row("NODE", &line.node);
    block.end("SOURCE", &line.source);
    block.end("DESTINATION", &line.destination);
    block.row("PROTOCOL", phrase::protocol(line));
    let (tone, event) = phrase::event(line);
    block.toned("EVENT", tone, &event);
    if let Some(way) = line.direction {
        block.row("DIRECTION", phrase::way(way));
    }
    let details: Vec<_> = phrase::details(line).into_iter().map(|(_, text)| text).collect();
    block.toned("DETAILS", tone, &details.join(", "));
    if let (Some(connect), Some(_)) = (line.connect_us, line.duration_us) {
        block.row("CONNECTED IN", &span_us(connect));
    }
    if let (Some(sent), Some(received)) = (line.packets_sent, line.packets_received) {
        block.row("PACKETS", &format!("sent {sent} received {received} (by the local end)"));
    }
    if let Some(process) = &line.process {
        let pid = process.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
        block.row("PROCESS", &format!("{}{pid}", process.comm));
        block.number("CGROUP", process.cgroup_id);
        block.number("NETNS", process.netns.map(u64::from));
    }
    block.number("COOKIE", line.cookie);
    block.paint.put(Tone::Faint, "------------");
    block.paint.line_feed();
}

struct Block<'a> {
    paint: &'a mut Paint,
}

impl Block<'_> {
    fn row(&mut self, name: &str, value: &str) {
        self.toned(name, Tone::Plain, value);
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.row(name, &value.to_string());
        }
    }

    /// Unknown is absent.
    fn toned(&mut self, name: &str, tone: Tone, value: &str) {
        if value.is_empty() {
            return;
        }
        self.paint.pad(WIDTH.saturating_sub(name.len()));
        self.paint.put(Tone::Faint, name);
        self.paint.plain(": ");
        self.paint.put(tone, value);
        self.paint.line_feed();
    }

    fn end(&mut self, name: &str, end: &End) {
        let shown = phrase::end(end);
        let mut facts = Vec::new();
        facts.extend(
            end.ip
                .map(|ip| ip.to_canonical().to_string())
                .filter(|ip| !shown.contains(ip.as_str())),
        );
        facts.extend(
            end.backend
                .map(|backend| SocketAddr::new(backend.ip.to_canonical(), backend.port).to_string())
                .filter(|address| !shown.contains(address.as_str()))
                .map(|address| format!("backend {address}")),
        );
        if let Some(workload) = &end.workload {
            facts.push(match &end.workload_kind {
                Some(kind) => format!("{kind}/{workload}"),
                None => workload.to_string(),
            });
        }
        facts.extend(end.container.iter().map(|container| format!("container {container}")));
        facts.extend(end.service.iter().map(|service| format!("service {service}")));
        facts.extend(end.names.iter().map(|name| format!("name {name}")));
        facts.extend(end.zone.iter().map(|zone| format!("zone {zone}")));
        if end.host_network {
            facts.push("host network".to_owned());
        }
        let facts =
            if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
        self.row(name, &format!("{shown}{facts}"));
        let labels: Vec<_> =
            end.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.row("LABELS", &labels.join(","));
    }
}
