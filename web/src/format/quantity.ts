// Numbers for people: three significant digits, the unit beside them, and never a made-up zero.

export const UNKNOWN = "–";

const DECIMAL = ["", "k", "M", "G", "T", "P"];
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function three(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || value === 0) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1).replace(/\.0$/, "");
  return value.toFixed(2).replace(/\.?0+$/, "");
}

function scaled(value: number, base: number, units: readonly string[], gap: string): string {
  let size = Math.abs(value);
  let step = 0;
  // 999.7 would be rounded up to 1000.
  while (size >= (base === 1000 ? 999.5 : 1023.5) && step < units.length - 1) {
    size /= base;
    step += 1;
  }
  const number = three(Math.sign(value) * size);
  return units[step] === "" ? number : `${number}${gap}${units[step]}`;
}

export function count(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size < 1 && size > 0) return size < 0.01 ? value.toExponential(0) : value.toFixed(2).replace(/0$/, "");
  if (size < 10_000) return Number.isInteger(value) ? whole(value) : three(value);
  return scaled(value, 1000, DECIMAL, "");
}

/** Exact, with groups of three digits. */
export function whole(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  return Math.round(value).toLocaleString("en-US");
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  return scaled(value, 1024, BINARY, " ");
}

export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 0.9995e-6) return `${three(value * 1e9)} ns`;
  if (size < 0.9995e-3) return `${three(value * 1e6)} µs`;
  if (size < 0.9995) return `${three(value * 1e3)} ms`;
  if (size < 120) return `${three(value)} s`;
  return duration(value);
}

/** Days to seconds, the two largest of them. */
export function duration(value_s: number): string {
  const total = Math.round(value_s);
  const parts: [number, string][] = [
    [Math.floor(total / 86_400), "d"],
    [Math.floor(total / 3_600) % 24, "h"],
    [Math.floor(total / 60) % 60, "min"],
    [total % 60, "s"],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return "0 s";
  const shown = parts.slice(first, first + 2).filter(([number]) => number > 0);
  return shown.map(([number, unit]) => `${number} ${unit}`).join(" ");
}

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return UNKNOWN;
  const value = share * 100;
  const size = Math.abs(value);
  if (size === 0) return "0 %";
  if (size < 0.01) return "< 0.01 %";
  return `${size < 1 ? value.toFixed(2) : size < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}

/** By the unit that a measure declares; one that is not known here stands behind the number as it is. */
export function quantity(value: number | null | undefined, unit: string): string {
  switch (unit) {
    case "bytes":
      return bytes(value);
    case "seconds":
      return seconds(value);
    case "ratio":
      return percent(value);
    case "":
    case "1":
    case "count":
      return count(value);
    default: {
      const number = count(value);
      // Counted things (connections, packets) are named by the column already.
      return number === UNKNOWN || isCounted(unit) ? number : `${number} ${unit}`;
    }
  }
}

function isCounted(unit: string): boolean {
  return /s$/.test(unit) && !/^(joules|watts|grams|celsius)$/.test(unit);
}

/** A sum over an interval as what it is per second. */
export function rate(value: number | null | undefined, unit: string): string {
  const text = quantity(value, unit);
  return text === UNKNOWN ? text : `${text}/s`;
}

/** How a value compares with what it was: sign, size and a shape, so that no colour is needed. */
export function change(now: number | undefined, was: number | undefined): string {
  const known = (value: number | undefined): value is number => value !== undefined && !Number.isNaN(value);
  if (!known(now) || !known(was)) return known(now) ? "new" : known(was) ? "gone" : UNKNOWN;
  if (now === was) return "=";
  if (was === 0) return "▲ from 0";
  const share = (now - was) / was;
  const sign = share > 0 ? "▲" : "▼";
  if (Math.abs(share) < 0.005) return "≈";
  if (share > 9.995) return `${sign} ×${three(now / was)}`;
  return `${sign} ${Math.abs(share * 100).toFixed(0)} %`;
}
