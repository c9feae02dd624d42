// Every workload that was seen, with what came in and what went out.

import { useMemo } from "preact/hooks";
import { address, get } from "../api/client.ts";
import type { Missing, WorkloadRow } from "../api/wire.ts";
import { find, health, SIGNS } from "../format/measure.ts";
import { whole } from "../format/quantity.ts";
import { keyOf } from "../map/table.ts";
import { useKeys } from "../shell/keys.ts";
import { Failure, Incomplete } from "../shell/notice.tsx";
import { measures } from "../state/measures.ts";
import { go, link, place, turnTo } from "../state/place.ts";
import { useResource } from "../state/resource.ts";
import { comparison, isLive } from "../state/span.ts";
import { Grid } from "../table/grid.tsx";
import type { Column } from "../table/order.ts";
import { changeColumn, valueColumns } from "./columns.tsx";

interface Answer {
  earlier?: Answer;
  workloads: WorkloadRow[];
  complete?: boolean;
  missing?: Missing[];
  truncated?: boolean;
}

const LIMIT = 10_000;

export function WorkloadList() {
  const { since, until, compare, namespaces, refresh, search, sort, side, problems, threshold } = place.value;
  const span = { since, until };
  const list = useResource<{ now: Answer; was?: Map<string, WorkloadRow> }>(
    JSON.stringify([since, until, compare, namespaces]),
    async (signal) => {
      const url = address("workloads", [
        ["since", since],
        ["until", until],
        ["compare", comparison(span, compare, Date.now())],
        ...namespaces.map((name) => ["namespace", name] as const),
        ["limit", LIMIT],
      ]);
      const now = await get<Answer>(url, signal);
      return now.earlier ? { now, was: new Map(now.earlier.workloads.map((row) => [keyOf(row), row])) } : { now };
    },
    isLive(span) ? refresh : 0,
  );
  useKeys([{ keys: "/", title: "Find a workload", run: () => document.getElementById("search")?.focus() }]);

  const all = list.data?.now.workloads;
  const valuesOf = (row: WorkloadRow) => (side === "in" ? row.incoming : row.outgoing);
  const healthOf = (row: WorkloadRow) => health(valuesOf(row), measures.value, threshold);
  const rows = useMemo(() => {
    const text = search.trim().toLowerCase();
    return (all ?? []).filter(
      (row) => (text === "" || keyOf(row).toLowerCase().includes(text)) && (!problems || healthOf(row) === "failing"),
    );
  }, [all, search, problems, side, measures.value, threshold]);

  const columns = useMemo<Column<WorkloadRow>[]>(
    () => [
      {
        key: "state",
        title: "State",
        width: "72px",
        sort: (row) => -Object.keys(SIGNS).indexOf(healthOf(row)),
        show: (row) => {
          const state = healthOf(row);
          return (
            <span class={SIGNS[state].tone} title={state}>
              {SIGNS[state].glyph}
              <span class="hidden">{state}</span>
            </span>
          );
        },
      },
      {
        key: "namespace",
        title: "Namespace",
        width: "minmax(110px, 1fr)",
        sort: (row) => row.namespace ?? "",
        show: (row) => row.namespace ?? "",
      },
      {
        key: "name",
        title: "Name",
        width: "minmax(180px, 2fr)",
        sort: (row) => row.name,
        show: (row) => <a href={link({ view: "workload", workload: keyOf(row) })}>{row.name}</a>,
      },
      { key: "kind", title: "Kind", width: "136px", sort: (row) => row.kind, show: (row) => row.kind },
      {
        key: "pods",
        title: "Pods",
        width: "60px",
        right: true,
        sort: (row) => row.pods,
        show: (row) => whole(row.pods),
      },
      ...valueColumns(measures.value, all ?? [], valuesOf, threshold),
      ...(list.data?.was
        ? changeColumn<WorkloadRow>(find(measures.value, sort.replace("-", "")), valuesOf, (row) => {
            const was = list.data?.was?.get(keyOf(row));
            return was && valuesOf(was);
          })
        : []),
    ],
    [measures.value, list.data, side, sort, threshold],
  );

  return (
    <>
      <div class="bar" role="toolbar" aria-label="Workloads">
        <input
          id="search"
          type="search"
          placeholder="Find  /"
          aria-label="Find a workload"
          value={search}
          spellcheck={false}
          onInput={(event) => go({ search: event.currentTarget.value }, true)}
        />
        <div class="joined" role="group" aria-label="Values of">
          <button type="button" aria-pressed={side === "in"} onClick={() => go({ side: "in" })}>
            Incoming
          </button>
          <button type="button" aria-pressed={side === "out"} onClick={() => go({ side: "out" })}>
            Outgoing
          </button>
        </div>
        <button type="button" aria-pressed={problems} onClick={() => go({ problems: !problems })}>
          ▲ Failing only
        </button>
        <span class="grow" />
        <span class="muted" role="status">
          {all ? `${whole(rows.length)} of ${whole(all.length)} workloads` : "loading …"}{" "}
          <span class={`busy ${list.loading ? "on" : ""}`} />
        </span>
      </div>
      <Failure error={list.error} reload={list.reload} />
      {list.data ? (
        <Incomplete complete={list.data.now.complete !== false} missing={list.data.now.missing ?? []} />
      ) : null}
      {list.data?.now.truncated ? (
        <div class="notice warn">
          <strong>▲ Cut</strong> The hub has more than {whole(LIMIT)} workloads; choose namespaces to see the others.
        </div>
      ) : null}
      <Grid
        label="Workloads"
        rows={rows}
        columns={columns}
        rowKey={keyOf}
        sort={sort || "state"}
        onSort={(sort) => go({ sort }, true)}
        onOpen={(row) => turnTo({ view: "workload", workload: keyOf(row) })}
        empty={all ? "No workload was seen that is like this, in this time." : ""}
      />
    </>
  );
}
