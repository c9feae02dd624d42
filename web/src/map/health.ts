// How well rows of the table fare: the columns' form of `format/measure.ts`.

import type { Measure } from "../api/wire.ts";
import { STRAIN, shareOf } from "../format/measure.ts";
import { columnOf, type Table } from "./table.ts";

export const GOOD = 0;
export const STRAINED = 1;
export const FAILING = 2;

/** How a row fares by one bad measure; undefined: nothing is known of it. */
export function healthBy(table: Table, measure: Measure, threshold: number): ((row: number) => number) | undefined {
  const bad = measure.bad ? columnOf(table, measure.name) : undefined;
  if (!bad) return undefined;
  const whole = measure.of.flatMap((name) => columnOf(table, name)?.now ?? []);
  return (row) => {
    const value = bad.now[row]!;
    if (!(value > 0)) return GOOD;
    const share = shareOf(value, whole, (values) => values[row]) ?? 1;
    return share >= threshold ? FAILING : share >= threshold * STRAIN ? STRAINED : GOOD;
  };
}

/** Per row: the worst by all bad measures. */
export function healthOf(table: Table, measures: readonly Measure[], threshold: number): Uint8Array {
  const health = new Uint8Array(table.source.length);
  for (const measure of measures) {
    const by = healthBy(table, measure, threshold);
    if (!by) continue;
    for (let row = 0; row < health.length; row++) health[row] = Math.max(health[row]!, by(row));
  }
  return health;
}
