// What is to be seen of a table: which nodes, folded how, which edges between them, how well they fare.

import type { Measure } from "../api/wire.ts";
import type { Folds } from "../state/url.ts";
import { FAILING, GOOD, healthOf } from "./health.ts";
import type { Heights } from "./level.ts";
import { FOLDED_HEIGHT, FOLDED_WIDTH, type Frame, type Group, NODE_HEIGHT, NODE_WIDTH, pack } from "./pack.ts";
import { type Column, columnOf, type Table } from "./table.ts";

/** More nodes than this, and namespaces start folded. */
export const FOLD_ABOVE = 250;

export const KEPT = 0;
export const NEW = 1;
export const GONE = 2;
export const MORE = 3;
export const LESS = 4;

/** A change by less than this share is none to look at. */
export const NOTABLE = 0.1;

export interface Spec {
  folds: Folds;
  /** No namespaces to fold: the nodes are namespaces or zones themselves. */
  flat: boolean;
  measure: string;
  statistic: string;
  top: number;
  errors: boolean;
  threshold: number;
  focus: string;
  hops: number;
}

export interface Scene {
  frames: Frame[];
  /** Boxes that edges lead to: nodes, and folded namespaces. */
  items: Item[];
  /** By node of the table: its item, or -1. */
  itemOf: Int32Array;
  from: Uint32Array;
  to: Uint32Array;
  now: Float64Array;
  was: Float64Array;
  health: Uint8Array;
  /** What it is compared with before: KEPT, NEW, GONE, MORE or LESS. */
  state: Uint8Array;
  /** Edges are in order of the measure, largest first; those drawn come first. */
  drawn: number;
  /** Rows of the table behind edge `e`: `rows[starts[e] .. starts[e + 1]]`. */
  starts: Uint32Array;
  rows: Uint32Array;
  width: number;
  height: number;
  folded: boolean;
  compared: boolean;
  arranged_ms: number;
}

export interface Item {
  key: string;
  label: string;
  /** Its kind, where another in its namespace has the same name; else empty. */
  twin: string;
  /** Node of the table; -1: a folded namespace. */
  node: number;
  frame: number;
  /** Services inside. */
  count: number;
  x: number;
  y: number;
  width: number;
  height: number;
  health: number;
}

/** A folded namespace's key, unlike any workload's. */
export function foldedKey(namespace: string): string {
  return `${namespace}/`;
}

export function isFolded(folds: Folds, namespace: string, nodes: number): boolean {
  switch (folds.base) {
    case "auto":
      return nodes > FOLD_ABOVE;
    case "open":
      return !folds.names.includes(namespace);
    case "shut":
      return folds.names.includes(namespace);
  }
}

/** The folds after one namespace was folded or unfolded by hand. */
export function toggled(folds: Folds, namespace: string, nodes: number): Folds {
  const start: Folds = folds.base === "auto" ? { base: nodes > FOLD_ABOVE ? "open" : "shut", names: [] } : folds;
  const names = start.names.includes(namespace)
    ? start.names.filter((name) => name !== namespace)
    : [...start.names, namespace].sort();
  return { base: start.base, names };
}

/** Nodes within so many calls of one, either way. */
export function within(table: Table, start: number, hops: number): Uint8Array {
  const seen = new Uint8Array(table.nodes.length);
  seen[start] = 1;
  for (let hop = 0; hop < hops; hop++) {
    const before = seen.slice();
    for (let row = 0; row < table.source.length; row++) {
      const from = table.source[row]!;
      const to = table.destination[row]!;
      if (before[from]) seen[to] = 1;
      if (before[to]) seen[from] = 1;
    }
  }
  return seen;
}

export function titleOf(namespace: string): string {
  return namespace === "-" ? "no namespace" : namespace;
}

function nameKey({ namespace, name }: { namespace: string; name: string }): string {
  return `${namespace}/${name}`;
}

/** Names that more than one node of a namespace has: a Service, say, and the Deployment behind it. */
function sharedNames(table: Table): Set<string> {
  const seen = new Set<string>();
  const shared = new Set<string>();
  for (const node of table.nodes) (seen.has(nameKey(node)) ? shared : seen).add(nameKey(node));
  return shared;
}

export function arrange(table: Table, heights: Heights, measures: readonly Measure[], spec: Spec): Scene {
  const started = performance.now();
  const rowHealth = healthOf(table, measures, spec.threshold);
  const { nodes: visible, keep } = select(table, rowHealth, spec);
  const count = visible.reduce((sum, one) => sum + one, 0);

  const groups = new Map<string, Group>();
  table.nodes.forEach((node, id) => {
    if (!visible[id]) return;
    const name = spec.flat ? "" : node.namespace;
    let group = groups.get(name);
    if (!group) {
      const folded = !spec.flat && spec.focus === "" && isFolded(spec.folds, name, count);
      group = { name, folded, level: heights.namespace.get(name) ?? 0, nodes: [] };
      groups.set(name, group);
    }
    group.nodes.push({ id, level: (spec.flat ? heights.flat : heights.node)[id]! });
  });
  const packing = pack([...groups.values()], table.nodes.length);

  const itemOf = new Int32Array(table.nodes.length).fill(-1);
  const items: Item[] = [];
  const shared = sharedNames(table);
  packing.frames.forEach((frame, number) => {
    if (frame.folded) {
      const size = { width: FOLDED_WIDTH, height: FOLDED_HEIGHT };
      const names = { key: foldedKey(frame.name), label: titleOf(frame.name), twin: "", node: -1 };
      items.push({ ...names, frame: number, count: frame.count, x: frame.x, y: frame.y, ...size, health: GOOD });
    }
    for (const { id } of groups.get(frame.name)!.nodes) {
      itemOf[id] = frame.folded ? items.length - 1 : items.length;
      if (frame.folded) continue;
      const { key, kind, name } = table.nodes[id]!;
      const twin = shared.has(nameKey(table.nodes[id]!)) ? kind : "";
      const place = { x: packing.x[id]!, y: packing.y[id]!, width: NODE_WIDTH, height: NODE_HEIGHT };
      items.push({ key, label: titleOf(name), twin, node: id, frame: number, count: 1, ...place, health: GOOD });
    }
  });

  const edges = join(table, spec, measures, keep, itemOf, items.length, rowHealth);
  for (let edge = 0; edge < edges.from.length; edge++) {
    const worst = edges.health[edge]!;
    // A failure shows where it is met: at the end that was called.
    const item = items[edges.to[edge]!]!;
    if (worst > item.health) item.health = worst;
  }
  return {
    frames: packing.frames,
    items,
    itemOf,
    ...edges,
    width: packing.width,
    height: packing.height,
    folded: packing.frames.some((frame) => frame.folded),
    compared: table.compared,
    arranged_ms: performance.now() - started,
  };
}

function select(table: Table, health: Uint8Array, spec: Spec): { nodes: Uint8Array; keep: Uint8Array } {
  const keep = new Uint8Array(table.source.length).fill(1);
  let nodes = new Uint8Array(table.nodes.length).fill(1);
  const focus = spec.focus === "" ? -1 : table.nodes.findIndex((node) => node.key === spec.focus);
  if (spec.focus !== "")
    nodes = focus < 0 ? new Uint8Array(nodes.length) : new Uint8Array(within(table, focus, spec.hops));
  const touched = new Uint8Array(nodes.length);
  for (let row = 0; row < keep.length; row++) {
    const from = table.source[row]!;
    const to = table.destination[row]!;
    if (!nodes[from] || !nodes[to] || (spec.errors && health[row] !== FAILING)) keep[row] = 0;
    else touched[from] = touched[to] = 1;
  }
  if (spec.errors) {
    if (focus >= 0) touched[focus] = 1;
    nodes = touched;
  }
  return { nodes, keep };
}

type Edges = Pick<Scene, "from" | "to" | "now" | "was" | "health" | "state" | "drawn" | "starts" | "rows">;

/** Joins rows between the same two items, whatever their ports, into one edge each. */
function join(
  table: Table,
  spec: Spec,
  measures: readonly Measure[],
  keep: Uint8Array,
  itemOf: Int32Array,
  items: number,
  rowHealth: Uint8Array,
): Edges {
  const column = columnOf(table, spec.measure, spec.statistic);
  const kept: number[] = [];
  const codes = new Float64Array(table.source.length);
  for (let row = 0; row < codes.length; row++) {
    const from = itemOf[table.source[row]!]!;
    const to = itemOf[table.destination[row]!]!;
    if (!keep[row] || from < 0 || to < 0) continue;
    codes[row] = from * items + to;
    kept.push(row);
  }
  kept.sort((a, b) => codes[a]! - codes[b]! || a - b);

  const first: number[] = [];
  for (let at = 0; at < kept.length; at++) if (at === 0 || codes[kept[at]!] !== codes[kept[at - 1]!]) first.push(at);
  const size = first.length;
  first.push(kept.length);

  const weights = weigh(table, column, measures);
  const now = new Float64Array(size);
  const was = new Float64Array(size);
  const health = new Uint8Array(size);
  const state = new Uint8Array(size);
  const present = presence(table);
  for (let edge = 0; edge < size; edge++) {
    const rows = kept.slice(first[edge]!, first[edge + 1]!);
    now[edge] = column ? merge(rows, column.now, column.statistic, weights) : Number.NaN;
    was[edge] = column?.was ? merge(rows, column.was, column.statistic, weights) : Number.NaN;
    let seen = 0;
    for (const row of rows) {
      health[edge] = Math.max(health[edge]!, rowHealth[row]!);
      seen |= present[row]!;
    }
    state[edge] = !table.compared ? KEPT : seen === 3 ? moved(now[edge]!, was[edge]!) : seen === 1 ? NEW : GONE;
  }

  const known = (edge: number) => (Number.isNaN(now[edge]!) ? -1 : now[edge]!);
  const order = Array.from({ length: size }, (_, edge) => edge);
  order.sort((a, b) => known(b) - known(a) || a - b);
  if (spec.top > 0 && size > spec.top) {
    // Whatever fails is drawn, however little of it there is.
    const chosen = order.filter((edge, rank) => rank < spec.top || health[edge] === FAILING);
    const rest = order.filter((edge, rank) => rank >= spec.top && health[edge] !== FAILING);
    return sorted([...chosen, ...rest], chosen.length);
  }
  return sorted(order, size);

  function sorted(order: number[], drawn: number): Edges {
    const from = new Uint32Array(size);
    const to = new Uint32Array(size);
    const starts = new Uint32Array(size + 1);
    const rows = new Uint32Array(kept.length);
    let fill = 0;
    order.forEach((edge, place) => {
      const code = codes[kept[first[edge]!]!]!;
      from[place] = Math.floor(code / items);
      to[place] = code % items;
      starts[place] = fill;
      for (let at = first[edge]!; at < first[edge + 1]!; at++) rows[fill++] = kept[at]!;
    });
    starts[size] = fill;
    const pick = <T extends Float64Array | Uint8Array>(values: T): T =>
      values.map((_, place) => values[order[place]!]!) as T;
    return { from, to, now: pick(now), was: pick(was), health: pick(health), state: pick(state), drawn, starts, rows };
  }
}

/** Of an edge that is known at both times. */
function moved(now: number, was: number): number {
  if (Number.isNaN(now) || Number.isNaN(was) || Math.abs(now - was) <= NOTABLE * was) return KEPT;
  return now > was ? MORE : LESS;
}

/** Bit 1: known now; bit 2: known before. */
function presence(table: Table): Uint8Array {
  const present = new Uint8Array(table.source.length);
  for (const { now, was } of table.columns) {
    for (let row = 0; row < present.length; row++) {
      if (!Number.isNaN(now[row]!)) present[row]! |= 1;
      if (was && !Number.isNaN(was[row]!)) present[row]! |= 2;
    }
  }
  return present;
}

/** For a mean: how many values each row's stands for. */
function weigh(table: Table, column: Column | undefined, measures: readonly Measure[]): Float64Array | undefined {
  const measure = measures.find((one) => one.name === column?.measure);
  return measure?.type === "distribution" ? columnOf(table, measure.name, "count")?.now : undefined;
}

/** Sums add up and means are weighted; of quantiles only the worst can be told without what they were made from. */
export function merge(
  rows: readonly number[],
  values: Float64Array,
  statistic: string | undefined,
  weights: Float64Array | undefined,
): number {
  let total = Number.NaN;
  let weight = 0;
  for (const row of rows) {
    const value = values[row]!;
    if (Number.isNaN(value)) continue;
    if (statistic === undefined || statistic === "count") total = (Number.isNaN(total) ? 0 : total) + value;
    else if (statistic === "mean") {
      const share = weights && !Number.isNaN(weights[row]!) ? weights[row]! : 1;
      total = Number.isNaN(total) ? value : (total * weight + value * share) / (weight + share || 1);
      weight += share;
    } else total = Number.isNaN(total) ? value : Math.max(total, value);
  }
  return total;
}
