// Who calls whom as a matrix: the map's equal for readers of the screen and for clusters in which lines say nothing.
// Rows call columns. Only the cells in sight exist; arrows move, Enter selects.

import { useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Measure } from "../api/wire.ts";
import { change, count, quantity } from "../format/quantity.ts";
import { go, place } from "../state/place.ts";
import { visible } from "../table/order.ts";
import { GLYPHS, HEALTH_NAMES } from "./ink.ts";
import { widthOf } from "./layer.ts";
import { fullText, Name } from "./name.tsx";
import type { Item, Scene } from "./scene.ts";
import { nameOf } from "./table.ts";
import { edgeKey } from "./totals.ts";

const CELL = 26;
const NARROW = 58;
/** With how it changed. */
const COMPARED = 118;
const SIDE = 210;
const HEAD = 168;

/** By how an edge changed; the text says the same. */
const TONES = ["muted", "more", "muted", "more", "less"] as const;

/** In order of the picture: by namespace as the map has them, then by name. */
function axis(scene: Scene, takes: Uint8Array): number[] {
  return scene.items
    .map((_, index) => index)
    .filter((index) => takes[index])
    .sort((a, b) => {
      const [first, second] = [scene.items[a]!, scene.items[b]!];
      return first.frame - second.frame || (first.key < second.key ? -1 : 1);
    });
}

function Named({ item }: { item: Item }) {
  const { namespace } = nameOf(item.key);
  if (item.node < 0) return <>{`${item.label}/*`}</>;
  return (
    <>
      {namespace === "-" ? "" : `${namespace}/`}
      <Name item={item} />
    </>
  );
}

export function Matrix(props: { scene: Scene; measure: Measure; matches: Set<number> | undefined }) {
  const { scene, measure, matches } = props;
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState({ top: 0, left: 0, height: 600, width: 900 });
  const [active, setActive] = useState({ row: 0, column: 0 });
  const { selected } = place.value;
  const WIDE = scene.compared ? COMPARED : NARROW;

  const { rows, columns, cells, largest } = useMemo(() => {
    const calls = new Uint8Array(scene.items.length);
    const called = new Uint8Array(scene.items.length);
    const cells = new Map<number, number>();
    let largest = 0;
    for (let edge = 0; edge < scene.from.length; edge++) {
      const [from, to] = [scene.from[edge]!, scene.to[edge]!];
      if (matches && !matches.has(from) && !matches.has(to)) continue;
      calls[from] = called[to] = 1;
      cells.set(from * scene.items.length + to, edge);
      if (scene.now[edge]! > largest) largest = scene.now[edge]!;
    }
    return { rows: axis(scene, calls), columns: axis(scene, called), cells, largest };
  }, [scene, matches]);

  useLayoutEffect(() => {
    const element = box.current!;
    const measureBox = () =>
      setRange({
        top: element.scrollTop,
        left: element.scrollLeft,
        height: element.clientHeight,
        width: element.clientWidth,
      });
    const observer = new ResizeObserver(measureBox);
    observer.observe(element);
    element.addEventListener("scroll", measureBox, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measureBox);
    };
  }, []);

  const edgeOf = (row: number, column: number) => cells.get(rows[row]! * scene.items.length + columns[column]!);
  const move = (row: number, column: number) => {
    const next = {
      row: Math.max(0, Math.min(rows.length - 1, row)),
      column: Math.max(0, Math.min(columns.length - 1, column)),
    };
    setActive(next);
    const element = box.current!;
    const [top, left] = [next.row * CELL, next.column * WIDE];
    const [down, across] = [element.clientHeight - HEAD - CELL, element.clientWidth - SIDE - WIDE];
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + down) element.scrollTop = top - down;
    if (left < element.scrollLeft) element.scrollLeft = left;
    else if (left > element.scrollLeft + across) element.scrollLeft = left - across;
  };
  const press = (event: KeyboardEvent) => {
    const { row, column } = active;
    const places: Record<string, [number, number]> = {
      ArrowDown: [row + 1, column],
      ArrowUp: [row - 1, column],
      ArrowRight: [row, column + 1],
      ArrowLeft: [row, column - 1],
      PageDown: [row + 15, column],
      PageUp: [row - 15, column],
      Home: [row, 0],
      End: [row, columns.length - 1],
    };
    const to = places[event.key];
    if (to) move(...to);
    else if (event.key === "Enter") {
      const edge = edgeOf(row, column);
      if (edge === undefined) return;
      go({ selected: edgeKey(scene, edge) });
    } else return;
    event.preventDefault();
  };

  const down = visible(range.top, range.height - HEAD, CELL, rows.length);
  const across = visible(range.left, range.width - SIDE, WIDE, columns.length);
  const shownColumns = columns.slice(across.first, across.last);
  const isIn = (place: number, { first, last }: { first: number; last: number }) => place >= first && place < last;
  const isInSight = isIn(active.row, down) && isIn(active.column, across);
  if (rows.length === 0)
    return <div class="empty">No edges: nothing was seen, or nothing passes what is chosen above.</div>;
  return (
    <div
      class="matrix"
      role="grid"
      aria-label={`Who calls whom, by ${measure.title}: ${count(rows.length)} callers, ${count(columns.length)} called`}
      aria-rowcount={rows.length + 1}
      aria-colcount={columns.length + 1}
      aria-activedescendant={isInSight ? `${id}-${active.row}-${active.column}` : undefined}
      tabIndex={0}
      ref={box}
      onKeyDown={press}
    >
      <div
        role="row"
        aria-rowindex={1}
        class="matrix-head"
        style={{ width: `${SIDE + columns.length * WIDE}px`, height: `${HEAD}px` }}
      >
        <div role="columnheader" aria-colindex={1} class="matrix-corner" style={{ width: `${SIDE}px` }}>
          <span>caller ↓</span> <span>called →</span>
        </div>
        {shownColumns.map((item, offset) => (
          <div
            role="columnheader"
            key={item}
            aria-colindex={across.first + offset + 2}
            class="matrix-column"
            style={{ left: `${SIDE + (across.first + offset) * WIDE}px`, width: `${WIDE}px` }}
            title={fullText(scene.items[item]!)}
          >
            <span>
              <Named item={scene.items[item]!} />
            </span>
          </div>
        ))}
      </div>
      <div
        role="rowgroup"
        style={{ position: "relative", height: `${rows.length * CELL}px`, width: `${SIDE + columns.length * WIDE}px` }}
      >
        {rows.slice(down.first, down.last).map((item, offset) => {
          const row = down.first + offset;
          return (
            <div
              role="row"
              key={item}
              aria-rowindex={row + 2}
              class="matrix-row"
              style={{ transform: `translateY(${row * CELL}px)` }}
            >
              <div
                role="rowheader"
                aria-colindex={1}
                class="matrix-name cut"
                style={{ width: `${SIDE}px` }}
                title={fullText(scene.items[item]!)}
              >
                <Named item={scene.items[item]!} />
              </div>
              {shownColumns.map((_, place) => {
                const column = across.first + place;
                const edge = edgeOf(row, column);
                const isActive = row === active.row && column === active.column;
                // Most cells are empty: those exist only for the reader who is at them.
                if (edge === undefined && !isActive) return null;
                const health = edge === undefined ? 0 : scene.health[edge]!;
                const isChosen = edge !== undefined && edgeKey(scene, edge) === selected;
                const value = edge === undefined ? "" : quantity(scene.now[edge], measure.unit);
                // The unit is that of the whole matrix; of KiB the K is enough.
                const text = `${health > 0 ? GLYPHS[health] : ""}${value.replace(" ", "").replace("iB", "")}`;
                const isCompared = edge !== undefined && scene.compared;
                const changed = isCompared ? change(scene.now[edge], scene.was[edge]) : "";
                const tone = isCompared ? TONES[scene.state[edge]!] : "";
                const shade = edge === undefined ? 0 : widthOf(scene.now[edge]! * 1e3, largest * 1e3);
                return (
                  <div
                    role="gridcell"
                    key={column}
                    id={`${id}-${row}-${column}`}
                    aria-colindex={column + 2}
                    aria-selected={isChosen}
                    aria-label={
                      edge === undefined
                        ? "no calls"
                        : `${fullText(scene.items[item]!)} calls ${fullText(scene.items[columns[column]!]!)}: ${text}${changed ? ` ${changed} since before` : ""}, ${HEALTH_NAMES[health]}`
                    }
                    class={`matrix-cell shade-${shade} health-${health} ${isActive ? "active" : ""}`}
                    style={{ left: `${SIDE + column * WIDE}px`, width: `${WIDE - 2}px` }}
                    onClick={() => {
                      setActive({ row, column });
                      if (edge !== undefined) go({ selected: edgeKey(scene, edge) });
                    }}
                    onKeyDown={undefined}
                  >
                    {text}
                    {changed ? <span class={`changed ${tone}`}> {changed}</span> : null}
                  </div>
                );
              })}
            </div>
          );
        })}
      </div>
    </div>
  );
}
