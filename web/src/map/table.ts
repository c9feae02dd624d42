// A graph as columns: typed arrays that travel between threads without a copy per edge. Unknown is NaN.

import type { Distribution, Graph, GraphNode, Measure, Missing, Values } from "../api/wire.ts";

export const STATISTIC_NAMES = ["count", "mean", "p50", "p95", "p99", "max"] as const;

export interface NodeInfo {
  /** NS/KIND/NAME with `-` for what has no namespace: the same in addresses, in the API and here. */
  key: string;
  namespace: string;
  kind: string;
  name: string;
  zone?: string;
  service?: string[];
}

export interface Column {
  measure: string;
  /** Of a distribution. */
  statistic?: string;
  now: Float64Array;
  /** What it was in the compared range. */
  was?: Float64Array;
}

export interface Table {
  nodes: NodeInfo[];
  source: Uint32Array;
  destination: Uint32Array;
  port: Uint16Array;
  /** Into `protocols`. */
  protocol: Uint8Array;
  protocols: string[];
  columns: Column[];
  compared: boolean;
  complete: boolean;
  missing: Missing[];
  truncated: boolean;
  since: string;
  until: string;
  step_s: number;
}

export function keyOf(node: { namespace?: string; kind: string; name: string }): string {
  return `${node.namespace || "-"}/${node.kind}/${node.name}`;
}

export function nameOf(key: string): { namespace: string; kind: string; name: string } {
  const [namespace = "-", kind = "", ...rest] = key.split("/");
  return { namespace, kind, name: rest.join("/") };
}

function info(node: GraphNode): NodeInfo {
  const { kind, name, zone, service } = node;
  const found: NodeInfo = { key: keyOf(node), namespace: node.namespace || "-", kind, name };
  if (zone !== undefined) found.zone = zone;
  if (service !== undefined) found.service = service;
  return found;
}

interface Fill {
  value: (values: Values) => number | undefined;
  now: Float64Array;
  was: Float64Array | undefined;
  column: Column;
}

function columnsFor(measures: readonly Measure[], size: number, compared: boolean): Fill[] {
  const make = (measure: string, statistic: string | undefined, value: Fill["value"]): Fill => {
    const now = new Float64Array(size).fill(Number.NaN);
    const was = compared ? new Float64Array(size).fill(Number.NaN) : undefined;
    const column: Column = { measure, now };
    if (statistic) column.statistic = statistic;
    if (was) column.was = was;
    return { value, now, was, column };
  };
  return measures.flatMap((measure) => {
    const { name } = measure;
    if (measure.type !== "distribution") return [make(name, undefined, (values) => values[name] as number | undefined)];
    return STATISTIC_NAMES.map((statistic) =>
      make(name, statistic, (values) => (values[name] as Distribution | undefined)?.[statistic]),
    );
  });
}

/** Puts a graph, and the one it is compared with, into columns. Nodes are in order of their keys, edges as they came. */
export function tabulate(graph: Graph, earlier: Graph | undefined, measures: readonly Measure[]): Table {
  const graphs = earlier ? [graph, earlier] : [graph];
  const known = new Map<string, NodeInfo>();
  // Later ones know no better than the first: the present names the nodes.
  for (const { nodes } of graphs)
    for (const node of nodes) if (!known.has(keyOf(node))) known.set(keyOf(node), info(node));
  const nodes = [...known.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const index = new Map(nodes.map((node, position) => [node.key, position]));

  const most = graphs.reduce((sum, { edges }) => sum + edges.length, 0);
  const source = new Uint32Array(most);
  const destination = new Uint32Array(most);
  const port = new Uint16Array(most);
  const protocol = new Uint8Array(most);
  const protocols: string[] = [];
  const fills = columnsFor(measures, most, earlier !== undefined);

  let size = 0;
  const rows = new Map<number, Map<number, number>>();
  for (const one of graphs) {
    const places = new Map(one.nodes.map((node) => [node.id, index.get(keyOf(node))!]));
    for (const edge of one.edges) {
      const from = places.get(edge.source);
      const to = places.get(edge.destination);
      if (from === undefined || to === undefined) continue;
      let number = protocols.indexOf(edge.protocol);
      if (number < 0) number = Math.min(255, protocols.push(edge.protocol) - 1);
      let row = size;
      if (earlier) {
        // Pair and port as two numbers: a text for each of 100,000 edges would cost more than all else here.
        const pair = from * nodes.length + to;
        const place = number * 65_536 + (edge.port ?? 0);
        const ports = rows.get(pair) ?? new Map<number, number>();
        row = ports.get(place) ?? size;
        ports.set(place, row);
        rows.set(pair, ports);
      }
      if (row === size) {
        size += 1;
        source[row] = from;
        destination[row] = to;
        port[row] = edge.port ?? 0;
        protocol[row] = number;
      }
      for (const fill of fills) {
        const target = one === graph ? fill.now : fill.was!;
        const value = fill.value(edge.values);
        if (value !== undefined && value !== null) target[row] = value;
      }
    }
  }

  const columns = fills.map(({ column }) => {
    const cut: Column = { ...column, now: column.now.slice(0, size) };
    if (column.was) cut.was = column.was.slice(0, size);
    return cut;
  });
  return {
    nodes,
    source: source.slice(0, size),
    destination: destination.slice(0, size),
    port: port.slice(0, size),
    protocol: protocol.slice(0, size),
    protocols,
    columns: columns.filter(({ now, was }) => now.some(isKnown) || was?.some(isKnown)),
    compared: earlier !== undefined,
    complete: graph.complete !== false,
    missing: graph.missing ?? [],
    truncated: graph.truncated === true,
    since: graph.since,
    until: graph.until,
    step_s: graph.step_s,
  };
}

function isKnown(value: number): boolean {
  return !Number.isNaN(value);
}

export function columnOf(table: Table, measure: string, statistic?: string): Column | undefined {
  return table.columns.find(
    (column) => column.measure === measure && (column.statistic === undefined || column.statistic === statistic),
  );
}
