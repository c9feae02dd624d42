use super::name::{Shape, attribute, convention};
use crate::metrics::{Family, Kind};

#[test]
fn names_are_those_of_the_conventions_or_lead_back_to_ours() {
    let check = |name, kind, expected: (&str, &str), shape| {
        let (found, unit, is) = convention(Family { name, help: "", kind });
        assert_eq!(((&*found, unit), is), (expected, shape), "{name}");
    };
    let counted = Shape::Sum { is_monotonic: true };
    use Kind::{Counter, Gauge, Histogram};
    check("amphipod_connections_total", Counter, ("amphipod.connections", ""), counted);
    check("amphipod_flow_bytes_total", Counter, ("amphipod.flow", "By"), counted);
    check("amphipod_program_run_seconds_total", Counter, ("amphipod.program_run", "s"), counted);
    check("amphipod_tcp_rtt_seconds", Histogram, ("amphipod.tcp_rtt", "s"), Shape::Histogram);
    check("amphipod_map_pressure_ratio", Gauge, ("amphipod.map_pressure", "1"), Shape::Gauge);
    check("amphipod_hub_agents", Gauge, ("amphipod.hub.agents", ""), Shape::Gauge);
    check("dns_lookup_duration_seconds", Histogram, ("dns.lookup.duration", "s"), Shape::Histogram);
    check("process_cpu_seconds_total", Counter, ("process.cpu.time", "s"), counted);
    let memory = Shape::Sum { is_monotonic: false };
    check("process_resident_memory_bytes", Gauge, ("process.memory.usage", "By"), memory);
    check("amphipod_uptime_seconds", Gauge, ("process.uptime", "s"), Shape::Gauge);
}

#[test]
fn attributes_too() {
    let check = |family, name, value, expected: Option<(&str, &str)>| {
        let found = attribute(family, name, value);
        assert_eq!(found.as_ref().map(|(name, value)| (&**name, &**value)), expected);
    };
    let lookups = "dns_lookup_duration_seconds";
    check(lookups, "source_namespace", "shop", Some(("source.namespace", "shop")));
    check(lookups, "destination_service", "a", Some(("destination.service", "a")));
    check(lookups, "protocol", "UDP", Some(("network.transport", "udp")));
    check(lookups, "rcode", "NXDOMAIN", Some(("error.type", "NXDOMAIN")));
    check(lookups, "rcode", "NOERROR", None);
    check("amphipod_drops_total", "reason", "NO_SOCKET", Some(("reason", "NO_SOCKET")));
}
