import { expect, test } from "vitest";
import { counted, grouped, hasProblem, stateOf, worstFirst } from "./verdict.ts";

const node = (name: string, state: string, more = {}) => ({
  name,
  connected: true,
  probes: [{ probe: "tcp", program: "accept", state, reason: state === "degraded" ? "no fexit" : "" }],
  ...more,
});

test("problems", () => {
  expect(hasProblem(node("a", "active"))).toBe(false);
  expect(hasProblem(node("a", "disabled"))).toBe(false);
  expect(hasProblem(node("a", "degraded"))).toBe(true);
  expect(hasProblem(node("a", "active", { connected: false }))).toBe(true);
  expect(hasProblem(node("a", "active", { lost: 1 }))).toBe(true);
  // A state of later versions is looked at rather than overlooked.
  expect([stateOf("paused").glyph, hasProblem(node("a", "paused"))]).toEqual(["?", true]);
});

test("the same verdict on many nodes is one", () => {
  const found = grouped([node("a", "active"), node("b", "degraded"), node("c", "active")]);
  expect(found.map(({ verdict, nodes }) => [verdict.state, nodes.join()])).toEqual([
    ["active", "a,c"],
    ["degraded", "b"],
  ]);
});

test("programs are counted by state, the worst first", () => {
  const of = (state: string, program: string) => ({ probe: "tcp", program, state });
  expect(counted([of("active", "a"), of("failed", "b"), of("active", "c"), of("later", "d")])).toEqual([
    ["later", ["tcp d"]],
    ["failed", ["tcp b"]],
    ["active", ["tcp a", "tcp c"]],
  ]);
});

test("the worst is told first, and a state of later versions before all", () => {
  const states = ["active", "degraded", "paused", "disabled", "failed"];
  expect(worstFirst(states, (state) => state)).toEqual(["paused", "failed", "degraded", "disabled", "active"]);
});
