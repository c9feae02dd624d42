// The map's thread: fetches, parses, finds levels and arranges, so that the page never waits for any of it.

import { get } from "../api/client.ts";
import type { Graph, Measure } from "../api/wire.ts";
import { type Heights, heightsOf } from "./level.ts";
import { arrange, type Scene, type Spec } from "./scene.ts";
import { type Table, tabulate } from "./table.ts";

export interface Timing {
  fetched_ms: number;
  tabulated_ms: number;
  leveled_ms: number;
}

export type Ask =
  | { type: "load"; id: number; url: string; measures: Measure[]; spec: Spec }
  | { type: "arrange"; id: number; spec: Spec };

export type Answer =
  | { type: "loaded"; id: number; table: Table; scene: Scene; timing: Timing }
  | { type: "arranged"; id: number; scene: Scene }
  | { type: "failed"; id: number; title: string; detail: string; status: number };

let table: Table | undefined;
let heights: Heights | undefined;
let measures: Measure[] = [];
let loading: AbortController | undefined;

function answer(message: Answer): void {
  postMessage(message);
}

async function load(ask: Extract<Ask, { type: "load" }>): Promise<void> {
  loading?.abort();
  const controller = new AbortController();
  loading = controller;
  const started = performance.now();
  try {
    const graph = await get<Graph>(ask.url, controller.signal);
    const fetched = performance.now();
    const next = tabulate(graph, graph.earlier, ask.measures);
    const tabulated = performance.now();
    heights = heightsOf(
      next.nodes.map((node) => node.namespace),
      next.source,
      next.destination,
    );
    table = next;
    measures = ask.measures;
    const leveled = performance.now();
    const timing = {
      fetched_ms: fetched - started,
      tabulated_ms: tabulated - fetched,
      leveled_ms: leveled - tabulated,
    };
    answer({ type: "loaded", id: ask.id, table, scene: arrange(table, heights, measures, ask.spec), timing });
  } catch (error) {
    if (controller.signal.aborted) return;
    const { message, detail, status } = error as { message: string; detail?: string; status?: number };
    answer({ type: "failed", id: ask.id, title: message, detail: detail ?? "", status: status ?? 0 });
  }
}

addEventListener("message", ({ data }: MessageEvent<Ask>) => {
  if (data.type === "load") void load(data);
  else if (table && heights)
    answer({ type: "arranged", id: data.id, scene: arrange(table, heights, measures, data.spec) });
});
