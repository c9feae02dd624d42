// Newline-delimited JSON as it arrives.

import { open } from "./client.ts";

/** A line longer than this is nobody's record. */
const LONGEST_BYTES = 1 << 20;

/** Cuts chunks of text into lines; what is not yet a whole line waits for the next chunk. */
export class LineCutter {
  #rest = "";
  /** Lines that were not JSON, or too long. */
  malformed = 0;

  push(text: string): unknown[] {
    const parts = (this.#rest + text).split("\n");
    this.#rest = parts.pop() ?? "";
    if (this.#rest.length > LONGEST_BYTES) {
      this.#rest = "";
      this.malformed += 1;
    }
    const found: unknown[] = [];
    for (const part of parts) {
      if (part.trim() === "") continue;
      try {
        const value: unknown = JSON.parse(part);
        if (typeof value === "object" && value !== null) found.push(value);
        else this.malformed += 1;
      } catch {
        this.malformed += 1;
      }
    }
    return found;
  }
}

/** Calls `take` with each batch of lines until the stream ends or is cancelled. */
export async function follow(
  url: string,
  signal: AbortSignal,
  opened: () => void,
  take: (lines: unknown[], malformed: number) => void,
): Promise<void> {
  const response = await open(url, signal, "application/x-ndjson");
  opened();
  if (!response.body) return;
  const cutter = new LineCutter();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    const lines = cutter.push(done ? "\n" : value);
    if (lines.length > 0) take(lines, cutter.malformed);
    if (done) return;
  }
}
