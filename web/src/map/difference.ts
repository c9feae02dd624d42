// How edges changed since the time that is compared with, on the map: in signs and words, and in colour besides.

import { change } from "../format/quantity.ts";
import type { Ink } from "./ink.ts";
import { pointAt, route } from "./route.ts";
import { GONE, KEPT, LESS, type Scene } from "./scene.ts";

/** More texts than this nobody reads. */
const MOST = 400;
const FONT = 11;

/** Of all edges in sight for which there is room, the largest first; `near`: only of those between these boxes. */
export function paintChanges(
  context: CanvasRenderingContext2D,
  ink: Ink,
  scene: Scene,
  zoom: number,
  isInSight: (x: number, y: number) => boolean,
  near: Set<number> | undefined,
): void {
  const font = FONT / zoom;
  context.font = `${font}px ${ink.sans}`;
  context.textBaseline = "middle";
  const written: [number, number][] = [];
  for (let edge = 0; edge < scene.drawn && written.length < MOST; edge++) {
    const [from, to] = [scene.from[edge]!, scene.to[edge]!];
    const state = scene.state[edge]!;
    if (state === KEPT || from === to || (near && !(near.has(from) && near.has(to)))) continue;
    const [x, y] = pointAt(route(scene.items[from]!, scene.items[to]!), 0.5);
    if (!isInSight(x, y)) continue;
    // Of texts over each other the larger edge's stays.
    if (written.some(([left, top]) => Math.abs(left - x) < font * 5 && Math.abs(top - y) < font * 1.3)) continue;
    written.push([x, y]);
    const text = change(scene.now[edge], scene.was[edge]);
    const width = context.measureText(text).width;
    context.fillStyle = ink.bg;
    context.fillRect(x - width / 2 - font * 0.3, y - font * 0.65, width + font * 0.6, font * 1.3);
    context.fillStyle = state === LESS ? ink.less : state === GONE ? ink.muted : ink.accent;
    context.fillText(text, x - width / 2, y);
  }
}
