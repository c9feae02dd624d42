// Every state of every page as a query string, and back. What stands at its default is left out, and the order is
// fixed: the same state has one address. The path is never used, so the page works below any proxy's prefix.

import { type Compare, DEFAULT_SPAN, isCompare, isTime } from "./span.ts";

export type View = "map" | "workloads" | "workload" | "records" | "nodes" | "status";
export type Shape = "map" | "matrix" | "edges";
export type Group = "workload" | "namespace" | "zone";
export type Side = "in" | "out";
export type Tab = "peers" | "pods" | "failures";
export type Theme = "" | "dark" | "light";

/** Which namespaces are folded: what was chosen by hand, else by the size of the map. */
export type Folds = { base: "auto" } | { base: "open" | "shut"; names: string[] };

export interface Filter {
  key: string;
  value: string;
  not: boolean;
}

export interface Place {
  view: View;
  since: string;
  until: string;
  compare: Compare;
  /** Seconds between refreshes; 0: only by hand. */
  refresh: number;
  theme: Theme;
  /** Namespaces that are asked for; none: all. */
  namespaces: string[];

  shape: Shape;
  group: Group;
  folds: Folds;
  measure: string;
  statistic: string;
  /** Edges drawn, by the measure; 0: all. */
  top: number;
  errors: boolean;
  /** The share of a measure that counts as failing; 0: anything. */
  threshold: number;
  /** NS/KIND/NAME */
  focus: string;
  hops: number;
  search: string;
  /** A node's or an edge's key. */
  selected: string;
  /** x, y, zoom; absent: everything in sight. */
  camera: [number, number, number] | null;
  /** Edges asked of the hub; 0: its own default. */
  limit: number;

  workload: string;
  side: Side;
  tab: Tab;

  filters: Filter[];
  paused: boolean;
  last: number;

  problems: boolean;
  /** A column's name; `-` before it: largest first. */
  sort: string;
}

export const DEFAULTS: Readonly<Place> = Object.freeze({
  view: "map",
  since: DEFAULT_SPAN.since,
  until: DEFAULT_SPAN.until,
  compare: "",
  refresh: 10,
  theme: "",
  namespaces: [],
  shape: "map",
  group: "workload",
  folds: { base: "auto" },
  measure: "",
  statistic: "",
  top: 300,
  errors: false,
  threshold: 0.01,
  focus: "",
  hops: 1,
  search: "",
  selected: "",
  camera: null,
  limit: 0,
  workload: "",
  side: "in",
  tab: "peers",
  filters: [],
  paused: false,
  last: 200,
  problems: false,
  sort: "",
} satisfies Place);

interface Codec<T> {
  /** Undefined: not what is expected; the default is taken instead. */
  read(texts: string[]): T | undefined;
  write(value: T): string[];
}

const text = (allowed = /^.{1,512}$/): Codec<string> => ({
  read: ([found]) => (found !== undefined && allowed.test(found) ? found : undefined),
  write: (value) => [value],
});

const time: Codec<string> = {
  read: ([found]) => (found !== undefined && isTime(found) ? found : undefined),
  write: (value) => [value],
};

const compare: Codec<Compare> = {
  read: ([found]) => (found !== undefined && isCompare(found) ? found : undefined),
  write: (value) => [value],
};

function one<T extends string>(...allowed: T[]): Codec<T> {
  return { read: ([found]) => allowed.find((value) => value === found), write: (value) => [value] };
}

function number(least: number, most: number): Codec<number> {
  return {
    read: ([found]) => {
      const value = Number(found);
      return found !== "" && value >= least && value <= most ? value : undefined;
    },
    write: (value) => [String(value)],
  };
}

const flag: Codec<boolean> = { read: ([found]) => found === "1", write: () => ["1"] };
const list: Codec<string[]> = { read: (texts) => texts.filter((entry) => entry !== ""), write: (value) => value };

const folds: Codec<Folds> = {
  read: (texts) => {
    const [base, ...names] = texts;
    return base === "open" || base === "shut" ? { base, names } : undefined;
  },
  write: (value) => (value.base === "auto" ? [] : [value.base, ...value.names]),
};

const camera: Codec<[number, number, number] | null> = {
  read: ([found]) => {
    const parts = (found ?? "").split(",").map(Number);
    const [x, y, zoom] = parts;
    if (parts.length !== 3 || !parts.every(Number.isFinite) || zoom! <= 0) return undefined;
    return [x!, y!, zoom!];
  },
  write: (value) => (value ? [`${value[0].toFixed(0)},${value[1].toFixed(0)},${value[2].toFixed(3)}`] : []),
};

const filters: Codec<Filter[]> = {
  read: (texts) =>
    texts.flatMap((entry) => {
      const found = /^(!?)([a-z_]+):(.+)$/.exec(entry);
      return found ? [{ not: found[1] === "!", key: found[2]!, value: found[3]! }] : [];
    }),
  write: (value) => value.map((filter) => `${filter.not ? "!" : ""}${filter.key}:${filter.value}`),
};

type Fields = { [K in keyof Place]: readonly [parameter: string, codec: Codec<Place[K]>] };

const FIELDS: Fields = {
  view: ["view", one("map", "workloads", "workload", "records", "nodes", "status")],
  workload: ["workload", text()],
  shape: ["as", one("map", "matrix", "edges")],
  group: ["group", one("workload", "namespace", "zone")],
  namespaces: ["namespace", list],
  filters: ["filter", filters],
  since: ["since", time],
  until: ["until", time],
  compare: ["compare", compare],
  measure: ["measure", text(/^[a-z0-9_.]{1,100}$/)],
  statistic: ["statistic", one("mean", "p50", "p95", "p99", "max")],
  errors: ["errors", flag],
  threshold: ["threshold", number(0, 1)],
  top: ["top", number(0, 1_000_000)],
  focus: ["focus", text()],
  hops: ["hops", number(1, 5)],
  search: ["q", text()],
  folds: ["fold", folds],
  selected: ["at", text()],
  camera: ["camera", camera],
  limit: ["limit", number(1, 1_000_000)],
  side: ["side", one("in", "out")],
  tab: ["tab", one("peers", "pods", "failures")],
  paused: ["paused", flag],
  last: ["last", number(0, 10_000)],
  problems: ["problems", flag],
  sort: ["sort", text(/^-?[a-z0-9_.:]{1,100}$/)],
  refresh: ["refresh", number(0, 3600)],
  theme: ["theme", one("dark", "light")],
};

const KEYS = Object.keys(FIELDS) as (keyof Place)[];

/** What stays when one goes to another page. */
const KEPT: (keyof Place)[] = ["since", "until", "compare", "refresh", "theme", "namespaces"];

function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

export function parse(query: string): Place {
  const found = new URLSearchParams(query);
  const place: Record<string, unknown> = { ...DEFAULTS };
  for (const key of KEYS) {
    const [parameter, codec] = FIELDS[key];
    const texts = found.getAll(parameter);
    if (texts.length === 0) continue;
    const value = codec.read(texts);
    if (value !== undefined) place[key] = value;
  }
  return place as unknown as Place;
}

export function format(place: Place): string {
  const query = new URLSearchParams();
  for (const key of KEYS) {
    if (same(place[key], DEFAULTS[key])) continue;
    const [parameter, codec] = FIELDS[key] as readonly [string, Codec<unknown>];
    for (const entry of codec.write(place[key])) query.append(parameter, entry);
  }
  // Readable where nothing forbids it.
  return query.toString().replace(/%2F/g, "/").replace(/%3A/g, ":").replace(/%2C/g, ",");
}

/** Another page: range, comparison and namespaces go along, the rest starts at its default. */
export function turn(place: Place, patch: Partial<Place>): Place {
  const kept = Object.fromEntries(KEPT.map((key) => [key, place[key]]));
  return { ...DEFAULTS, ...kept, ...patch };
}
