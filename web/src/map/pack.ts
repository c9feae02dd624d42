// Where things stand on the map. A pure function of names, levels and folds: the same input gives the same picture.
// Callers stand left of what they call; in a column names are in order, so that a name is found by eye. Sizes go in
// steps with room to spare, so that one service more rarely moves what is not in its own column.

export const NODE_WIDTH = 164;
export const NODE_HEIGHT = 24;
export const FOLDED_WIDTH = 188;
export const FOLDED_HEIGHT = 40;
const ROW = 30;
const COLUMN = 184;
const PADDING = 12;
const HEADING = 26;
const GAP_X = 64;
const GAP_Y = 20;

/** Width by height, of a frame and of the whole: about that of a screen. */
const ASPECT = 1.6;

export interface Group {
  name: string;
  folded: boolean;
  /** Among the other groups. */
  level: number;
  /** In order of their names. */
  nodes: { id: number; level: number }[];
}

export interface Frame {
  name: string;
  folded: boolean;
  count: number;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Packing {
  frames: Frame[];
  /** By node id; NaN for what stands in a folded group. */
  x: Float32Array;
  y: Float32Array;
  width: number;
  height: number;
}

/** The next size in steps of about a quarter: 1 2 3 4 5 6 8 10 12 15 19 ... */
export function step(rows: number): number {
  let size = 1;
  while (size < rows) size = Math.max(size + 1, Math.round(size * 1.25));
  return size;
}

interface Inside {
  columns: { id: number; level: number }[][];
  width: number;
  height: number;
}

function inside(group: Group): Inside {
  if (group.folded) return { columns: [], width: FOLDED_WIDTH, height: FOLDED_HEIGHT };
  const byLevel = new Map<number, { id: number; level: number }[]>();
  for (const node of group.nodes) {
    const level = Math.round(node.level);
    const found = byLevel.get(level);
    if (found) found.push(node);
    else byLevel.set(level, [node]);
  }
  const tall = step(Math.ceil(Math.sqrt((group.nodes.length * COLUMN) / (ROW * ASPECT))));
  const columns: { id: number; level: number }[][] = [];
  for (const level of [...byLevel.keys()].sort((a, b) => a - b)) {
    const nodes = byLevel.get(level)!;
    for (let at = 0; at < nodes.length; at += tall) columns.push(nodes.slice(at, at + tall));
  }
  const rows = Math.min(tall, step(Math.max(1, ...columns.map((column) => column.length))));
  return {
    columns,
    width: 2 * PADDING + step(Math.max(1, columns.length)) * COLUMN - (COLUMN - NODE_WIDTH),
    height: HEADING + PADDING + rows * ROW - (ROW - NODE_HEIGHT),
  };
}

type Sized = Inside & { group: Group; level: number };

/** Frames in columns of at most this height, a column for each level or more. */
function stack(sized: readonly Sized[], tall: number): { left: number; top: number; one: Sized }[] {
  let left = 0;
  let top = 0;
  let wide = 0;
  let level: number | undefined;
  return sized.map((one) => {
    if (level !== undefined && (level !== one.level || (top > 0 && top + one.height > tall))) {
      left += wide + GAP_X;
      top = 0;
      wide = 0;
    }
    level = one.level;
    const placed = { left, top, one };
    top += one.height + GAP_Y;
    wide = Math.max(wide, one.width);
    return placed;
  });
}

function extent(placed: readonly { left: number; top: number; one: Sized }[]): { width: number; height: number } {
  return {
    width: placed.reduce((most, { left, one }) => Math.max(most, left + one.width), 0),
    height: placed.reduce((most, { top, one }) => Math.max(most, top + one.height), 0),
  };
}

/** `count`: how many ids there are. Groups in any order. */
export function pack(groups: readonly Group[], count: number): Packing {
  const sized = groups.map((group) => ({ group, level: Math.round(group.level), ...inside(group) }));
  sized.sort((a, b) => a.level - b.level || (a.group.name < b.group.name ? -1 : 1));
  // Of a few heights, each half as much again as the one before, the one that is seen largest on a screen. In such
  // steps another one is rarely better after a small change; taller only if it is better by more than that.
  const least = sized.reduce((most, one) => Math.max(most, one.height), FOLDED_HEIGHT);
  let best: ReturnType<typeof stack> = [];
  let largest = 0;
  for (let tall = 160; tall < 200_000; tall *= 1.5) {
    if (tall * 1.5 < least) continue;
    const placed = stack(sized, tall);
    const { width, height } = extent(placed);
    const scale = 1 / Math.max(width / ASPECT, height, 1);
    if (scale > largest * 1.08) [best, largest] = [placed, scale];
    if (tall > least + sized.length * (FOLDED_HEIGHT + GAP_Y) && height < tall) break;
  }
  const packing: Packing = {
    frames: [],
    x: new Float32Array(count).fill(Number.NaN),
    y: new Float32Array(count).fill(Number.NaN),
    ...extent(best),
  };
  for (const { left, top, one } of best) place(packing, one, left, top);
  return packing;
}

function place(packing: Packing, one: Inside & { group: Group }, left: number, top: number): void {
  const { name, folded, nodes } = one.group;
  packing.frames.push({ name, folded, count: nodes.length, x: left, y: top, width: one.width, height: one.height });
  one.columns.forEach((column, across) => {
    column.forEach((node, down) => {
      packing.x[node.id] = left + PADDING + across * COLUMN;
      packing.y[node.id] = top + HEADING + down * ROW;
    });
  });
}
