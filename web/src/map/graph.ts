// The page's side of the map's thread: asks it for a graph when the question changes, and for a picture when only the
// way of looking does.

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, address } from "../api/client.ts";
import type { Measure } from "../api/wire.ts";
import { useTick } from "../state/resource.ts";
import { comparison, isLive } from "../state/span.ts";
import type { Place } from "../state/url.ts";
import type { Scene, Spec } from "./scene.ts";
import type { Table } from "./table.ts";
import type { Answer, Ask, Timing } from "./worker.ts";

export interface GraphState {
  table: Table | undefined;
  scene: Scene | undefined;
  timing: Timing | undefined;
  error: Error | undefined;
  loading: boolean;
  /** When the table arrived. */
  at: number;
}

function request(place: Place): string {
  const span = { since: place.since, until: place.until };
  return address("graph", [
    ["since", span.since],
    ["until", span.until],
    ["compare", comparison(span, place.compare, Date.now())],
    ...place.namespaces.map((name) => ["namespace", name] as const),
    ["group", place.group === "workload" ? "" : place.group],
    ["limit", place.limit || ""],
  ]);
}

export function specOf(place: Place, measure: string): Spec {
  return {
    folds: place.folds,
    flat: place.group !== "workload",
    measure,
    statistic: place.statistic || "p99",
    top: place.top,
    errors: place.errors,
    threshold: place.threshold,
    focus: place.focus,
    hops: place.hops,
  };
}

// Started with the page: loading it takes as long as the measures do.
const thread = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
let number = 0;

export function useGraph(place: Place, measures: readonly Measure[], measure: string): GraphState & { reload(): void } {
  const [state, setState] = useState<GraphState>({
    table: undefined,
    scene: undefined,
    timing: undefined,
    error: undefined,
    loading: true,
    at: 0,
  });
  const spec = specOf(place, measure);
  const specText = JSON.stringify(spec);
  const asked = useRef({ load: 0, arrange: 0, spec: "", busy: false });
  const latest = useRef({ place, measures, spec, specText });
  latest.current = { place, measures, spec, specText };

  const say = (ask: Ask) => thread.postMessage(ask);
  const arrange = () => {
    const { spec, specText } = latest.current;
    number += 1;
    Object.assign(asked.current, { arrange: number, spec: specText });
    say({ type: "arrange", id: number, spec });
  };
  const load = () => {
    const { place, measures, spec, specText } = latest.current;
    number += 1;
    Object.assign(asked.current, { load: number, spec: specText, busy: true });
    setState((old) => ({ ...old, loading: true }));
    say({ type: "load", id: number, url: request(place), measures: [...measures], spec });
  };

  useEffect(() => {
    const take = ({ data }: MessageEvent<Answer>) => {
      const current = asked.current;
      if (data.type === "arranged") {
        if (data.id === current.arrange) setState((old) => ({ ...old, scene: data.scene }));
        return;
      }
      if (data.id !== current.load) return;
      current.busy = false;
      if (data.type === "failed") {
        const error = new ApiError(data.status, data.title, data.detail);
        setState((old) => ({ ...old, error, loading: false }));
        return;
      }
      const { table, scene, timing } = data;
      setState({ table, scene, timing, error: undefined, loading: false, at: Date.now() });
      // Looked at differently meanwhile.
      if (current.spec !== latest.current.specText) arrange();
    };
    thread.addEventListener("message", take);
    return () => thread.removeEventListener("message", take);
  }, []);

  const question = JSON.stringify([
    place.since,
    place.until,
    place.compare,
    place.namespaces,
    place.group,
    place.limit,
    measures.map(({ name }) => name),
  ]);
  useEffect(() => {
    if (measures.length > 0) load();
  }, [question]);
  useEffect(() => {
    if (state.table && !asked.current.busy && asked.current.spec !== specText) arrange();
  }, [specText]);
  useTick(isLive(place) ? place.refresh : 0, () => {
    if (!asked.current.busy && measures.length > 0) load();
  });
  return { ...state, reload: load };
}
