// Records as the agents would tell them.

import type { End, RecordLine } from "../src/api/wire.ts";
import type { Call, Cluster, Service } from "./cluster.ts";
import { pick, type Random } from "./random.ts";

function end(service: Service, next: Random, port: number): End {
  const number = 1 + Math.floor(next() * Math.max(1, service.pods));
  const ip = `10.${service.id % 200}.${Math.floor(service.id / 200)}.${number}`;
  if (!service.namespace) return { ip: `203.0.113.${number}`, port, names: ["client.example"] };
  return {
    ip,
    port,
    namespace: service.namespace,
    pod: `${service.name}-${(service.id * 7919).toString(36).padStart(4, "x")}-${number}`,
    workload: service.name,
    workload_kind: service.kind,
    service: service.service?.[0] ?? service.name,
    labels: { app: service.name },
    ...(service.zone ? { zone: service.zone } : {}),
  };
}

export function recordOf(cluster: Cluster, call: Call, next: Random, time_ms: number): RecordLine {
  const source = cluster.services[call.source]!;
  const destination = cluster.services[call.destination]!;
  const line: RecordLine = {
    time: `${new Date(time_ms).toISOString().slice(0, -1)}${String(Math.floor(next() * 1e6)).padStart(6, "0")}Z`,
    node: pick(next, cluster.nodes).name,
    kind: "connection",
    direction: "egress",
    protocol: call.protocol,
    source: end(source, next, 32_768 + Math.floor(next() * 28_000)),
    destination: end(destination, next, call.port),
    process: { pid: 1000 + Math.floor(next() * 30_000), comm: source.name.slice(0, 15), cgroup_id: source.id + 4000 },
    cookie: Math.floor(next() * 1e6),
  };
  if (call.protocol === "UDP") {
    const failed = next() < 0.1;
    line.kind = "dns";
    line.dns = {
      query: `${pick(next, cluster.services).name}.shop.svc.cluster.local`,
      type: next() < 0.5 ? "A" : "AAAA",
      code: failed ? "NXDOMAIN" : "NOERROR",
      ...(failed ? {} : { answers: ["10.3.0.17"], answer_count: 1 }),
      duration_us: Math.round(call.latency_s * 1e6),
    };
    return line;
  }
  const failed = next() < call.failing;
  const draw = next();
  if (failed) {
    line.event = "failed";
    line.error = draw < 0.7 ? "ECONNREFUSED" : draw < 0.9 ? "ETIMEDOUT" : "ECONNRESET";
    line.duration_us = Math.round(call.latency_s * 4e6);
  } else if (draw < 0.02) {
    line.kind = "drop";
    line.reason = "NO_SOCKET";
    line.packets = 1 + Math.floor(next() * 9);
    line.interval_ms = 5000;
  } else if (draw < 0.3) {
    line.kind = "flow";
    line.interval_ms = 5000;
    line.bytes_sent = Math.round(call.size_bytes * next());
    line.bytes_received = Math.round(call.size_bytes * 3 * next());
    line.rtt_us = Math.round(call.latency_s * 6e5);
    line.retransmits = 0;
  } else if (draw < 0.65) {
    line.event = "opened";
    line.connect_us = Math.round(call.latency_s * 1e6);
  } else {
    line.event = "closed";
    line.bytes_sent = Math.round(call.size_bytes);
    line.bytes_received = Math.round(call.size_bytes * 3.7);
    line.duration_us = Math.round(call.latency_s * 2e7);
    line.rtt_us = Math.round(call.latency_s * 6e5);
    line.retransmits = next() < 0.05 ? 2 : 0;
  }
  return line;
}

/** Enough of the hub's filters to see them work. */
export function matches(line: RecordLine, filters: [string, string][]): boolean {
  let not = false;
  const wanted = new Map<string, boolean>();
  for (const [key, value] of filters) {
    if (key === "not") {
      not = true;
      continue;
    }
    const hit = holds(line, key, value);
    if (not && hit) return false;
    if (!not) wanted.set(key, (wanted.get(key) ?? false) || hit);
    not = false;
  }
  return [...wanted.values()].every(Boolean);
}

function holds(line: RecordLine, key: string, value: string): boolean {
  const side = key.startsWith("from_")
    ? [line.source]
    : key.startsWith("to_")
      ? [line.destination]
      : [line.source, line.destination];
  const plain = key.replace(/^(from|to)_/, "");
  const parts = value.split("/");
  const name = parts.at(-1)!;
  switch (plain) {
    case "kind":
      return value.split(",").includes(line.kind);
    case "protocol":
      return line.protocol?.toLowerCase() === value.toLowerCase();
    case "verdict":
      return value === "error"
        ? line.error !== undefined
        : value === "dropped"
          ? line.kind === "drop"
          : value === "forwarded"
            ? line.error === undefined && line.kind !== "drop"
            : line.event === value;
    case "port":
      return side.some((one) => one?.port === Number(value));
    case "ip":
      return side.some((one) => one?.ip === value);
    case "namespace":
      return side.some((one) => one?.namespace === value);
    case "workload":
      return side.some((one) => one?.workload === name);
    case "pod":
    case "service":
      return side.some(
        (one) => one?.[plain]?.startsWith(name) === true && (parts.length < 2 || one.namespace === parts[0]),
      );
    default:
      return true;
  }
}
