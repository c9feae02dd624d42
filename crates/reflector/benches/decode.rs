//! What it costs to read one pod of 20 KB.

// A benchmark prints, and fails as a program does.
#![allow(clippy::print_stdout, clippy::unwrap_used, dead_code)]

#[path = "../src/encode.rs"]
mod encode;

use std::hint::black_box;
use std::time::Instant;

use encode::{Message, message};
use reflector::{Allowed, Decoder, Options, Resource};

const PODS: usize = 1000;
const ROUNDS: usize = 200;

fn main() {
    let labels = Allowed::new(["app", "app.kubernetes.io/*"]);
    let options = Options { labels, ..Options::default() };
    let mut decoder = Decoder::new(Resource::Pods, &options);
    let pods: Vec<Vec<u8>> = (0..PODS).map(|number| pod(number).0).collect();
    let bytes: usize = pods.iter().map(Vec::len).sum();
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for pod in &pods {
            black_box(decoder.protobuf(black_box(pod)).unwrap());
        }
        best = best.min(began.elapsed().as_nanos() as f64 / PODS as f64);
    }
    println!("decode: {best:.0} ns per pod of {} bytes", bytes / PODS);
}

/// Half of it is managed fields, a quarter what the containers are to do.
fn pod(number: usize) -> Message {
    let name = format!("cart-5d8cbfd9c7-{number:05}");
    let owner = message()
        .bytes(1, "ReplicaSet")
        .bytes(3, "cart-5d8cbfd9c7")
        .bytes(4, "7f0c9f80-3c5e-4bb2-a7cb-5ea8d4a6c3f0")
        .bytes(5, "apps/v1")
        .number(6, 1);
    let mut meta = encode::meta(&name, number as u64)
        .pair(11, "app", "cart")
        .pair(11, "app.kubernetes.io/name", "cart")
        .pair(11, "pod-template-hash", "5d8cbfd9c7")
        .pair(12, "kubectl.kubernetes.io/restartedAt", "2026-01-01T00:00:00Z")
        .pair(12, "checksum/config", "0123456789abcdef".repeat(4))
        .message(13, owner);
    for manager in ["kube-controller-manager", "kubelet", "kubectl"] {
        let fields = message().bytes(1, "f:metadata ".repeat(300));
        meta = meta.message(17, message().bytes(1, manager).message(7, fields));
    }
    let mut spec = message();
    for volume in 0..6 {
        spec = spec.message(1, message().bytes(1, format!("volume-{volume}")).bytes(2, [0; 100]));
    }
    let mut status = message().bytes(1, "Running");
    for condition in 0..5 {
        status = status.message(2, message().bytes(1, [b'c'; 20]).bytes(5, [condition; 80]));
    }
    status = status.bytes(6, "10.1.2.3").message(7, message().number(1, 1_767_225_600));
    for name in ["main", "proxy", "log"] {
        let mut container =
            message().bytes(1, name).bytes(2, "registry.example.com/shop/cart:1.2.3");
        for variable in 0..30 {
            let name = format!("VARIABLE_{variable}");
            container = container.message(7, message().bytes(1, name).bytes(2, [b'v'; 60]));
        }
        for mount in 0..6 {
            let path = format!("/var/run/{mount}");
            container = container.message(9, message().bytes(1, path).bytes(3, "volume"));
        }
        let port = message().bytes(1, "http").number(3, 8080).bytes(4, "TCP");
        spec = spec.message(2, container.message(6, port));
        let id = format!("containerd://{number:064x}");
        let image = "registry.example.com/shop/cart:1.2.3";
        status = status.message(8, message().bytes(1, name).bytes(6, image).bytes(8, id));
    }
    spec = spec.bytes(10, format!("node-{}", number % 200));
    status = status.message(12, message().bytes(1, "10.1.2.3"));
    message().message(1, meta).message(2, spec).message(3, status)
}
