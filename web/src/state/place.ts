// Where the reader is: the address bar as one signal. Everything that is shown follows from it.

import { computed, effect, signal } from "@preact/signals";
import type { Span } from "./span.ts";
import { format, type Place, parse, turn } from "./url.ts";

export const place = signal<Place>(parse(location.search));

export const span = computed<Span>(() => ({ since: place.value.since, until: place.value.until }));

window.addEventListener("popstate", () => {
  place.value = parse(location.search);
});

function show(next: Place, replace: boolean): void {
  const query = format(next);
  if (query === format(place.value)) {
    place.value = next;
    return;
  }
  const url = query === "" ? location.pathname : `?${query}`;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  place.value = next;
}

/** Changes some of the state; `replace` where "back" should not lead through every step (typing, panning). */
export function go(patch: Partial<Place>, replace = false): void {
  show({ ...place.value, ...patch }, replace);
}

/** Goes to another page. */
export function turnTo(patch: Partial<Place>): void {
  show(turn(place.value, patch), false);
}

/** The address of another page, for links that can be opened in a tab of their own. */
export function link(patch: Partial<Place>): string {
  const query = format(turn(place.value, patch));
  return query === "" ? "?" : `?${query}`;
}

/** Follows a link of ours without loading the page anew. */
export function turnBySearch(query: string): void {
  show(parse(query), false);
}

const system = window.matchMedia("(prefers-color-scheme: light)");
const systemLight = signal(system.matches);
system.addEventListener("change", () => {
  systemLight.value = system.matches;
});

export const theme = computed<"dark" | "light">(() => place.value.theme || (systemLight.value ? "light" : "dark"));

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});
