// The frame of every page: where one is, which time, and the page itself.

import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { MapPage } from "../map/page.tsx";
import { measuresError } from "../state/measures.ts";
import { go, link, place, theme, turnTo } from "../state/place.ts";
import type { View } from "../state/url.ts";
import { all, useKeys } from "./keys.ts";
import { Namespaces } from "./namespaces.tsx";
import { Failure } from "./notice.tsx";
import { Range } from "./range.tsx";

const PAGES: readonly { view: View; title: string; key: string }[] = [
  { view: "map", title: "Map", key: "g m" },
  { view: "workloads", title: "Workloads", key: "g w" },
  { view: "records", title: "Records", key: "g r" },
  { view: "nodes", title: "Nodes", key: "g n" },
  { view: "status", title: "Status", key: "g s" },
];

/** Pages that are fetched when they are first looked at, so that the map is there the sooner. */
const LATER: Record<Exclude<View, "map">, () => Promise<ComponentType>> = {
  workloads: async () => (await import("../workload/list.tsx")).WorkloadList,
  workload: async () => (await import("../workload/page.tsx")).WorkloadPage,
  records: async () => (await import("../records/page.tsx")).RecordsPage,
  nodes: async () => (await import("../nodes/page.tsx")).NodesPage,
  status: async () => (await import("../status/page.tsx")).StatusPage,
};

const loaded = new Map<View, ComponentType>([["map", MapPage]]);

function usePage(view: View): { Page: ComponentType | undefined; error: Error | undefined } {
  const [, again] = useState(0);
  const [error, setError] = useState<Error>();
  useEffect(() => {
    if (view === "map" || loaded.has(view)) return;
    LATER[view]().then(
      (page) => {
        loaded.set(view, page);
        again((number) => number + 1);
      },
      () => setError(new Error("A part of this page could not be fetched. Was the hub upgraded? Load the page anew.")),
    );
  }, [view]);
  return { Page: loaded.get(view), error };
}

export function App() {
  const { view } = place.value;
  const [help, setHelp] = useState(false);
  const { Page, error } = usePage(view);
  const flip = () => go({ theme: theme.value === "dark" ? "light" : "dark" });

  useKeys([
    ...PAGES.map((page) => ({ keys: page.key, title: page.title, run: () => turnTo({ view: page.view }) })),
    { keys: "d", title: "Dark or light", run: flip },
    { keys: "?", title: "This list", run: () => setHelp(true) },
  ]);
  const title = view === "workload" ? place.value.workload : PAGES.find((page) => page.view === view)?.title;
  useEffect(() => {
    document.title = `${title} · Amphipod`;
  }, [title]);

  return (
    <>
      <header class="top">
        <span class="brand">amphipod</span>
        <nav class="pages" aria-label="Pages">
          {PAGES.map((page) => (
            <a
              key={page.view}
              href={link({ view: page.view })}
              title={`${page.title}  ${page.key}`}
              aria-current={
                view === page.view || (view === "workload" && page.view === "workloads") ? "page" : undefined
              }
            >
              {page.title}
            </a>
          ))}
        </nav>
        <span class="grow" />
        {view === "map" || view === "workloads" ? <Namespaces /> : null}
        {view === "map" || view === "workloads" || view === "workload" ? <Range /> : null}
        <button type="button" class="plain" title="Dark or light  d" aria-label="Dark or light" onClick={flip}>
          {theme.value === "dark" ? "☾" : "☀"}
        </button>
        <button
          type="button"
          class="plain"
          title="Keyboard  ?"
          aria-label="Keyboard help"
          onClick={() => setHelp(true)}
        >
          ?
        </button>
      </header>
      <div>
        <Failure error={measuresError.value ?? error} />
      </div>
      <main id="page">
        <h1 class="hidden">{title}</h1>
        {Page ? <Page /> : null}
      </main>
      {help ? <Help close={() => setHelp(false)} /> : null}
    </>
  );
}

function Help({ close }: { close: () => void }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  return (
    <dialog ref={box} onClose={close} aria-label="Keyboard">
      <div class="row">
        <h2 class="grow">Keyboard</h2>
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
      <div class="keys">
        {all()
          .flat()
          .map((key) => (
            <div key={key.keys}>
              <span>{key.title}</span>
              <kbd>{key.keys}</kbd>
            </div>
          ))}
      </div>
    </dialog>
  );
}
