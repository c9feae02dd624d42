// The nodes: which agents report, what their probes can do there, what they lost.

import { useMemo } from "preact/hooks";
import { address, get } from "../api/client.ts";
import type { NodeRow, ProbeVerdict } from "../api/wire.ts";
import { since } from "../format/clock.ts";
import { count, whole } from "../format/quantity.ts";
import { useKeys } from "../shell/keys.ts";
import { Failure } from "../shell/notice.tsx";
import { go, place } from "../state/place.ts";
import { useResource } from "../state/resource.ts";
import { Grid } from "../table/grid.tsx";
import type { Column } from "../table/order.ts";
import { counted, grouped, hasProblem, stateOf, worstFirst } from "./verdict.ts";

export function NodesPage() {
  const { refresh, search, problems, sort, selected } = place.value;
  const list = useResource("nodes", (signal) => get<{ nodes: NodeRow[] }>(address("nodes"), signal), refresh);
  const all = list.data?.nodes ?? [];
  useKeys([
    { keys: "/", title: "Find a node", run: () => document.getElementById("search")?.focus() },
    { keys: "e", title: "Problems only", run: () => go({ problems: !problems }) },
    { keys: "Escape", title: "Let go of the selection", run: () => go({ selected: "" }) },
  ]);
  const rows = useMemo(() => {
    const text = search.trim().toLowerCase();
    const has = (node: NodeRow) =>
      [node.name, node.zone, node.version].some((one) => one?.toLowerCase().includes(text));
    return all.filter((node) => has(node) && (!problems || hasProblem(node)));
  }, [list.data, search, problems]);
  const columns = useMemo(() => columnsOf(list.at), [list.at]);
  const chosen = all.find((node) => node.name === selected);
  const away = all.filter((node) => !node.connected).length;
  const lost = all.reduce((sum, node) => sum + (node.lost_rows ?? 0), 0);
  return (
    <>
      <div class="bar" role="toolbar" aria-label="Nodes">
        <input
          id="search"
          type="search"
          placeholder="Find  /"
          aria-label="Find a node"
          value={search}
          spellcheck={false}
          onInput={(event) => go({ search: event.currentTarget.value }, true)}
        />
        <button type="button" title="e" aria-pressed={problems} onClick={() => go({ problems: !problems })}>
          ▲ Problems only
        </button>
        <span class="grow" />
        <span class="muted" role="status">
          {list.data ? (
            <>
              {whole(rows.length)} of {whole(all.length)} nodes ·{" "}
              <span class={away > 0 ? "bad" : ""}>
                {away > 0 ? "✕ " : ""}
                {whole(away)} away
              </span>{" "}
              ·{" "}
              <span class={lost > 0 ? "warn" : ""}>
                {lost > 0 ? "▲ " : ""}
                {whole(lost)} rows lost
              </span>
            </>
          ) : (
            "loading …"
          )}{" "}
          <span class={`busy ${list.loading ? "on" : ""}`} />
        </span>
      </div>
      <Failure error={list.error} reload={list.reload} />
      <div class="split">
        <Grid
          label="Nodes"
          rows={rows}
          columns={columns}
          rowKey={(node) => node.name}
          sort={sort || "state"}
          onSort={(sort) => go({ sort }, true)}
          onOpen={(node) => go({ selected: node.name }, true)}
          marked={selected}
          empty={list.data ? "No node is like this." : ""}
        />
        <aside class="panel" aria-label="Probes" tabIndex={0}>
          {chosen ? <OneNode node={chosen} /> : <AllNodes nodes={all} />}
        </aside>
      </div>
    </>
  );
}

export function State({ state, text = true }: { state: string; text?: boolean }) {
  const { glyph, tone } = stateOf(state);
  return (
    <span class={tone} title={state}>
      {glyph}
      {text ? ` ${state}` : <span class="hidden">{state} </span>}
    </span>
  );
}

function columnsOf(now_ms: number): Column<NodeRow>[] {
  return [
    {
      key: "state",
      title: "Agent",
      width: "104px",
      sort: (node) => (node.connected ? (hasProblem(node) ? 1 : 2) : 0),
      show: (node) => <State state={node.connected ? "connected" : "away"} />,
    },
    { key: "name", title: "Node", width: "minmax(130px, 2fr)", sort: (node) => node.name, show: (node) => node.name },
    { key: "zone", title: "Zone", width: "90px", sort: (node) => node.zone, show: (node) => node.zone ?? "" },
    {
      key: "version",
      title: "Version",
      width: "80px",
      sort: (node) => node.version,
      show: (node) => node.version ?? "",
    },
    {
      key: "seen",
      title: "Last seen",
      width: "100px",
      right: true,
      sort: (node) => (node.last_seen ? -Date.parse(node.last_seen) : undefined),
      show: (node) => (node.last_seen ? since(Date.parse(node.last_seen), now_ms) : ""),
    },
    {
      key: "rows",
      title: "Rows",
      width: "80px",
      right: true,
      sort: (node) => node.rows,
      show: (node) => count(node.rows),
    },
    ...(["lost", "lost_rows"] as const).map(
      (key): Column<NodeRow> => ({
        key,
        title: key === "lost" ? "Events lost" : "Rows lost",
        hint: key === "lost" ? "Events and records that were lost on the node" : "Rows that the hub was not told",
        width: "84px",
        right: true,
        sort: (node) => node[key],
        show: (node) => (node[key] ? <span class="warn">▲ {whole(node[key])}</span> : whole(node[key])),
      }),
    ),
    {
      key: "probes",
      title: "Probes",
      hint: "Programs in each state",
      width: "minmax(140px, 1fr)",
      sort: (node) => -(node.probes ?? []).filter(({ state }) => stateOf(state).isProblem).length,
      show: (node) => (
        <span class="signs">
          {counted(node.probes ?? []).map(([state, programs]) => (
            <span key={state} title={`${state}: ${programs.join(", ")}`}>
              <State state={state} text={false} />
              {whole(programs.length)}
            </span>
          ))}
        </span>
      ),
    },
  ];
}

function Verdict({ verdict, nodes }: { verdict: ProbeVerdict; nodes?: string[] }) {
  return (
    <div class="verdict">
      <div class="row">
        <State state={verdict.state} />
        <span class="grow">
          {verdict.probe} <span class="muted">{verdict.program}</span>
        </span>
        {nodes ? (
          <span>
            {whole(nodes.length)} {nodes.length === 1 ? "node" : "nodes"}
          </span>
        ) : null}
      </div>
      {verdict.reason ? <p>{verdict.reason}</p> : null}
      {nodes && nodes.length <= 3 ? <p>{nodes.join(", ")}</p> : null}
    </div>
  );
}

function OneNode({ node }: { node: NodeRow }) {
  return (
    <>
      <div class="row">
        <h2 class="grow">{node.name}</h2>
        <button type="button" onClick={() => go({ selected: "" }, true)}>
          All nodes
        </button>
      </div>
      {worstFirst(node.probes ?? [], ({ state }) => state).map((verdict) => (
        <Verdict key={verdict.probe + verdict.program} verdict={verdict} />
      ))}
    </>
  );
}

/** Of thousands of nodes: each verdict once, with how many have it. */
function AllNodes({ nodes }: { nodes: NodeRow[] }) {
  const groups = useMemo(() => grouped(nodes), [nodes]);
  return (
    <>
      <h2>Probes</h2>
      {worstFirst(groups, ({ verdict }) => verdict.state).map(({ verdict, nodes }) => (
        <Verdict key={JSON.stringify(verdict)} verdict={verdict} nodes={nodes} />
      ))}
    </>
  );
}
