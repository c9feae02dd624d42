// What became of the probes' programs, in shapes and words.

import type { NodeRow, ProbeVerdict } from "../api/wire.ts";

interface Look {
  glyph: string;
  tone: string;
  isProblem: boolean;
}

/** The worst first. */
export const STATES: Record<string, Look> = {
  failed: { glyph: "✕", tone: "bad", isProblem: true },
  away: { glyph: "✕", tone: "bad", isProblem: true },
  degraded: { glyph: "◆", tone: "warn", isProblem: true },
  unsupported: { glyph: "○", tone: "muted", isProblem: false },
  disabled: { glyph: "–", tone: "muted", isProblem: false },
  active: { glyph: "●", tone: "good", isProblem: false },
  connected: { glyph: "●", tone: "good", isProblem: false },
};

/** A state of later versions is shown by its name. */
export function stateOf(state: string): Look {
  return STATES[state] ?? { glyph: "?", tone: "warn", isProblem: true };
}

export function worstFirst<T>(list: readonly T[], of: (one: T) => string): T[] {
  const order = Object.keys(STATES);
  return [...list].sort((a, b) => order.indexOf(of(a)) - order.indexOf(of(b)));
}

export function hasProblem(node: NodeRow): boolean {
  return (
    !node.connected ||
    (node.lost ?? 0) > 0 ||
    (node.lost_rows ?? 0) > 0 ||
    (node.probes ?? []).some(({ state }) => stateOf(state).isProblem)
  );
}

export function grouped(nodes: readonly NodeRow[]): { verdict: ProbeVerdict; nodes: string[] }[] {
  const groups = new Map<string, { verdict: ProbeVerdict; nodes: string[] }>();
  for (const node of nodes) {
    for (const verdict of node.probes ?? []) {
      const key = JSON.stringify([verdict.probe, verdict.program, verdict.state, verdict.reason]);
      const group = groups.get(key);
      if (group) group.nodes.push(node.name);
      else groups.set(key, { verdict, nodes: [node.name] });
    }
  }
  return [...groups.values()];
}

/** Which programs are in each state; the worst state first. */
export function counted(probes: readonly ProbeVerdict[]): [state: string, programs: string[]][] {
  const states = new Map<string, string[]>();
  for (const { probe, program, state } of probes)
    states.set(state, [...(states.get(state) ?? []), `${probe} ${program}`]);
  return worstFirst([...states], ([state]) => state);
}
