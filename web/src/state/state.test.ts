import { describe, expect, test } from "vitest";
import { ago, comparison, isCompare, isTime, relative, shift, widen } from "./span.ts";
import { DEFAULTS, format, type Place, parse, turn } from "./url.ts";

const NOW = Date.parse("2026-01-31T12:00:00Z");

describe("time", () => {
  test("relative times", () => {
    const cases: [string, number | undefined][] = [
      ["now", 0],
      ["-15m", 900],
      ["-1h30m", 5400],
      ["-2d", 172_800],
      ["15m", undefined],
      ["-15", undefined],
      ["2026-01-31T10:24:00Z", undefined],
    ];
    for (const [text, seconds] of cases) expect(ago(text), text).toBe(seconds);
    for (const [seconds, text] of [
      [0, "now"],
      [90, "-90s"],
      [900, "-15m"],
      [7200, "-2h"],
      [87_300, "-1455m"],
    ] as const)
      expect(relative(seconds)).toBe(text);
  });

  test("what is no time", () => {
    for (const text of ["", "yesterday", "2026", "2026-13-31T10:00:00Z", "-5x"]) expect(isTime(text), text).toBe(false);
  });

  test("what a range is compared with", () => {
    const check = (since: string, compare: string, expected: string) =>
      expect(comparison({ since, until: "now" }, compare, NOW)).toBe(expected);
    check("-15m", "", "");
    check("-15m", "previous", "previous");
    check("-15m", "day", "1d");
    check("-1h", "week", "7d");
    // Longer than a day: yesterday would overlap it.
    check("-7d", "day", "7d");
    check("-36h", "day", "2d");
    check("-1h", "3h", "3h");
    check("-1h", "deploy:shop/Deployment/cart", "deploy:shop/Deployment/cart");
    for (const text of ["90m", "2026-01-30T12:00:00Z", "deploy:-/Deployment/x"])
      expect(isCompare(text), text).toBe(true);
    for (const text of ["0h", "-1d", "tomorrow", "now", "deploy:cart", "deploy:"])
      expect(isCompare(text), text).toBe(false);
  });

  test("moving a range", () => {
    const live = { since: "-1h", until: "now" };
    const earlier = shift(live, -1, NOW);
    expect(earlier).toEqual({ since: "2026-01-31T10:00:00Z", until: "2026-01-31T11:00:00Z" });
    expect(shift(earlier, 1, NOW)).toEqual(live);
    expect(widen(live, NOW)).toEqual({ since: "-2h", until: "now" });
    expect(widen({ since: "2026-01-31T04:00:00Z", until: "2026-01-31T06:00:00Z" }, NOW)).toEqual({
      since: "2026-01-31T03:00:00Z",
      until: "2026-01-31T07:00:00Z",
    });
  });
});

describe("address", () => {
  test("the default has none", () => {
    expect(format(DEFAULTS)).toBe("");
    expect(parse("")).toEqual(DEFAULTS);
  });

  test("every state there and back", () => {
    const full: Place = {
      view: "workload",
      since: "-6h",
      until: "-1h",
      compare: "deploy:shop/Deployment/cart",
      refresh: 0,
      theme: "light",
      namespaces: ["a", "b"],
      shape: "matrix",
      group: "zone",
      folds: { base: "open", names: ["shop", "a b"] },
      measure: "connect",
      statistic: "p50",
      top: 0,
      errors: true,
      threshold: 0.05,
      focus: "shop/Deployment/cart",
      hops: 3,
      search: "a&b=c #ü",
      selected: "shop/Deployment/cart>-/World/internet",
      camera: [-12, 340, 0.125],
      limit: 100_000,
      workload: "shop/Deployment/cart",
      side: "out",
      tab: "failures",
      filters: [
        { key: "port", value: "53", not: true },
        { key: "from_ip", value: "fd00::/8", not: false },
      ],
      paused: true,
      last: 0,
      problems: true,
      sort: "-bytes_sent",
    };
    for (const key of Object.keys(DEFAULTS) as (keyof Place)[]) expect(full[key], key).not.toEqual(DEFAULTS[key]);
    expect(parse(format(full))).toEqual(full);
    // One at a time as well: none leans on another.
    for (const key of Object.keys(DEFAULTS) as (keyof Place)[]) {
      const one = { ...DEFAULTS, [key]: full[key] };
      expect(parse(format(one)), key).toEqual(one);
    }
  });

  test("no namespace folded is not the same as folds by size", () => {
    const none: Place = { ...DEFAULTS, folds: { base: "shut", names: [] } };
    expect(parse(format(none)).folds).toEqual(none.folds);
  });

  test("nonsense is as if it were not there", () => {
    const query =
      "view=x&since=lately&top=many&camera=1,2&fold=what&filter=:::&hops=99&theme=pink&threshold=-1&as=&extra=1";
    expect(parse(query)).toEqual(DEFAULTS);
  });

  test("another page keeps the time and the namespaces, and nothing else", () => {
    const here: Place = { ...DEFAULTS, since: "-6h", compare: "day", namespaces: ["a"], search: "x", errors: true };
    expect(turn(here, { view: "nodes" })).toEqual({
      ...DEFAULTS,
      view: "nodes",
      since: "-6h",
      compare: "day",
      namespaces: ["a"],
    });
  });
});
