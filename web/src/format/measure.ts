// What a measure's declaration says about its values. No measure is named here.

import type { Distribution, Measure, Value, Values } from "../api/wire.ts";
import { quantity } from "./quantity.ts";

export const STATISTICS = ["p50", "p95", "p99", "mean", "max"] as const;
export type Statistic = (typeof STATISTICS)[number];
export const DEFAULT_STATISTIC: Statistic = "p99";

/** What the map is drawn by until somebody chooses: how much goes over an edge. */
export function preferred(list: readonly Measure[]): Measure | undefined {
  const sums = list.filter((measure) => measure.type === "sum" && !measure.bad);
  return sums.find((measure) => measure.unit === "bytes") ?? sums[0] ?? list[0];
}

export function find(list: readonly Measure[], name: string): Measure | undefined {
  return list.find((measure) => measure.name === name) ?? preferred(list);
}

/** The number that stands for a value in a column: the value itself, or a statistic of a distribution. */
export function numberOf(value: Value | undefined, statistic: string = DEFAULT_STATISTIC): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number") return value;
  return value[statistic as keyof Distribution];
}

export function shown(values: Values | undefined, measure: Measure, statistic?: string): string {
  return quantity(numberOf(values?.[measure.name], statistic), measure.unit);
}

export function titleOf(measure: Measure, statistic?: string): string {
  return measure.type === "distribution" ? `${measure.title} ${statistic || DEFAULT_STATISTIC}` : measure.title;
}

/** What a bad measure is a part of: as the hub says, else the first good sum of its kind and unit. */
export function wholeOf(bad: Measure, list: readonly Measure[]): string | undefined {
  if (bad.of !== undefined) return bad.of;
  const like = (measure: Measure) => measure.kind === bad.kind && measure.unit === bad.unit;
  return list.find((measure) => !measure.bad && measure.type === "sum" && like(measure))?.name;
}

export type Health = "unknown" | "good" | "strained" | "failing";

/** What is wrong, by the bad measures: failing from `threshold` on (a share, where the hub says of what). */
export function health(values: Values | undefined, list: readonly Measure[], threshold: number): Health {
  if (!values) return "unknown";
  let worst: Health = "good";
  for (const measure of list) {
    if (!measure.bad) continue;
    const value = numberOf(values[measure.name]);
    if (value === undefined || value <= 0) continue;
    const of = wholeOf(measure, list);
    const whole = of === undefined ? undefined : numberOf(values[of]);
    if (whole !== undefined && whole > 0 && value / whole < threshold) worst = "strained";
    else return "failing";
  }
  return worst;
}
