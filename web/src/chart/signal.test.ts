import { expect, test } from "vitest";
import { MEASURES } from "../../mock/cluster.ts";
import type { SeriesAnswer } from "../api/wire.ts";
import { alone, signals } from "./signal.ts";

const answer = (first: number, values: (number | null)[], since_s = first): SeriesAnswer => ({
  since: new Date(since_s * 1000).toISOString(),
  until: "",
  step_s: 10,
  times: values.map((_, place) => first + place * 10),
  series: [
    { measure: "bytes_sent", values },
    { measure: "connect", statistic: "mean", values },
    { measure: "connect", statistic: "p50", values: values.map((value) => value && value / 10) },
    { measure: "connect", statistic: "p99", values },
    { measure: "drops", values: values.map(() => null) },
  ],
});

test("sums become rates, absent values gaps, and what nobody has no chart", () => {
  const found = signals(answer(1000, [100, null, 50]), undefined, MEASURES);
  expect(found.map(({ measure, perSecond }) => [measure.name, perSecond])).toEqual([
    ["bytes_sent", true],
    ["connect", false],
  ]);
  expect(found[0]!.lines.map(({ values }) => values)).toEqual([[10, null, 5]]);
  expect(found[1]!.lines.map(({ title, tone }) => [title, tone])).toEqual([
    ["p50", 0],
    ["p99", 1],
  ]);
});

test("before lies under now, also where the steps begin elsewhere", () => {
  for (const start of [400, 403, 396]) {
    const [bytes] = signals(answer(1000, [100, 100, 100]), answer(start, [1000, null, 3000], 400), MEASURES);
    expect(bytes!.lines[1], String(start)).toMatchObject({ title: "before", before: true, values: [100, null, 300] });
  }
});

test("a value without neighbours is found, since no line shows it", () => {
  expect(alone([1, null, 2, undefined, 3, 4, null, 0])).toEqual([0, 2, 7]);
});
