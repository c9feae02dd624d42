//! From what was written to what is valid.

use std::path::PathBuf;
use std::time::Duration;

use daemon::config::value::{show_size, size};
use daemon::config::{Error, count, listen, quoted, span, wrong};

use super::raw::Raw;
use super::{Config, Metrics, Mode, Pipeline, Records, Report, metadata};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

impl Raw {
    pub(super) fn check(self, node: Option<&str>) -> Result<Config, Error> {
        let interval = 100 * MS..=HOUR;
        let Raw {
            agent,
            tcp,
            flow,
            dns,
            drop,
            cgroup,
            metadata,
            metrics,
            records,
            pipeline,
            report,
            otlp,
            remote_write,
        } = self;
        let mut probes =
            probes::Settings { run_time: agent.run_time, ..probes::Settings::default() };
        probes.tcp.enabled = tcp.enabled;
        probes.tcp.max_sockets = entries("tcp.max_sockets", tcp.max_sockets)?;
        probes.tcp.ring_bytes = ring("tcp.ring_bytes", &tcp.ring_bytes)?;
        probes.flow.enabled = flow.enabled;
        probes.flow.interval = span("flow.interval", &flow.interval, interval.clone())?;
        probes.flow.max_peers = entries("flow.max_peers", flow.max_peers)?;
        probes.dns.enabled = dns.enabled;
        probes.dns.ports = ports(dns.ports)?;
        probes.dns.max_lookups = entries("dns.max_lookups", dns.max_lookups)?;
        probes.dns.ring_bytes = ring("dns.ring_bytes", &dns.ring_bytes)?;
        probes.drop.enabled = drop.enabled;
        probes.drop.interval = span("drop.interval", &drop.interval, interval)?;
        probes.drop.max_entries = entries("drop.max_entries", drop.max_entries)?;
        probes.cgroup.enabled = cgroup.enabled;
        let buffer = count("records.buffer", records.buffer, 1..=1 << 20)? as usize;
        Ok(Config {
            node: name(&agent.node, node)?.into(),
            mode: mode(&agent.mode)?,
            cgroup: subtree(&agent.cgroup)?,
            listen: listen("agent.listen", &agent.listen)?,
            socket: socket(&agent.socket)?,
            drain: span("agent.drain", &agent.drain, 100 * MS..=60 * SECOND)?,
            probes,
            metadata: metadata::check(metadata)?,
            metrics: Metrics {
                max_series: count("metrics.max_series", metrics.max_series, 1..=1 << 20)? as usize,
                expiry: span("metrics.expiry", &metrics.expiry, SECOND..=24 * HOUR)?,
                pod_labels: metrics.pod_labels,
            },
            records: Records {
                buffer,
                backlog: count("records.backlog", records.backlog, buffer as u64..=1 << 22)?
                    as usize,
                max_readers: count("records.max_readers", records.max_readers, 1..=256)? as usize,
            },
            pipeline: Pipeline {
                queue: count("pipeline.queue", pipeline.queue, 1..=65_536)? as usize,
                max_connections: count(
                    "pipeline.max_connections",
                    pipeline.max_connections,
                    1..=1 << 24,
                )? as usize,
            },
            report: self::report(report)?,
            export: daemon::export::Config::check(otlp, remote_write)?,
        })
    }
}

fn report(raw: super::raw::Report) -> Result<Report, Error> {
    let interval = span("report.interval", &raw.interval, SECOND..=60 * SECOND)?;
    if interval.subsec_nanos() > 0 {
        return Err(wrong("report.interval", quoted(&raw.interval), "whole seconds"));
    }
    let spool = size(&raw.spool).filter(|it| (64 << 10..=4 << 30).contains(it));
    let expected = "a size from 64KiB to 4GiB, such as \"16MiB\"";
    Ok(Report {
        enabled: raw.enabled,
        interval,
        max_keys: count("report.max_keys", raw.max_keys, 16..=1 << 20)? as usize,
        spool_bytes: spool.ok_or_else(|| wrong("report.spool", quoted(&raw.spool), expected))?
            as usize,
    })
}

/// A Kubernetes node's name is a DNS subdomain; a host's name is taken as it is.
fn name(file: &str, environment: Option<&str>) -> Result<String, Error> {
    let given = if file.is_empty() { environment.unwrap_or_default() } else { file };
    if given.is_empty() {
        return Ok(rustix::system::uname().nodename().to_string_lossy().into_owned());
    }
    let valid = given.len() <= 253
        && given.chars().all(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_')
        });
    let key = if file.is_empty() { "NODE_NAME" } else { "agent.node" };
    match valid {
        true => Ok(given.to_owned()),
        false => Err(wrong(key, quoted(given), "at most 253 letters, digits, `-`, `_` and `.`")),
    }
}

fn mode(text: &str) -> Result<Mode, Error> {
    match text {
        "kubernetes" => Ok(Mode::Kubernetes),
        "standalone" => Ok(Mode::Standalone),
        other => Err(wrong("agent.mode", quoted(other), "\"kubernetes\" or \"standalone\"")),
    }
}

/// Without a slash at its end, unless it is the root.
fn subtree(text: &str) -> Result<String, Error> {
    let valid = text.starts_with('/')
        && !text.contains("//")
        && text.split('/').all(|part| !matches!(part, "." | ".."))
        && !text.chars().any(char::is_control);
    match text.trim_end_matches('/') {
        _ if !valid => {
            let expected = "the path of a cgroup as /proc/PID/cgroup has it, such as \"/\" or \"/kubepods.slice\"";
            Err(wrong("agent.cgroup", quoted(text), expected))
        }
        "" => Ok("/".to_owned()),
        path => Ok(path.to_owned()),
    }
}

fn socket(text: &str) -> Result<PathBuf, Error> {
    // sun_path holds 108 bytes with the final NUL.
    match text.starts_with('/') && !text.ends_with('/') && text.len() < 108 && !text.contains('\0')
    {
        true => Ok(text.into()),
        false => Err(wrong("agent.socket", quoted(text), "an absolute path of at most 107 bytes")),
    }
}

/// Entries of a BPF map.
fn entries(key: &str, value: u64) -> Result<u32, Error> {
    count(key, value, 16..=1 << 24).map(|value| value as u32)
}

/// Of name servers.
fn ports(given: Vec<u16>) -> Result<Vec<u16>, Error> {
    let most = probes::settings::Dns::MAX_PORTS;
    match !given.is_empty() && given.len() <= most && !given.contains(&0) {
        true => Ok(given),
        false => Err(wrong(
            "dns.ports",
            format!("{given:?}"),
            format!("1 to {most} ports from 1 to 65535"),
        )),
    }
}

/// The kernel wants a ring buffer's size to be a power of two and a multiple of the page size.
fn ring(key: &str, text: &str) -> Result<u32, Error> {
    let range = 64 << 10..=1 << 30;
    size(text)
        .filter(|bytes| range.contains(bytes) && bytes.is_power_of_two())
        .map(|bytes| bytes as u32)
        .ok_or_else(|| {
            let expected = format!(
                "a power of two from {} to {}, such as \"8MiB\"",
                show_size(*range.start()),
                show_size(*range.end())
            );
            wrong(key, quoted(text), expected)
        })
}
