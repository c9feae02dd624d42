// Names of boxes: with their kind where two would be the same without.

import { shortKind } from "../format/kind.ts";
import type { Item } from "./scene.ts";
import { nameOf } from "./table.ts";

/** The kind in few letters, and whole for the pointer and for readers of the screen. */
export function Kind({ kind }: { kind: string }) {
  return (
    <span class="muted" title={kind}>
      {" "}
      <span aria-hidden="true">{shortKind(kind)}</span>
      <span class="hidden">{kind}</span>
    </span>
  );
}

export function Name({ item }: { item: Item }) {
  return (
    <>
      {item.label}
      {item.twin ? <Kind kind={item.twin} /> : null}
    </>
  );
}

/** The same as text. */
export function textOf(item: Item): string {
  return item.twin ? `${item.label} (${item.twin})` : item.label;
}

/** With its namespace before it, where it is in one. */
export function fullText(item: Item): string {
  const { namespace } = nameOf(item.key);
  return item.node < 0 || namespace === "-" ? textOf(item) : `${namespace}/${textOf(item)}`;
}

/** Where an edge runs: one namespace, or from one to another. */
export function namespacesOf(from: Item, to: Item): string {
  const [a, b] = [from, to].map(({ key, node }) => (node < 0 ? "-" : nameOf(key).namespace));
  if (a === b) return a === "-" ? "" : a!;
  return `${a === "-" ? "no namespace" : a} → ${b === "-" ? "no namespace" : b}`;
}
