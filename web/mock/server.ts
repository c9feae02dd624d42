// A hub that speaks the API of v1 and has a made-up cluster behind it; serves the built pages as the hub will.

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import type { GraphEdge, GraphNode, Peer, RecordLine, Series, Values, WorkloadRow } from "../src/api/wire.ts";
import { ago, moment } from "../src/state/span.ts";
import { type Call, type Cluster, MEASURES, makeCluster, type Options, valuesOf, wave } from "./cluster.ts";
import { random } from "./random.ts";
import { matches, recordOf } from "./records.ts";

export interface MockOptions extends Options {
  /** Records a second, before filters. */
  records?: number;
  /** Where the built pages are. */
  dist?: string;
  /** Nodes whose part is missing from graphs. */
  missing?: boolean;
  /** Every answer of the API is this error. */
  failing?: number;
}

/** What the hub sends with every page: crates/hub/src/access/gate.rs. */
export const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; " +
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

interface Range {
  since_ms: number;
  until_ms: number;
  span_s: number;
  /** Names the range coarsely, so that answers can be kept. */
  label: string;
}

function rangeOf(query: URLSearchParams): Range {
  const now = Date.now();
  const since_ms = moment(query.get("since") ?? "-15m", now);
  const until_ms = moment(query.get("until") ?? "now", now);
  const span_s = Math.max(1, (until_ms - since_ms) / 1000);
  return { since_ms, until_ms, span_s, label: `${query.get("since")}|${query.get("until")}` };
}

/** The same question about the time that it is compared with; undefined: with none. */
function earlierOf(query: URLSearchParams): URLSearchParams | undefined {
  const compare = query.get("compare");
  if (!compare) return undefined;
  const { since_ms, until_ms } = rangeOf(query);
  const deployed_ms = Date.now() - DEPLOYED_MS;
  const back_ms = compare.startsWith("deploy:")
    ? until_ms - deployed_ms
    : compare === "previous"
      ? until_ms - since_ms
      : ago(`-${compare}`) !== undefined
        ? ago(`-${compare}`)! * 1000
        : since_ms - Date.parse(compare);
  const earlier = new URLSearchParams(query);
  earlier.delete("compare");
  earlier.set("since", new Date(since_ms - back_ms).toISOString());
  earlier.set("until", new Date(until_ms - back_ms).toISOString());
  return earlier;
}

/** Every workload was deployed so long ago. */
const DEPLOYED_MS = 3_600_000;

function add(total: Values, values: Values): void {
  for (const [name, value] of Object.entries(values)) {
    const old = total[name];
    if (typeof value === "number") total[name] = (typeof old === "number" ? old : 0) + value;
    else if (typeof old !== "object" || (value.p99 ?? 0) > (old.p99 ?? 0)) total[name] = value;
  }
}

export class Mock {
  readonly cluster: Cluster;
  readonly options: MockOptions;
  readonly #graphs = new Map<string, string>();
  readonly #incoming = new Map<number, Call[]>();
  readonly #outgoing = new Map<number, Call[]>();

  constructor(options: MockOptions) {
    this.options = options;
    this.cluster = makeCluster(options);
    for (const call of this.cluster.calls) {
      this.#incoming.set(call.destination, [...(this.#incoming.get(call.destination) ?? []), call]);
      this.#outgoing.set(call.source, [...(this.#outgoing.get(call.source) ?? []), call]);
    }
    // The time to make an answer is the hub's matter, not what the pages are measured by.
    this.graph(new URLSearchParams("since=-15m&until=now"));
  }

  values(call: Call, range: Range): Values {
    const middle_s = (range.since_ms + range.until_ms) / 2000;
    // Yesterday this one was not there yet, and that one still was.
    const old = range.until_ms < Date.now() - 60_000;
    if (call.source % 53 === 7 && call.destination % 5 === (old ? 0 : 1)) return {};
    return valuesOf(call, range.span_s, wave(call, Math.floor(middle_s / 30) * 30));
  }

  graph(query: URLSearchParams): string {
    const range = rangeOf(query);
    const group = query.get("group") ?? "workload";
    const wanted = query.getAll("namespace");
    const limit = Number(query.get("limit") ?? 20_000);
    const label = `${range.label}|${group}|${wanted}|${limit}|${Math.floor(Date.now() / 10_000)}`;
    const kept = this.#graphs.get(label);
    if (kept) return kept;

    const { services, calls } = this.cluster;
    const nodes: GraphNode[] = [];
    const numbers = new Map<string, number>();
    const nodeOf = (id: number): number => {
      const service = services[id]!;
      const { namespace, kind, name, zone } = service;
      const key = group === "namespace" ? (namespace ?? "-") : group === "zone" ? (zone ?? "eu-1a") : String(id);
      const known = numbers.get(key);
      if (known !== undefined) return known;
      const number = nodes.length;
      numbers.set(key, number);
      if (group === "namespace") nodes.push({ id: number, kind: "Namespace", name: key });
      else if (group === "zone") nodes.push({ id: number, kind: "Zone", name: key });
      else
        nodes.push({
          id: number,
          kind,
          name,
          ...(namespace ? { namespace } : {}),
          ...(service.service ? { service: service.service } : {}),
          ...(zone ? { zone } : {}),
        });
      return number;
    };
    const edges = new Map<string, GraphEdge>();
    for (const call of calls) {
      const ends = [services[call.source]!, services[call.destination]!];
      if (wanted.length > 0 && !ends.some((one) => wanted.includes(one.namespace ?? "-"))) continue;
      const values = this.values(call, range);
      if (Object.keys(values).length === 0) continue;
      const source = nodeOf(call.source);
      const destination = nodeOf(call.destination);
      const key = `${source}>${destination}:${call.protocol}:${call.port}`;
      const edge = edges.get(key);
      if (edge) add(edge.values, values);
      else edges.set(key, { source, destination, protocol: call.protocol, port: call.port, values });
    }
    const all = [...edges.values()];
    const missing = this.options.missing
      ? [
          { node: "node-002", reason: "spool full", rows: 1234 },
          { node: "node-007", reason: "not_connected" },
        ]
      : [];
    const text = JSON.stringify({
      since: new Date(range.since_ms).toISOString(),
      until: new Date(range.until_ms).toISOString(),
      step_s: 10,
      complete: missing.length === 0,
      missing,
      nodes,
      edges: all.slice(0, limit),
      truncated: all.length > limit,
    });
    if (this.#graphs.size > 20) this.#graphs.clear();
    this.#graphs.set(label, text);
    return text;
  }

  find(key: string): number {
    return this.cluster.services.findIndex((one) => `${one.namespace ?? "-"}/${one.kind}/${one.name}` === key);
  }

  sum(calls: Call[] | undefined, range: Range): Values | undefined {
    if (!calls || calls.length === 0) return undefined;
    const total: Values = {};
    for (const call of calls) add(total, this.values(call, range));
    return total;
  }

  series(query: URLSearchParams): unknown {
    const range = rangeOf(query);
    const step_s = Math.max(10, Math.ceil(range.span_s / 180 / 10) * 10);
    const first = Math.ceil(range.since_ms / 1000 / step_s) * step_s;
    const times: number[] = [];
    for (let time = first; time <= range.until_ms / 1000; time += step_s) times.push(time);
    let calls = this.cluster.calls;
    const source = query.get("source");
    const destination = query.get("destination");
    const workload = query.get("workload");
    if (source) calls = calls.filter((call) => call.source === this.find(source));
    if (destination) calls = calls.filter((call) => call.destination === this.find(destination));
    if (workload) {
      const id = this.find(workload);
      calls = calls.filter((call) => call.source === id || call.destination === id);
    }
    const points = times.map((time) => {
      const total: Values = {};
      for (const call of calls.slice(0, 60)) {
        // A bad ten minutes, an hour of missing data: both have to be seen.
        const values = valuesOf(call, step_s, wave(call, time));
        if (time % 7200 < 300 && values.failures !== undefined) values.failures = (values.connections as number) * 0.2;
        add(total, values);
      }
      return time % 3600 < 40 ? {} : total;
    });
    const series = MEASURES.filter((one) => query.getAll("measure").includes(one.name)).flatMap((one): Series[] => {
      const at = (point: Values) => point[one.name] ?? null;
      if (one.type !== "distribution") return [{ measure: one.name, values: points.map(at) as (number | null)[] }];
      return (["count", "mean", "p50", "p95", "p99", "max"] as const).map((statistic) => ({
        measure: one.name,
        statistic,
        values: points.map((point) => {
          const value = at(point);
          return value !== null && typeof value === "object" ? (value[statistic] ?? null) : null;
        }),
      }));
    });
    const [since, until] = [range.since_ms, range.until_ms].map((time_ms) => new Date(time_ms).toISOString());
    return { since, until, step_s, times, series };
  }

  workloads(query: URLSearchParams): unknown {
    const range = rangeOf(query);
    const wanted = query.getAll("namespace");
    const search = (query.get("search") ?? "").toLowerCase();
    const limit = Number(query.get("limit") ?? 1000);
    const rows: WorkloadRow[] = [];
    for (const service of this.cluster.services) {
      if (wanted.length > 0 && !wanted.includes(service.namespace ?? "-")) continue;
      if (search && !`${service.namespace}/${service.name}`.includes(search)) continue;
      const { namespace, kind, name, pods } = service;
      const row: WorkloadRow = { kind, name, ...(namespace ? { namespace, pods } : {}) };
      const incoming = this.sum(this.#incoming.get(service.id), range);
      const outgoing = this.sum(this.#outgoing.get(service.id), range);
      if (incoming) row.incoming = incoming;
      if (outgoing) row.outgoing = outgoing;
      rows.push(row);
    }
    return { workloads: rows.slice(0, limit), truncated: rows.length > limit };
  }

  workload(key: string, query: URLSearchParams): unknown {
    const id = this.find(key);
    if (id < 0) return undefined;
    const range = rangeOf(query);
    const service = this.cluster.services[id]!;
    const next = random(id);
    const peers: Peer[] = [];
    for (const direction of ["in", "out"] as const) {
      for (const call of (direction === "in" ? this.#incoming : this.#outgoing).get(id) ?? []) {
        const other = this.cluster.services[direction === "in" ? call.source : call.destination]!;
        const { namespace, kind, name } = other;
        const { protocol, port } = call;
        const values = this.values(call, range);
        peers.push({ direction, kind, name, protocol, port, values, ...(namespace ? { namespace } : {}) });
      }
    }
    const failing = [...(this.#incoming.get(id) ?? []), ...(this.#outgoing.get(id) ?? [])].filter(
      (call) => call.failing > 0.01,
    );
    const failures: RecordLine[] = [];
    for (let number = 0; number < 60 && failing.length > 0; number++) {
      const call = failing[number % failing.length]!;
      const line = recordOf(this.cluster, { ...call, failing: 1 }, next, Date.now() - number * 4100);
      if (line.event === "failed") failures.push(line);
    }
    const pods = Array.from({ length: service.pods }, (_, number) => ({
      name: `${service.name}-${(id * 7919).toString(36).padStart(4, "x")}-${number + 1}`,
      node: this.cluster.nodes[(id + number) % this.cluster.nodes.length]!.name,
      zone: this.cluster.zones[(id + number) % 3]!,
      ips: [`10.${id % 200}.${Math.floor(id / 200)}.${number + 1}`],
    }));
    const { namespace, kind, name } = service;
    const incoming = this.sum(this.#incoming.get(id), range);
    const outgoing = this.sum(this.#outgoing.get(id), range);
    const deploys = [DEPLOYED_MS, 26 * DEPLOYED_MS].map((ago_ms, rank) => ({
      time: new Date(Date.now() - ago_ms).toISOString(),
      name: `${service.name}-${(id * 7919 + rank).toString(36)}`,
      revision: 7 - rank,
    }));
    return { namespace, kind, name, pods, deploys, incoming, outgoing, peers, failures };
  }

  /** Shaped as a hub's own answer: `crates/hub/src/api/status.rs`. */
  status(): unknown {
    const services = this.cluster.services.length;
    return {
      version: "0.4.0",
      uptime_seconds: 93_784.204941,
      ready: true,
      resources: [
        { name: "pods", objects: services * 4, listed: true },
        { name: "nodes", objects: this.cluster.nodes.length, listed: true },
        { name: "services", objects: services, listed: true },
        { name: "endpointslices", objects: services, listed: false, error: "403: list is forbidden" },
        { name: "namespaces", objects: 12, listed: true },
        { name: "replicasets", objects: services * 3, listed: true },
        { name: "jobs", objects: 0, listed: true },
      ],
      pid: 4711,
      epoch: "12459522364653510520",
      sequence: 88_123,
      log_entries: 574,
      addresses: services * 4,
      agents: this.cluster.nodes.length,
      waiting_agents: 0,
      wanted_addresses: 9,
      waiting_changes: 0,
      history_memory_bytes: 48_234_496,
      history_max_memory_bytes: 67_108_864,
      history_sums_bytes: 9_437_184,
      replicas: [{ name: "hub-1" }],
      items_sent: 1_288_211,
      items_per_second: 42.499863,
      cost: {
        cpu_percent: 3.480833,
        cpu_seconds: 2881.243567,
        rss_bytes: 88_080_384,
        peak_rss_bytes: 120_586_240,
        map_memory_bytes: 0,
      },
    };
  }

  /** Whether the request was for the API. */
  serve(request: IncomingMessage, response: ServerResponse): boolean {
    const url = new URL(request.url ?? "/", "http://localhost");
    const at = url.pathname.indexOf("/api/v1/");
    if (at < 0) return false;
    const path = url.pathname.slice(at + "/api/v1/".length);
    const query = url.searchParams;
    if (this.options.failing) {
      refuse(response, this.options.failing, "Not now", "the store is being repaired; try again in a minute");
      return true;
    }
    const earlier = earlierOf(query);
    /** With the same of the time before, where that is asked for. */
    const both = (make: (query: URLSearchParams) => unknown) => {
      const now = make(query) as object | undefined;
      return JSON.stringify(now && earlier ? { ...now, earlier: make(earlier) } : now);
    };
    const page = /^workloads\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(path);
    if (path === "graph") {
      const now = this.graph(query);
      send(response, earlier ? `${now.slice(0, -1)},"earlier":${this.graph(earlier)}}` : now);
    } else if (path === "measures") send(response, JSON.stringify({ measures: MEASURES }));
    else if (path === "series")
      send(
        response,
        both((query) => this.series(query)),
      );
    else if (path === "workloads")
      send(
        response,
        both((query) => this.workloads(query)),
      );
    else if (path === "nodes") send(response, JSON.stringify({ nodes: this.cluster.nodes }));
    else if (path === "status") send(response, JSON.stringify(this.status()));
    else if (path === "records") this.records(query, request, response);
    else if (page) {
      const key = page.slice(1).map(decodeURIComponent).join("/");
      if (this.find(key) >= 0)
        send(
          response,
          both((query) => this.workload(key, query)),
        );
      else refuse(response, 404, "No such workload", "nothing was seen of it in this time; widen the range");
    } else refuse(response, 404, "Not Found", "no such path");
    return true;
  }

  records(query: URLSearchParams, request: IncomingMessage, response: ServerResponse): void {
    const filters = [...query].filter(([key]) => !["follow", "last", "since", "until"].includes(key));
    const port = filters.find(([key, value]) => key.endsWith("port") && !/^\d+$/.test(value));
    if (port) {
      refuse(
        response,
        400,
        "Bad Request",
        `filter ${port[0]}: "${port[1]}" is not allowed; give a port from 1 to 65535`,
      );
      return;
    }
    const next = random(Number(query.get("seed") ?? 1));
    const { calls } = this.cluster;
    const make = (time_ms: number) => recordOf(this.cluster, calls[Math.floor(next() * calls.length)]!, next, time_ms);
    response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" });
    const last = Number(query.get("last") ?? 0);
    let text = "";
    for (let number = last; number > 0; number--) {
      const line = make(Date.now() - number * 137);
      if (matches(line, filters)) text += `${JSON.stringify(line)}\n`;
    }
    response.write(text);
    if (query.get("follow") !== "1") {
      response.end();
      return;
    }
    const rate = this.options.records ?? 40;
    let ticks = 0;
    const timer = setInterval(() => {
      let text = "";
      for (let number = 0; number < rate / 10; number++) {
        const line = make(Date.now());
        if (matches(line, filters)) text += `${JSON.stringify(line)}\n`;
      }
      ticks += 1;
      if (ticks % 30 === 7) text += `${JSON.stringify({ lost: 3 + (ticks % 7), node: this.cluster.nodes[0]!.name })}\n`;
      if (text !== "") response.write(text);
    }, 100);
    request.on("close", () => clearInterval(timer));
  }
}

function refuse(response: ServerResponse, status: number, title: string, detail: string): void {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify({ title, status, detail }));
}

function send(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(text);
}

function serveFile(dist: string, request: IncomingMessage, response: ServerResponse): void {
  const path = normalize(new URL(request.url ?? "/", "http://localhost").pathname);
  const file = join(dist, path === "/" ? "index.html" : path);
  if (!existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { ...HEADERS, "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
}

export interface Running {
  url: string;
  server: Server;
  mock: Mock;
  close(): Promise<void>;
}

export async function start(options: MockOptions, port = 0): Promise<Running> {
  const mock = new Mock(options);
  const server = createServer((request, response) => {
    if (!mock.serve(request, response)) serveFile(options.dist ?? "dist", request, response);
  });
  await new Promise<void>((ready) => server.listen(port, "127.0.0.1", ready));
  const { port: taken } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${taken}/`, server, mock, close };
}
