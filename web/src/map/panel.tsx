// Beside the map: what is selected, in numbers; with nothing selected, what fails.

import { useMemo } from "preact/hooks";
import type { Measure } from "../api/wire.ts";
import { change, percent, quantity, whole } from "../format/quantity.ts";
import { go, link, place } from "../state/place.ts";
import { Judged } from "../workload/columns.tsx";
import { failuresOf } from "./failures.ts";
import { GLYPHS, HEALTH_CLASSES, HEALTH_NAMES } from "./ink.ts";
import { fullText, Name, namespacesOf } from "./name.tsx";
import type { Item, Scene } from "./scene.ts";
import { nameOf, type Table } from "./table.ts";
import { edgeKey, edgesOf, judged, locate, rowsOf, type Total, totals } from "./totals.ts";

interface Props {
  table: Table;
  scene: Scene;
  measures: readonly Measure[];
  measure: Measure;
  selected: string;
  onFold: (namespace: string) => void;
}

const MOST = 60;

export function Panel(props: Props) {
  const { scene, selected } = props;
  const { item, edge } = useMemo(() => locate(scene, selected), [scene, selected]);
  return (
    <aside class="panel" aria-label="Details" tabIndex={0}>
      {item !== undefined ? (
        <ItemDetails {...props} index={item} />
      ) : edge !== undefined ? (
        <EdgeDetails {...props} edge={edge} />
      ) : (
        <Overview {...props} />
      )}
    </aside>
  );
}

export function Health({ health, text = true }: { health: number; text?: boolean }) {
  return (
    <span class={HEALTH_CLASSES[health]} title={HEALTH_NAMES[health]}>
      {GLYPHS[health]}
      {text ? ` ${HEALTH_NAMES[health]}` : <span class="hidden">{HEALTH_NAMES[health]}</span>}
    </span>
  );
}

function Numbers({ list, compared }: { list: Total[]; compared: boolean }) {
  if (list.length === 0) return <p class="muted">No values in this time.</p>;
  return (
    <table class="plain-table">
      <thead class={compared ? "" : "hidden"}>
        <tr>
          <th>Measure</th>
          <th class="right">Now</th>
          {compared ? <th class="right">Before</th> : null}
          {compared ? <th class="right">Change</th> : null}
        </tr>
      </thead>
      <tbody>
        {list.map((total) => {
          const { measure, statistic, now, was } = total;
          const state = judged(total, list, place.value.threshold);
          return (
            <tr key={measure.name + (statistic ?? "")}>
              <td>
                {measure.title} {statistic ? <span class="muted">{statistic}</span> : null}
              </td>
              <td class="right">
                <Judged state={state} text={quantity(now, measure.unit)} />
              </td>
              {compared ? <td class="right muted">{quantity(was, measure.unit)}</td> : null}
              {compared ? <td class="right">{change(now, was)}</td> : null}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function EdgeLine({
  scene,
  edge,
  measure,
  show,
}: {
  scene: Scene;
  edge: number;
  measure: Measure;
  show: "from" | "to";
}) {
  const from = scene.items[scene.from[edge]!]!;
  const to = scene.items[scene.to[edge]!]!;
  const other = show === "from" ? from : to;
  const { namespace } = nameOf(other.key);
  return (
    <button type="button" class="line-button" onClick={() => go({ selected: edgeKey(scene, edge) })}>
      <Health health={scene.health[edge]!} text={false} />
      <span class="cut grow">
        <Name item={other} /> {namespace !== "-" ? <span class="muted">{namespace}</span> : null}
      </span>
      <span>{quantity(scene.now[edge], measure.unit)}</span>
    </button>
  );
}

function EdgeLines(props: { title: string; scene: Scene; edges: number[]; measure: Measure; show: "from" | "to" }) {
  const { title, scene, edges, measure, show } = props;
  if (edges.length === 0) return null;
  return (
    <section>
      <h3>
        {title} <span class="muted">{whole(edges.length)}</span>
      </h3>
      {edges.slice(0, MOST).map((edge) => (
        <EdgeLine key={edge} scene={scene} edge={edge} measure={measure} show={show} />
      ))}
      {edges.length > MOST ? <p class="muted">… and {whole(edges.length - MOST)} with less</p> : null}
    </section>
  );
}

function ItemDetails({ table, scene, measures, measure, index, onFold }: Props & { index: number }) {
  const item = scene.items[index]!;
  const { incoming, outgoing } = useMemo(() => edgesOf(scene, index), [scene, index]);
  const rows = (edges: number[]) => edges.flatMap((edge) => rowsOf(scene, edge));
  const isFolded = item.node < 0;
  const info = table.nodes[item.node];
  return (
    <>
      <div class="row">
        <h2 class="grow cut" title={fullText(item)}>
          <Name item={item} />
        </h2>
        <Health health={item.health} />
      </div>
      <p class="muted">
        {info
          ? [info.kind, info.namespace === "-" ? "" : `in ${info.namespace}`, info.zone ?? ""]
              .filter(Boolean)
              .join(" · ")
          : `namespace · ${whole(item.count)} workloads`}
        {info?.service?.length ? ` · service ${info.service.join(", ")}` : ""}
      </p>
      <div class="row wrap">
        {isFolded ? (
          <button type="button" onClick={() => onFold(scene.frames[item.frame]!.name)}>
            Unfold
          </button>
        ) : (
          <Actions item={item} />
        )}
      </div>
      {[["Incoming", incoming] as const, ["Outgoing", outgoing] as const].map(([title, edges]) =>
        edges.length > 0 ? (
          <section key={title}>
            <h3>{title}</h3>
            <Numbers list={totals(table, rows(edges), measures, ["p50", "p99"])} compared={table.compared} />
          </section>
        ) : null,
      )}
      <EdgeLines title="Called by" scene={scene} edges={incoming} measure={measure} show="from" />
      <EdgeLines title="Calls" scene={scene} edges={outgoing} measure={measure} show="to" />
    </>
  );
}

function Actions({ item }: { item: Item }) {
  const { namespace, kind, name } = nameOf(item.key);
  const filters = [{ key: "workload", value: `${kind}/${name}`, not: false }];
  if (namespace !== "-") filters.push({ key: "namespace", value: namespace, not: false });
  return (
    <>
      <a class="button" href={link({ view: "workload", workload: item.key })}>
        Open workload
      </a>
      <a class="button" href={link({ view: "records", filters })}>
        Live records
      </a>
      <button type="button" onClick={() => go({ focus: item.key, camera: null })}>
        Focus
      </button>
    </>
  );
}

function EdgeDetails({ table, scene, measures, edge }: Props & { edge: number }) {
  const from = scene.items[scene.from[edge]!]!;
  const to = scene.items[scene.to[edge]!]!;
  const rows = rowsOf(scene, edge);
  const ports = [
    ...new Set(rows.map((row) => `${table.protocols[table.protocol[row]!]} ${table.port[row] || ""}`.trim())),
  ];
  const filters = [
    ["from_workload", from],
    ["to_workload", to],
  ].flatMap(([key, item]) => {
    const { kind, name } = nameOf((item as Item).key);
    return name === "" ? [] : [{ key: key as string, value: `${kind}/${name}`, not: false }];
  });
  return (
    <>
      <div class="row">
        <h2 class="grow cut" title={`${fullText(from)} → ${fullText(to)}`}>
          <Name item={from} /> → <Name item={to} />
        </h2>
        <Health health={scene.health[edge]!} />
      </div>
      <p class="muted">
        {ports.slice(0, 8).join(", ")}
        {ports.length > 8 ? ` and ${ports.length - 8} more` : ""}
        {["", " · new in this time", " · gone since", "", ""][scene.state[edge]!]}
      </p>
      <div class="row wrap">
        {[from, to].map((item) => (
          <button type="button" key={item.key} class="cut" onClick={() => go({ selected: item.key })}>
            <Name item={item} />
          </button>
        ))}
        {filters.length === 2 ? (
          <a class="button" href={link({ view: "records", filters })}>
            Live records
          </a>
        ) : null}
      </div>
      <Numbers list={totals(table, rows, measures)} compared={table.compared} />
      {rows.length > 1 ? (
        <p class="muted">Of {whole(rows.length)} pairs and ports: sums added up, the worst of each quantile.</p>
      ) : null}
    </>
  );
}

function Overview({ table, scene, measures }: Props) {
  const { threshold } = place.value;
  const failing = useMemo(() => failuresOf(table, scene, measures, threshold), [table, scene, measures, threshold]);
  return (
    <>
      <h2>{failing.length === 0 ? "Nothing fails" : `${whole(failing.length)} failing`}</h2>
      {failing.length === 0 ? (
        <p class="muted">No edge in this picture has a bad measure beyond the threshold.</p>
      ) : (
        <section>
          {failing.slice(0, MOST).map(({ edge, measure, value, share }) => {
            const [from, to] = [scene.items[scene.from[edge]!]!, scene.items[scene.to[edge]!]!];
            const namespaces = namespacesOf(from, to);
            return (
              <button
                type="button"
                class="line-button two"
                key={edge}
                title={`${fullText(from)} → ${fullText(to)}`}
                onClick={() => go({ selected: edgeKey(scene, edge) })}
              >
                <span class="cut grow">
                  <span class="bad">▲</span> <Name item={from} /> → <Name item={to} />
                </span>
                <span>{share === undefined ? quantity(value, measure.unit) : percent(share)}</span>
                <span class="muted cut">
                  {measure.title.toLowerCase()}: {quantity(value, measure.unit)}
                  {namespaces ? ` · ${namespaces}` : ""}
                </span>
              </button>
            );
          })}
          {failing.length > MOST ? <p class="muted">… and {whole(failing.length - MOST)} more: see Edges</p> : null}
        </section>
      )}
      <section>
        <h3>Legend</h3>
        <ul class="legend">
          <li>
            <span class="bad">▲ ┅┅</span> failing: beyond the threshold
          </li>
          <li>
            <span class="warn">◆ ┄┄</span> some failures, below it
          </li>
          <li>
            <span class="muted">● ──</span> none; thicker is more
          </li>
          {table.compared ? (
            <>
              <li>
                <span class="more">▲ ──</span> more than before, or new
              </li>
              <li>
                <span class="less">▼ ─·─</span> less than before
              </li>
              <li>
                <span class="muted">· · ·</span> gone since
              </li>
            </>
          ) : null}
        </ul>
      </section>
    </>
  );
}
