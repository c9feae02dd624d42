// One workload: its signals, whom it talks to, its pods, what failed lately.

import { useMemo } from "preact/hooks";
import { address, get } from "../api/client.ts";
import type { Deploy, WorkloadPage as Page, Peer, Pod, SeriesAnswer } from "../api/wire.ts";
import { Plot } from "../chart/plot.tsx";
import { signals } from "../chart/signal.ts";
import { date } from "../format/clock.ts";
import { find, judge, numberOf, titleOf } from "../format/measure.ts";
import { change, quantity, rate, whole } from "../format/quantity.ts";
import { Kind } from "../map/name.tsx";
import { keyOf, nameOf } from "../map/table.ts";
import { RecordList } from "../records/list.tsx";
import { useKeys } from "../shell/keys.ts";
import { Failure, Incomplete } from "../shell/notice.tsx";
import { measures } from "../state/measures.ts";
import { go, link, place, turnTo } from "../state/place.ts";
import { useResource } from "../state/resource.ts";
import { comparison, isLive } from "../state/span.ts";
import type { Tab } from "../state/url.ts";
import { Grid } from "../table/grid.tsx";
import type { Column } from "../table/order.ts";
import { changeColumn, Judged, valueColumns } from "./columns.tsx";

const TABS: [Tab, string][] = [
  ["peers", "Peers"],
  ["pods", "Pods"],
  ["failures", "Recent failures"],
];

export function WorkloadPage() {
  const { workload, since, until, compare, refresh, tab, side, sort, threshold } = place.value;
  const { namespace, kind, name } = nameOf(workload);
  const span = { since, until };
  const path = `workloads/${[namespace, kind, name].map(encodeURIComponent).join("/")}`;
  const refreshed = isLive(span) ? refresh : 0;
  const names = measures.value.map((measure) => measure.name);

  const range = () =>
    [
      ["since", since],
      ["until", until],
      ["compare", comparison(span, compare, Date.now())],
    ] as const;
  const page = useResource<Page>(
    JSON.stringify([workload, since, until, compare]),
    (signal) => get<Page>(address(path, range()), signal),
    refreshed,
  );
  const series = useResource<SeriesAnswer>(
    names.length === 0 ? "" : JSON.stringify([workload, since, until, compare, side, names]),
    (signal) => {
      const end = side === "in" ? "destination" : "source";
      return get<SeriesAnswer>(
        address("series", [...names.map((name) => ["measure", name] as const), ...range(), [end, workload]]),
        signal,
      );
    },
    refreshed,
  );
  useKeys([
    { keys: "i", title: "Incoming or outgoing", run: () => go({ side: side === "in" ? "out" : "in" }) },
    { keys: "1", title: "Peers", run: () => go({ tab: "peers", sort: "" }) },
    { keys: "2", title: "Pods", run: () => go({ tab: "pods", sort: "" }) },
    { keys: "3", title: "Recent failures", run: () => go({ tab: "failures", sort: "" }) },
  ]);

  const charts = useMemo(
    () => (series.data ? signals(series.data, series.data.earlier, measures.value) : []),
    [series.data, measures.value],
  );
  const { data } = page;
  const total = side === "in" ? data?.incoming : data?.outgoing;
  const counts: Record<Tab, number | undefined> = {
    peers: data?.peers?.length,
    pods: data?.pods?.length,
    failures: data?.failures?.length,
  };
  const filters = [{ key: "workload", value: `${kind}/${name}`, not: false }];
  if (namespace !== "-") filters.push({ key: "namespace", value: namespace, not: false });
  return (
    <>
      <div class="bar">
        <h2 class="name">{name}</h2>
        <span class="muted">
          {kind}
          {namespace === "-" ? "" : ` in ${namespace}`}
        </span>
        <div class="joined" role="group" aria-label="Signals of">
          <button type="button" aria-pressed={side === "in"} title="i" onClick={() => go({ side: "in" })}>
            Incoming
          </button>
          <button type="button" aria-pressed={side === "out"} title="i" onClick={() => go({ side: "out" })}>
            Outgoing
          </button>
        </div>
        <span class="grow" />
        <a class="button" href={link({ view: "map", focus: workload })}>
          On the map
        </a>
        <a class="button" href={link({ view: "records", filters })}>
          Live records
        </a>
        <span class={`busy ${page.loading || series.loading ? "on" : ""}`} />
      </div>
      <Failure error={page.error ?? series.error} reload={page.error ? page.reload : series.reload} />
      {data ? <Incomplete complete={data.complete !== false} missing={data.missing ?? []} /> : null}
      {data ? (
        <div class="workload">
          <Summary page={data} />
          {data.deploys?.length ? <Deploys deploys={data.deploys} workload={workload} /> : null}
          {charts.length > 0 ? (
            <div class="charts" role="region" aria-label="Signals" tabIndex={0}>
              {charts.map(({ measure, times, lines, perSecond }) => {
                const show = (value: number | null | undefined) =>
                  perSecond ? rate(value, measure.unit) : quantity(value, measure.unit);
                const now = lines.filter(({ before }) => !before);
                const latest = now
                  .map(({ title, values }) => `${now.length > 1 ? `${title} ` : ""}${show(lastOf(values))}`)
                  .join("  ");
                return (
                  <figure key={measure.name}>
                    <figcaption>
                      <Judged
                        state={judge(measure, numberOf(total?.[measure.name]), total, threshold)}
                        text={measure.title}
                      />{" "}
                      <span class="muted">{latest}</span>
                    </figcaption>
                    <Plot
                      label={`${measure.title}, ${side === "in" ? "incoming" : "outgoing"}: last ${latest}`}
                      times={times}
                      lines={lines}
                      format={show}
                      binary={measure.unit === "bytes"}
                      onRange={(from_s, to_s) => go({ since: iso(from_s), until: iso(to_s) })}
                    />
                  </figure>
                );
              })}
            </div>
          ) : series.data ? (
            <p class="empty">
              No {side === "in" ? "incoming" : "outgoing"} signals in this time. Try{" "}
              <button type="button" onClick={() => go({ side: side === "in" ? "out" : "in" })}>
                {side === "in" ? "outgoing" : "incoming"}
              </button>
            </p>
          ) : null}
          <div class="bar tabs" role="tablist" aria-label="More">
            {TABS.map(([key, title]) => (
              <button
                type="button"
                role="tab"
                key={key}
                id={`tab-${key}`}
                aria-selected={tab === key}
                aria-controls="tab-panel"
                onClick={() => go({ tab: key, sort: "" })}
              >
                {title} {counts[key] === undefined ? "" : whole(counts[key])}
              </button>
            ))}
          </div>
          <div class="tab-panel" role="tabpanel" id="tab-panel" aria-labelledby={`tab-${tab}`}>
            {tab === "peers" ? <Peers page={data} sort={sort} /> : null}
            {tab === "pods" ? <Pods pods={data.pods ?? []} sort={sort} /> : null}
            {tab === "failures" ? (
              <RecordList label="Recent failures" lines={data.failures ?? []} empty="No failures in this time." />
            ) : null}
          </div>
        </div>
      ) : null}
    </>
  );
}

function lastOf(values: (number | null)[] | undefined): number | null | undefined {
  return values?.findLast((value) => value !== null);
}

function iso(time_s: number): string {
  return new Date(Math.round(time_s) * 1000).toISOString().replace(".000Z", "Z");
}

/** The whole range in a line of numbers for each direction. */
function Summary({ page }: { page: Page }) {
  const sides = [
    ["in", "Incoming", page.incoming, page.earlier?.incoming],
    ["out", "Outgoing", page.outgoing, page.earlier?.outgoing],
  ] as const;
  const known = measures.value.filter((measure) =>
    sides.some(([, , values]) => numberOf(values?.[measure.name]) !== undefined),
  );
  return (
    <div class="summary" role="region" aria-label="Summary" tabIndex={0}>
      <table class="plain-table">
        <thead>
          <tr>
            <th scope="col">In this time</th>
            {known.map((measure) => (
              <th key={measure.name} scope="col" class="right">
                {titleOf(measure)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sides.map(([side, title, now, was]) => (
            <tr key={side}>
              <th scope="row">{title}</th>
              {known.map((measure) => {
                const value = numberOf(now?.[measure.name]);
                const state = judge(measure, value, now, place.value.threshold);
                return (
                  <td key={measure.name} class="right">
                    <Judged state={state} text={quantity(value, measure.unit)} />
                    {page.earlier ? <div class="muted">{change(value, numberOf(was?.[measure.name]))}</div> : null}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** When it was deployed, and what that changed. */
function Deploys({ deploys, workload }: { deploys: Deploy[]; workload: string }) {
  const now = Date.now();
  const compared = `deploy:${workload}`;
  return (
    <p class="bar deploys">
      <span class="muted">Deployed</span>
      {deploys.slice(0, 3).map((deploy, rank) => (
        <button
          type="button"
          key={deploy.name}
          title={`${deploy.name}: since then, compared with as long before`}
          onClick={() => go({ since: deploy.time, until: "now", compare: "previous" })}
        >
          {date(Date.parse(deploy.time), now)}
          {deploy.revision === undefined ? "" : ` (revision ${deploy.revision})`}
          {rank === 0 ? ", the last" : ""}
        </button>
      ))}
      <button
        type="button"
        aria-pressed={place.value.compare === compared}
        onClick={() => go({ compare: place.value.compare === compared ? "" : compared })}
      >
        Compare with just before the last
      </button>
    </p>
  );
}

function peerKey(peer: Peer): string {
  return `${peer.direction}|${keyOf(peer)}|${peer.protocol}|${peer.port ?? 0}`;
}

function Peers({ page, sort }: { page: Page; sort: string }) {
  const rows = page.peers ?? [];
  const columns = useMemo<Column<Peer>[]>(() => {
    const was = new Map((page.earlier?.peers ?? []).map((peer) => [peerKey(peer), peer]));
    const by = sort.replace("-", "");
    return [
      {
        key: "direction",
        title: "Direction",
        width: "90px",
        sort: (peer) => peer.direction,
        show: (peer) => (peer.direction === "in" ? "← calls it" : "→ is called"),
      },
      {
        key: "name",
        title: "Workload",
        width: "minmax(200px, 2fr)",
        sort: (peer) => keyOf(peer),
        show: (peer) => (
          <a href={link({ view: "workload", workload: keyOf(peer) })}>
            {peer.namespace ? `${peer.namespace}/` : ""}
            {peer.name}
            <Kind kind={peer.kind} />
          </a>
        ),
      },
      {
        key: "port",
        title: "Port",
        width: "90px",
        sort: (peer) => peer.port,
        show: (peer) => `${peer.protocol} ${peer.port || ""}`,
      },
      ...valueColumns(measures.value, rows, (peer) => peer.values, place.value.threshold),
      ...(page.earlier
        ? changeColumn<Peer>(
            find(measures.value, by),
            (peer) => peer.values,
            (peer) => was.get(peerKey(peer))?.values,
          )
        : []),
    ];
  }, [page, sort, measures.value]);
  return (
    <Grid
      label="Peers"
      rows={rows}
      columns={columns}
      rowKey={peerKey}
      sort={sort || `-${find(measures.value, "")?.name ?? ""}`}
      onSort={(sort) => go({ sort }, true)}
      onOpen={(peer) => turnTo({ view: "workload", workload: keyOf(peer) })}
      empty="It talked to nobody in this time."
    />
  );
}

const POD_COLUMNS: Column<Pod>[] = [
  { key: "name", title: "Pod", width: "minmax(220px, 2fr)", sort: (pod) => pod.name, show: (pod) => pod.name },
  { key: "node", title: "Node", width: "minmax(120px, 1fr)", sort: (pod) => pod.node, show: (pod) => pod.node ?? "" },
  { key: "zone", title: "Zone", width: "100px", sort: (pod) => pod.zone, show: (pod) => pod.zone ?? "" },
  {
    key: "ips",
    title: "Addresses",
    width: "minmax(160px, 1fr)",
    sort: (pod) => pod.ips?.[0],
    show: (pod) => <span class="mono">{pod.ips?.join(" ")}</span>,
  },
];

function Pods({ pods, sort }: { pods: Pod[]; sort: string }) {
  return (
    <Grid
      label="Pods"
      rows={pods}
      columns={POD_COLUMNS}
      rowKey={(pod) => pod.name}
      sort={sort}
      onSort={(sort) => go({ sort }, true)}
      empty="No pods are known of it."
    />
  );
}
