// What a table shows and in which order: the part without a page.

import type { ComponentChildren } from "preact";

export interface Column<T> {
  key: string;
  title: string;
  hint?: string;
  /** As in CSS grids, with the least width in pixels: `80px`, `minmax(120px, 2fr)`. */
  width: string;
  right?: boolean;
  show: (row: T) => ComponentChildren;
  /** What rows are ordered by; absent: they are not. */
  sort?: (row: T) => string | number | undefined;
}

/** Unknown values stand last, whichever way; equal rows keep their order. */
export function ordered<T>(rows: readonly T[], columns: readonly Column<T>[], sort: string): readonly T[] {
  const falling = sort.startsWith("-");
  const key = falling ? sort.slice(1) : sort;
  const by = columns.find((column) => column.key === key)?.sort;
  if (!by) return rows;
  const known = (value: string | number | undefined) => value !== undefined && !Number.isNaN(value);
  const valued = rows.map((row, place) => ({ row, place, value: by(row) }));
  valued.sort((a, b) => {
    if (!known(a.value) || !known(b.value)) return Number(known(b.value)) - Number(known(a.value)) || a.place - b.place;
    const less = a.value! < b.value! ? -1 : a.value! > b.value! ? 1 : 0;
    return (falling ? -less : less) || a.place - b.place;
  });
  return valued.map(({ row }) => row);
}

/** Rows `first .. last` are in sight, with some to spare for the next movement. */
export function visible(
  top: number,
  height: number,
  rowHeight: number,
  count: number,
): { first: number; last: number } {
  const spare = 8;
  const first = Math.max(0, Math.min(count, Math.floor(top / rowHeight)) - spare);
  return { first, last: Math.min(count, Math.ceil((top + height) / rowHeight) + spare) };
}

/** What all columns need; below it a table is scrolled sideways. */
export function leastWidth<T>(columns: readonly Column<T>[]): number {
  return columns.reduce((sum, { width }) => sum + Number(/(\d+)px/.exec(width)?.[1] ?? 0), 0);
}
