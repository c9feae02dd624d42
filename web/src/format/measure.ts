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

/**
 * How much of a whole `value` is, at most all of it: what is sent again may be more than what was sent in this time.
 * The whole is the sum of its parts that are known; undefined: none is.
 */
export function shareOf<T>(
  value: number,
  parts: readonly T[],
  known: (part: T) => number | undefined,
): number | undefined {
  let whole = 0;
  for (const part of parts) whole += known(part) || 0;
  return whole > 0 ? Math.min(1, value / whole) : undefined;
}

export type Health = "unknown" | "good" | "strained" | "failing";

/** Below the threshold by less than this factor, it is told at least. */
export const STRAIN = 0.1;

/** Whether a value of a bad measure is failing (from `threshold` on, a share of what it is a part of), or near it. */
export function judge(
  measure: Measure,
  value: number | undefined,
  values: Values | undefined,
  threshold: number,
): Health {
  if (value === undefined || Number.isNaN(value)) return "unknown";
  if (!measure.bad || value <= 0) return "good";
  const share = shareOf(value, measure.of, (name) => numberOf(values?.[name]));
  // Of something, but of what is not known: that something is wrong must still be seen.
  if (share === undefined) return "failing";
  return share >= threshold ? "failing" : share >= threshold * STRAIN ? "strained" : "good";
}

/** The worst of all bad measures. */
export function health(values: Values | undefined, list: readonly Measure[], threshold: number): Health {
  if (!values || Object.keys(values).length === 0) return "unknown";
  let worst: Health = "good";
  for (const measure of list) {
    const found = measure.bad ? judge(measure, numberOf(values[measure.name]), values, threshold) : "good";
    if (found === "failing") return found;
    if (found === "strained") worst = found;
  }
  return worst;
}

export const SIGNS: Record<Health, { glyph: string; tone: string }> = {
  unknown: { glyph: "", tone: "" },
  good: { glyph: "●", tone: "muted" },
  strained: { glyph: "◆", tone: "warn" },
  failing: { glyph: "▲", tone: "bad" },
};
