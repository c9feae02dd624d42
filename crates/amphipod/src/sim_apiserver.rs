//! `amphipod sim-apiserver`: a simulated API server with a made-up cluster, for tests and benchmarks in other processes.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context;
use sim::apiserver::{ApiServer, Churn, Fault, Options, Population, Resource, Shape};
use tokio_util::sync::CancellationToken;

use crate::agent::stop_on_signal;
use crate::output;

/// As many as have addresses.
const MAX_NODES: i64 = 16_384;
/// They take this process some gigabytes.
const MAX_PODS: i64 = 1_000_000;
const MAX_CHURN: i64 = 1_000_000;

#[derive(clap::Args)]
#[command(after_help = "\
Reads lines from standard input. `requests` prints as JSON what was asked so far and forgets it; `pods` prints namespace,
name, node and address of each pod with an address of its own; `touch NAMESPACE NAME` changes a label of a pod; without
--churn, `churn N` makes so many changes at once and prints how many it made. The others are faults: drop-watches, slow-lists MS, compact, restart MS [continue|forget|reset], flap TIMES MS, partition MS, ...; a wrong one lists all.

Examples:
  amphipod sim-apiserver --nodes 100 --pods 5000 --churn 100 --kubeconfig-out kubeconfig
  kubectl --kubeconfig kubeconfig get pods -A -w")]
pub struct Args {
    /// At least so many; more if the pods would not find room
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..=MAX_NODES), allow_negative_numbers = true)]
    nodes: u32,
    /// Of about 20 KB of JSON each
    #[arg(long, default_value = "60", value_parser = clap::value_parser!(u32).range(0..=MAX_PODS), allow_negative_numbers = true)]
    pods: u32,
    /// Changes of the cluster per second
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u32).range(0..=MAX_CHURN), allow_negative_numbers = true)]
    churn: u32,
    /// The same seed makes the same cluster
    #[arg(long, default_value = "1")]
    seed: u64,
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Write the administrator's kubeconfig here
    #[arg(long, value_name = "PATH")]
    kubeconfig_out: Option<PathBuf>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let cancel = CancellationToken::new();
    stop_on_signal(cancel.clone())?;
    let server = ApiServer::start(Options { listen: args.listen, ..Options::default() })?;
    let shape = Shape { nodes: args.nodes, pods: args.pods, seed: args.seed, ..Shape::default() };
    let mut population = Population::new(shape);
    let objects = population.create(&server)?;
    if let Some(path) = &args.kubeconfig_out {
        write(path, &server.kubeconfig())?;
    }
    let (url, nodes, pods) = (server.url(), population.nodes(), population.pods());
    output::print(&format!("{url} {nodes} nodes, {pods} pods, {objects} objects\n"))?;
    let (churn, population) = match args.churn {
        0 => (None, Some(population)),
        rate => (Some(Churn::start(server.clone(), population, rate)?), None),
    };
    listen(server, population)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(cancel.cancelled());
    drop(churn);
    Ok(())
}

/// Does what standard input says. The thread ends with its input or with the process: nothing else ends a read.
fn listen(server: ApiServer, mut population: Option<Population>) -> anyhow::Result<()> {
    let obey = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match line.trim() {
                "" => {}
                "requests" => {
                    let text = requests(&server);
                    server.forget_requests();
                    if output::print(&text).is_err() {
                        return;
                    }
                }
                "pods" => {
                    if output::print(&pods(&server)).is_err() {
                        return;
                    }
                }
                line if line.starts_with("churn ") => match churn(&server, &mut population, line) {
                    Ok(made) if output::print(&format!("{made}\n")).is_err() => return,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(error, "not done"),
                },
                line => {
                    if let Err(error) = change(&server, line) {
                        tracing::warn!(error, "not understood");
                    }
                }
            }
        }
    };
    thread::Builder::new().name("input".to_owned()).spawn(obey).context("no thread")?;
    Ok(())
}

/// `churn N`: how many changes were made.
fn churn(
    server: &ApiServer,
    population: &mut Option<Population>,
    line: &str,
) -> Result<usize, String> {
    let count = line.trim_start_matches("churn ");
    let count = count.parse().map_err(|_| format!("churn {count}: not a number"))?;
    let population = population.as_mut().ok_or("it changes at the pace of --churn already")?;
    population.churn(server, count).map_err(|error| error.to_string())
}

/// `touch NAMESPACE NAME`, or a fault.
fn change(server: &ApiServer, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["touch", namespace, name] = words[..] else {
        server.fault(line.parse::<Fault>().map_err(|error| error.to_string())?);
        return Ok(());
    };
    let pod = server.get(Resource::Pods, namespace, name);
    let mut pod = pod.ok_or_else(|| format!("no pod {namespace}/{name}"))?.json();
    let label = &mut pod["metadata"]["labels"]["app.kubernetes.io/version"];
    *label = format!("{}x", label.as_str().unwrap_or_default()).into();
    server.apply(&pod).map_err(|error| error.to_string())?;
    Ok(())
}

/// One line of JSON.
fn pods(server: &ApiServer) -> String {
    let pods = server.objects(Resource::Pods).into_iter().filter_map(|pod| {
        let pod = pod.json();
        let ip = pod["status"]["podIP"].as_str()?;
        let own = pod["spec"]["hostNetwork"] != true;
        let (metadata, node) = (&pod["metadata"], &pod["spec"]["nodeName"]);
        own.then(|| serde_json::json!([metadata["namespace"], metadata["name"], node, ip]))
    });
    format!("{}\n", pods.collect::<serde_json::Value>())
}

/// One line of JSON.
fn requests(server: &ApiServer) -> String {
    let all: Vec<serde_json::Value> = server
        .requests()
        .into_iter()
        .map(|request| {
            serde_json::json!({
                "path": request.path,
                "verb": request.verb,
                "user": request.user,
                "count": request.count,
                "failed": request.failed,
                "bytes": request.bytes,
                "objects": request.objects,
                "open": request.open,
            })
        })
        .collect();
    format!("{}\n", serde_json::Value::Array(all))
}

/// Whole or not at all: others wait for the file to be there.
fn write(path: &Path, kubeconfig: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, kubeconfig).with_context(|| format!("cannot write {}", new.display()))?;
    std::fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}
