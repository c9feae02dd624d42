//! Which backends this kernel chose, asked of its connection tracking: a client, a node that sends on as kube-proxy does,
//! and two backends, each in a network namespace of its own.

#![allow(clippy::unwrap_used)] // A failure here is a failed test.

mod site;

use std::net::SocketAddr;

use agent::backend::{Choice, Conntrack, Dial, Kernel, Unavailable};
use model::Protocol;

use site::{BACKEND, MASQUERADED, PORT, Proxy, Site, ask, call, call_from, look_up};

/// Calls a service in every way, and compares what the kernel tells with who answered.
fn check(site: &Site) {
    let services = ["10.96.0.10", "fd96::10"]
        .iter()
        .flat_map(|ip| [PORT, MASQUERADED].map(|port| SocketAddr::new(ip.parse().unwrap(), port)));
    let (open, closed, datagrams) = site
        .client
        .run(|| {
            let services: Vec<SocketAddr> = services.collect();
            let calls = || services.iter().flat_map(|to| (0..4).map(|_| call(*to)));
            let open: Vec<_> = calls().collect();
            let closed: Vec<_> = calls().map(|(_, dial, choice)| (dial, choice)).collect();
            let datagrams: Vec<_> =
                services.iter().flat_map(|to| (0..4).map(|_| ask(*to))).collect();
            (open, closed, datagrams)
        })
        .unwrap();
    let expected: Vec<(Dial, Choice)> = open
        .iter()
        .map(|(_, dial, choice)| (*dial, *choice))
        .chain(closed)
        .chain(datagrams)
        .collect();
    let dials: Vec<Dial> = expected.iter().map(|(dial, _)| *dial).collect();
    let choices: Vec<Option<Choice>> = expected.iter().map(|(_, choice)| Some(*choice)).collect();
    let mut conntrack = site.conntrack();
    for (dials, choices) in dials.chunks(32).zip(choices.chunks(32)) {
        assert_eq!(look_up(&mut conntrack, dials), choices);
    }
    let hidden = expected.iter().filter(|(dial, choice)| dial.client.ip() != choice.client.ip());
    assert_eq!(hidden.count(), expected.len() / 2, "the node translated the client as well");
    let backends: std::collections::BTreeSet<_> =
        choices.iter().flatten().map(|choice| choice.backend).collect();
    assert_eq!(backends.len(), 4, "both, in both families: {backends:?}");
}

#[test]
fn each_connection_has_the_backend_that_answered() {
    check(&Site::new("each", Proxy::Nftables));
}

#[test]
#[ignore = "needs ip_vs in the kernel, as the kernel matrix has it"]
fn each_connection_has_the_backend_that_answered_behind_ipvs() {
    check(&Site::new("ipvs", Proxy::Ipvs));
}

#[test]
fn what_is_not_translated_is_not_found() {
    let site = Site::new("none", Proxy::Nftables);
    let direct = site.client.run(|| call(([10, 201, 1, 2], BACKEND).into())).unwrap();
    let (_, through, choice) = site.client.run(|| call(([10, 96, 0, 10], PORT).into())).unwrap();
    let never = Dial { client: ([10, 201, 0, 2], 1).into(), ..through };
    // The entry is there, by its other direction.
    let answers = Dial { client: choice.backend, service: choice.client, ..through };
    let found = look_up(&mut site.conntrack(), &[direct.1, never, through, answers]);
    assert_eq!(found, [None, None, Some(choice), None]);
}

#[test]
fn a_reused_port_has_its_own_backend() {
    let site = Site::new("reuse", Proxy::Nftables);
    let (client, service) = (([10, 201, 0, 2], 45_000).into(), ([10, 96, 0, 10], PORT).into());
    let mut conntrack = site.conntrack();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (stream, dial, choice) = site.client.run(|| call_from(client, service)).unwrap();
        assert_eq!(look_up(&mut conntrack, &[dial]), [Some(choice)]);
        drop(stream);
        // Also after its end, until the port is in use again.
        assert_eq!(look_up(&mut conntrack, &[dial]), [Some(choice)]);
        seen.push(choice.backend);
    }
    seen.dedup();
    assert_eq!(seen.len(), 4, "the two take turns");
}

#[test]
fn without_a_namespace_there_is_nothing_to_ask() {
    let dial = Dial {
        client: ([10, 201, 0, 2], 1).into(),
        service: ([10, 96, 0, 10], PORT).into(),
        protocol: Protocol::TCP,
    };
    let mut found = Vec::new();
    let mut kernel = Kernel::of_namespace("/run/netns/amphipod-has-none");
    let refused = kernel.look_up(&[dial], &mut found).unwrap_err();
    assert!(matches!(refused, Unavailable::Hidden { .. }), "{refused}");
    // The host's own can be asked, whatever it translates.
    let mut host = Kernel::of_host("/proc".into());
    assert_eq!(look_up(&mut host, &[dial]), [None]);
}
