// The hub about itself. What it says is shown as it says it: a new section appears without a change here.

import type { ComponentChildren } from "preact";
import { address, get } from "../api/client.ts";
import { Failure } from "../shell/notice.tsx";
import { measures } from "../state/measures.ts";
import { place } from "../state/place.ts";
import { useResource } from "../state/resource.ts";
import { type Section, sections } from "./section.ts";

export function StatusPage() {
  const status = useResource(
    "status",
    (signal) => get<Record<string, unknown>>(address("status"), signal),
    place.value.refresh,
  );
  return (
    <>
      <div class="bar">
        <h2 class="name">Hub</h2>
        {status.data && typeof status.data.ready === "boolean" ? (
          <span class={status.data.ready ? "good" : "bad"}>{status.data.ready ? "● ready" : "✕ not ready"}</span>
        ) : null}
        <span class="grow" />
        <span class={`busy ${status.loading ? "on" : ""}`} />
      </div>
      <Failure error={status.error} reload={status.reload} />
      <div class="status" tabIndex={0} role="region" aria-label="Status">
        {status.data ? (
          <div class="columns">
            {sections("", status.data).map((section) => (
              <Part key={section.title} section={section} />
            ))}
          </div>
        ) : null}
        <section>
          <h2>Measures</h2>
          <Wide label="Measures">
            <thead>
              <tr>
                <th>Name</th>
                <th>Title</th>
                <th>Kind</th>
                <th>Type</th>
                <th>Unit</th>
                <th>Bad</th>
              </tr>
            </thead>
            <tbody>
              {measures.value.map((measure) => (
                <tr key={measure.name}>
                  <td class="mono">{measure.name}</td>
                  <td>{measure.title}</td>
                  <td>{measure.kind}</td>
                  <td>{measure.type}</td>
                  <td>{measure.unit}</td>
                  <td>{measure.bad ? <span class="bad">▲ bad</span> : ""}</td>
                </tr>
              ))}
            </tbody>
          </Wide>
        </section>
      </div>
    </>
  );
}

/** A table that is scrolled within its own place where there is no room for all of its columns. */
function Wide({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="wide-table" role="region" aria-label={label} tabIndex={0}>
      <table class="plain-table">{children}</table>
    </div>
  );
}

function Part({ section }: { section: Section }) {
  return (
    <section>
      <h2>{section.title || "Overview"}</h2>
      {section.type === "facts" ? (
        <table class="plain-table">
          <tbody>
            {section.facts.map(({ name, text, isBad }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td class={`right ${isBad ? "bad" : ""}`}>
                  {isBad ? "✕ " : ""}
                  {text}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <Wide label={section.title}>
          <thead>
            <tr>
              {section.columns.map((name) => (
                <th key={name}>{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {section.rows.map((row) => (
              <tr key={row.map(({ text }) => text).join("|")}>
                {row.map(({ name, text, isBad }) => (
                  <td key={name} class={isBad ? "bad" : ""}>
                    {isBad ? "✕ " : ""}
                    {text}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </Wide>
      )}
    </section>
  );
}
