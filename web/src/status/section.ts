// From a status of any shape to tables: numbers by the ending of their names, lists of objects as rows.

import { bytes, count, duration, seconds, whole } from "../format/quantity.ts";

export interface Fact {
  name: string;
  text: string;
  isBad: boolean;
}

export type Section =
  | { type: "facts"; title: string; facts: Fact[] }
  | { type: "rows"; title: string; columns: string[]; rows: Fact[][] };

const ENDINGS: [RegExp, (value: number) => string][] = [
  [/_bytes$/, bytes],
  [/(uptime|stale)_seconds$/, duration],
  [/_seconds$/, seconds],
  [/_percent$/, (value) => `${value.toFixed(1)} %`],
  [/_per_second$/, (value) => `${count(value)}/s`],
  [/(^|_)(pid|epoch|port)$/, (value) => String(value)],
];

function plain(name: string): string {
  return name.replace(/_bytes$|(?<=uptime)_seconds$/, "").replaceAll("_", " ");
}

export function fact(name: string, value: unknown): Fact {
  const isBad =
    (/(^|_)error$/.test(name) && value !== "" && value !== undefined) ||
    (value === false && /^(ready|listed)$/.test(name));
  let text: string;
  if (typeof value === "number") text = (ENDINGS.find(([ending]) => ending.test(name))?.[1] ?? whole)(value);
  else if (typeof value === "boolean") text = value ? "yes" : "no";
  else if (value === undefined || value === null) text = "";
  else text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return { name: plain(name), text, isBad };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function sections(title: string, value: Record<string, unknown>): Section[] {
  const facts: Fact[] = [];
  const rest: Section[] = [];
  for (const [name, one] of Object.entries(value)) {
    const below = title ? `${title} · ${plain(name)}` : capital(plain(name));
    if (isObject(one)) rest.push(...sections(below, one));
    else if (Array.isArray(one) && one.every(isObject)) {
      if (one.length === 0) continue;
      const keys = [...new Set(one.flatMap((row) => Object.keys(row)))];
      rest.push({
        type: "rows",
        title: below,
        columns: keys.map(plain),
        rows: one.map((row) => keys.map((key) => fact(key, row[key]))),
      });
    } else facts.push(fact(name, one));
  }
  return facts.length > 0 ? [{ type: "facts", title, facts }, ...rest] : rest;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
