//! Waits for the first record whose pod is known, as a reader of the agent's socket would.

use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::Context;
use model::line::{End, Kind, Line, Way};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Item};
use crate::output;

/// Prints that record, and when it came, counted from `start`.
pub fn watch(
    socket: PathBuf,
    start: Instant,
    cancel: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?;
    let wait = move || {
        let found = runtime.block_on(async {
            tokio::select! {
                found = find(socket) => found,
                () = cancel.cancelled() => Ok(None),
            }
        });
        let text = match found {
            Ok(Some(line)) => {
                let seconds = start.elapsed().as_secs_f64();
                format!("\nThe first record, after {seconds:.2} s: {}\n", tell(&line))
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "no records are coming");
                return;
            }
        };
        // Whoever closed our output does not want to know.
        let _ = output::print(&text);
    };
    thread::Builder::new()
        .name("first-record".to_owned())
        .spawn(wait)
        .context("thread first-record")
}

async fn find(socket: PathBuf) -> anyhow::Result<Option<Line>> {
    let client = Client::of_agent(socket);
    let mut records = client.records([("follow", "1"), ("last", "1000")].into_iter()).await?;
    while let Some(text) = records.next().await? {
        if let Item::Record(line) = Item::parse(&text)?
            && line.kind == Kind::Connection
            && local(&line).pod.is_some()
        {
            return Ok(Some(*line));
        }
    }
    Ok(None)
}

/// The end on this node.
fn local(line: &Line) -> &End {
    match line.direction {
        Some(Way::Ingress) => &line.destination,
        _ => &line.source,
    }
}

fn tell(line: &Line) -> String {
    format!(
        "{} -> {}:{} {}",
        name(&line.source),
        name(&line.destination),
        line.destination.port,
        line.protocol
    )
}

fn name(end: &End) -> String {
    let place =
        end.namespace.as_deref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let name = [&end.pod, &end.service, &end.workload].into_iter().flatten().next();
    match (name, end.ip) {
        (Some(name), _) => format!("{place}{name}"),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_told_by_names_where_there_are_any() {
        let pod = End {
            namespace: Some("shop".into()),
            pod: Some("cart-1".into()),
            workload: Some("cart".into()),
            ..End::default()
        };
        let service = End {
            namespace: Some("shop".into()),
            service: Some("redis".into()),
            port: 6379,
            ..End::default()
        };
        let check = |source: &End, destination: &End, expected: &str| {
            let (source, destination) = (source.clone(), destination.clone());
            let line = Line { source, destination, protocol: "TCP".into(), ..Line::default() };
            assert_eq!(tell(&line), expected);
        };
        check(&pod, &service, "shop/cart-1 -> shop/redis:6379 TCP");
        let stranger = End { ip: Some([203, 0, 113, 10].into()), port: 443, ..End::default() };
        check(&pod, &stranger, "shop/cart-1 -> 203.0.113.10:443 TCP");
        check(&End::default(), &pod, "? -> shop/cart-1:0 TCP");
    }
}
