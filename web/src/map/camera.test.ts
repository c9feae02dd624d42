import { describe, expect, test } from "vitest";
import { fitted, MIN_ZOOM, shown, toPlane, toScreen, zoomed } from "./camera.ts";
import { distanceTo, route } from "./route.ts";
import type { Item } from "./scene.ts";

const SIZE = { width: 800, height: 600 };
const item = (x: number, y: number): Item => ({
  key: "",
  label: "",
  twin: "",
  node: 0,
  frame: 0,
  count: 1,
  x,
  y,
  width: 100,
  height: 20,
  health: 0,
});

describe("camera", () => {
  test("there and back", () => {
    const camera = { x: 33, y: -7, zoom: 0.4 };
    expect(toPlane(camera, SIZE, ...toScreen(camera, SIZE, 120, 45))[0]).toBeCloseTo(120);
  });

  test("what is below the pointer stays there", () => {
    const camera = { x: 10, y: 20, zoom: 1 };
    const before = toPlane(camera, SIZE, 700, 100);
    const after = toPlane(zoomed(camera, SIZE, 1.7, 700, 100), SIZE, 700, 100);
    expect(after[0]).toBeCloseTo(before[0]);
    expect(after[1]).toBeCloseTo(before[1]);
    expect(zoomed(camera, SIZE, 1e-9, 0, 0).zoom).toBe(MIN_ZOOM);
  });

  test("all of it in sight", () => {
    const camera = fitted({ width: 5000, height: 1000 }, SIZE);
    const [left] = toScreen(camera, SIZE, 0, 0);
    const [right] = toScreen(camera, SIZE, 5000, 0);
    expect(left).toBeGreaterThan(0);
    expect(right).toBeLessThan(800);
    expect(fitted({ width: 10, height: 10 }, SIZE).zoom).toBeLessThan(2);
  });

  test("a box in sight moves nothing, another one comes into it", () => {
    const camera = { x: 400, y: 300, zoom: 1 };
    expect(shown(camera, SIZE, item(300, 300))).toEqual(camera);
    const [x] = toScreen(shown(camera, SIZE, item(2000, 300)), SIZE, 2100, 300);
    expect(x).toBeLessThanOrEqual(800);
  });
});

describe("routes", () => {
  test("leave and arrive at the sides that face each other", () => {
    expect(route(item(0, 0), item(300, 50))).toMatchObject({ 0: 100, 1: 10, 6: 300, 7: 60 });
    expect(route(item(300, 0), item(0, 50))).toMatchObject({ 0: 300, 6: 100 });
    expect(route(item(0, 0), item(0, 90))).toMatchObject({ 0: 100, 6: 100 });
  });

  test("are found by a pointer that is near", () => {
    const line = route(item(0, 0), item(300, 0));
    expect(distanceTo(line, 200, 12, 6)).toBeCloseTo(2);
    expect(distanceTo(line, 200, 200, 6)).toBe(Number.POSITIVE_INFINITY);
  });
});
