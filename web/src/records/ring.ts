// The newest records, and how many are no longer among them.

import type { Lost, RecordLine } from "../api/wire.ts";

export type Entry = { id: number; line: RecordLine } | { id: number; lost: Lost };

export function isLost(value: unknown): value is Lost {
  return typeof value === "object" && value !== null && typeof (value as Lost).lost === "number" && !("kind" in value);
}

export class Ring {
  readonly limit: number;
  #entries: Entry[] = [];
  #next = 0;
  received = 0;
  /** Not shown because somewhere on the way there was no room: as the hub tells. */
  lost = 0;
  /** Let go here, for newer ones. */
  evicted = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Oldest first, as they come. */
  push(values: readonly unknown[]): void {
    const added = values.map((value): Entry => {
      const id = this.#next++;
      if (isLost(value)) {
        this.lost += value.lost;
        return { id, lost: value };
      }
      this.received += 1;
      return { id, line: value as RecordLine };
    });
    const all = [...this.#entries, ...added];
    const over = Math.max(0, all.length - this.limit);
    this.evicted += over;
    this.#entries = over > 0 ? all.slice(over) : all;
  }
}
