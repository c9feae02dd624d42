// The picture on the screen: frames, edges, boxes, names; and what the pointer does to it.

import { shortKind } from "../format/kind.ts";
import { change, count, quantity } from "../format/quantity.ts";
import { type Camera, fitted, type Size, shown, toPlane, toScreen, zoomed } from "./camera.ts";
import { paintChanges } from "./difference.ts";
import { FAILING, STRAINED } from "./health.ts";
import { glyph, type Ink, readInk } from "./ink.ts";
import { EdgeLayer } from "./layer.ts";
import { textOf } from "./name.tsx";
import { distanceTo, pointAt, type Route, route } from "./route.ts";
import { type Item, type Scene, titleOf } from "./scene.ts";

export interface Listener {
  select(item: number | undefined, edge: number | undefined): void;
  open(item: number): void;
  fold(namespace: string): void;
  hover(text: string | undefined, x: number, y: number): void;
  moved(camera: Camera): void;
}

const LABEL_FONT = 12;
/** What a box has room for: from further away, fewer letters that can still be read. */
const LARGEST_FONT = 19;
/** Below this a name could not be read. */
const LABEL_ZOOM = 0.42;
const SETTLED_MS = 250;

export class MapView {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #listener: Listener;
  readonly #layer = new EdgeLayer();
  readonly #cuts = new Map<string, string>();
  #scene: Scene | undefined;
  #unit = "";
  #ink: Ink = readInk();
  #size: Size = { width: 1, height: 1 };
  #camera: Camera = { x: 0, y: 0, zoom: 1 };
  #isFitted = true;
  #frame = 0;
  #settled: ReturnType<typeof setTimeout> | undefined;
  #selectedItem: number | undefined;
  #selectedEdge: number | undefined;
  #hovered: number | undefined;
  #hoveredEdge: number | undefined;
  #matches: Set<number> | undefined;
  #anchor: { name: string; x: number; y: number } | undefined;
  readonly #stop = new AbortController();
  readonly #observer: ResizeObserver;
  /** Frames drawn so far, and the first whole picture's moment: for the tests of speed. */
  frames = 0;

  constructor(canvas: HTMLCanvasElement, listener: Listener) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false })!;
    this.#listener = listener;
    this.#observer = new ResizeObserver(() => this.#resize());
    this.#observer.observe(canvas.parentElement!);
    this.#listen();
    this.#resize();
  }

  close(): void {
    this.#stop.abort();
    this.#observer.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#settled);
  }

  get camera(): Camera {
    return { ...this.#camera };
  }

  setScene(scene: Scene, unit: string): void {
    this.#scene = scene;
    this.#unit = unit;
    this.#hovered = this.#hoveredEdge = undefined;
    this.#layer.setScene(scene, this.#ink);
    const anchor = this.#anchor && scene.frames.find(({ name }) => name === this.#anchor!.name);
    if (anchor && !this.#isFitted) {
      const [x, y] = toScreen(this.#camera, this.#size, anchor.x, anchor.y);
      this.#camera.x += (x - this.#anchor!.x) / this.#camera.zoom;
      this.#camera.y += (y - this.#anchor!.y) / this.#camera.zoom;
      this.#settle();
    }
    this.#anchor = undefined;
    if (this.#isFitted) this.#camera = fitted(scene, this.#size);
    this.draw();
  }

  setSelection(item: number | undefined, edge: number | undefined, matches: Set<number> | undefined): void {
    this.#selectedItem = item;
    this.#selectedEdge = edge;
    this.#matches = matches;
    this.draw();
  }

  /** `undefined`: everything in sight. */
  setCamera(camera: Camera | undefined): void {
    this.#isFitted = camera === undefined;
    if (camera) this.#camera = { ...camera };
    else if (this.#scene) this.#camera = fitted(this.#scene, this.#size);
    this.draw();
  }

  setTheme(): void {
    this.#ink = readInk();
    if (this.#scene) this.#layer.setScene(this.#scene, this.#ink);
    this.draw();
  }

  zoom(factor: number, x = this.#size.width / 2, y = this.#size.height / 2): void {
    this.#move(zoomed(this.#camera, this.#size, factor, x, y));
  }

  pan(x: number, y: number): void {
    const { camera } = this;
    this.#move({ ...camera, x: camera.x + x / camera.zoom, y: camera.y + y / camera.zoom });
  }

  reveal(item: Item): void {
    this.#move(shown(this.#camera, this.#size, item));
  }

  /** The next box from the selected one in a direction; the first one in sight if none is selected. */
  neighbour(x: number, y: number): number | undefined {
    const items = this.#scene?.items ?? [];
    const from = this.#selectedItem === undefined ? undefined : items[this.#selectedItem];
    const [startX, startY] = from ? [from.x, from.y] : toPlane(this.#camera, this.#size, 0, 0);
    let best: number | undefined;
    let least = Number.POSITIVE_INFINITY;
    items.forEach((item, index) => {
      const along = (item.x - startX) * x + (item.y - startY) * y;
      const across = Math.abs((item.x - startX) * y) + Math.abs((item.y - startY) * x);
      if (item === from || (from && along <= 0)) return;
      const cost = Math.abs(along) + 3 * across;
      if (cost < least) [least, best] = [cost, index];
    });
    return best;
  }

  #move(camera: Camera): void {
    this.#camera = camera;
    this.#isFitted = false;
    this.#settle();
    this.draw();
  }

  #settle(): void {
    clearTimeout(this.#settled);
    this.#settled = setTimeout(() => this.#listener.moved(this.camera), SETTLED_MS);
  }

  #resize(): void {
    const box = this.#canvas.parentElement!.getBoundingClientRect();
    this.#size = { width: Math.max(1, box.width), height: Math.max(1, box.height) };
    const ratio = devicePixelRatio;
    this.#canvas.width = Math.round(this.#size.width * ratio);
    this.#canvas.height = Math.round(this.#size.height * ratio);
    if (this.#isFitted && this.#scene) this.#camera = fitted(this.#scene, this.#size);
    // At once: an emptied canvas would flash.
    this.#paint();
  }

  draw(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#paint());
  }

  #paint(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const context = this.#context;
    const ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = this.#ink.bg;
    context.fillRect(0, 0, this.#size.width, this.#size.height);
    const scene = this.#scene;
    if (!scene) return;
    const more = this.#layer.work(this.#camera, this.#size, ratio);
    const { zoom, x, y } = this.#camera;
    const plane = () =>
      context.setTransform(
        zoom * ratio,
        0,
        0,
        zoom * ratio,
        (this.#size.width / 2 - x * zoom) * ratio,
        (this.#size.height / 2 - y * zoom) * ratio,
      );
    const marked = this.#selectedItem ?? this.#hovered;
    const isCalm = marked === undefined && this.#selectedEdge === undefined;
    plane();
    this.#paintFrames(scene);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#layer.blit(context, this.#camera, this.#size, isCalm ? 1 : 0.22);
    plane();
    const near = this.#paintMarked(scene, marked);
    if (scene.compared && zoom >= LABEL_ZOOM)
      paintChanges(context, this.#ink, scene, zoom, (x, y) => this.#inSight({ x, y, width: 0, height: 0 }), near);
    this.#paintItems(scene, near);
    if (zoom < LABEL_ZOOM) this.#paintFrameNames(scene);
    this.frames += 1;
    if (more) this.draw();
    else if (this.frames === 1 || !performance.getEntriesByName("map-drawn").length) performance.mark("map-drawn");
  }

  #inSight(box: { x: number; y: number; width: number; height: number }): boolean {
    const { x, y, zoom } = this.#camera;
    const halfX = this.#size.width / 2 / zoom;
    const halfY = this.#size.height / 2 / zoom;
    return box.x < x + halfX && box.x + box.width > x - halfX && box.y < y + halfY && box.y + box.height > y - halfY;
  }

  #paintFrames(scene: Scene): void {
    const context = this.#context;
    const ink = this.#ink;
    const { zoom } = this.#camera;
    context.lineWidth = 1 / zoom;
    context.textBaseline = "middle";
    const font = Math.min(21, Math.max(LABEL_FONT, 11 / zoom));
    for (const frame of scene.frames) {
      if (frame.folded || frame.name === "" || !this.#inSight(frame)) continue;
      context.fillStyle = ink.surface;
      context.strokeStyle = ink.line;
      context.beginPath();
      context.roundRect(frame.x, frame.y, frame.width, frame.height, 4);
      context.fill();
      context.stroke();
      if (zoom < LABEL_ZOOM) continue;
      context.fillStyle = ink.muted;
      context.font = `600 ${font}px ${ink.sans}`;
      const text = `▾ ${titleOf(frame.name)}  ${count(frame.count)}`;
      context.fillText(this.#cut(text, frame.width - 16, font), frame.x + 8, frame.y + 14);
    }
  }

  /** From far away the namespaces' names are what can be read: over the boxes, which have none then. */
  #paintFrameNames(scene: Scene): void {
    const context = this.#context;
    const ink = this.#ink;
    const { zoom } = this.#camera;
    const font = 12 / zoom;
    context.font = `600 ${font}px ${ink.sans}`;
    for (const frame of scene.frames) {
      if (frame.folded || frame.name === "" || !this.#inSight(frame) || frame.width * zoom < 28) continue;
      const text = this.#cut(titleOf(frame.name), frame.width, font);
      context.globalAlpha = 0.86;
      context.fillStyle = ink.bg;
      context.fillRect(frame.x, frame.y, context.measureText(text).width + font * 0.6, font * 1.35);
      context.globalAlpha = 1;
      context.fillStyle = ink.text;
      context.fillText(text, frame.x + font * 0.3, frame.y + font * 0.7);
    }
  }

  /** The edges of what is selected or pointed at, in full strength; the boxes at their other ends. */
  #paintMarked(scene: Scene, marked: number | undefined): Set<number> | undefined {
    const edges: number[] = [];
    const edge = this.#selectedEdge ?? (marked === undefined ? this.#hoveredEdge : undefined);
    if (edge !== undefined) edges.push(edge);
    if (marked !== undefined)
      for (let one = 0; one < scene.from.length; one++)
        if (scene.from[one] === marked || scene.to[one] === marked) edges.push(one);
    if (edges.length === 0 && marked === undefined) return undefined;
    const near = new Set<number>(marked === undefined ? [] : [marked]);
    const context = this.#context;
    const ink = this.#ink;
    const { zoom } = this.#camera;
    for (const one of edges) {
      near.add(scene.from[one]!).add(scene.to[one]!);
      if (scene.from[one] === scene.to[one]) continue;
      const line = route(scene.items[scene.from[one]!]!, scene.items[scene.to[one]!]!);
      const health = scene.health[one]!;
      const colour = health === FAILING ? ink.bad : health === STRAINED ? ink.warn : ink.accent;
      context.strokeStyle = context.fillStyle = colour;
      context.lineWidth = (edge === one ? 2.6 : 1.4) / Math.max(zoom, 0.3);
      context.setLineDash(health === FAILING ? [7 / zoom, 3 / zoom] : []);
      context.beginPath();
      context.moveTo(line[0], line[1]);
      context.bezierCurveTo(line[2], line[3], line[4], line[5], line[6], line[7]);
      context.stroke();
      context.setLineDash([]);
      this.#arrow(line, 7 / Math.max(zoom, 0.4));
    }
    return this.#selectedItem === undefined && this.#selectedEdge === undefined ? undefined : near;
  }

  #arrow(line: Route, size: number): void {
    const [tipX, tipY] = [line[6], line[7]];
    const [backX, backY] = pointAt(line, 0.93);
    const angle = Math.atan2(tipY - backY, tipX - backX);
    const context = this.#context;
    context.beginPath();
    context.moveTo(tipX, tipY);
    context.lineTo(tipX - size * Math.cos(angle - 0.4), tipY - size * Math.sin(angle - 0.4));
    context.lineTo(tipX - size * Math.cos(angle + 0.4), tipY - size * Math.sin(angle + 0.4));
    context.fill();
  }

  #paintItems(scene: Scene, near: Set<number> | undefined): void {
    const context = this.#context;
    const ink = this.#ink;
    const { zoom } = this.#camera;
    context.textBaseline = "middle";
    scene.items.forEach((item, index) => {
      if (!this.#inSight(item)) return;
      const isMatch = this.#matches?.has(index) ?? false;
      context.globalAlpha = (near && !near.has(index)) || (this.#matches && !isMatch) ? 0.3 : 1;
      const isMarked = index === this.#selectedItem || index === this.#hovered || isMatch;
      context.fillStyle =
        index === this.#selectedItem ? ink.accentFill : item.health === FAILING ? ink.badFill : ink.raised;
      context.strokeStyle = isMarked ? ink.accent : item.health === FAILING ? ink.bad : ink.strong;
      context.lineWidth = (isMarked ? 2 : 1) / Math.max(zoom, 0.4);
      if (zoom < LABEL_ZOOM && item.node >= 0) {
        // Too small for a name or a round corner.
        context.fillStyle = isMarked ? ink.accent : item.health === FAILING ? ink.bad : ink.edge;
        context.fillRect(item.x, item.y, item.width, item.height);
        if (item.health === FAILING) glyph(context, ink, item.health, item.x - 14, item.y + 12, Math.min(36, 5 / zoom));
        return;
      }
      context.beginPath();
      context.roundRect(item.x, item.y, item.width, item.height, 3);
      context.fill();
      context.stroke();
      this.#paintName(item);
    });
    context.globalAlpha = 1;
  }

  #paintName(item: Item): void {
    const context = this.#context;
    const ink = this.#ink;
    context.fillStyle = ink.text;
    if (item.node >= 0) {
      glyph(context, ink, item.health, item.x + 12, item.y + item.height / 2, 5);
      context.fillStyle = ink.text;
      const font = Math.min(LARGEST_FONT, Math.max(LABEL_FONT, 10.5 / this.#camera.zoom));
      context.font = `${font}px ${ink.sans}`;
      const [middle, kind] = [item.y + item.height / 2 + 0.5, shortKind(item.twin)];
      const room = item.width - 30 - (kind ? context.measureText(` ${kind}`).width : 0);
      const name = this.#cut(item.label, room, font);
      context.fillText(name, item.x + 24, middle);
      if (!kind) return;
      context.fillStyle = ink.muted;
      context.fillText(` ${kind}`, item.x + 24 + context.measureText(name).width, middle);
      return;
    }
    glyph(context, ink, item.health, item.x + 14, item.y + item.height / 2, 6);
    context.fillStyle = ink.text;
    context.font = `600 13px ${ink.sans}`;
    context.fillText(this.#cut(item.label, item.width - 38, 13), item.x + 28, item.y + 13);
    context.fillStyle = ink.muted;
    context.font = `11px ${ink.sans}`;
    context.fillText(`▸ ${count(item.count)} ${item.count === 1 ? "workload" : "workloads"}`, item.x + 28, item.y + 28);
  }

  /** As much of a text as there is room for. Measured once: names come again in every frame. */
  #cut(text: string, width: number, font: number): string {
    const key = `${text}|${Math.round(width)}|${font.toFixed(1)}`;
    const known = this.#cuts.get(key);
    if (known !== undefined) return known;
    if (this.#cuts.size > 20_000) this.#cuts.clear();
    const context = this.#context;
    let cut = text;
    const full = context.measureText(text).width;
    if (full > width) {
      let keep = Math.max(1, Math.floor((text.length * width) / full) - 1);
      while (keep > 1 && context.measureText(`${text.slice(0, keep)}…`).width > width) keep -= 1;
      cut = `${text.slice(0, keep)}…`;
    }
    this.#cuts.set(key, cut);
    return cut;
  }

  #itemAt(x: number, y: number): number | undefined {
    const slack = 3 / this.#camera.zoom;
    const found = this.#scene?.items.findIndex(
      (item) => x >= item.x - slack && x <= item.x + item.width + slack && y >= item.y && y <= item.y + item.height,
    );
    return found === undefined || found < 0 ? undefined : found;
  }

  #edgeAt(x: number, y: number): number | undefined {
    const scene = this.#scene;
    if (!scene || scene.drawn > 6000) return undefined;
    let least = 6 / this.#camera.zoom;
    let best: number | undefined;
    for (let edge = 0; edge < scene.drawn; edge++) {
      if (scene.from[edge] === scene.to[edge]) continue;
      const line = route(scene.items[scene.from[edge]!]!, scene.items[scene.to[edge]!]!);
      const distance = distanceTo(line, x, y, least);
      if (distance < least) [least, best] = [distance, edge];
    }
    return best;
  }

  #frameAt(x: number, y: number): string | undefined {
    const found = this.#scene?.frames.find(
      (frame) => frame.name !== "" && x >= frame.x && x <= frame.x + frame.width && y >= frame.y && y <= frame.y + 26,
    );
    return found?.name;
  }

  /** Where a namespace's corner is, in pixels of the canvas. */
  frameOnScreen(name: string): [number, number] | undefined {
    const frame = this.#scene?.frames.find((one) => one.name === name);
    return frame && toScreen(this.#camera, this.#size, frame.x, frame.y);
  }

  /** Folds, with the frame's corner staying where it is on the screen. */
  fold(name: string): void {
    const frame = this.#scene?.frames.find((one) => one.name === name);
    if (frame) {
      const [x, y] = toScreen(this.#camera, this.#size, frame.x, frame.y);
      this.#anchor = { name, x, y };
    }
    this.#listener.fold(name);
  }

  #listen(): void {
    const canvas = this.#canvas;
    const options = { signal: this.#stop.signal };
    let start: { x: number; y: number; camera: Camera } | undefined;
    let isDragged = false;
    let pending: PointerEvent | undefined;

    canvas.addEventListener(
      "pointerdown",
      (event) => {
        if (event.button !== 0) return;
        canvas.setPointerCapture(event.pointerId);
        start = { x: event.offsetX, y: event.offsetY, camera: this.camera };
        isDragged = false;
      },
      options,
    );
    canvas.addEventListener(
      "pointermove",
      (event) => {
        if (start) {
          const [x, y] = [event.offsetX - start.x, event.offsetY - start.y];
          if (!isDragged && Math.hypot(x, y) < 4) return;
          isDragged = true;
          const { camera } = start;
          this.#move({ ...camera, x: camera.x - x / camera.zoom, y: camera.y - y / camera.zoom });
          this.#listener.hover(undefined, 0, 0);
          return;
        }
        if (!pending)
          requestAnimationFrame(() => {
            if (pending) this.#point(pending);
            pending = undefined;
          });
        pending = event;
      },
      options,
    );
    canvas.addEventListener(
      "pointerup",
      (event) => {
        if (start && !isDragged) this.#click(event);
        start = undefined;
      },
      options,
    );
    canvas.addEventListener(
      "pointerleave",
      () => {
        this.#hovered = this.#hoveredEdge = undefined;
        this.#listener.hover(undefined, 0, 0);
        this.draw();
      },
      options,
    );
    canvas.addEventListener(
      "dblclick",
      (event) => {
        const item = this.#itemAt(...toPlane(this.#camera, this.#size, event.offsetX, event.offsetY));
        if (item !== undefined) this.#listener.open(item);
      },
      options,
    );
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const lines = event.deltaMode === 1 ? 16 : 1;
        this.zoom(Math.exp(-event.deltaY * lines * 0.0016), event.offsetX, event.offsetY);
      },
      { ...options, passive: false },
    );
  }

  #click(event: PointerEvent): void {
    const [x, y] = toPlane(this.#camera, this.#size, event.offsetX, event.offsetY);
    const item = this.#itemAt(x, y);
    if (item !== undefined) {
      this.#listener.select(item, undefined);
      return;
    }
    const frame = this.#frameAt(x, y);
    if (frame !== undefined) this.fold(frame);
    else this.#listener.select(undefined, this.#edgeAt(x, y));
  }

  #point(event: PointerEvent): void {
    const [x, y] = toPlane(this.#camera, this.#size, event.offsetX, event.offsetY);
    const item = this.#itemAt(x, y);
    const edge = item === undefined ? this.#edgeAt(x, y) : undefined;
    const frame = item === undefined ? this.#frameAt(x, y) : undefined;
    this.#canvas.style.cursor = item !== undefined || edge !== undefined || frame !== undefined ? "pointer" : "grab";
    if (item === this.#hovered && edge === this.#hoveredEdge) return;
    this.#hovered = item;
    this.#hoveredEdge = edge;
    this.#listener.hover(this.#describe(item, edge), event.offsetX, event.offsetY);
    this.draw();
  }

  #describe(item: number | undefined, edge: number | undefined): string | undefined {
    const scene = this.#scene!;
    if (item !== undefined) {
      const { key, label, node } = scene.items[item]!;
      return node >= 0 ? key.replace(/^-\//, "") : `${label}: Enter or double-click unfolds`;
    }
    if (edge === undefined) return undefined;
    const [from, to] = [scene.items[scene.from[edge]!]!, scene.items[scene.to[edge]!]!];
    return `${textOf(from)} → ${textOf(to)}   ${quantity(scene.now[edge], this.#unit)}${scene.compared ? `   ${change(scene.now[edge], scene.was[edge])}` : ""}`;
  }
}
