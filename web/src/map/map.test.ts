import { describe, expect, test } from "vitest";
import { MEASURES, makeCluster } from "../../mock/cluster.ts";
import { Mock } from "../../mock/server.ts";
import type { Graph, GraphEdge } from "../api/wire.ts";
import { DEFAULTS } from "../state/url.ts";
import { FAILING } from "./health.ts";
import { heightsOf, levels } from "./level.ts";
import { type Group, NODE_WIDTH, pack, step } from "./pack.ts";
import { arrange, GONE, KEPT, LESS, MORE, merge, NEW, type Scene, type Spec, toggled } from "./scene.ts";
import { type Table, tabulate } from "./table.ts";

const SPEC: Spec = {
  folds: { base: "shut", names: [] },
  flat: false,
  measure: "bytes_sent",
  statistic: "p99",
  top: 0,
  errors: false,
  threshold: 0.01,
  focus: "",
  hops: 1,
};

function graphOf(services: number): Graph {
  return JSON.parse(new Mock({ services }).graph(new URLSearchParams("since=-15m&until=now&limit=1000000"))) as Graph;
}

function scene(table: Table, spec: Partial<Spec> = {}): Scene {
  const namespaces = table.nodes.map((node) => node.namespace);
  return arrange(table, heightsOf(namespaces, table.source, table.destination), MEASURES, { ...SPEC, ...spec });
}

function places(graph: Graph, spec: Partial<Spec> = {}): Map<string, [number, number]> {
  const made = scene(tabulate(graph, undefined, MEASURES), spec);
  return new Map(made.items.map((item) => [item.key, [item.x, item.y]]));
}

/** The share of nodes in both pictures that stand exactly where they stood, and the mean way of the others by the map's size. */
function stability(before: Map<string, [number, number]>, after: Map<string, [number, number]>) {
  const shared = [...before].filter(([key]) => after.has(key));
  const ways = shared.map(([key, [x, y]]) => Math.hypot(after.get(key)![0] - x, after.get(key)![1] - y));
  const extent = Math.max(...[...before.values()].map(([x, y]) => Math.hypot(x, y)));
  return {
    still: ways.filter((way) => way < 1).length / ways.length,
    mean: ways.reduce((sum, way) => sum + way, 0) / ways.length / extent,
  };
}

describe("levels", () => {
  test("a chain has whole steps, whatever the order of its edges", () => {
    const chain = [0, 1, 2, 3];
    for (const order of [chain, [2, 0, 3, 1]]) {
      const found = levels(5, Uint32Array.from(order), Uint32Array.from(order.map((node) => node + 1)));
      expect([...found].map((level) => level - found[0]!).map((level) => Math.round(level * 100) / 100)).toEqual([
        0, 1, 2, 3, 4,
      ]);
    }
  });

  test("loops, doubled edges and lonely nodes do not matter", () => {
    const plain = levels(3, Uint32Array.of(0), Uint32Array.of(1));
    expect(levels(3, Uint32Array.of(0, 0, 1), Uint32Array.of(1, 1, 1))).toEqual(plain);
    expect([...plain]).toEqual([-0.5, 0.5, 0]);
  });

  test("a circle is level", () => {
    for (const level of levels(3, Uint32Array.of(0, 1, 2), Uint32Array.of(1, 2, 0))) expect(level).toBeCloseTo(0);
  });
});

describe("packing", () => {
  const groups = (sizes: number[], folded = false): Group[] => {
    let id = 0;
    return sizes.map((size, number) => ({
      name: `g${number}`,
      folded,
      level: number % 2,
      nodes: Array.from({ length: size }, () => ({ id: id++, level: number % 3 })),
    }));
  };

  test("sizes go in steps", () => {
    expect([1, 2, 3, 4, 5, 7, 9, 13, 17, 25].map(step)).toEqual([1, 2, 3, 4, 5, 8, 10, 13, 20, 25]);
  });

  test("nothing overlaps", () => {
    for (const sizes of [[1], [3, 40, 7, 0, 12], [500, 2, 2, 2, 90, 33]]) {
      for (const folded of [false, true]) {
        const count = sizes.reduce((sum, size) => sum + size, 0);
        const { frames, x, y } = pack(groups(sizes, folded), count);
        frames.forEach((a, first) => {
          for (const b of frames.slice(first + 1)) {
            const apart =
              a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
            expect(apart, `${a.name} ${b.name}`).toBe(true);
          }
        });
        const taken = new Set([...x].flatMap((left, id) => (Number.isNaN(left) ? [] : [`${left},${y[id]}`])));
        expect(taken.size).toBe(folded ? 0 : count);
      }
    }
  });

  test("nodes stand inside their frame", () => {
    const { frames, x, y } = pack(groups([30, 5]), 35);
    for (let id = 0; id < 35; id++) {
      const frame = frames.find(({ name }) => name === (id < 30 ? "g0" : "g1"))!;
      expect(x[id]! >= frame.x && x[id]! + NODE_WIDTH <= frame.x + frame.width).toBe(true);
      expect(y[id]! >= frame.y && y[id]! + 24 <= frame.y + frame.height).toBe(true);
    }
  });
});

describe("stability", () => {
  const graph = graphOf(1000);
  const before = places(graph);

  test("the same input gives the same picture, in whatever order it comes", () => {
    const turned: Graph = {
      ...graph,
      nodes: graph.nodes.map((node) => ({ ...node, id: 5000 - node.id })).reverse(),
      edges: graph.edges
        .map((edge) => ({ ...edge, source: 5000 - edge.source, destination: 5000 - edge.destination }))
        .reverse(),
    };
    expect(places(turned)).toEqual(before);
  });

  test("other traffic on the same edges moves nothing", () => {
    const louder = { ...graph, edges: graph.edges.map((edge) => ({ ...edge, values: { bytes_sent: 1 } })) };
    expect(places(louder)).toEqual(before);
  });

  test("a service more moves little", () => {
    const id = graph.nodes.length;
    const node = { id, namespace: graph.nodes[30]!.namespace!, kind: "Deployment", name: "novelty" };
    const edge: GraphEdge = { source: 30, destination: id, protocol: "TCP", port: 80, values: { bytes_sent: 1 } };
    const { still, mean } = stability(
      before,
      places({ ...graph, nodes: [...graph.nodes, node], edges: [...graph.edges, edge] }),
    );
    console.log(
      `a service more: ${(still * 100).toFixed(1)} % of nodes stand still, mean way ${(mean * 100).toFixed(2)} % of the map`,
    );
    expect(still).toBeGreaterThan(0.8);
    expect(mean).toBeLessThan(0.01);
  });

  test("an edge in a hundred less moves little", () => {
    const { still, mean } = stability(
      before,
      places({ ...graph, edges: graph.edges.filter((_, number) => number % 100 !== 50) }),
    );
    console.log(
      `1 % of edges gone: ${(still * 100).toFixed(1)} % of nodes stand still, mean way ${(mean * 100).toFixed(2)} % of the map`,
    );
    expect(mean).toBeLessThan(0.03);
  });

  test("folding keeps the order of the frames", () => {
    const table = tabulate(graph, undefined, MEASURES);
    const all = scene(table, { folds: { base: "open", names: [] } });
    const one = scene(table, { folds: { base: "open", names: ["shop"] } });
    expect(one.frames.map(({ name }) => name)).toEqual(all.frames.map(({ name }) => name));
    expect(one.items.length).toBeGreaterThan(all.items.length);
  });
});

describe("scene", () => {
  const measures = MEASURES;
  const edge = (source: number, destination: number, values: GraphEdge["values"], port = 80): GraphEdge => ({
    source,
    destination,
    protocol: "TCP",
    port,
    values,
  });
  const small: Graph = {
    since: "",
    until: "",
    step_s: 10,
    nodes: ["web", "cart", "db", "idle"].map((name, id) => ({
      id,
      namespace: id < 2 ? "a" : "b",
      kind: "Deployment",
      name,
    })),
    edges: [
      edge(0, 1, { connections: 100, failures: 0, bytes_sent: 10, connect: { count: 1, mean: 2, p99: 3 } }),
      edge(0, 1, { connections: 1000, failures: 5, bytes_sent: 5, connect: { count: 3, mean: 6, p99: 1 } }, 81),
      edge(1, 2, { connections: 10, failures: 9 }),
    ],
  };
  const keys = (made: Scene) => made.items.map(({ key }) => key);
  const pairs = (made: Scene) =>
    [...made.from].map((from, e) => `${made.items[from]!.label}>${made.items[made.to[e]!]!.label}`);

  test("ports are joined: sums added, the worst quantile, a weighted mean", () => {
    const table = tabulate(small, undefined, measures);
    expect(pairs(scene(table))).toEqual(["web>cart", "cart>db"]);
    expect(scene(table).now[0]).toBe(15);
    expect(scene(table, { measure: "connect", statistic: "p99" }).now[0]).toBe(3);
    expect(scene(table, { measure: "connect", statistic: "mean" }).now[0]).toBe(5);
    expect(scene(table).now[1]).toBeNaN();
  });

  test("what is unknown stays unknown", () => {
    expect(merge([0, 1], Float64Array.of(Number.NaN, Number.NaN), undefined, undefined)).toBeNaN();
    expect(merge([0, 1], Float64Array.of(Number.NaN, 0), undefined, undefined)).toBe(0);
  });

  test("errors only leaves what fails beyond the threshold, and its ends", () => {
    const table = tabulate(small, undefined, measures);
    expect(keys(scene(table, { errors: true }))).toEqual(["a/Deployment/cart", "b/Deployment/db"]);
    expect(keys(scene(table, { errors: true, threshold: 0.001 })).length).toBe(3);
    expect(scene(table).items.find(({ label }) => label === "db")!.health).toBe(FAILING);
  });

  test("focus leaves what is within so many calls", () => {
    const table = tabulate(small, undefined, measures);
    expect(keys(scene(table, { focus: "a/Deployment/web" })).length).toBe(2);
    expect(keys(scene(table, { focus: "a/Deployment/web", hops: 2 })).length).toBe(3);
    expect(keys(scene(table, { focus: "a/Deployment/none" }))).toEqual([]);
  });

  test("top leaves the largest, and whatever fails", () => {
    const made = scene(tabulate(small, undefined, measures), { top: 1 });
    expect(made.drawn).toBe(2);
    expect(scene(tabulate(small, undefined, measures), { top: 1, threshold: 1 }).drawn).toBe(1);
  });

  test("folded namespaces stand for what is in them, and their inner edges for a loop", () => {
    const made = scene(tabulate(small, undefined, measures), { folds: { base: "shut", names: ["a"] } });
    expect(keys(made).sort()).toEqual(["a/", "b/Deployment/db", "b/Deployment/idle"]);
    expect(pairs(made)).toEqual(["a>a", "a>db"]);
    expect(toggled({ base: "auto" }, "a", 10)).toEqual({ base: "shut", names: ["a"] });
    expect(toggled({ base: "auto" }, "a", 1000)).toEqual({ base: "open", names: ["a"] });
    expect(toggled({ base: "shut", names: ["a"] }, "a", 10)).toEqual({ base: "shut", names: [] });
  });

  test("compared with before: what is new and what is gone", () => {
    const earlier: Graph = {
      ...small,
      // Other ids for the same names.
      nodes: small.nodes.map((node) => ({ ...node, id: node.id + 10 })),
      edges: [edge(10, 11, { bytes_sent: 30 }), edge(10, 13, { bytes_sent: 1 })],
    };
    const made = scene(tabulate(small, earlier, measures));
    const state = Object.fromEntries(pairs(made).map((pair, e) => [pair, made.state[e]]));
    expect(state).toEqual({ "web>cart": LESS, "cart>db": NEW, "web>idle": GONE });
    expect(made.was[pairs(made).indexOf("web>cart")]).toBe(30);
    const now = made.now[pairs(made).indexOf("web>cart")]!;
    const against = (bytes_sent: number) => {
      const earlier = { ...small, edges: [edge(0, 1, { bytes_sent })] };
      const made = scene(tabulate(small, earlier, measures));
      return made.state[pairs(made).indexOf("web>cart")];
    };
    expect([now * 2, now * 1.05, now, now / 1.05, now / 2].map(against)).toEqual([LESS, KEPT, KEPT, KEPT, MORE]);
    expect(scene(tabulate(small, undefined, measures)).state.every((one) => one === KEPT)).toBe(true);
  });
});

test("clusters come out as large as they were ordered", () => {
  const { services, calls } = makeCluster({ services: 1000 });
  expect(services.length).toBe(1000);
  expect(calls.length).toBe(20_000);
  expect(DEFAULTS.view).toBe("map");
});
