// The map's colours, from the page's tokens; and the shapes that say the same without them.

import { FAILING, STRAINED } from "./health.ts";

export interface Ink {
  bg: string;
  surface: string;
  raised: string;
  line: string;
  strong: string;
  text: string;
  muted: string;
  accent: string;
  accentFill: string;
  bad: string;
  badFill: string;
  warn: string;
  warnFill: string;
  good: string;
  edge: string;
  less: string;
  sans: string;
}

const TOKENS: Record<keyof Ink, string> = {
  bg: "--bg",
  surface: "--surface",
  raised: "--raised",
  line: "--line",
  strong: "--strong-line",
  text: "--text",
  muted: "--muted",
  accent: "--accent",
  accentFill: "--accent-fill",
  bad: "--bad",
  badFill: "--bad-fill",
  warn: "--warn",
  warnFill: "--warn-fill",
  good: "--good",
  edge: "--edge",
  less: "--less",
  sans: "--sans",
};

export function readInk(): Ink {
  const style = getComputedStyle(document.documentElement);
  const entries = Object.entries(TOKENS).map(([name, token]) => [name, style.getPropertyValue(token).trim()]);
  return Object.fromEntries(entries) as unknown as Ink;
}

/** Colour is never alone: what fails is a triangle, what is strained a diamond, what is well a dot. */
export function glyph(
  context: CanvasRenderingContext2D,
  ink: Ink,
  health: number,
  x: number,
  y: number,
  size: number,
): void {
  context.beginPath();
  if (health === FAILING) {
    context.fillStyle = ink.bad;
    context.moveTo(x, y - size);
    context.lineTo(x + size, y + size * 0.8);
    context.lineTo(x - size, y + size * 0.8);
  } else if (health === STRAINED) {
    context.fillStyle = ink.warn;
    context.moveTo(x, y - size);
    context.lineTo(x + size, y);
    context.lineTo(x, y + size);
    context.lineTo(x - size, y);
  } else {
    context.fillStyle = ink.strong;
    context.arc(x, y, size * 0.55, 0, Math.PI * 2);
  }
  context.fill();
}

export const GLYPHS = ["●", "◆", "▲"] as const;
export const HEALTH_NAMES = ["no failures", "some failures", "failing"] as const;
export const HEALTH_CLASSES = ["muted", "warn", "bad"] as const;
