// The edges' own picture. Twenty thousand lines take longer than a frame, so they are drawn a slice at a time into a
// canvas larger than the screen. While the map moves, what is there moves with it; when it rests, or has moved too
// far, the next picture is begun, and shown when it is whole.

import { type Camera, type Size, toScreen } from "./camera.ts";
import { FAILING, GOOD, STRAINED } from "./health.ts";
import type { Ink } from "./ink.ts";
import { route } from "./route.ts";
import { GONE, LESS, MORE, NEW, type Scene } from "./scene.ts";

/** Of the screen's size, on each side. */
const MARGIN = 0.25;
/** Lines a frame. How long they take is not known when they are asked for (browsers draw later), but from how far the
 * frames are apart. */
const LEAST = 150;
const MOST = 12_000;
const SLOW_MS = 25;
const FAST_MS = 19;
/** The map rests when it has not moved for so long. */
const REST_MS = 90;
/** Scaled by more than this, a picture is too coarse even while it moves. */
const COARSE = 2.2;
const CHUNK = 128;
const WIDTHS = [0.8, 1.2, 2, 3.2];
/** Beyond this many, dashes and bends cost more than they tell. */
const FINE = 4000;
const DASHED = 1500;

interface Batch {
  health: number;
  state: number;
  width: number;
  edges: number[];
}

interface Picture {
  canvas: HTMLCanvasElement;
  context: CanvasRenderingContext2D;
  camera: Camera;
  size: Size;
}

/** How thick an edge is: by the order of magnitude of its value. */
export function widthOf(value: number, largest: number): number {
  if (!(value > 0) || !(largest > 0)) return 0;
  const share = Math.log1p(value) / Math.log1p(largest);
  return share > 0.88 ? 3 : share > 0.7 ? 2 : share > 0.45 ? 1 : 0;
}

function batchesOf(scene: Scene): Batch[] {
  const batches = new Map<number, Batch>();
  let largest = 0;
  for (let edge = 0; edge < scene.drawn; edge++) {
    const value = scene.now[edge]!;
    if (value > largest) largest = value;
  }
  for (let edge = 0; edge < scene.drawn; edge++) {
    if (scene.from[edge] === scene.to[edge]) continue;
    const health = scene.health[edge]!;
    const state = scene.state[edge]!;
    // Fractions of a second do not reach far on a scale of 1 + x.
    const scale = largest < 1000 ? 1e6 : 1;
    const width = widthOf(scene.now[edge]! * scale, largest * scale);
    const code = health * 100 + state * 10 + width;
    let batch = batches.get(code);
    if (!batch) {
      batch = { health, state, width, edges: [] };
      batches.set(code, batch);
    }
    batch.edges.push(edge);
  }
  // What fails lies on top.
  return [...batches.entries()].sort(([a], [b]) => a - b).map(([, batch]) => batch);
}

function same<T extends Camera | Size>(a: T, b: T): boolean {
  return (Object.keys(a) as (keyof T)[]).every((key) => a[key] === b[key]);
}

export class EdgeLayer {
  #front: Picture | undefined;
  #back: Picture | undefined;
  #batches: Batch[] = [];
  #count = 0;
  #scene: Scene | undefined;
  #ink: Ink | undefined;
  #dirty = true;
  /** Where the picture under way has got to. */
  #job: { batch: number; edge: number } | undefined;
  #pace = 2000;
  #workedAt = 0;
  #movedAt = 0;
  #seen: Camera | undefined;

  setScene(scene: Scene, ink: Ink): void {
    this.#scene = scene;
    this.#ink = ink;
    this.#batches = batchesOf(scene);
    this.#count = this.#batches.reduce((sum, batch) => sum + batch.edges.length, 0);
    this.#dirty = true;
    this.#job = undefined;
  }

  /** Draws a slice if something is to be drawn; true: call again in the next frame. */
  work(camera: Camera, size: Size, ratio: number): boolean {
    if (!this.#scene) return false;
    const now = performance.now();
    const gap_ms = now - this.#workedAt;
    this.#workedAt = now;
    if (!this.#seen || !same(this.#seen, camera)) {
      this.#seen = { ...camera };
      this.#movedAt = now;
    }
    const front = this.#front;
    const isStale = this.#dirty || !front || !same(front.camera, camera) || !same(front.size, size);
    if (!this.#job) {
      if (!isStale) return false;
      // At rest, and at once where nothing better is there.
      const isMoving = now - this.#movedAt < REST_MS && !this.#dirty && front && this.#covers(front, camera, size);
      if (isMoving) return true;
      this.#back = this.#prepare(this.#back, camera, size, ratio);
      this.#job = { batch: 0, edge: 0 };
    } else if (gap_ms > SLOW_MS) this.#pace = Math.max(LEAST, Math.round(this.#pace * 0.6));
    else if (gap_ms < FAST_MS) this.#pace = Math.min(MOST, Math.round(this.#pace * 1.4));
    // With nothing to be seen yet there is no movement to keep smooth.
    this.#slice(front ? this.#pace : MOST);
    if (this.#job) return true;
    [this.#front, this.#back] = [this.#back, this.#front];
    this.#dirty = false;
    return !same(this.#front!.camera, camera);
  }

  #covers(front: Picture, camera: Camera, size: Size): boolean {
    const scale = camera.zoom / front.camera.zoom;
    if (scale > COARSE || scale < 1 / COARSE) return false;
    const room = 0.5 + MARGIN;
    const apart = (a: number, b: number, length: number) =>
      Math.abs(a - b) * camera.zoom + length / 2 > length * room * scale + 1;
    return !apart(camera.x, front.camera.x, size.width) && !apart(camera.y, front.camera.y, size.height);
  }

  /** Puts the newest whole picture where the camera is now. */
  blit(context: CanvasRenderingContext2D, camera: Camera, size: Size, alpha: number): void {
    const front = this.#front;
    if (!front) return;
    const scale = camera.zoom / front.camera.zoom;
    const [x, y] = toScreen(camera, size, front.camera.x, front.camera.y);
    const width = front.size.width * (1 + 2 * MARGIN) * scale;
    const height = front.size.height * (1 + 2 * MARGIN) * scale;
    context.globalAlpha = alpha;
    context.imageSmoothingEnabled = scale !== 1;
    context.drawImage(front.canvas, x - width / 2, y - height / 2, width, height);
    context.globalAlpha = 1;
  }

  #prepare(old: Picture | undefined, camera: Camera, size: Size, ratio: number): Picture {
    const canvas = old?.canvas ?? document.createElement("canvas");
    const width = Math.ceil(size.width * (1 + 2 * MARGIN) * ratio);
    const height = Math.ceil(size.height * (1 + 2 * MARGIN) * ratio);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = old?.context ?? canvas.getContext("2d")!;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const zoom = camera.zoom * ratio;
    context.setTransform(zoom, 0, 0, zoom, width / 2 - camera.x * zoom, height / 2 - camera.y * zoom);
    return { canvas, context, camera: { ...camera }, size: { ...size } };
  }

  #style(context: CanvasRenderingContext2D, batch: Batch, zoom: number): void {
    const ink = this.#ink!;
    const thin = Math.min(1, zoom * 1.6);
    context.lineWidth = Math.max(0.5, WIDTHS[batch.width]! * thin) / zoom;
    context.globalAlpha = 1;
    context.setLineDash([]);
    if (batch.health === FAILING || batch.health === STRAINED) {
      context.strokeStyle = batch.health === FAILING ? ink.bad : ink.warn;
      context.lineWidth = Math.max(context.lineWidth, 1.2 / zoom);
      const dash = batch.health === FAILING ? [6 / zoom, 3 / zoom] : [2 / zoom, 3 / zoom];
      if (batch.edges.length < DASHED) context.setLineDash(dash);
    } else if (batch.state === NEW || batch.state === MORE) {
      context.strokeStyle = ink.accent;
    } else if (batch.state === LESS) {
      context.strokeStyle = ink.less;
      if (batch.edges.length < DASHED) context.setLineDash([10 / zoom, 3 / zoom, 1 / zoom, 3 / zoom]);
    } else {
      context.strokeStyle = ink.edge;
      context.globalAlpha = this.#count > FINE ? 0.25 + 0.2 * batch.width : 0.55 + 0.15 * batch.width;
    }
    if (batch.state === GONE && batch.health === GOOD) {
      context.strokeStyle = ink.muted;
      if (batch.edges.length < DASHED) context.setLineDash([1 / zoom, 5 / zoom]);
    }
  }

  #slice(lines: number): void {
    const scene = this.#scene!;
    const { context, camera, size } = this.#back!;
    const job = this.#job!;
    const { zoom } = camera;
    let budget = lines;
    const isFine = this.#count <= FINE && zoom > 0.15;
    const halfX = (size.width * (0.5 + MARGIN)) / zoom;
    const halfY = (size.height * (0.5 + MARGIN)) / zoom;
    const left = camera.x - halfX;
    const right = camera.x + halfX;
    const top = camera.y - halfY;
    const bottom = camera.y + halfY;
    while (job.batch < this.#batches.length) {
      const batch = this.#batches[job.batch]!;
      if (job.edge < batch.edges.length) {
        this.#style(context, batch, zoom);
        context.beginPath();
        const end = Math.min(batch.edges.length, job.edge + CHUNK);
        budget -= end - job.edge;
        for (; job.edge < end; job.edge++) {
          const edge = batch.edges[job.edge]!;
          const from = scene.items[scene.from[edge]!]!;
          const to = scene.items[scene.to[edge]!]!;
          if (
            (from.x > right && to.x > right) ||
            (from.x + from.width < left && to.x + to.width < left) ||
            (from.y > bottom && to.y > bottom) ||
            (from.y + from.height < top && to.y + to.height < top)
          )
            continue;
          const line = route(from, to);
          context.moveTo(line[0], line[1]);
          if (isFine) context.bezierCurveTo(line[2], line[3], line[4], line[5], line[6], line[7]);
          else context.lineTo(line[6], line[7]);
        }
        context.stroke();
      }
      if (job.edge >= batch.edges.length) {
        job.batch += 1;
        job.edge = 0;
      }
      if (budget <= 0 && job.batch < this.#batches.length) return;
    }
    this.#job = undefined;
  }
}
