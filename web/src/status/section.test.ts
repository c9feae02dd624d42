import { expect, test } from "vitest";
import { fact, sections } from "./section.ts";

test("any status becomes tables", () => {
  const found = sections("", {
    version: "1",
    uptime_seconds: 93_784,
    cost: { rss_bytes: 1_048_576, parts: [{ name: "a" }] },
    resources: [
      { name: "pods", listed: false },
      { name: "nodes", error: "403" },
    ],
    none: [],
    novelty: { depth: 3 },
  });
  expect(found.map(({ title }) => title)).toEqual(["", "Cost", "Cost · parts", "Resources", "Novelty"]);
  expect(found[0]).toMatchObject({
    facts: [
      { name: "version", text: "1" },
      { name: "uptime", text: "1 d 2 h" },
    ],
  });
  expect(found[1]).toMatchObject({ facts: [{ name: "rss", text: "1 MiB" }] });
  expect(found[3]).toMatchObject({ columns: ["name", "listed", "error"] });
});

test("what is bad is marked", () => {
  expect(fact("ready", false)).toMatchObject({ text: "no", isBad: true });
  expect(fact("error", "403")).toMatchObject({ isBad: true });
  expect(fact("history_error", "ClickHouse is away")).toMatchObject({ name: "history error", isBad: true });
  expect(fact("error", "")).toMatchObject({ isBad: false });
  expect(fact("truncated", false)).toMatchObject({ isBad: false });
});

test("a number too large for one keeps its digits", () => {
  expect(fact("epoch", "12459522364653510520").text).toBe("12459522364653510520");
});
