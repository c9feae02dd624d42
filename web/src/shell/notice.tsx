// What a page has to say about its own data: errors, and how far a number is not complete.

import { ApiError } from "../api/client.ts";
import type { Missing } from "../api/wire.ts";
import { whole } from "../format/quantity.ts";

export function Failure({ error, reload }: { error: Error | undefined; reload?: () => void }) {
  if (!error) return null;
  const detail = error instanceof ApiError ? error.detail : "";
  return (
    <div class="notice bad" role="alert">
      <strong>✕ {error.message}</strong>
      <span class="grow">{detail}</span>
      {reload ? (
        <button type="button" onClick={reload}>
          Try again
        </button>
      ) : null}
    </div>
  );
}

export function Incomplete({ complete, missing }: { complete: boolean; missing: readonly Missing[] }) {
  if (complete && missing.length === 0) return null;
  const rows = missing.reduce((sum, one) => sum + (one.rows ?? 0), 0);
  const isKnown = missing.every((one) => one.rows !== undefined);
  const nodes = new Set(missing.map((one) => one.node)).size;
  return (
    <details class="notice warn">
      <summary>
        <strong>▲ Incomplete</strong>{" "}
        {missing.length > 0
          ? `${whole(nodes)} ${nodes === 1 ? "node" : "nodes"} with ${isKnown ? "" : "at least "}${whole(rows)} rows missing in this time`
          : "the hub does not say what is missing"}
      </summary>
      <table class="plain-table">
        <thead>
          <tr>
            <th>Node</th>
            <th>Why</th>
            <th class="right">Rows</th>
          </tr>
        </thead>
        <tbody>
          {missing.slice(0, 100).map((one) => (
            <tr key={`${one.node}${one.reason}`}>
              <td>{one.node}</td>
              <td>{one.reason}</td>
              <td class="right">{whole(one.rows)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
