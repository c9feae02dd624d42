// The line of an edge: from the side of one box to the side of another, bent so that its direction can be seen.

import type { Item } from "./scene.ts";

/** x, y of the start, two control points and the end. */
export type Route = [number, number, number, number, number, number, number, number];

export function route(from: Item, to: Item): Route {
  const fromY = from.y + from.height / 2;
  const toY = to.y + to.height / 2;
  const fromRight = from.x + from.width;
  const toRight = to.x + to.width;
  if (to.x >= fromRight) {
    const bend = Math.max(24, (to.x - fromRight) * 0.45);
    return [fromRight, fromY, fromRight + bend, fromY, to.x - bend, toY, to.x, toY];
  }
  if (toRight <= from.x) {
    const bend = Math.max(24, (from.x - toRight) * 0.45);
    return [from.x, fromY, from.x - bend, fromY, toRight + bend, toY, toRight, toY];
  }
  // One below the other: around the side on which calls leave.
  const bend = 18 + Math.min(60, Math.abs(toY - fromY) * 0.2);
  return [fromRight, fromY, fromRight + bend, fromY, toRight + bend, toY, toRight, toY];
}

export function pointAt(line: Route, t: number): [number, number] {
  const s = 1 - t;
  const [a, b, c, d] = [s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t];
  return [a * line[0] + b * line[2] + c * line[4] + d * line[6], a * line[1] + b * line[3] + c * line[5] + d * line[7]];
}

/** How far a point is from it, about; at most `far` is told exactly. */
export function distanceTo(line: Route, x: number, y: number, far: number): number {
  const left = Math.min(line[0], line[2], line[4], line[6]) - far;
  const right = Math.max(line[0], line[2], line[4], line[6]) + far;
  const top = Math.min(line[1], line[7]) - far;
  const bottom = Math.max(line[1], line[7]) + far;
  if (x < left || x > right || y < top || y > bottom) return Number.POSITIVE_INFINITY;
  let least = Number.POSITIVE_INFINITY;
  let [fromX, fromY] = pointAt(line, 0);
  for (let step = 1; step <= 12; step++) {
    const [toX, toY] = pointAt(line, step / 12);
    const length2 = (toX - fromX) ** 2 + (toY - fromY) ** 2 || 1;
    const t = Math.max(0, Math.min(1, ((x - fromX) * (toX - fromX) + (y - fromY) * (toY - fromY)) / length2));
    least = Math.min(least, Math.hypot(x - fromX - t * (toX - fromX), y - fromY - t * (toY - fromY)));
    [fromX, fromY] = [toX, toY];
  }
  return least;
}
