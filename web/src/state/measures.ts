// The measures that the hub has. Pages ask this list what there is to show; none of them names a measure.

import { signal } from "@preact/signals";
import { address, get } from "../api/client.ts";
import type { Measure } from "../api/wire.ts";

export const measures = signal<Measure[]>([]);
export const measuresError = signal<Error | undefined>(undefined);

export async function loadMeasures(): Promise<void> {
  try {
    measures.value = (await get<{ measures: Measure[] }>(address("measures"))).measures;
    measuresError.value = undefined;
  } catch (error) {
    measuresError.value = error instanceof Error ? error : new Error(String(error));
    setTimeout(loadMeasures, 5000);
  }
}
