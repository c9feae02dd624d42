// How fast the map is with many services: figures, and the limits that they must keep. The time is that from the start
// of the navigation, over loopback, with an empty cache, without a GPU; answers of the hub are made beforehand.

import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { start } from "../../mock/server.ts";
import { type Browser, drawn, launch, openPage, SHOTS } from "./browser.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

interface Frames {
  perSecond: number;
  worst_ms: number;
  painted: number;
}

/** Moves the map on every frame for two seconds, as fast as the browser goes. */
async function frames(page: Page, way: "pan" | "zoom"): Promise<Frames> {
  return page.evaluate(async (way) => {
    const canvas = document.querySelector("canvas") as HTMLCanvasElement & {
      map: { frames: number; pan(x: number, y: number): void; zoom(factor: number): void };
    };
    const times: number[] = [];
    const before = canvas.map.frames;
    await new Promise<void>((done) => {
      const step = (now: number) => {
        times.push(now);
        if (now - times[0]! > 2000) return done();
        // Far enough that what was drawn before is left behind.
        const phase = times.length % 80 < 40 ? 1 : -1;
        if (way === "pan") canvas.map.pan(20 * phase, 8 * phase);
        else canvas.map.zoom(phase > 0 ? 1.04 : 1 / 1.04);
        requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    });
    const gaps = times.slice(1).map((time, place) => time - times[place]!);
    const span = times.at(-1)! - times[0]!;
    return {
      perSecond: (gaps.length * 1000) / span,
      worst_ms: Math.max(...gaps),
      painted: ((canvas.map.frames - before) * 1000) / span,
    };
  }, way);
}

interface Case {
  name: string;
  services: number;
  edges: number;
  query: string;
  limit_ms: number;
}

const ALL = "fold=shut&top=0";
const CASES: Case[] = [
  { name: "1,000 services, 20,000 edges, as it opens", services: 1000, edges: 20_000, query: "", limit_ms: 1500 },
  { name: "1,000 services, 20,000 edges, all drawn", services: 1000, edges: 20_000, query: ALL, limit_ms: 1500 },
  { name: "5,000 services, 20,000 edges, as it opens", services: 5000, edges: 20_000, query: "", limit_ms: 4000 },
  { name: "5,000 services, 20,000 edges, all drawn", services: 5000, edges: 20_000, query: ALL, limit_ms: 4000 },
  {
    name: "5,000 services, 100,000 edges, all drawn",
    services: 5000,
    edges: 100_000,
    query: `${ALL}&limit=100000`,
    limit_ms: 4000,
  },
];

for (const { name, services, edges, query, limit_ms } of CASES) {
  test(name, async () => {
    const hub = await start({ services, edges });
    try {
      // The mock makes its answer at the first request: that is not the page's time.
      const warm = new URLSearchParams(query);
      const graph = new URL("api/v1/graph?since=-15m&until=now", hub.url);
      if (warm.has("limit")) graph.searchParams.set("limit", warm.get("limit")!);
      const bytes = (await (await fetch(graph)).arrayBuffer()).byteLength;
      const { page, complaints } = await openPage(browser, `${hub.url}?refresh=0${query ? `&${query}` : ""}`);
      await drawn(page);
      const load = await page.evaluate(() => {
        const at = (name: string) => performance.getEntriesByName(name)[0]?.startTime ?? Number.NaN;
        return { paint: at("first-contentful-paint"), drawn: at("map-drawn") };
      });
      const clicked = await page.evaluate(async () => {
        const started = performance.now();
        document.querySelector<HTMLElement>(".line-button")?.click();
        while (!document.querySelector(".panel h2")?.textContent?.includes("→"))
          await new Promise((next) => requestAnimationFrame(next));
        return performance.now() - started;
      });
      const pan = await frames(page, "pan");
      const zoom = await frames(page, "zoom");
      const text = (value: Frames) => `${value.perSecond.toFixed(0)}/s (worst frame ${value.worst_ms.toFixed(0)} ms)`;
      console.log(
        `${name}: first paint ${load.paint.toFixed(0)} ms, map drawn ${load.drawn.toFixed(0)} ms, ` +
          `click to details ${clicked.toFixed(0)} ms, pan ${text(pan)}, zoom ${text(zoom)}, ` +
          `answer ${(bytes / 1e6).toFixed(1)} MB`,
      );
      expect(complaints).toEqual([]);
      expect(load.paint).toBeLessThan(1000);
      expect(load.drawn).toBeLessThan(limit_ms);
      for (const found of [pan, zoom]) {
        expect(found.perSecond).toBeGreaterThan(30);
        expect(found.painted).toBeGreaterThan(30);
      }
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Fit" }).click();
      await page.screenshot({ path: `${SHOTS}/${name.replaceAll(/[ ,]+/g, "-")}.png` });
      await page.close();
    } finally {
      await hub.close();
    }
  });
}
