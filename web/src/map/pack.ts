// Where things stand on the map. A pure function of names, levels and folds: the same input gives the same picture.
// Callers stand left of what they call; in a column names are in order, so that a name is found by eye. Sizes go in
// steps with room to spare, so that one service more rarely moves what is not in its own column.

export const NODE_WIDTH = 172;
export const NODE_HEIGHT = 24;
export const FOLDED_WIDTH = 188;
export const FOLDED_HEIGHT = 40;
const ROW = 30;
const COLUMN = 196;
const PADDING = 12;
const HEADING = 26;
const GAP_X = 72;
const GAP_Y = 20;

/** Width by height of a frame; of the whole it becomes about that of a screen, as columns are never quite full. */
const ASPECT = 1.7;
const WHOLE_ASPECT = 1;

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

/** The next size in steps of a third to a half: 1 2 3 4 6 8 12 16 24 ... */
export function step(rows: number): number {
  let size = 1;
  while (size < rows) size = size < 4 ? size + 1 : Number.isInteger(Math.log2(size)) ? size * 1.5 : (size / 3) * 4;
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

/** `count`: how many ids there are. Groups in any order. */
export function pack(groups: readonly Group[], count: number): Packing {
  const sized = groups.map((group) => ({ group, level: Math.round(2 * group.level), ...inside(group) }));
  sized.sort((a, b) => a.level - b.level || (a.group.name < b.group.name ? -1 : 1));
  const area = sized.reduce((sum, one) => sum + (one.width + GAP_X) * (one.height + GAP_Y), 0);
  const tallest = sized.reduce((most, one) => Math.max(most, one.height), 0);
  // In steps as well: else every new service would break the columns anew.
  const tall = Math.max(tallest, step(Math.ceil(Math.sqrt(area / WHOLE_ASPECT) / ROW)) * ROW);

  const packing: Packing = {
    frames: [],
    x: new Float32Array(count).fill(Number.NaN),
    y: new Float32Array(count).fill(Number.NaN),
    width: 0,
    height: 0,
  };
  let left = 0;
  let top = 0;
  let wide = 0;
  let level: number | undefined;
  for (const one of sized) {
    const full = top > 0 && top + one.height > tall;
    if (level !== undefined && (level !== one.level || full)) {
      left += wide + GAP_X;
      top = 0;
      wide = 0;
    }
    level = one.level;
    place(packing, one, left, top);
    top += one.height + GAP_Y;
    wide = Math.max(wide, one.width);
    packing.width = Math.max(packing.width, left + one.width);
    packing.height = Math.max(packing.height, top - GAP_Y);
  }
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
