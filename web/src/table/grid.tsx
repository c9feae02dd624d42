// A table of any length: only the rows in sight exist. Arrows move, Enter opens, headings sort.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Column, leastWidth, ordered, visible } from "./order.ts";

const HEAD = 48;

interface Props<T> {
  label: string;
  rows: readonly T[];
  columns: readonly Column<T>[];
  rowKey: (row: T) => string;
  sort: string;
  onSort: (sort: string) => void;
  onOpen?: (row: T) => void;
  /** A row's key that is marked from outside. */
  marked?: string;
  rowHeight?: number;
  rowClass?: (row: T) => string;
  empty?: ComponentChildren;
}

export function Grid<T>(props: Props<T>) {
  const { rows, columns, rowKey, sort, onSort, onOpen, marked, rowHeight = 26 } = props;
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState({ top: 0, height: 600 });
  const [active, setActive] = useState(-1);
  const sorted = useMemo(() => ordered(rows, columns, sort), [rows, columns, sort]);
  const template = columns.map((column) => column.width).join(" ");
  const minWidth = `${leastWidth(columns)}px`;
  const { first, last } = visible(range.top, range.height, rowHeight, sorted.length);

  useLayoutEffect(() => {
    const element = box.current!;
    const measure = () => setRange({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, []);

  useEffect(() => {
    if (marked !== undefined) setActive(sorted.findIndex((row) => rowKey(row) === marked));
  }, [marked, sorted]);

  const move = (to: number) => {
    const next = Math.max(0, Math.min(sorted.length - 1, to));
    setActive(next);
    const element = box.current!;
    const top = next * rowHeight;
    const room = element.clientHeight - HEAD - rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + room) element.scrollTop = top - room;
  };

  const press = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(range.height / rowHeight) - 2);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    if (event.key in steps) move(active + steps[event.key]!);
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(sorted.length - 1);
    else if (event.key === "Enter" && event.target === box.current && sorted[active] !== undefined)
      onOpen?.(sorted[active]!);
    else return;
    event.preventDefault();
  };

  const [sortKey, falling] = sort.startsWith("-") ? [sort.slice(1), true] : [sort, false];
  return (
    <div
      class="grid"
      role="grid"
      aria-label={props.label}
      aria-rowcount={sorted.length + 1}
      aria-colcount={columns.length}
      aria-activedescendant={active >= first && active < last ? `${id}-${active}` : undefined}
      tabIndex={0}
      ref={box}
      onKeyDown={press}
    >
      <div class="grid-head" role="row" aria-rowindex={1} style={{ gridTemplateColumns: template, minWidth }}>
        {columns.map((column) => (
          <div
            role="columnheader"
            key={column.key}
            class={column.right ? "right" : ""}
            title={column.hint ?? column.title}
            aria-sort={column.sort && sortKey === column.key ? (falling ? "descending" : "ascending") : undefined}
          >
            {column.sort ? (
              <button
                type="button"
                onClick={() => {
                  const numeric = column.right === true;
                  const flipped = sortKey === column.key ? !falling : numeric;
                  onSort(`${flipped ? "-" : ""}${column.key}`);
                }}
              >
                {column.title}
                {sortKey === column.key ? (falling ? " ↓" : " ↑") : ""}
              </button>
            ) : (
              column.title
            )}
          </div>
        ))}
      </div>
      <div class="grid-body" role="rowgroup" style={{ height: `${sorted.length * rowHeight}px`, minWidth }}>
        {sorted.slice(first, last).map((row, offset) => {
          const index = first + offset;
          return (
            <div
              key={rowKey(row)}
              id={`${id}-${index}`}
              role="row"
              aria-rowindex={index + 2}
              class={`grid-row ${index === active ? "active" : ""} ${props.rowClass?.(row) ?? ""}`}
              style={{
                gridTemplateColumns: template,
                height: `${rowHeight}px`,
                transform: `translateY(${index * rowHeight}px)`,
                cursor: onOpen ? "pointer" : undefined,
              }}
              onClick={(event) => {
                if ((event.target as Element).closest("a,button")) return;
                setActive(index);
                onOpen?.(row);
              }}
              onKeyDown={undefined}
            >
              {columns.map((column) => (
                <div role="gridcell" key={column.key} class={column.right ? "right" : ""}>
                  {column.show(row)}
                </div>
              ))}
            </div>
          );
        })}
      </div>
      {sorted.length === 0 && props.empty ? <div class="empty">{props.empty}</div> : null}
    </div>
  );
}
