// How the map is looked at.

import { useMemo } from "preact/hooks";
import type { Measure } from "../api/wire.ts";
import { STATISTICS } from "../format/measure.ts";
import { whole } from "../format/quantity.ts";
import { go, place } from "../state/place.ts";
import type { Group, Shape } from "../state/url.ts";
import type { GraphState } from "./graph.ts";
import { nameOf } from "./table.ts";

const SHAPES: [Shape, string][] = [
  ["map", "Map"],
  ["matrix", "Matrix"],
  ["edges", "Edges"],
];

export function Controls({
  measures,
  measure,
  graph,
}: {
  measures: readonly Measure[];
  measure: Measure | undefined;
  graph: GraphState;
}) {
  const { shape, group, errors, threshold, top, focus, hops, search, statistic } = place.value;
  const { scene, table } = graph;
  const inSight = scene?.items.reduce((sum, item) => sum + item.count, 0) ?? 0;
  const kinds = useMemo(() => [...new Set(measures.map((one) => one.kind))], [measures]);
  return (
    <div class="bar" role="toolbar" aria-label="Map">
      <div class="joined" role="group" aria-label="Shown as">
        {SHAPES.map(([key, title]) => (
          <button type="button" key={key} aria-pressed={shape === key} onClick={() => go({ shape: key })}>
            {title}
          </button>
        ))}
      </div>
      <input
        id="search"
        type="search"
        placeholder="Find  /"
        aria-label="Find a workload"
        list="workloads"
        value={search}
        spellcheck={false}
        onInput={(event) => go({ search: event.currentTarget.value }, true)}
        onKeyDown={(event) => {
          if (event.key === "Enter") dispatchEvent(new CustomEvent("map-find"));
        }}
      />
      <label class="field">
        by
        <select
          aria-label="Measure"
          class="measure"
          value={measure?.name ?? ""}
          onChange={(event) => go({ measure: event.currentTarget.value })}
        >
          {kinds.map((kind) => (
            <optgroup key={kind} label={kind}>
              {measures
                .filter((one) => one.kind === kind)
                .map((one) => (
                  <option key={one.name} value={one.name}>
                    {one.title}
                  </option>
                ))}
            </optgroup>
          ))}
        </select>
      </label>
      {measure?.type === "distribution" ? (
        <select
          aria-label="Statistic"
          value={statistic || "p99"}
          onChange={(event) => go({ statistic: event.currentTarget.value })}
        >
          {STATISTICS.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      ) : null}
      <label class="field">
        top
        <select
          aria-label="Edges drawn"
          class="short"
          value={String(top)}
          onChange={(event) => go({ top: Number(event.currentTarget.value) })}
        >
          {[...new Set([100, 300, 1000, 5000, top])]
            .filter((number) => number > 0)
            .sort((a, b) => a - b)
            .map((number) => (
              <option key={number} value={String(number)}>
                {whole(number)}
              </option>
            ))}
          <option value="0">all</option>
        </select>
      </label>
      <div class="joined">
        <button
          type="button"
          title="Errors only  e"
          aria-pressed={errors}
          onClick={() => go({ errors: !errors, camera: null })}
        >
          ▲ Errors only
        </button>
        <select
          aria-label="What counts as failing"
          class="short"
          value={String(threshold)}
          onChange={(event) => go({ threshold: Number(event.currentTarget.value) })}
        >
          {[...new Set([0, 0.001, 0.01, 0.05, 0.2, threshold])]
            .sort((a, b) => a - b)
            .map((share) => (
              <option key={share} value={String(share)}>
                {share === 0 ? "any" : `≥ ${share * 100} %`}
              </option>
            ))}
        </select>
      </div>
      <label class="field">
        group
        <select
          aria-label="Group"
          value={group}
          onChange={(event) => go({ group: event.currentTarget.value as Group, selected: "", focus: "", camera: null })}
        >
          <option value="workload">workloads</option>
          <option value="namespace">namespaces</option>
          <option value="zone">zones</option>
        </select>
      </label>
      {focus === "" ? null : (
        <span class="chip">
          {nameOf(focus).name} ±
          <select
            aria-label="Hops"
            value={String(hops)}
            onChange={(event) => go({ hops: Number(event.currentTarget.value), camera: null })}
          >
            {[1, 2, 3, 4, 5].map((number) => (
              <option key={number} value={String(number)}>
                {number} {number === 1 ? "hop" : "hops"}
              </option>
            ))}
          </select>
          <button
            type="button"
            class="plain"
            aria-label="End the focus"
            onClick={() => go({ focus: "", camera: null })}
          >
            ×
          </button>
        </span>
      )}
      {group === "workload" && focus === "" ? (
        <div class="joined" role="group" aria-label="Namespaces">
          <button
            type="button"
            title="Fold all namespaces  Shift+U"
            onClick={() => go({ folds: { base: "open", names: [] }, camera: null })}
          >
            Fold
          </button>
          <button
            type="button"
            title="Unfold all namespaces  u"
            onClick={() => go({ folds: { base: "shut", names: [] }, camera: null })}
          >
            Unfold
          </button>
        </div>
      ) : null}
      <span class="grow" />
      <span class="muted" role="status">
        {scene && table ? (
          <>
            {inSight < table.nodes.length ? `${whole(inSight)} of ` : ""}
            {whole(table.nodes.length)} {group === "workload" ? "workloads" : `${group}s`} ·{" "}
            {scene.drawn < scene.from.length ? `${whole(scene.drawn)} of ` : ""}
            {whole(scene.from.length)} edges
          </>
        ) : graph.loading ? (
          "loading …"
        ) : null}{" "}
        <span class={`busy ${graph.loading ? "on" : ""}`} title={graph.loading ? "Loading" : "Up to date"} />
      </span>
    </div>
  );
}
