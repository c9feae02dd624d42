// A cluster of any size: services in tiers and namespaces that call each other, with what an operator meets (a few
// that fail, some that are slow, clients without a namespace). The same options give the same cluster.

import type { GraphNode, Measure, NodeRow, Values } from "../src/api/wire.ts";
import { hash, pick, type Random, random, skewed } from "./random.ts";

export interface Options {
  services: number;
  /** Edges in all; by default 20 for each service, fewer in small clusters. */
  edges?: number;
  seed?: number;
}

export interface Service extends GraphNode {
  tier: number;
  pods: number;
  port: number;
  protocol: string;
  sick: boolean;
}

export interface Call {
  source: number;
  destination: number;
  protocol: string;
  port: number;
  /** Connections a second. */
  rate: number;
  /** Of connections that fail. */
  failing: number;
  latency_s: number;
  size_bytes: number;
}

export interface Cluster {
  services: Service[];
  calls: Call[];
  nodes: NodeRow[];
  zones: string[];
}

const measure = (
  name: string,
  kind: string,
  unit: string,
  type: Measure["type"],
  title: string,
  of?: string[],
): Measure => ({ name, kind, unit, type, title, bad: of !== undefined, of: of ?? [] });

/** As `crates/model/src/measure.rs` declares them. */
export const MEASURES: Measure[] = [
  measure("connections", "connection", "connections", "sum", "Connections"),
  measure("failures", "connection", "connections", "sum", "Failed connections", ["connections", "failures"]),
  measure("bytes_sent", "flow", "bytes", "sum", "Bytes sent"),
  measure("bytes_received", "flow", "bytes", "sum", "Bytes received"),
  measure("packets_sent", "flow", "packets", "sum", "Packets sent"),
  measure("packets_received", "flow", "packets", "sum", "Packets received"),
  measure("retransmits", "flow", "packets", "sum", "Retransmitted segments", ["packets_sent"]),
  measure("connect", "connection", "seconds", "distribution", "Connect time"),
  measure("rtt", "flow", "seconds", "distribution", "Round trip"),
  measure("drops", "drop", "packets", "sum", "Dropped packets", ["packets_sent", "packets_received", "drops"]),
  measure("lookups", "dns", "lookups", "sum", "DNS lookups"),
  measure("lookup_failures", "dns", "lookups", "sum", "Failed lookups", ["lookups"]),
  measure("lookup", "dns", "seconds", "distribution", "Lookup time"),
  measure("active", "connection", "connections", "gauge", "Open connections"),
];

const TEAMS = (
  "shop billing identity search catalogue media delivery support fraud ledger pricing mail " +
  "reports analytics ads geo chat events gateway sync"
).split(" ");
const ROLES = (
  "api web worker gateway cache store index queue scheduler relay sync export import audit session profile cart " +
  "checkout payment invoice mailer notifier thumbnailer renderer tracker recommender ranker resolver broker ingest"
).split(" ");
const DATA = ["postgres", "redis", "kafka", "mysql", "memcached", "elasticsearch", "minio"];
const PORTS: Record<string, number> = {
  postgres: 5432,
  redis: 6379,
  kafka: 9092,
  mysql: 3306,
  memcached: 11211,
  elasticsearch: 9200,
  minio: 9000,
};

function naming(next: Random, namespace: string, used: Set<string>, tier: number): { name: string; kind: string } {
  for (let attempt = 0; ; attempt++) {
    const data = tier === 3;
    const role = data ? pick(next, DATA) : pick(next, ROLES);
    const prefix = next() < 0.5 && !data ? `${pick(next, ROLES)}-` : "";
    const suffix = attempt > 3 ? `-${attempt}` : "";
    const name = `${prefix}${role}${suffix}`;
    if (used.has(`${namespace}/${name}`)) continue;
    used.add(`${namespace}/${name}`);
    const kind = data ? "StatefulSet" : next() < 0.05 ? "DaemonSet" : next() < 0.06 ? "CronJob" : "Deployment";
    return { name, kind };
  }
}

function makeServices(next: Random, count: number, zones: string[]): Service[] {
  const services: Service[] = [];
  const add = (node: Omit<GraphNode, "id">, tier: number, pods: number, port: number, protocol = "TCP") =>
    services.push({ id: services.length, ...node, tier, pods, port, protocol, sick: false });
  add({ kind: "World", name: "internet" }, -1, 0, 443);
  add({ namespace: "kube-system", kind: "Deployment", name: "coredns", service: ["kube-dns"] }, 4, 2, 53, "UDP");
  if (count > 20) {
    add(
      { namespace: "kube-system", kind: "Deployment", name: "metrics-server", service: ["metrics-server"] },
      3,
      1,
      443,
    );
    add({ namespace: "monitoring", kind: "StatefulSet", name: "prometheus", service: ["prometheus"] }, -1, 2, 9090);
    add({ namespace: "ingress", kind: "DaemonSet", name: "ingress-nginx", service: ["ingress-nginx"] }, 0, 4, 443);
    // Where a hub knows only the address that was asked, the service stands beside the workload of its name.
    add({ namespace: "ingress", kind: "Service", name: "ingress-nginx", service: ["ingress-nginx"] }, 3, 0, 443);
  }
  const namespaces = Math.max(1, Math.min(200, Math.round(count / 25)));
  const used = new Set<string>();
  while (services.length < count) {
    const number = skewed(next, namespaces);
    const round = Math.floor(number / TEAMS.length);
    const namespace = TEAMS[number % TEAMS.length]! + (round > 0 ? `-${round + 1}` : "");
    const draw = next();
    const tier = draw < 0.15 ? 0 : draw < 0.5 ? 1 : draw < 0.82 ? 2 : 3;
    const { name, kind } = naming(next, namespace, used, tier);
    const port = PORTS[name.split("-")[0]!] ?? pick(next, [8080, 8443, 9000, 3000, 50051]);
    const node: Omit<GraphNode, "id"> = { namespace, kind, name, service: [name] };
    if (next() < 0.3) node.zone = pick(next, zones);
    add(node, tier, 1 + skewed(next, 12), port);
  }
  for (const service of services) service.sick = service.tier >= 1 && service.tier < 4 && next() < 0.015;
  // However small it is, something is wrong somewhere.
  if (!services.some((service) => service.sick)) services.at(-1)!.sick = true;
  return services;
}

function makeCalls(next: Random, services: Service[], wanted: number): Call[] {
  const calls: Call[] = [];
  const seen = new Set<number>();
  const byNamespace = new Map<string, Service[]>();
  for (const service of services) {
    const key = service.namespace ?? "-";
    byNamespace.set(key, [...(byNamespace.get(key) ?? []), service]);
  }
  const add = (source: Service, destination: Service): void => {
    const code = source.id * services.length + destination.id;
    if (source === destination || seen.has(code)) return;
    seen.add(code);
    const { protocol, port, sick } = destination;
    const failing = sick ? 0.05 + 0.6 * next() : next() < 0.04 ? 0.002 * next() : 0;
    const rate = 0.02 * 10 ** (4 * next() ** 2);
    const latency_s = 0.0002 * 10 ** (2.5 * next()) * (sick ? 8 : 1);
    const size_bytes = 200 * 10 ** (3.5 * next());
    calls.push({
      source: source.id,
      destination: destination.id,
      protocol,
      port,
      rate,
      failing,
      latency_s,
      size_bytes,
    });
  };
  const world = services[0]!;
  const dns = services[1]!;
  const edge = services.find((service) => service.tier === 0) ?? services[2]!;
  add(world, edge);
  for (const service of services) if (service.tier >= 0 && service.tier < 4 && next() < 0.6) add(service, dns);
  const rest = services.filter((service) => service.namespace && service.tier >= 0 && service.tier < 4);
  for (let attempt = 0; calls.length < wanted && attempt < wanted * 20; attempt++) {
    const source = rest[skewed(next, rest.length)]!;
    if (source.tier === 3) continue;
    const own = byNamespace.get(source.namespace ?? "-")!;
    const destination = next() < 0.7 && own.length > 2 ? pick(next, own) : rest[skewed(next, rest.length)]!;
    if (destination.tier > source.tier || (destination.tier === source.tier && next() < 0.2)) add(source, destination);
  }
  return calls;
}

const PROGRAMS: [string, string][] = [
  ["cgroup", "cgroup_created"],
  ["cgroup", "cgroup_removed"],
  ["tcp", "tcp_set_state"],
  ["tcp", "tcp_destroy"],
  ["tcp", "tcp_accept"],
  ["tcp", "tcp_older"],
  ["flow", "flow_tcp"],
  ["flow", "flow_tcp_walk"],
  ["flow", "flow_egress"],
  ["flow", "flow_ingress"],
  ["flow", "flow_create"],
  ["flow", "flow_release"],
  ["flow", "flow_other"],
  ["flow", "flow_other_files"],
  ["flow", "flow_older"],
  ["dns", "dns_egress"],
  ["dns", "dns_ingress"],
  ["drop", "drop_packet"],
];

function makeNodes(next: Random, count: number, zones: string[]): NodeRow[] {
  return Array.from({ length: count }, (_, number) => {
    const old = next() < 0.12;
    const down = number > 1 && next() < 0.03;
    const probes = PROGRAMS.map(([probe, program]) => {
      if (program === "tcp_accept" && old)
        return {
          probe,
          program,
          state: "degraded",
          reason: "no fexit on this kernel; who accepted is known at close only",
        };
      if (program === "flow_tcp_walk")
        return { probe, program, state: "disabled", reason: "not needed: this kernel has the better way" };
      if (program === "drop_packet" && number === 3)
        return { probe, program, state: "failed", reason: "attach: permission denied; grant CAP_PERFMON" };
      return { probe, program, state: program === "flow_create" && old ? "unsupported" : "active" };
    });
    const last = new Date(Date.now() - (down ? 1_800_000 : 2000)).toISOString();
    return {
      name: `node-${String(number + 1).padStart(count > 999 ? 4 : 3, "0")}`,
      zone: zones[number % zones.length]!,
      version: number % 17 === 5 ? "0.3.1" : "0.4.0",
      connected: !down,
      last_seen: last,
      rows: Math.round(100_000 * next()),
      lost: next() < 0.04 ? Math.round(900 * next()) : 0,
      lost_rows: down ? 1234 : 0,
      probes,
    };
  });
}

export function makeCluster({ services: count, edges, seed = 7 }: Options): Cluster {
  const next = random(seed);
  const zones = ["eu-1a", "eu-1b", "eu-1c"];
  const services = makeServices(next, Math.max(4, count), zones);
  const wanted = edges ?? Math.round(count * Math.min(20, 2 + count / 40));
  const calls = makeCalls(next, services, wanted);
  return { services, calls, nodes: makeNodes(next, Math.max(3, Math.round(count / 12)), zones), zones };
}

/** A slow daily wave, and some noise: what a call does at a moment, as a share of its usual. */
export function wave(call: Call, time_s: number): number {
  const seed = hash(`${call.source}.${call.destination}`) % 1000;
  const noise = random((seed + Math.floor(time_s / 10)) >>> 0)();
  return (1 + 0.5 * Math.sin((time_s / 86_400) * 2 * Math.PI + seed)) * (0.8 + 0.4 * noise);
}

export function valuesOf(call: Call, span_s: number, share: number): Values {
  const attempts = Math.round(call.rate * span_s * share);
  const failures = Math.round(attempts * call.failing);
  const connections = attempts - failures;
  const bytes = Math.round(connections * call.size_bytes);
  const spread = (base: number) => ({
    count: connections,
    mean: base * 1.2,
    p50: base,
    p95: base * 2.6,
    p99: base * 5.1,
    max: base * 12,
  });
  if (call.protocol === "UDP") {
    const values: Values = { bytes_sent: connections * 60, bytes_received: connections * 140, lookups: attempts };
    values.lookup_failures = Math.round(attempts * 0.0005);
    if (connections > 0) values.lookup = spread(call.latency_s);
    return values;
  }
  const values: Values = {
    connections,
    failures,
    bytes_sent: bytes,
    bytes_received: Math.round(bytes * 3.7),
    packets_sent: Math.ceil(bytes / 900),
    packets_received: Math.ceil((bytes * 3.7) / 900),
    retransmits: Math.round((bytes / 900) * (call.failing > 0.01 ? 0.03 : 0.0004)),
    active: Math.round(call.rate * 4),
  };
  if (connections > 0) {
    values.connect = spread(call.latency_s);
    values.rtt = spread(call.latency_s * 0.6);
  }
  if (call.failing > 0.3) values.drops = failures * 2;
  return values;
}
