//! Whatever happens in whatever order, each observation becomes one record.

use model::Change;
use proptest::prelude::*;

use super::bench::{Bench, C, D, pod, uid};

#[derive(Clone, Debug)]
enum Step {
    Created(u64, usize),
    Removed(u64),
    Pod(usize, u8, bool),
    Gone(usize),
    Synced,
    /// Cgroup, namespace, local and remote address, event.
    See(u64, u32, usize, usize, usize),
    Wait(u64),
    Back(u64),
}

const NAMES: [&str; 3] = ["cart", "db", "web"];
const ADDRESSES: [&str; 6] =
    ["10.1.0.1", "10.1.0.2", "127.0.0.1", "192.168.7.7", "1.1.1.1", "0.0.0.0"];
const EVENTS: [&str; 6] = ["opened", "accepted", "closed", "failed", "flow", "drop"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..5u64, 0..3usize).prop_map(|(id, name)| Step::Created(id, name)),
        1 => (1..5u64).prop_map(Step::Removed),
        2 => (0..3usize, 0..3u8, any::<bool>()).prop_map(|(name, ip, host)| Step::Pod(name, ip, host)),
        1 => (0..3usize).prop_map(Step::Gone),
        1 => Just(Step::Synced),
        8 => (0..6u64, 0..4u32, 0..6usize, 0..6usize, 0..6usize)
            .prop_map(|(id, netns, local, remote, event)| Step::See(id, netns, local, remote, event)),
        3 => prop_oneof![0..300u64, 0..3_000u64, 0..100_000u64].prop_map(Step::Wait),
        1 => (0..10_000u64).prop_map(Step::Back),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_record_is_lost_or_doubled(
        steps in prop::collection::vec(step(), 0..120),
        parked in 1..12usize,
        rest in 1..4usize,
    ) {
        let mut bench = Bench::with(|config| {
            let limits = &mut config.limits;
            limits.parked = parked;
            for limit in [&mut limits.cgroups, &mut limits.pods, &mut limits.addresses, &mut limits.peers,
                &mut limits.services, &mut limits.namespaces, &mut limits.processes] {
                *limit = rest;
            }
        }, &[]);
        let mut seen = 0u64;
        for step in steps {
            match step {
                Step::Created(id, name) => bench.created(id, NAMES[name], [C, D][id as usize % 2]),
                Step::Removed(id) => bench.removed(id),
                Step::Pod(name, ip, host) => {
                    let pod = pod(NAMES[name], &format!("10.1.0.{ip}")).container(C, "app");
                    bench.change(if host { pod.host_network() } else { pod });
                }
                Step::Gone(name) => bench.change(Change::PodGone { uid: uid(NAMES[name]).into() }),
                Step::Synced => bench.change(Change::Synced),
                Step::See(id, netns, local, remote, event) => {
                    seen += 1;
                    bench.number(seen);
                    let event = EVENTS[event];
                    bench.see(&format!("{id}@{netns} {}:1 > {}:2 {event}", ADDRESSES[local], ADDRESSES[remote]));
                }
                Step::Wait(milliseconds) => bench.wait_ms(milliseconds),
                Step::Back(milliseconds) => bench.now.0 -= milliseconds * 1_000_000,
            }
            let counters = bench.counters();
            prop_assert!(counters.parked as usize <= parked);
            prop_assert_eq!(counters.records + counters.parked, seen);
            prop_assert_eq!(counters.parked_total, counters.patched + counters.given_up + counters.parked);
            for table in counters.tables {
                prop_assert!(table.entries <= table.max_entries, "{:?}", table);
            }
        }
        bench.wait_ms(0);
        bench.wait_ms(2_000);
        prop_assert_eq!(bench.counters().parked, 0);
        prop_assert!(bench.directory.pending.is_clear());
        let mut cookies: Vec<u64> = bench.out.iter().map(|record| record.cookie).collect();
        cookies.sort_unstable();
        prop_assert_eq!(cookies, (1..=seen).collect::<Vec<_>>());
    }
}
