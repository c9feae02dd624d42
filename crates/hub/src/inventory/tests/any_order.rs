//! Random lives of a cluster and of an agent.

use proptest::prelude::*;

use super::*;

/// One step of a cluster's life, and of an agent's.
#[derive(Clone, Debug)]
enum Step {
    Pod {
        name: u8,
        uid: u8,
        node: u8,
        ip: u8,
        over: bool,
        owner: u8,
    },
    Owner {
        name: u8,
        deployment: u8,
    },
    Node {
        name: u8,
        zone: u8,
    },
    Service {
        name: u8,
        ip: u8,
    },
    Slice {
        name: u8,
        ips: u8,
        of_pods: bool,
        port: u16,
    },
    Delete {
        resource: usize,
        name: u8,
    },
    /// A list that leaves out what `mask` does not have.
    Relist {
        mask: u8,
    },
    Read,
    Reconnect,
    Want {
        ip: u8,
    },
    Forget {
        ip: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let few = || 0..6_u8;
    prop_oneof![
        4 => (few(), 0..3_u8, 0..3_u8, 0..8_u8, any::<bool>(), 0..3_u8).prop_map(
            |(name, uid, node, ip, over, owner)| Step::Pod { name, uid, node, ip, over, owner }
        ),
        1 => (0..3_u8, few()).prop_map(|(name, deployment)| Step::Owner { name, deployment }),
        1 => (0..3_u8, 0..3_u8).prop_map(|(name, zone)| Step::Node { name, zone }),
        1 => (0..3_u8, 0..10_u8).prop_map(|(name, ip)| Step::Service { name, ip }),
        2 => (few(), any::<u8>(), any::<bool>(), 80..82_u16)
            .prop_map(|(name, ips, of_pods, port)| Step::Slice { name, ips, of_pods, port }),
        1 => (0..7_usize, few()).prop_map(|(resource, name)| Step::Delete { resource, name }),
        1 => any::<u8>().prop_map(|mask| Step::Relist { mask }),
        2 => Just(Step::Read),
        1 => Just(Step::Reconnect),
        1 => (0..10_u8).prop_map(|ip| Step::Want { ip }),
        1 => (0..10_u8).prop_map(|ip| Step::Forget { ip }),
    ]
}

fn play(inventory: &Inventory, step: &Step, pods: &mut BTreeMap<u8, reflector::Pod>) {
    match *step {
        Step::Pod { name, uid, node, ip, over, owner } => {
            let mut it = pod(&format!("p{name}"), &format!("n{node}"), &[super::ip(ip)]);
            it.uid = format!("uid-{name}-{uid}").into();
            it.phase = if over { Phase::Failed } else { Phase::Running };
            if owner > 0 {
                it = owned(it, "ReplicaSet", "apps", &format!("o{owner}"));
            }
            pods.insert(name, it.clone());
            apply(inventory, [Object::Pod(it)]);
        }
        Step::Owner { name, deployment } => {
            apply(inventory, [replica_set(&format!("o{name}"), &format!("d{deployment}"))]);
        }
        Step::Node { name, zone } => {
            let zone = (zone > 0).then(|| format!("z{zone}"));
            apply(
                inventory,
                [node(&format!("n{name}"), zone.as_deref(), &[super::ip(200 + name)])],
            );
        }
        Step::Service { name, ip } => {
            let Object::Service(mut it) = service(&format!("s{name}"), &[super::ip(ip)]) else {
                return;
            };
            let (protocol, node_port) = (reflector::Protocol::Tcp, None);
            it.ports =
                vec![reflector::ServicePort { name: "".into(), number: 80, node_port, protocol }];
            apply(inventory, [Object::Service(it)]);
        }
        Step::Slice { name, ips, of_pods, port } => {
            let ips: Vec<IpAddr> = (0..8).filter(|at| ips >> at & 1 == 1).map(super::ip).collect();
            let service = format!("s{}", name % 2);
            let slice = slice("shop", &format!("l{name}"), &service, &ips);
            let slice = if of_pods { behind::of_pods(slice) } else { slice };
            let Object::EndpointSlice(mut it) = slice else { return };
            let protocol = reflector::Protocol::Tcp;
            it.ports = vec![reflector::Port { name: "".into(), number: port, protocol }];
            apply(inventory, [Object::EndpointSlice(it)]);
        }
        Step::Delete { resource, name } => {
            let resource = Resource::ALL[resource];
            let (namespace, letter) = match resource {
                Resource::Pods => ("shop", "p"),
                Resource::Nodes => ("", "n"),
                Resource::Services => ("shop", "s"),
                Resource::EndpointSlices => ("shop", "l"),
                _ => ("shop", "o"),
            };
            if resource == Resource::Pods {
                pods.remove(&name);
            }
            delete(inventory, resource, namespace, &format!("{letter}{name}"));
        }
        Step::Relist { mask } => {
            pods.retain(|name, _| mask >> (name % 8) & 1 == 1);
            inventory.apply([Event::Relisting(Resource::Pods)].into_iter());
            apply(inventory, pods.values().cloned().map(Object::Pod).collect::<Vec<_>>());
            inventory.apply([Event::Listed(Resource::Pods)].into_iter());
        }
        Step::Read | Step::Reconnect | Step::Want { .. } | Step::Forget { .. } => {}
    }
}

fn without_marks(view: &View) -> View {
    let mut view = View { epoch: 0, sequence: 0, batches: 0, items: 0, ..view.clone() };
    for (ip, change) in &mut view.addresses {
        match change {
            // Whether it is remembered that it was somebody's depends on what happened since.
            Change::AddressGone { .. } => *change = Change::AddressUnknown { ip: *ip },
            Change::Address(it) => it.since = Timestamp(0),
            _ => {}
        }
    }
    view
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_view_that_grew_equals_one_that_is_made_anew(steps in prop::collection::vec(step(), 1..80)) {
        let inventory = Inventory::new(32, HOUR, false);
        inventory.apply(Resource::ALL.into_iter().map(Event::Listed));
        let mut wanted = vec![ip(1), ip(2), ip(8), ip(9)];
        let (mut view, mut pods) = (View::default(), BTreeMap::new());
        let mut member = Some(join(&inventory, &view, "n1", &wanted));
        for step in &steps {
            play(&inventory, step, &mut pods);
            let it = member.as_mut().unwrap();
            match *step {
                Step::Read => drop(view.read(it)),
                Step::Reconnect => {
                    // What was in the mailbox is lost with the connection.
                    drop(member.take());
                    member = Some(join(&inventory, &view, "n1", &wanted));
                }
                Step::Want { ip } => {
                    let ip = super::ip(ip);
                    if !wanted.contains(&ip) {
                        wanted.push(ip);
                    }
                    it.want([ip].into_iter());
                }
                Step::Forget { ip } => {
                    let ip = super::ip(ip);
                    wanted.retain(|it| *it != ip);
                    view.addresses.remove(&ip);
                    it.forget([ip].into_iter());
                }
                _ => {}
            }
        }
        view.read(member.as_mut().unwrap());
        behind::assert_settled(&inventory);
        let mut anew = View::default();
        anew.read(&mut join(&inventory, &View::default(), "n1", &wanted));
        prop_assert_eq!(without_marks(&view), without_marks(&anew));
        let expected: Vec<String> = {
            let own = pods.values().filter(|pod| &*pod.node == "n1");
            let mut uids: Vec<String> = own.map(|pod| pod.uid.to_string()).collect();
            uids.sort();
            uids
        };
        prop_assert_eq!(view.pods.keys().cloned().collect::<Vec<_>>(), expected);
        drop(member);
        prop_assert_eq!(inventory.totals().wanted_addresses, 0);
    }
}

#[test]
fn workloads_are_shared() {
    let mut strings = crate::inventory::strings::Strings::default();
    let workload = |name: &str| Workload { kind: "Deployment".into(), name: name.into() };
    let first = strings.workloads.share(Arc::new(workload("a")));
    assert!(Arc::ptr_eq(&first, &strings.workloads.share(Arc::new(workload("a")))));
}
