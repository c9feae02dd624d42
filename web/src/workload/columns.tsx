// Columns for values: one for each measure that the hub has, so that a new kind of record comes with its own.

import type { Measure, Values } from "../api/wire.ts";
import { type Health, judge, numberOf, SIGNS, titleOf } from "../format/measure.ts";
import { change, quantity } from "../format/quantity.ts";
import type { Column } from "../table/order.ts";

/** A value with a sign where it is bad; what is well has none. */
export function Judged({ state, text }: { state: Health; text: string }) {
  if (state !== "failing" && state !== "strained") return <>{text}</>;
  const { glyph, tone } = SIGNS[state];
  return (
    <span class={tone} title={state}>
      {glyph} {text}
    </span>
  );
}

/** Why something fails is seen without scrolling to it. */
export function badFirst(measures: readonly Measure[]): Measure[] {
  return [...measures.filter(({ bad }) => bad), ...measures.filter(({ bad }) => !bad)];
}

export function valueColumns<T>(
  measures: readonly Measure[],
  rows: readonly T[],
  values: (row: T) => Values | undefined,
  threshold: number,
): Column<T>[] {
  return badFirst(measures).flatMap((measure) => {
    const now = (row: T) => numberOf(values(row)?.[measure.name]);
    // What nobody has takes no room.
    if (!rows.some((row) => now(row) !== undefined)) return [];
    return [
      {
        key: measure.name,
        title: titleOf(measure),
        width: "minmax(104px, 1fr)",
        right: true,
        sort: now,
        show: (row: T) => {
          const value = now(row);
          const state = judge(measure, value, values(row), threshold);
          return <Judged state={state} text={quantity(value, measure.unit)} />;
        },
      },
    ];
  });
}

export function changeColumn<T>(
  measure: Measure | undefined,
  now: (row: T) => Values | undefined,
  was: (row: T) => Values | undefined,
): Column<T>[] {
  if (!measure) return [];
  const one = (row: T) => numberOf(now(row)?.[measure.name]);
  const other = (row: T) => numberOf(was(row)?.[measure.name]);
  return [
    {
      key: "change",
      title: `${measure.title} vs before`,
      width: "minmax(110px, 1fr)",
      right: true,
      sort: (row) => {
        const [a, b] = [one(row), other(row)];
        return a === undefined || b === undefined ? undefined : a / b;
      },
      show: (row) => change(one(row), other(row)),
    },
  ];
}
