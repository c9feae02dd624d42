// Time ranges: how they are written, moved and compared. Relative ones stay relative, so that the hub's clock counts.

export interface Span {
  /** RFC 3339, or relative to now: `-15m`. */
  since: string;
  /** RFC 3339, `now`, or relative. */
  until: string;
}

/** Nothing, `previous`, `day`, `week`, how long before (`3h`), a time from which on, or `deploy:NS/KIND/NAME`. */
export type Compare = string;

export const DEFAULT_SPAN: Span = { since: "-15m", until: "now" };

export const PRESETS: readonly { since: string; title: string }[] = [
  { since: "-5m", title: "5 min" },
  { since: "-15m", title: "15 min" },
  { since: "-1h", title: "1 h" },
  { since: "-6h", title: "6 h" },
  { since: "-24h", title: "24 h" },
  { since: "-7d", title: "7 d" },
];

const SECONDS: Record<string, number> = { d: 86_400, h: 3_600, m: 60, s: 1 };
const DAY_S = 86_400;

/** Seconds before now that a relative time says; undefined if it is none. */
export function ago(text: string): number | undefined {
  if (text === "now" || text === "") return 0;
  const found = /^-((?:\d+[dhms])+)$/.exec(text);
  if (!found) return undefined;
  let total = 0;
  for (const [, number, unit] of found[1]!.matchAll(/(\d+)([dhms])/g)) total += Number(number) * SECONDS[unit!]!;
  return total;
}

/** The shortest way to write so many seconds before now. */
export function relative(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole <= 0) return "now";
  for (const [unit, size] of Object.entries(SECONDS)) if (whole % size === 0) return `-${whole / size}${unit}`;
  return `-${whole}s`;
}

export function isTime(text: string): boolean {
  return (
    (text !== "" && ago(text) !== undefined) ||
    (/^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) && !Number.isNaN(Date.parse(text)))
  );
}

/** Milliseconds since 1970. */
export function moment(text: string, now_ms: number): number {
  const seconds = ago(text);
  return seconds === undefined ? Date.parse(text) : now_ms - seconds * 1000;
}

function iso(time_ms: number): string {
  return new Date(time_ms).toISOString().replace(/\.000Z$/, "Z");
}

export function length(span: Span, now_ms: number): number {
  return Math.max(1, Math.round((moment(span.until, now_ms) - moment(span.since, now_ms)) / 1000));
}

export function isCompare(text: string): boolean {
  return (
    ["", "previous", "day", "week"].includes(text) ||
    /^[1-9]\d*[dhms]$/.test(text) ||
    /^deploy:[^/]*\/[^/]+\/.+$/.test(text) ||
    (/^\d{4}-/.test(text) && isTime(text))
  );
}

/** What the hub is asked to compare with; empty: nothing. */
export function comparison(span: Span, compare: Compare, now_ms: number): string {
  // A range longer than what it is moved by would overlap itself: whole days, as many as it takes.
  const days = compare === "day" ? 1 : compare === "week" ? 7 : 0;
  if (days === 0) return compare;
  return `${days * Math.ceil(length(span, now_ms) / (days * DAY_S))}d`;
}

/** The range that lies one length (or a part of it) earlier or later; never beyond now. */
export function shift(span: Span, parts: number, now_ms: number): Span {
  const length_s = length(span, now_ms);
  const until_ms = moment(span.until, now_ms) + parts * length_s * 1000;
  if (until_ms >= now_ms - 1000) return { since: relative(length_s), until: "now" };
  return { since: iso(until_ms - length_s * 1000), until: iso(until_ms) };
}

/** Twice as long, about the same middle where there is a future to have. */
export function widen(span: Span, now_ms: number): Span {
  const length_s = length(span, now_ms);
  if (span.until === "now") return { since: relative(length_s * 2), until: "now" };
  const until_ms = moment(span.until, now_ms) + (length_s / 2) * 1000;
  if (until_ms >= now_ms) return { since: relative(length_s * 2), until: "now" };
  return { since: iso(until_ms - 2 * length_s * 1000), until: iso(until_ms) };
}

/** Whether it moves as time goes on. */
export function isLive(span: Span): boolean {
  return span.until === "now" && ago(span.since) !== undefined;
}
