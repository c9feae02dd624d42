import { describe, expect, test } from "vitest";
import { MEASURES } from "../../mock/cluster.ts";
import type { GraphEdge, GraphNode } from "../api/wire.ts";
import { failuresOf } from "./failures.ts";
import { heightsOf } from "./level.ts";
import { fullText, namespacesOf, textOf } from "./name.tsx";
import { arrange } from "./scene.ts";
import { tabulate } from "./table.ts";

const NODES: GraphNode[] = [
  { id: 0, namespace: "shop", kind: "Deployment", name: "cart" },
  { id: 1, namespace: "shop", kind: "Service", name: "cart" },
  { id: 2, namespace: "data", kind: "StatefulSet", name: "db" },
  { id: 3, kind: "Process", name: "curl" },
];

function made(edges: GraphEdge[], nodes = NODES, folded: string[] = []) {
  const table = tabulate({ since: "", until: "", step_s: 10, nodes, edges }, undefined, MEASURES);
  const heights = heightsOf(
    table.nodes.map((node) => node.namespace),
    table.source,
    table.destination,
  );
  const scene = arrange(table, heights, MEASURES, {
    folds: { base: "shut", names: folded },
    flat: false,
    measure: "connections",
    statistic: "p99",
    top: 0,
    errors: false,
    threshold: 0.01,
    focus: "",
    hops: 1,
  });
  return { table, scene };
}

function found(...values: GraphEdge["values"][]) {
  const edges = values.map((values, port) => ({ source: 0, destination: 2, protocol: "TCP", port, values }));
  const { table, scene } = made(edges);
  return failuresOf(table, scene, MEASURES, 0.01).map(({ measure, value, share }) => [measure.name, value, share]);
}

describe("why an edge fails", () => {
  test("the share is of all attempts, those that failed among them", () => {
    expect(found({ connections: 30, failures: 70 })).toEqual([["failures", 70, 0.7]]);
    expect(found({ failures: 252 })).toEqual([["failures", 252, 1]]);
    expect(found({ lookups: 50, lookup_failures: 5 })).toEqual([["lookup_failures", 5, 0.1]]);
  });

  test("it is the measure that is beyond the threshold, not one with a share below it", () => {
    expect(found({ drops: 500, retransmits: 4, packets_sent: 4500 })).toEqual([["drops", 500, 0.1]]);
    expect(found({ connections: 5000, failures: 5 })).toEqual([]);
  });

  test("one port fails though others hide it: what is told is of that port", () => {
    expect(found({ connections: 5, failures: 5 }, { connections: 10_000, failures: 0 })).toEqual([
      ["failures", 5, 0.5],
    ]);
  });
});

describe("names", () => {
  test("the same name twice in a namespace comes with its kind", () => {
    const { scene } = made([]);
    const texts = scene.items.map(textOf).sort();
    expect(texts).toEqual(["cart (Deployment)", "cart (Service)", "curl", "db"]);
    expect(scene.items.map(fullText)).toContain("shop/cart (Service)");
  });

  test("nothing is called by a dash", () => {
    const { scene } = made([{ source: 3, destination: 0, protocol: "TCP", port: 80, values: { failures: 1 } }]);
    const of = (name: string) => scene.items.find(({ label }) => label === name)!;
    expect(namespacesOf(of("curl"), of("cart"))).toBe("no namespace → shop");
    expect(namespacesOf(of("cart"), of("cart"))).toBe("shop");
    expect(namespacesOf(of("curl"), of("curl"))).toBe("");
    expect(made([], NODES, ["-"]).scene.items.map(({ label }) => label)).toContain("no namespace");
  });
});
