//! Lists the pods of a kubeconfig's API server, and prints what that cost: `list KUBECONFIG [streamed|pages|json]`.
//! With `serve PODS` it simulates that API server, and prints the path of its kubeconfig.

// An example prints, and fails as a program does.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reflector::{Access, Allowed, Client, Event, Options, Resource, watch};
use tokio_util::sync::CancellationToken;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &arguments[..] {
        ["serve", pods] => serve(pods.parse().unwrap()),
        [kubeconfig, how @ ..] => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(list(kubeconfig, how.first().copied().unwrap_or("streamed")));
        }
        [] => panic!("list KUBECONFIG [streamed|pages|json], or list serve PODS"),
    }
}

fn serve(pods: u32) {
    let server = sim::apiserver::ApiServer::start(<_>::default()).unwrap();
    let nodes = pods / 100 + 1;
    let shape = sim::apiserver::Shape { nodes, pods, ..<_>::default() };
    sim::apiserver::Population::new(shape).create(&server).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, server.kubeconfig()).unwrap();
    println!("{}", path.display());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

async fn list(kubeconfig: &str, how: &str) {
    let access = Access { kubeconfig: Some(kubeconfig.into()), context: None };
    let options = Options {
        streamed: how == "streamed",
        protobuf: how != "json",
        labels: Allowed::new(["app", "app.kubernetes.io/*"]),
        ..Options::default()
    };
    let counters = options.counters.clone();
    let client = Client::new(access).await.unwrap();
    let before = peak_kb();
    let began = Instant::now();
    let (out, mut events) = tokio::sync::mpsc::channel(256);
    let cancel = CancellationToken::new();
    tokio::spawn(watch(client, Resource::Pods, options, out, cancel.clone()));
    let mut pods = 0;
    while let Some(event) = events.recv().await {
        match event {
            Event::Applied(_) => pods += 1,
            Event::Listed(_) => break,
            Event::Failed { error, .. } => panic!("{error}"),
            Event::Relisting(_) | Event::Deleted(_) | Event::Resumed(_) => {}
        }
    }
    println!(
        "{how}: {pods} pods, {} MB on the wire, {:?}, CPU {:?}, peak {} KB (before: {before} KB)",
        counters.bytes.load(Ordering::Relaxed) / 1_000_000,
        began.elapsed(),
        cpu(),
        peak_kb(),
    );
    cancel.cancel();
}

/// Of this process, from the kernel.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// User and system time of this process, in ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
