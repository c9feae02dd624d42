import { describe, expect, test } from "vitest";
import type { RecordLine } from "../api/wire.ts";
import { parse } from "../state/url.ts";
import { command, kindsOf, query, typed } from "./filter.ts";
import { details, endName, eventName, isBad } from "./phrase.ts";
import { Ring } from "./ring.ts";

const line = (fields: Partial<RecordLine>): RecordLine => ({
  time: "2026-01-31T10:00:00Z",
  node: "n",
  kind: "flow",
  ...fields,
});

describe("filters", () => {
  const { filters } = parse("filter=namespace:shop&filter=!port:53&filter=from_ip:fd00::/8&filter=label:a=b,!c");

  test("for the hub: not stands before what it inverts", () => {
    expect(query(filters)).toEqual([
      ["namespace", "shop"],
      ["not", "1"],
      ["port", "53"],
      ["from_ip", "fd00::/8"],
      ["label", "a=b,!c"],
    ]);
  });

  test("kinds are those of the measures", () => {
    const measure = (kind: string) => ({
      name: kind,
      kind,
      unit: "",
      type: "sum" as const,
      title: "",
      bad: false,
      of: [],
    });
    expect(kindsOf(["flow", "dns", "flow", "request"].map(measure))).toEqual(["flow", "dns", "request"]);
  });

  test("for the command line", () => {
    expect(command(filters)).toBe(
      "amphipod observe -f --namespace shop --not --port 53 --from-ip fd00::/8 --label 'a=b,!c'",
    );
    expect(command([{ key: "pod", value: "it's; rm", not: false }])).toBe("amphipod observe -f --pod 'it'\\''s; rm'");
  });

  test("typed in any way", () => {
    const cases: [string, unknown][] = [
      ["pod:cart", { key: "pod", value: "cart", not: false }],
      ["!to-port=443", { key: "to_port", value: "443", not: true }],
      ["--from-namespace shop", { key: "from_namespace", value: "shop", not: false }],
      ["cart", undefined],
      ["nonsense:1", undefined],
    ];
    for (const [text, expected] of cases) expect(typed(text), text).toEqual(expected);
  });
});

describe("words", () => {
  test("ends by the best name that is known", () => {
    const cases: [RecordLine["source"], string][] = [
      [{ namespace: "shop", pod: "cart-1", service: "cart", ip: "10.0.0.1", port: 80 }, "shop/cart-1:80"],
      [{ namespace: "shop", service: "cart", ip: "10.0.0.1", port: 80 }, "shop/svc/cart:80"],
      [{ names: ["a.example"], ip: "203.0.113.1", port: 443 }, "a.example:443"],
      [{ ip: "fd00::1", port: 53 }, "[fd00::1]:53"],
      [{ ip: "10.0.0.1" }, "10.0.0.1"],
      [undefined, "?"],
    ];
    for (const [end, text] of cases) expect(endName(end)).toBe(text);
  });

  test("what happened", () => {
    const failed = line({ kind: "connection", event: "failed", error: "ECONNREFUSED", duration_us: 250 });
    expect([eventName(failed), details(failed), isBad(failed)]).toEqual([
      "failed ECONNREFUSED",
      "duration 250 µs",
      true,
    ]);
    const flow = line({ bytes_sent: 2048, retransmits: 0, rtt_us: 1500, interval_ms: 5000 });
    expect([eventName(flow), details(flow), isBad(flow)]).toEqual(["flow", "sent 2 KiB · rtt 1.5 ms", false]);
    const both = line({ bytes_sent: 95, packets_sent: 6, bytes_received: 0, packets_received: 4 });
    expect(details(both)).toBe("sent 95 B in 6 · received 0 B in 4");
    const dns = { query: "a.example", type: "A", code: "NXDOMAIN", duration_us: 900 };
    expect([details(line({ kind: "dns", dns })), isBad(line({ kind: "dns", dns }))]).toEqual([
      "a.example A · NXDOMAIN · 900 µs",
      true,
    ]);
  });

  test("a kind to come shows its own fields", () => {
    const request = line({ kind: "request", layer7: { protocol: "http", status: 503, duration_us: 1200 } });
    expect(details(request)).toBe("layer7 protocol http  status 503  duration 1.2 ms");
  });
});

describe("ring", () => {
  test("holds the newest, and counts the others", () => {
    const ring = new Ring(3);
    ring.push([line({}), { lost: 5, node: "n" }, line({})]);
    ring.push([line({ node: "x" }), { lost: 2 }]);
    expect([ring.received, ring.lost, ring.evicted, ring.entries.length]).toEqual([3, 7, 2, 3]);
    expect(ring.entries.map((entry) => entry.id)).toEqual([2, 3, 4]);
    const before = ring.entries;
    ring.push([line({})]);
    // Whoever paused goes on seeing what was there.
    expect(before.map((entry) => entry.id)).toEqual([2, 3, 4]);
  });
});
