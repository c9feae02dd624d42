// From the hub's series to the lines of a chart: the part without a page.

import type { Measure, SeriesAnswer } from "../api/wire.ts";
import type { Line } from "./plot.tsx";

export interface Signal {
  measure: Measure;
  times: number[];
  lines: Line[];
  /** Sums are shown as what they are in a second. */
  perSecond: boolean;
}

/** Of a distribution three lines are what an eye takes in. */
function isShown(statistic: string | undefined): boolean {
  return statistic === undefined || ["p50", "p95", "p99"].includes(statistic);
}

function scaled(values: readonly (number | null)[], by: number): (number | null)[] {
  return values.map((value) => (value === null ? null : value / by));
}

/** What it was at the same place of the compared range; steps may differ by the rounding of their start. */
export function aligned(
  times: readonly number[],
  earlier: SeriesAnswer,
  values: readonly (number | null)[],
  back_s: number,
) {
  const found = new Map(
    earlier.times.map((time, place) => [Math.round((time + back_s) / earlier.step_s), values[place]]),
  );
  return times.map((time) => found.get(Math.round(time / earlier.step_s)) ?? null);
}

/** Places of values without a neighbour, which no line shows. */
export function alone(values: ArrayLike<number | null | undefined>): number[] {
  const isThere = (place: number) => values[place] !== null && values[place] !== undefined;
  return Array.from(values, (_, place) => place).filter(
    (place) => isThere(place) && !isThere(place - 1) && !isThere(place + 1),
  );
}

/** One chart for each measure that has any value, in the order of the measures. */
export function signals(
  answer: SeriesAnswer,
  earlier: SeriesAnswer | undefined,
  measures: readonly Measure[],
): Signal[] {
  const back_s = earlier ? (Date.parse(answer.since) - Date.parse(earlier.since)) / 1000 : 0;
  return measures.flatMap((measure) => {
    const perSecond = measure.type === "sum";
    const by = perSecond ? answer.step_s || 1 : 1;
    const lines: Line[] = [];
    const own = answer.series.filter((one) => one.measure === measure.name && isShown(one.statistic));
    own.forEach((one, place) => {
      const tone = measure.bad ? "bad" : (Math.min(2, place) as 0 | 1 | 2);
      lines.push({ title: one.statistic ?? measure.title, values: scaled(one.values, by), tone });
    });
    if (earlier) {
      for (const one of earlier.series) {
        if (one.measure !== measure.name || (one.statistic !== undefined && one.statistic !== "p99")) continue;
        const values = aligned(answer.times, earlier, scaled(one.values, perSecond ? earlier.step_s || 1 : 1), back_s);
        lines.push({ title: one.statistic ? `${one.statistic} before` : "before", values, tone: 2, before: true });
      }
    }
    const isKnown = lines.some((line) => line.values.some((value) => value !== null));
    return isKnown ? [{ measure, times: answer.times, lines, perSecond }] : [];
  });
}
