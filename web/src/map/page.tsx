// The service map: what talks to what.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { find } from "../format/measure.ts";
import { useKeys } from "../shell/keys.ts";
import { Failure, Incomplete } from "../shell/notice.tsx";
import { measures } from "../state/measures.ts";
import { go, place, theme, turnTo } from "../state/place.ts";
import { Controls } from "./controls.tsx";
import { EdgeTable } from "./edges.tsx";
import { useGraph } from "./graph.ts";
import { HEALTH_NAMES } from "./ink.ts";
import { Matrix } from "./matrix.tsx";
import { Panel } from "./panel.tsx";
import { type Item, type Scene, toggled } from "./scene.ts";
import { nameOf, type Table } from "./table.ts";
import { edgeKey, edgesOf, locate } from "./totals.ts";
import { MapView } from "./view.ts";

export function MapPage() {
  const here = place.value;
  const measure = find(measures.value, here.measure);
  const graph = useGraph(here, measures.value, measure?.name ?? "");
  const { table, scene } = graph;
  const matches = useMemo(() => (scene ? matching(scene, here.search) : undefined), [scene, here.search]);
  const isAllNew = useMemo(
    () => table?.compared && table.nodes.length > 0 && table.columns.every(({ was }) => was?.every(Number.isNaN)),
    [table],
  );
  const fold = (namespace: string) => go({ folds: toggled(place.value.folds, namespace, table?.nodes.length ?? 0) });
  const names = useMemo(() => (table ? [...new Set(table.nodes.map((node) => node.namespace))].sort() : []), [table]);

  useKeys([
    { keys: "/", title: "Find a workload", run: () => document.getElementById("search")?.focus() },
    { keys: "e", title: "Errors only", run: () => go({ errors: !here.errors, camera: null }) },
    { keys: "m", title: "Map, matrix, edges in turn", run: () => go({ shape: NEXT[here.shape] }) },
    { keys: "u", title: "Unfold all namespaces", run: () => go({ folds: { base: "shut", names: [] }, camera: null }) },
    { keys: "U", title: "Fold all namespaces", run: () => go({ folds: { base: "open", names: [] }, camera: null }) },
    {
      keys: "f",
      title: "Focus on what is selected",
      run: () => {
        if (here.selected && !here.selected.includes(">")) go({ focus: here.selected, camera: null });
      },
    },
    {
      keys: "Escape",
      title: "Let go: selection, then focus, then search",
      run: () => {
        if (here.selected) go({ selected: "" });
        else if (here.focus) go({ focus: "", camera: null });
        else go({ search: "" });
      },
    },
    { keys: "R", title: "Load anew", run: graph.reload },
  ]);

  return (
    <>
      <datalist id="namespaces">
        {names.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <Controls measures={measures.value} measure={measure} graph={graph} />
      <Failure error={graph.error} reload={graph.reload} />
      {table ? <Incomplete complete={table.complete} missing={table.missing} /> : null}
      {table?.truncated ? (
        <div class="notice warn">
          <strong>▲ Cut</strong>
          <span class="grow">
            The hub has more edges than it was asked for; those left out are not in any sum here.
          </span>
          <button type="button" onClick={() => go({ limit: 100_000 })}>
            Ask for 100,000
          </button>
        </div>
      ) : null}
      {isAllNew ? (
        <div class="notice warn">
          <strong>▲ Nothing before</strong> The hub knows nothing of the time that this is compared with: all looks new.
        </div>
      ) : null}
      {scene && table && measure ? (
        table.nodes.length === 0 ? (
          <div class="empty">
            Nothing talked to anything in this time. A wider range, other namespaces, or the page Nodes (are agents
            connected?) may tell more.
          </div>
        ) : (
          <div class="split">
            {here.shape === "map" ? (
              <Picture scene={scene} table={table} unit={measure.unit} matches={matches} onFold={fold} />
            ) : here.shape === "matrix" ? (
              <Matrix scene={scene} measure={measure} matches={matches} />
            ) : (
              <EdgeTable table={table} scene={scene} measures={measures.value} measure={measure} matches={matches} />
            )}
            <Panel
              table={table}
              scene={scene}
              measures={measures.value}
              measure={measure}
              selected={here.selected}
              onFold={fold}
            />
          </div>
        )
      ) : null}
    </>
  );
}

const NEXT = { map: "matrix", matrix: "edges", edges: "map" } as const;

/** Items whose name, or any name inside, has the text in it; undefined: nothing is looked for. */
function matching(scene: Scene, search: string): Set<number> | undefined {
  const text = search.trim().toLowerCase();
  if (text === "") return undefined;
  const found = new Set<number>();
  scene.items.forEach((item, index) => {
    if (item.key.toLowerCase().includes(text)) found.add(index);
  });
  return found;
}

interface PictureProps {
  scene: Scene;
  table: Table;
  unit: string;
  matches: Set<number> | undefined;
  onFold: (namespace: string) => void;
}

function Picture({ scene, table, unit, matches: visible, onFold }: PictureProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const view = useRef<MapView | undefined>(undefined);
  const [hint, setHint] = useState<{ text: string; x: number; y: number }>();
  const { selected, camera, search } = place.value;
  const latest = useRef({ scene, table, onFold });
  latest.current = { scene, table, onFold };
  const { item, edge } = useMemo(() => locate(scene, selected), [scene, selected]);
  // A name inside a folded namespace is found as well: the namespace that has it.
  const matches = useMemo(() => withFolded(scene, table, visible, search), [scene, table, visible, search]);

  const open = (index: number) => {
    const { scene } = latest.current;
    const found = scene.items[index]!;
    if (found.node < 0) view.current!.fold(scene.frames[found.frame]!.name);
    else turnTo({ view: "workload", workload: found.key });
  };

  useEffect(() => {
    const made = new MapView(canvas.current!, {
      select: (index, at) => {
        const { scene } = latest.current;
        go({ selected: index !== undefined ? scene.items[index]!.key : at !== undefined ? edgeKey(scene, at) : "" });
      },
      open,
      fold: (namespace) => latest.current.onFold(namespace),
      hover: (text, x, y) => setHint(text === undefined ? undefined : { text, x, y }),
      moved: ({ x, y, zoom }) => go({ camera: [x, y, zoom] }, true),
    });
    view.current = made;
    Object.assign(canvas.current!, { map: made });
    return () => made.close();
  }, []);
  useEffect(() => view.current!.setScene(scene, unit), [scene, unit]);
  useEffect(() => view.current!.setTheme(), [theme.value]);
  useEffect(() => view.current!.setSelection(item, edge, matches), [item, edge, matches]);
  useEffect(() => {
    const now = view.current!.camera;
    const [x, y, zoom] = camera ?? [0, 0, 0];
    // Coming back from the address, rounded, it is no movement.
    if (camera && Math.abs(now.x - x) <= 1 && Math.abs(now.y - y) <= 1 && Math.abs(now.zoom - zoom) < 0.002) return;
    view.current!.setCamera(camera ? { x, y, zoom } : undefined);
  }, [camera]);
  useEffect(() => {
    const jump = () => {
      const [first] = matches ?? [];
      if (first === undefined) return;
      go({ selected: latest.current.scene.items[first]!.key });
      view.current!.reveal(latest.current.scene.items[first]!);
      canvas.current!.parentElement!.focus();
    };
    addEventListener("map-find", jump);
    return () => removeEventListener("map-find", jump);
  }, [matches]);

  const press = (event: KeyboardEvent) => {
    const shown = view.current!;
    const ways: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const way = ways[event.key];
    if (way && event.shiftKey) shown.pan(way[0] * 120, way[1] * 120);
    else if (way) {
      const next = shown.neighbour(...way);
      if (next === undefined) return;
      go({ selected: scene.items[next]!.key }, true);
      shown.reveal(scene.items[next]!);
    } else if (event.key === "+" || event.key === "=") shown.zoom(1.3);
    else if (event.key === "-") shown.zoom(1 / 1.3);
    else if (event.key === "0") {
      shown.setCamera(undefined);
      go({ camera: null }, true);
    } else if (event.key === "Enter" && item !== undefined) open(item);
    else if (event.key === " " && item !== undefined) shown.fold(scene.frames[scene.items[item]!.frame]!.name);
    else return;
    event.preventDefault();
  };

  return (
    <div
      class="picture"
      role="application"
      aria-label={`Service map: ${scene.items.length} boxes, ${scene.from.length} edges. Arrows move from box to box, Enter opens, Space folds, plus and minus zoom, 0 shows all. The matrix and the edges show the same as tables.`}
      tabIndex={0}
      onKeyDown={press}
    >
      <canvas ref={canvas} aria-hidden="true" />
      <div class="hidden" aria-live="polite">
        {item === undefined ? "" : spoken(scene, item)}
      </div>
      {hint ? (
        <div class="hint" style={{ left: `${hint.x + 14}px`, top: `${hint.y + 14}px` }}>
          {hint.text}
        </div>
      ) : null}
      <div class="zoom joined">
        <button type="button" aria-label="Closer" title="Closer  +" onClick={() => view.current!.zoom(1.4)}>
          +
        </button>
        <button
          type="button"
          aria-label="Further away"
          title="Further away  -"
          onClick={() => view.current!.zoom(1 / 1.4)}
        >
          −
        </button>
        <button type="button" title="Everything in sight  0" onClick={() => go({ camera: null }, true)}>
          Fit
        </button>
      </div>
    </div>
  );
}

function withFolded(
  scene: Scene,
  table: Table,
  visible: Set<number> | undefined,
  search: string,
): Set<number> | undefined {
  if (!visible) return undefined;
  const text = search.trim().toLowerCase();
  const found = new Set(visible);
  table.nodes.forEach((node, id) => {
    const item = scene.itemOf[id]!;
    if (item >= 0 && node.key.toLowerCase().includes(text)) found.add(item);
  });
  return found;
}

function spoken(scene: Scene, index: number): string {
  const item: Item = scene.items[index]!;
  const { incoming, outgoing } = edgesOf(scene, index);
  const { namespace, kind } = nameOf(item.key);
  const what =
    item.node < 0
      ? `namespace, folded, ${item.count} workloads`
      : `${kind}${namespace === "-" ? "" : ` in ${namespace}`}`;
  return `${item.label}, ${what}, ${HEALTH_NAMES[item.health]}, called by ${incoming.length}, calls ${outgoing.length}`;
}
