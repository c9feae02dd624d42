// The numbers of an edge or a node for people: every measure that is known of it, now and before.

import type { Measure } from "../api/wire.ts";
import { type Health, judge, STATISTICS } from "../format/measure.ts";
import { merge, type Scene } from "./scene.ts";
import { columnOf, type Table } from "./table.ts";

export interface Total {
  measure: Measure;
  statistic?: string;
  now: number;
  was: number;
}

/** `statistics`: which of a distribution's. */
export function totals(
  table: Table,
  rows: readonly number[],
  measures: readonly Measure[],
  statistics: readonly string[] = STATISTICS,
): Total[] {
  return measures.flatMap((measure) => {
    const wanted = measure.type === "distribution" ? statistics : [undefined];
    return wanted.flatMap((statistic) => {
      const column = columnOf(table, measure.name, statistic);
      if (!column) return [];
      const weights = columnOf(table, measure.name, "count")?.now;
      const now = merge(rows, column.now, column.statistic, weights);
      const was = column.was ? merge(rows, column.was, column.statistic, weights) : Number.NaN;
      if (Number.isNaN(now) && Number.isNaN(was)) return [];
      return [{ measure, now, was, ...(statistic ? { statistic } : {}) }];
    });
  });
}

export function rowsOf(scene: Scene, edge: number): number[] {
  return [...scene.rows.subarray(scene.starts[edge]!, scene.starts[edge + 1]!)];
}

export function edgesOf(scene: Scene, item: number): { incoming: number[]; outgoing: number[] } {
  const incoming: number[] = [];
  const outgoing: number[] = [];
  for (let edge = 0; edge < scene.from.length; edge++) {
    if (scene.from[edge] === scene.to[edge]) continue;
    if (scene.to[edge] === item) incoming.push(edge);
    if (scene.from[edge] === item) outgoing.push(edge);
  }
  return { incoming, outgoing };
}

export function edgeKey(scene: Scene, edge: number): string {
  return `${scene.items[scene.from[edge]!]!.key}>${scene.items[scene.to[edge]!]!.key}`;
}

/** Where a selection's key is in this picture. */
export function locate(scene: Scene, key: string): { item: number | undefined; edge: number | undefined } {
  const none = { item: undefined, edge: undefined };
  if (key === "") return none;
  const indexOf = (name: string) => scene.items.findIndex((item) => item.key === name);
  const [from, to] = key.split(">");
  if (to === undefined) {
    const item = indexOf(key);
    return item < 0 ? none : { ...none, item };
  }
  const [start, end] = [indexOf(from!), indexOf(to)];
  for (let edge = 0; edge < scene.from.length; edge++)
    if (scene.from[edge] === start && scene.to[edge] === end) return { ...none, edge };
  return none;
}

/** Whether one of these totals is bad, by the others. */
export function judged(total: Total, list: readonly Total[], threshold: number): Health {
  const values = Object.fromEntries(list.flatMap((one) => (one.statistic ? [] : [[one.measure.name, one.now]])));
  return judge(total.measure, total.now, values, threshold);
}
