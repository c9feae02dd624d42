// Why edges fail: of each, the measure that is beyond the threshold, and by how much.

import type { Measure } from "../api/wire.ts";
import { numberOf, shareOf } from "../format/measure.ts";
import { FAILING, healthBy } from "./health.ts";
import type { Scene } from "./scene.ts";
import type { Table } from "./table.ts";
import { rowsOf, totals } from "./totals.ts";

export interface EdgeFailure {
  edge: number;
  measure: Measure;
  /** On those ports that fail by this measure, as `share` is. */
  value: number;
  /** Unknown: it is no part of anything. */
  share: number | undefined;
}

/** The worst first: by the largest share that failed, then by how much. */
export function failuresOf(table: Table, scene: Scene, measures: readonly Measure[], threshold: number): EdgeFailure[] {
  const judges = measures.flatMap((measure) => {
    const by = healthBy(table, measure, threshold);
    return by ? [{ measure, by }] : [];
  });
  const found: EdgeFailure[] = [];
  for (let edge = 0; edge < scene.from.length; edge++) {
    if (scene.health[edge] !== FAILING) continue;
    const reasons = judges.flatMap(({ measure, by }): EdgeFailure[] => {
      const rows = rowsOf(scene, edge).filter((row) => by(row) === FAILING);
      if (rows.length === 0) return [];
      const sums = Object.fromEntries(totals(table, rows, measures).map((one) => [one.measure.name, one.now]));
      const value = numberOf(sums[measure.name])!;
      return [{ edge, measure, value, share: shareOf(value, measure.of, (name) => sums[name]) }];
    });
    const [reason] = reasons.sort(byShare);
    if (reason) found.push(reason);
  }
  return found.sort(byShare);
}

function byShare(a: EdgeFailure, b: EdgeFailure): number {
  return (b.share ?? 0) - (a.share ?? 0) || b.value - a.value;
}
