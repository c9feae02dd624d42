//! The agent's side of the inventory's stream, against hubs that do what the test says.

// The exception of clippy.toml for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cluster;
mod kubelet;
mod scripted;

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::time::{Duration, Instant};

use agent::identity::Wish;
use agent::kube::State;
use model::{Change, Identity, Pod, Service, Timestamp};
use proto::wire::{Batch, Drain, Hello, ToAgent, to_agent};
use scripted::{Authority, Follower, Hub, Visit, batch};

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn pod(uid: &str) -> Change {
    Change::Pod(Pod {
        uid: uid.into(),
        namespace: "shop".into(),
        name: uid.into(),
        node: "n1".into(),
        ips: vec![ip(200)],
        host_network: false,
        workload: None,
        containers: Vec::new(),
        labels: Default::default(),
        zone: None,
    })
}

fn service(name: &str) -> Change {
    Change::Service(Service { namespace: "shop".into(), name: name.into(), ips: vec![ip(250)] })
}

fn address(ip: IpAddr, uid: &str) -> Change {
    let identity = Identity {
        namespace: Some("shop".into()),
        pod: Some(uid.into()),
        pod_uid: Some(uid.into()),
        ..Identity::default()
    };
    Change::Address(model::Address {
        ip,
        holder: model::Holder::Pod { uid: uid.into() },
        identity: identity.into(),
        since: Timestamp(7),
    })
}

fn gone(uid: &str) -> Change {
    Change::PodGone { uid: uid.into() }
}

fn begin(batch: Batch) -> Batch {
    Batch { begin: true, ..batch }
}

fn synced(batch: Batch) -> Batch {
    Batch { synced: true, ..batch }
}

fn sorted(mut ips: Vec<IpAddr>) -> Vec<IpAddr> {
    ips.sort_unstable();
    ips
}

/// Tells an account with one pod.
fn account(visit: &Visit, follower: &Follower, epoch: u64, sequence: u64) {
    visit.tell(synced(begin(batch(epoch, sequence, &[pod("u1")]))));
    follower.hears([Change::Begin, pod("u1"), Change::Synced, Change::Fresh]);
}

#[test]
fn an_account_then_answers_then_changes() {
    let mut hub = Hub::start();
    let follower = Follower::start(&hub.config());
    let mut visit = hub.visit();
    let hello = visit.hello();
    let expected = Hello {
        node: "n1".into(),
        agent_version: env!("CARGO_PKG_VERSION").into(),
        unpacks: true,
        ..Hello::default()
    };
    assert_eq!(hello, expected);

    visit.tell(begin(batch(5, 0, &[pod("u1")])));
    visit.tell(batch(5, 0, &[service("cart")]));
    follower.hears([Change::Begin, pod("u1"), service("cart")]);
    assert_eq!(follower.link.facts().state, State::Syncing);
    visit.tell(synced(batch(5, 30, &[])));
    follower.hears([Change::Synced, Change::Fresh]);
    let facts = follower.link.facts();
    assert_eq!((facts.state, facts.epoch, facts.sequence), (State::Fresh, 5, 30));
    assert_eq!((facts.peer, facts.resyncs, facts.reconnects), (hub.url(), 1, 0));

    follower.wish([Wish::Want(ip(1)), Wish::Want(ip(2))]);
    assert_eq!(visit.interest(), (vec![], vec![ip(1), ip(2)]));
    let unknown = Change::AddressUnknown { ip: ip(2) };
    visit.tell(batch(5, 0, &[address(ip(1), "u9"), unknown.clone()]));
    follower.hears([address(ip(1), "u9"), unknown]);
    follower.wish([Wish::Drop(ip(1)), Wish::Want(ip(1)), Wish::Drop(ip(2))]);
    assert_eq!(visit.interest(), (vec![ip(1), ip(2)], vec![]));
    assert_eq!(visit.interest(), (vec![], vec![ip(1)]));
    visit.tell(batch(5, 31, &[gone("u1")]));
    follower.hears([gone("u1")]);
    follower.reaches(|facts| facts.sequence == 31);
    assert!(follower.link.facts().bytes_received > 100);
}

#[test]
fn many_wishes_go_in_messages_of_a_thousand() {
    let mut hub = Hub::start();
    let follower = Follower::start(&hub.config());
    let mut visit = hub.visit();
    visit.hello();
    account(&visit, &follower, 5, 1);
    let all: Vec<IpAddr> = (0..5000_u32).map(|it| IpAddr::from(it.to_be_bytes())).collect();
    follower.wish(all.iter().copied().map(Wish::Want));
    let mut found = Vec::new();
    while found.len() < all.len() {
        let (drop, add) = visit.interest();
        assert!(drop.is_empty() && add.len() <= 1024, "{}", add.len());
        found.extend(add);
    }
    assert_eq!(sorted(found), all);
}

#[test]
fn after_a_break_it_goes_on_by_difference() {
    let mut hub = Hub::start();
    let follower = Follower::start(&hub.config());
    let mut visit = hub.visit();
    visit.hello();
    account(&visit, &follower, 5, 30);
    follower.wish([Wish::Want(ip(1)), Wish::Want(ip(2))]);
    visit.interest();
    visit.tell(batch(5, 31, &[address(ip(1), "u9")]));
    follower.hears([address(ip(1), "u9")]);
    follower.reaches(|facts| facts.sequence == 31);
    visit.fail();
    // Wished for while nobody listens.
    follower.reaches(|facts| facts.state != State::Fresh);
    follower.wish([Wish::Want(ip(3))]);

    let mut visit = hub.visit();
    let hello = visit.hello();
    assert_eq!((hello.epoch, hello.sequence), (5, 31));
    assert_eq!(visit.ips(&hello.answered), [ip(1)]);
    let mut wanted = visit.ips(&hello.wanted);
    if !wanted.contains(&ip(3)) {
        wanted.extend(visit.interest().1);
    }
    assert_eq!(sorted(wanted), [ip(2), ip(3)]);
    visit.tell(synced(batch(5, 40, &[gone("u1")])));
    // It was never out of reach.
    follower.hears([gone("u1"), Change::Synced, Change::Fresh]);
    let facts = follower.link.facts();
    assert_eq!((facts.sequence, facts.resyncs, facts.reconnects), (40, 1, 1));
}

#[test]
fn another_epoch_is_another_account() {
    let mut hub = Hub::start();
    let follower = Follower::start(&hub.config());
    let mut visit = hub.visit();
    visit.hello();
    account(&visit, &follower, 5, 30);
    follower.wish([Wish::Want(ip(1))]);
    visit.interest();
    visit.tell(batch(5, 31, &[address(ip(1), "u9")]));
    follower.hears([address(ip(1), "u9")]);
    visit.fail();

    // It breaks off halfway: what was told of it counts for nothing.
    let mut visit = hub.visit();
    assert_eq!(visit.hello().sequence, 31);
    visit.tell(begin(batch(6, 0, &[address(ip(1), "u9")])));
    follower.hears([Change::Begin, address(ip(1), "u9")]);
    visit.fail();

    let mut visit = hub.visit();
    let hello = visit.hello();
    assert_eq!((hello.epoch, hello.sequence, hello.answered.len()), (0, 0, 0));
    assert_eq!(visit.ips(&hello.wanted), [ip(1)]);
    visit.tell(synced(begin(batch(6, 3, &[pod("u2")]))));
    follower.hears_after_loss([Change::Begin, pod("u2"), Change::Synced, Change::Fresh]);
    follower.reaches(|facts| (facts.epoch, facts.sequence, facts.resyncs) == (6, 3, 2));

    // A difference that does not belong to it ends the stream, and leads to an account.
    visit.tell(batch(7, 9, &[pod("u3")]));
    let mut visit = hub.visit();
    assert_eq!(visit.hello().epoch, 0);
    account_after_loss(&visit, &follower);
}

fn account_after_loss(visit: &Visit, follower: &Follower) {
    visit.tell(synced(begin(batch(9, 1, &[]))));
    follower.hears_after_loss([Change::Begin, Change::Synced, Change::Fresh]);
}

#[test]
fn packed_items_are_read_and_broken_ones_lead_to_an_account() {
    let mut hub = Hub::start();
    let follower = Follower::start(&hub.config());
    let mut visit = hub.visit();
    visit.hello();
    account(&visit, &follower, 5, 30);
    let mut packed = batch(5, 31, &[]);
    let mut parcel = proto::Parcel::default();
    let gone: [Change; 100] = std::array::from_fn(|number| Change::PodGone {
        uid: format!("some-long-uid-{number}").into(),
    });
    gone.iter().for_each(|change| parcel.push(&proto::item(change).unwrap()));
    parcel.fill(&mut packed, true);
    assert!(!packed.packed.is_empty());
    visit.tell(packed.clone());
    follower.hears(gone);
    follower.reaches(|facts| facts.sequence == 31);
    packed.packed_bytes += 1;
    visit.tell(packed);
    let mut visit = hub.visit();
    assert_eq!(visit.hello().epoch, 0);
    account_after_loss(&visit, &follower);
}

#[test]
fn what_cannot_be_understood_is_counted_and_left_out() {
    let mut hub = Hub::start();
    let follower = Follower::start(&hub.config());
    let mut visit = hub.visit();
    visit.hello();
    let mut garbage = batch(5, 1, &[pod("u1")]);
    garbage.items.insert(0, vec![255, 255, 255].into());
    garbage.items.push(Vec::new().into());
    garbage.items.push(vec![0x12, 0x00].into());
    visit.tell(synced(begin(garbage)));
    visit.send(ToAgent { kind: None });
    follower.hears([Change::Begin, pod("u1"), Change::Synced, Change::Fresh]);
    follower.reaches(|facts| facts.malformed == 4 && facts.sequence == 1);
}

#[test]
fn a_hub_that_goes_away_leaves_names_stale_until_it_is_back() {
    let mut hub = Hub::start();
    let follower = Follower::start(&hub.config());
    let mut visit = hub.visit();
    visit.hello();
    account(&visit, &follower, 5, 30);
    let address = hub.stop();
    follower.hears([Change::Stale]);
    let facts = follower.link.facts();
    assert_eq!((facts.state, &facts.peer[..]), (State::Stale, ""));
    assert!(facts.error.contains(&format!("http://{address}: ")), "{}", facts.error);
    assert!(facts.error.contains("see that it runs"), "{}", facts.error);

    let mut hub = Hub::start_at(address, None);
    let mut visit = hub.visit();
    let hello = visit.hello();
    assert_eq!((hello.epoch, hello.sequence), (5, 30));
    visit.tell(synced(batch(5, 30, &[])));
    follower.hears([Change::Synced, Change::Fresh]);
    follower.reaches(|facts| facts.error.is_empty() && facts.state == State::Fresh);
}

#[test]
fn who_is_drained_goes_elsewhere_when_told() {
    let mut hubs = [Hub::start(), Hub::start()];
    let follower = Follower::start(&scripted::config(&hubs, ""));
    let (mut visit, first) = scripted::either(&mut hubs);
    visit.hello();
    account(&visit, &follower, 5, 30);
    let asked = Instant::now();
    let kind = Some(to_agent::Kind::Drain(Drain { reconnect_after_ms: 600 }));
    visit.send(ToAgent { kind });
    // Until then it is told what changes.
    visit.tell(batch(5, 31, &[pod("u2")]));
    follower.hears([pod("u2")]);

    let mut visit = hubs[1 - first].visit();
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
    assert_eq!(visit.hello().sequence, 31);
    account_after_loss(&visit, &follower);
}

#[test]
fn a_replica_takes_over_at_once() {
    let mut hubs = [Hub::start(), Hub::start()];
    let follower = Follower::start(&scripted::config(&hubs, ""));
    let (mut visit, first) = scripted::either(&mut hubs);
    visit.hello();
    account(&visit, &follower, 5, 30);
    hubs[first].stop();
    let mut visit = hubs[1 - first].visit();
    visit.hello();
    visit.tell(synced(begin(batch(8, 2, &[pod("u2")]))));
    // Not for a moment was no hub in reach.
    follower.hears([Change::Begin, pod("u2"), Change::Synced, Change::Fresh]);
}

#[test]
fn a_hub_that_accepts_and_says_nothing_is_passed_over() {
    // One is silent from the first byte, one when it has been asked.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut hubs = [Hub::start(), Hub::start()];
    let config = scripted::config(&hubs, "");
    let config =
        config.replace("hubs = [", &format!("hubs = [\"http://{}\", ", mute.local_addr().unwrap()));
    let follower = Follower::start(&config);
    let (silent, first) = scripted::either(&mut hubs);
    let mut visit = hubs[1 - first].visit();
    visit.hello();
    account_after_loss(&visit, &follower);
    drop(silent);
}

#[test]
fn a_token_is_read_anew_for_each_stream() {
    let mut hub = Hub::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let config = format!("{}\ntoken = {path:?}", hub.config());
    let follower = Follower::start(&config);
    follower.reaches(|facts| facts.error.starts_with("metadata.token = "));
    fs::write(&path, "first\n").unwrap();
    let mut visit = hub.visit();
    assert_eq!(visit.authorization.as_deref(), Some("Bearer first"));
    visit.hello();
    account_after_loss(&visit, &follower);
    fs::write(&path, "second").unwrap();
    visit.fail();
    assert_eq!(hub.visit().authorization.as_deref(), Some("Bearer second"));
}

#[test]
fn both_ends_prove_who_they_are() {
    let authority = Authority::new("ours");
    let mut hub = Hub::start_at(([127, 0, 0, 1], 0).into(), Some(authority.server()));
    let follower = Follower::start(&format!("{}\n{}", hub.config(), authority.client("n1")));
    let mut visit = hub.visit();
    assert_eq!(visit.node.as_deref(), Some("n1"));
    visit.hello();
    account(&visit, &follower, 5, 1);
    assert!(follower.link.facts().peer.starts_with("https://127.0.0.1:"));
}

#[test]
fn a_hub_or_an_agent_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let hub = Hub::start_at(([127, 0, 0, 1], 0).into(), Some(theirs.server()));
    let check = |config: String, expected: &str| {
        let follower = Follower::start(&format!("{}\n{config}", hub.config()));
        follower.hears([Change::Stale]);
        let error = follower.link.facts().error;
        assert!(error.contains(expected), "{error:?} has no {expected:?}");
    };
    check(ours.client("n1"), "UnknownIssuer; see metadata.ca");
    check(format!("ca = {:?}", theirs.path("ca.crt")), "CertificateRequired");
    let own = ours.client("n1");
    let own = own.lines().skip(1).collect::<Vec<_>>().join("\n");
    check(format!("ca = {:?}\n{own}", theirs.path("ca.crt")), "UnknownCA");
}

#[test]
fn a_refusal_is_told_in_the_hubs_words() {
    let mut hub = Hub::start();
    let follower = Follower::start(&hub.config());
    let mut visit = hub.visit();
    visit.hello();
    visit.refuse("the token names node n2");
    follower.hears([Change::Stale]);
    let error = follower.link.facts().error;
    assert!(error.contains(" refuses: ") && error.contains("the token names node n2"), "{error}");
}
