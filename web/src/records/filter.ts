// The filters of `amphipod observe`: the same keys, for the page, the API and the command line.

import type { Measure } from "../api/wire.ts";
import type { Filter } from "../state/url.ts";

export interface Key {
  name: string;
  value: string;
  help: string;
  choices?: string[];
}

const sided = (name: string, value: string, what: string): Key[] => [
  { name, value, help: `either end ${what}` },
  { name: `from_${name}`, value, help: `source ${what}` },
  { name: `to_${name}`, value, help: `destination ${what}` },
];

export const KEYS: readonly Key[] = [
  { name: "kind", value: "KIND", help: "kind of record" },
  {
    name: "verdict",
    value: "VERDICT",
    help: "what came of it",
    choices: ["failed", "error", "dropped", "opened", "accepted", "closed", "forwarded"],
  },
  ...sided("namespace", "NAMESPACE", "in this namespace"),
  ...sided("workload", "[KIND/]NAME", "of this workload"),
  ...sided("pod", "[NAMESPACE/]PREFIX", "a pod whose name begins so"),
  ...sided("service", "[NAMESPACE/]PREFIX", "a service whose name begins so"),
  ...sided("label", "SELECTOR", "with these labels"),
  ...sided("ip", "ADDRESS[/BITS]", "at this address or in this network"),
  ...sided("port", "PORT", "at this port"),
  { name: "protocol", value: "PROTOCOL", help: "protocol", choices: ["tcp", "udp", "icmp", "icmpv6", "sctp"] },
];

/** Kinds of records, as far as anything is measured of them. */
export function kindsOf(measures: readonly Measure[]): string[] {
  return [...new Set(measures.map(({ kind }) => kind))];
}

/** For the request: `not` stands before what it inverts. */
export function query(filters: readonly Filter[]): [string, string][] {
  return filters.flatMap(({ key, value, not }): [string, string][] => [
    ...(not ? ([["not", "1"]] as [string, string][]) : []),
    [key, value],
  ]);
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The same question for the command line. */
export function command(filters: readonly Filter[]): string {
  const flags = filters.map(
    ({ key, value, not }) => `${not ? "--not " : ""}--${key.replaceAll("_", "-")} ${quoted(value)}`,
  );
  return ["amphipod observe -f", ...flags].join(" ");
}

/** `pod:cart`, `!port=53`, `--to-pod cart`; undefined: no filter. */
export function typed(text: string): Filter | undefined {
  const found = /^(!?)\s*(?:--)?([a-z][a-z_-]*)\s*[:= ]\s*(\S.*)$/i.exec(text.trim());
  if (!found) return undefined;
  const key = found[2]!.toLowerCase().replaceAll("-", "_");
  return KEYS.some(({ name }) => name === key) ? { key, value: found[3]!.trim(), not: found[1] === "!" } : undefined;
}
