// Records, one a line, newest first; the chosen one with all of its fields.

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { End, RecordLine } from "../api/wire.ts";
import { clock } from "../format/clock.ts";
import { whole } from "../format/quantity.ts";
import { keyOf } from "../map/table.ts";
import { link } from "../state/place.ts";
import { visible } from "../table/order.ts";
import { details, endName, eventName, fieldName, fieldValue, isBad } from "./phrase.ts";
import type { Entry } from "./ring.ts";

const ROW = 22;
/** Below this width a record takes two lines, and what they are is seen without a heading. */
const NARROW = 700;
const TITLES = ["Time", "Source", "Destination", "Protocol", "Event", "Details"];

interface Props {
  label: string;
  /** Either lines, newest first, or the entries of a ring, oldest first. */
  lines?: readonly RecordLine[];
  entries?: readonly Entry[];
  empty: string;
  /** Called when somebody scrolls away from the newest, so that it stays in sight. */
  onAway?: () => void;
}

export function RecordList({ label, lines, entries, empty, onAway }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState({ top: 0, height: 600, width: NARROW });
  const [picked, setChosen] = useState<Entry>();
  const count = entries?.length ?? lines?.length ?? 0;
  const at = (place: number): Entry => (entries ? entries[count - 1 - place]! : { id: place, line: lines![place]! });

  const isNarrow = range.width < NARROW;
  const row = isNarrow ? 2 * ROW : ROW;
  const head = isNarrow ? 0 : ROW;
  // Of lines that are asked for anew, the chosen one is somewhere else.
  const chosen = useMemo(() => {
    if (!lines || !picked || !("line" in picked)) return picked;
    const text = JSON.stringify(picked.line);
    return { ...picked, id: lines.findIndex((line) => JSON.stringify(line) === text) };
  }, [lines, picked]);

  useLayoutEffect(() => {
    const element = box.current!;
    const measure = () => {
      setRange({ top: element.scrollTop, height: element.clientHeight, width: element.clientWidth });
      if (element.scrollTop > ROW) onAway?.();
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, []);

  const move = (step: number) => {
    const now = chosen ? [...Array(count).keys()].findIndex((place) => at(place).id === chosen.id) : -1;
    const next = Math.max(0, Math.min(count - 1, now + step));
    if (count === 0) return;
    setChosen(at(next));
    onAway?.();
    const element = box.current!;
    const top = next * row;
    const room = element.clientHeight - head - row;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + room) element.scrollTop = top - room;
  };
  const press = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(range.height / row) - 2);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -count,
      End: count,
    };
    if (event.key in steps) move(steps[event.key]!);
    else if (event.key === "Escape" && chosen) setChosen(undefined);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const { first, last } = visible(range.top, range.height, row, count);
  return (
    <div class={`records ${chosen && "line" in chosen ? "chosen" : ""}`}>
      <div
        class={`record-lines mono ${isNarrow ? "narrow" : ""}`}
        role="grid"
        aria-label={label}
        aria-rowcount={count + 1}
        aria-activedescendant={chosen ? `record-${chosen.id}` : undefined}
        tabIndex={0}
        ref={box}
        onKeyDown={press}
      >
        <div role="row" aria-rowindex={1} class={isNarrow ? "hidden" : "record-head"}>
          {TITLES.map((title) => (
            <span role="columnheader" key={title}>
              {title}
            </span>
          ))}
        </div>
        {count === 0 ? (
          <div role="row">
            <div role="gridcell" class="empty">
              {empty}
            </div>
          </div>
        ) : null}
        <div role="rowgroup" style={{ height: `${count * row}px`, position: "relative" }}>
          {Array.from({ length: last - first }, (_, offset) => {
            const entry = at(first + offset);
            return (
              <div
                role="row"
                key={entry.id}
                id={`record-${entry.id}`}
                aria-rowindex={first + offset + 2}
                aria-selected={entry.id === chosen?.id}
                class={`record ${entry.id === chosen?.id ? "active" : ""}`}
                style={{ transform: `translateY(${(first + offset) * row}px)` }}
                onClick={() => {
                  setChosen(entry);
                  onAway?.();
                }}
                onKeyDown={undefined}
              >
                {"line" in entry ? <Line line={entry.line} /> : <Gap lost={entry.lost.lost} node={entry.lost.node} />}
              </div>
            );
          })}
        </div>
      </div>
      {chosen && "line" in chosen ? <Fields line={chosen.line} close={() => setChosen(undefined)} /> : null}
    </div>
  );
}

function Gap({ lost, node }: { lost: number; node?: string | undefined }) {
  return (
    <div role="gridcell" class="gap warn">
      ▲ {whole(lost)} records lost here{node ? ` on ${node}` : ""}
    </div>
  );
}

function Line({ line }: { line: RecordLine }) {
  const bad = isBad(line);
  return (
    <>
      <span role="gridcell" class="muted">
        {clock(line.time)}
      </span>
      <span role="gridcell" class="cut end">
        {endName(line.source)}
      </span>
      <span role="gridcell" class="cut end">
        <span class="muted">→ </span>
        {endName(line.destination)}
      </span>
      <span role="gridcell" class="cut protocol">
        {line.protocol}
      </span>
      <span role="gridcell" class={`cut ${bad ? "bad" : ""}`}>
        {bad ? "▲ " : ""}
        {eventName(line)}
      </span>
      <span role="gridcell" class="cut muted">
        {details(line)}
      </span>
    </>
  );
}

function EndFields({ title, end }: { title: string; end: End | undefined }) {
  if (!end) return null;
  const { labels, workload, workload_kind, namespace, ...rest } = end;
  const node = { namespace: namespace ?? "-", kind: workload_kind ?? "", name: workload ?? "" };
  return (
    <>
      <h3>{title}</h3>
      <dl>
        {workload && workload_kind ? (
          <>
            <dt>workload</dt>
            <dd>
              <a href={link({ view: "workload", workload: keyOf(node) })}>
                {namespace ? `${namespace}/` : ""}
                {workload_kind}/{workload}
              </a>
            </dd>
          </>
        ) : null}
        {Object.entries(rest).map(([name, value]) => (
          <Field key={name} name={name} value={value} />
        ))}
        {labels ? (
          <Field
            name="labels"
            value={Object.entries(labels)
              .map(([key, value]) => `${key}=${value}`)
              .join(" ")}
          />
        ) : null}
      </dl>
    </>
  );
}

function Field({ name, value }: { name: string; value: unknown }) {
  return (
    <>
      <dt>{fieldName(name)}</dt>
      <dd>{name === "port" || name === "cookie" || name.endsWith("id") ? String(value) : fieldValue(name, value)}</dd>
    </>
  );
}

function Fields({ line, close }: { line: RecordLine; close: () => void }) {
  const { source, destination, process, ...rest } = line;
  return (
    <aside class="panel mono" aria-label="Record">
      <div class="row">
        <h2 class="grow">{eventName(line)}</h2>
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
      <dl>
        {Object.entries(rest).flatMap(([name, value]) =>
          typeof value === "object" && value !== null && !Array.isArray(value)
            ? Object.entries(value).map(([inner, one]) => <Field key={`${name}.${inner}`} name={inner} value={one} />)
            : [<Field key={name} name={name} value={value} />],
        )}
      </dl>
      <EndFields title="Source" end={source} />
      <EndFields title="Destination" end={destination} />
      {process ? (
        <>
          <h3>Process</h3>
          <dl>
            {Object.entries(process).map(([name, value]) => (
              <Field key={name} name={name} value={String(value)} />
            ))}
          </dl>
        </>
      ) : null}
    </aside>
  );
}
