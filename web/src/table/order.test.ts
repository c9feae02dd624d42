import { expect, test } from "vitest";
import { type Column, leastWidth, ordered, visible } from "./order.ts";

interface Row {
  name: string;
  value?: number;
}

const COLUMNS: Column<Row>[] = [
  { key: "name", title: "Name", width: "minmax(80px, 1fr)", show: (row) => row.name, sort: (row) => row.name },
  { key: "value", title: "Value", width: "40px", show: (row) => row.value, sort: (row) => row.value },
  { key: "other", title: "Other", width: "20px", show: () => "" },
];
const ROWS: Row[] = [{ name: "b", value: 2 }, { name: "a" }, { name: "d", value: 10 }, { name: "c", value: 2 }];

test("rows by a column, unknown ones last either way, equal ones as they were", () => {
  const check = (sort: string, names: string) =>
    expect(
      ordered(ROWS, COLUMNS, sort)
        .map(({ name }) => name)
        .join(""),
      sort,
    ).toBe(names);
  check("", "badc");
  check("name", "abcd");
  check("-name", "dcba");
  check("value", "bcda");
  check("-value", "dbca");
  check("other", "badc");
  check("none", "badc");
});

test("rows in sight", () => {
  expect(visible(0, 100, 20, 1000)).toEqual({ first: 0, last: 13 });
  expect(visible(2000, 100, 20, 1000)).toEqual({ first: 92, last: 113 });
  // Fewer rows than there were, and still scrolled.
  expect(visible(2000, 100, 20, 5)).toEqual({ first: 0, last: 5 });
  expect(visible(0, 100, 20, 0)).toEqual({ first: 0, last: 0 });
});

test("the least width is that of all columns", () => expect(leastWidth(COLUMNS)).toBe(140));
