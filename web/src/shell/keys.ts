// The keyboard: one list of what is bound now; the help shows the same list.

import { useLayoutEffect } from "preact/hooks";

export interface Key {
  /** `/`, `Escape`, or two in a row: `g m`. */
  keys: string;
  title: string;
  run: () => void;
}

const bound: (readonly Key[])[] = [];

/** Keys of a page, for as long as it is shown. */
export function useKeys(keys: readonly Key[]): void {
  // Before the next key can be pressed.
  useLayoutEffect(() => {
    bound.push(keys);
    return () => {
      bound.splice(bound.indexOf(keys), 1);
    };
  });
}

export function all(): readonly (readonly Key[])[] {
  return bound;
}

const PATIENCE_MS = 1200;
let first = "";
let firstAt = 0;

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input:not([type=checkbox]), select, textarea");
}

window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") (event.target as HTMLElement).blur();
    return;
  }
  const pair = first !== "" && performance.now() - firstAt < PATIENCE_MS ? `${first} ${event.key}` : "";
  first = "";
  // The page's own come before those of the frame.
  const list = bound.flat().reverse();
  const hit = list.find((key) => key.keys === pair) ?? list.find((key) => key.keys === event.key);
  if (hit) {
    event.preventDefault();
    hit.run();
  } else if (list.some((key) => key.keys.startsWith(`${event.key} `))) {
    first = event.key;
    firstAt = performance.now();
  }
});
