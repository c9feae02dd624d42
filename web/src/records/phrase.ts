// A record in words: as `amphipod observe` prints it. Kinds that are not known here show their own fields.

import type { End, RecordLine } from "../api/wire.ts";
import { bytes, seconds, whole } from "../format/quantity.ts";

export function endName(end: End | undefined): string {
  if (!end) return "?";
  const where = end.namespace ? `${end.namespace}/` : "";
  const name = end.pod
    ? `${where}${end.pod}`
    : end.service
      ? `${where}svc/${end.service}`
      : end.workload
        ? `${where}${end.workload}`
        : (end.names?.[0] ?? address(end.ip) ?? "?");
  return end.port ? `${name}:${end.port}` : name;
}

function address(ip: string | undefined): string | undefined {
  return ip?.includes(":") ? `[${ip}]` : ip;
}

export function isBad(line: RecordLine): boolean {
  const dns = line.dns as { code?: string } | undefined;
  return line.error !== undefined || line.kind === "drop" || (dns !== undefined && dns.code !== "NOERROR");
}

export function eventName(line: RecordLine): string {
  const error = line.error ?? line.reason;
  const what = line.event ? (line.kind === "connection" ? line.event : `${line.kind} ${line.event}`) : line.kind;
  return error ? `${what} ${error}` : what;
}

/** What is said in words already, or of interest to nobody who skims. */
const SAID = new Set(
  "time node kind event direction protocol source destination process cookie error reason interval_ms".split(" "),
);

/** By the ending of a field's name. */
export function fieldValue(name: string, value: unknown): string {
  if (typeof value === "number") {
    if (name.endsWith("_us")) return seconds(value / 1e6);
    if (name.endsWith("_ms")) return seconds(value / 1e3);
    if (name.endsWith("_ns")) return seconds(value / 1e9);
    if (/(^|_)bytes($|_)/.test(name)) return bytes(value);
    return whole(value);
  }
  if (Array.isArray(value)) return value.map(String).join(", ");
  if (typeof value === "object" && value !== null)
    return Object.entries(value)
      .map(([key, inner]) => `${fieldName(key)} ${fieldValue(key, inner)}`)
      .join("  ");
  return String(value);
}

export function fieldName(name: string): string {
  return name.replace(/_(us|ms|ns)$/, "").replaceAll("_", " ");
}

export function details(line: RecordLine): string {
  const dns = line.dns as
    | { query?: string; type?: string; code?: string; answers?: string[]; duration_us?: number; error?: string }
    | undefined;
  if (dns) {
    const outcome = dns.code ?? dns.error ?? "";
    const answers = dns.answers?.join(" ") ?? "";
    const time = dns.duration_us === undefined ? "" : seconds(dns.duration_us / 1e6);
    return [`${dns.query} ${dns.type ?? ""}`, outcome, answers, time].filter(Boolean).join(" · ");
  }
  const rest = Object.entries(line)
    .filter(([name, value]) => !SAID.has(name) && !TRAFFIC.has(name) && value !== 0 && value !== undefined)
    .map(([name, value]) => `${fieldName(name)} ${fieldValue(name, value)}`);
  return [traffic(line, "sent"), traffic(line, "received"), ...rest].filter(Boolean).join(" · ");
}

const TRAFFIC = new Set(["bytes_sent", "packets_sent", "bytes_received", "packets_received"]);

function traffic(line: RecordLine, way: "sent" | "received"): string {
  const [size, packets] = [line[`bytes_${way}`], line[`packets_${way}`]];
  if (typeof size !== "number" || !(size || packets)) return "";
  return `${way} ${bytes(size)}${typeof packets === "number" ? ` in ${whole(packets)}` : ""}`;
}
