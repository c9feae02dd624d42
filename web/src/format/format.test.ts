import { describe, expect, test } from "vitest";
import { MEASURES } from "../../mock/cluster.ts";
import type { Measure, Values } from "../api/wire.ts";
import { health, judge, preferred, shareOf } from "./measure.ts";
import { bytes, change, count, duration, percent, quantity, rate, seconds } from "./quantity.ts";

describe("quantities", () => {
  function check<T>(show: (value: T) => string, cases: [T, string][]): void {
    for (const [value, text] of cases) expect(show(value), String(value)).toBe(text);
  }

  test("counts", () =>
    check(count, [
      [0, "0"],
      [7, "7"],
      [0.25, "0.25"],
      [0.5, "0.5"],
      [0.001, "1e-3"],
      [999, "999"],
      [9999, "9,999"],
      [10_000, "10k"],
      [12_345, "12.3k"],
      [999_999, "1M"],
      [1.5e9, "1.5G"],
      [Number.NaN, "–"],
    ]));
  test("bytes", () =>
    check(bytes, [
      [0, "0 B"],
      [1023, "1023 B"],
      [1024, "1 KiB"],
      [1536, "1.5 KiB"],
      [1_048_575, "1 MiB"],
      [3 * 1024 ** 4, "3 TiB"],
    ]));
  test("seconds", () =>
    check(seconds, [
      [0, "0 s"],
      [2.5e-8, "25 ns"],
      [0.000_31, "310 µs"],
      [0.9999, "1 s"],
      [0.042, "42 ms"],
      [90, "90 s"],
      [3700, "1 h 1 min"],
    ]));
  test("durations", () =>
    check(duration, [
      [0, "0 s"],
      [59.6, "1 min"],
      [86_400, "1 d"],
      [93_784, "1 d 2 h"],
    ]));
  test("shares", () =>
    check(percent, [
      [0, "0 %"],
      [0.000_01, "< 0.01 %"],
      [0.004, "0.40 %"],
      [0.123, "12 %"],
    ]));
  test("unknown is unknown, in every unit", () => {
    for (const unit of ["bytes", "seconds", "ratio", "packets", "joules", ""]) {
      expect(quantity(undefined, unit)).toBe("–");
      expect(quantity(null, unit)).toBe("–");
      expect(rate(undefined, unit)).toBe("–");
    }
  });
  test("units that are not known here stand behind the number", () => {
    expect(quantity(12, "packets")).toBe("12");
    expect(quantity(12, "joules")).toBe("12 joules");
    expect(quantity(12, "gCO2")).toBe("12 gCO2");
    expect(rate(2048, "bytes")).toBe("2 KiB/s");
  });
  test("changes have a sign besides their colour", () => {
    const cases: [number | undefined, number | undefined, string][] = [
      [110, 100, "▲ 10 %"],
      [50, 100, "▼ 50 %"],
      [100, 100, "="],
      [100.1, 100, "≈"],
      [5000, 100, "▲ ×50"],
      [5, 0, "▲ from 0"],
      [5, undefined, "new"],
      [Number.NaN, 5, "gone"],
      [undefined, undefined, "–"],
    ];
    for (const [now, was, text] of cases) expect(change(now, was)).toBe(text);
  });
});

describe("measures", () => {
  test("failing, near it, and well", () => {
    const check = (values: Values, expected: string) => expect(health(values, MEASURES, 0.01)).toBe(expected);
    check({ connections: 990, failures: 10 }, "failing");
    check({ connections: 1000, failures: 2 }, "strained");
    check({ connections: 100_000, failures: 2 }, "good");
    check({ connections: 10, failures: 0 }, "good");
    check({ drops: 1 }, "failing");
    check({ drops: 1, packets_sent: 100_000 }, "good");
    check({ failures: 3 }, "failing");
    check({}, "unknown");
    expect(health(undefined, MEASURES, 0.01)).toBe("unknown");
    expect(health({ connections: 100_000, failures: 1 }, MEASURES, 0)).toBe("failing");
  });

  test("a share of what was tried: of connections that failed and those that did not", () => {
    const values = { connections: 30, failures: 10, lookups: 40, lookup_failures: 10 };
    const share = (name: string, of: Record<string, number>) => {
      const measure = MEASURES.find((one) => one.name === name)!;
      return shareOf(of[name]!, measure.of, (part) => of[part]);
    };
    expect(share("failures", values)).toBe(0.25);
    expect(share("lookup_failures", values)).toBe(0.25);
    expect(share("failures", { failures: 10 })).toBe(1);
    // Of what was sent before, and again in this time.
    expect(share("retransmits", { retransmits: 10, packets_sent: 1 })).toBe(1);
    expect(share("drops", { drops: 1, packets_sent: 5, packets_received: 4 })).toBe(0.1);
    expect(share("lookup_failures", { lookup_failures: 1 })).toBeUndefined();
  });

  test("a kind that nobody here has heard of", () => {
    const energy: Measure = {
      name: "joules",
      kind: "energy",
      unit: "joules",
      type: "sum",
      title: "Energy",
      bad: false,
      of: [],
    };
    expect(preferred([energy])).toBe(energy);
    expect(judge(energy, 5, {}, 0.01)).toBe("good");
    expect(preferred(MEASURES)?.name).toBe("bytes_sent");
  });
});
