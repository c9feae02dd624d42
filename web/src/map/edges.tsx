// Every edge of the picture as a table, with a column for each measure that there is.

import { useMemo } from "preact/hooks";
import type { Measure } from "../api/wire.ts";
import { DEFAULT_STATISTIC, judge, titleOf } from "../format/measure.ts";
import { change, quantity } from "../format/quantity.ts";
import { go, place } from "../state/place.ts";
import { Grid } from "../table/grid.tsx";
import type { Column } from "../table/order.ts";
import { badFirst, Judged } from "../workload/columns.tsx";
import { Name } from "./name.tsx";
import { Health } from "./panel.tsx";
import { type Item, merge, type Scene } from "./scene.ts";
import { columnOf, nameOf, type Table } from "./table.ts";
import { edgeKey, rowsOf } from "./totals.ts";

function End({ item }: { item: Item }) {
  const { namespace } = nameOf(item.key);
  return (
    <>
      {namespace !== "-" && item.node >= 0 ? <span class="muted">{namespace}/</span> : null}
      <Name item={item} />
    </>
  );
}

export function EdgeTable(props: {
  table: Table;
  scene: Scene;
  measures: readonly Measure[];
  measure: Measure;
  matches: Set<number> | undefined;
}) {
  const { table, scene, measures, measure, matches } = props;
  const { sort, selected, statistic, threshold } = place.value;
  const edges = useMemo(() => {
    const list = Array.from({ length: scene.from.length }, (_, edge) => edge);
    return matches ? list.filter((edge) => matches.has(scene.from[edge]!) || matches.has(scene.to[edge]!)) : list;
  }, [scene, matches]);

  const columns = useMemo<Column<number>[]>(() => {
    const from = (edge: number) => scene.items[scene.from[edge]!]!;
    const to = (edge: number) => scene.items[scene.to[edge]!]!;
    const ports = (edge: number) => {
      const rows = rowsOf(scene, edge);
      const [row] = rows;
      const first = `${table.protocols[table.protocol[row!]!]} ${table.port[row!] || ""}`;
      return rows.length > 1 ? `${first} +${rows.length - 1}` : first;
    };
    const values = badFirst(measures).flatMap((one): Column<number>[] => {
      const kept = one.name === measure.name && statistic ? statistic : DEFAULT_STATISTIC;
      const column = columnOf(table, one.name, kept);
      if (!column) return [];
      const weights = columnOf(table, one.name, "count")?.now;
      const parts = one.of.flatMap((name) => columnOf(table, name) ?? []);
      const now = (edge: number) => merge(rowsOf(scene, edge), column.now, column.statistic, weights);
      const made: Column<number>[] = [
        {
          key: one.name,
          title: titleOf(one, column.statistic),
          width: "minmax(104px, 1fr)",
          right: true,
          sort: now,
          show: (edge) => {
            const value = now(edge);
            const sum = (part: (typeof parts)[number]) => merge(rowsOf(scene, edge), part.now, undefined, undefined);
            const values = Object.fromEntries(parts.map((part) => [part.measure, sum(part)]));
            const state = judge(one, value, values, threshold);
            return <Judged state={state} text={quantity(value, one.unit)} />;
          },
        },
      ];
      if (column.was && one.name === measure.name) {
        const was = (edge: number) => merge(rowsOf(scene, edge), column.was!, column.statistic, weights);
        made.push({
          key: "change",
          title: "vs before",
          width: "92px",
          right: true,
          sort: (edge) => now(edge) / was(edge),
          show: (edge) => change(now(edge), was(edge)),
        });
      }
      return made;
    });
    return [
      {
        key: "health",
        title: "State",
        width: "64px",
        sort: (edge) => -scene.health[edge]!,
        show: (edge) => <Health health={scene.health[edge]!} text={false} />,
      },
      {
        key: "source",
        title: "Source",
        width: "minmax(170px, 2fr)",
        sort: (edge) => from(edge).key,
        show: (edge) => <End item={from(edge)} />,
      },
      {
        key: "destination",
        title: "Destination",
        width: "minmax(170px, 2fr)",
        sort: (edge) => to(edge).key,
        show: (edge) => <End item={to(edge)} />,
      },
      { key: "port", title: "Port", width: "96px", sort: ports, show: ports },
      ...values,
    ];
  }, [table, scene, measures, measure, statistic, threshold]);

  return (
    <Grid
      label="Edges"
      rows={edges}
      columns={columns}
      rowKey={(edge) => edgeKey(scene, edge)}
      sort={sort || `-${measure.name}`}
      onSort={(sort) => go({ sort }, true)}
      onOpen={(edge) => go({ selected: edgeKey(scene, edge) })}
      marked={selected}
      empty="No edges: nothing was seen, or nothing passes what is chosen above."
    />
  );
}
