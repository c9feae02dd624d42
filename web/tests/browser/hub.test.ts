// The pages in front of a real hub: what a person sees of the demo's shop, from the map to the status. Each waits until
// the hub knows what it asks for, since everything has to happen in the kernel first.

import { mkdirSync, readFileSync } from "node:fs";
import type { Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Browser, drawn, launch, openPage, SHOTS, violations } from "./browser.ts";
import { type Demo, startDemo } from "./demo.ts";

let browser: Browser;
let demo: Demo;

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true });
  demo = await startDemo();
  const served = await (await fetch(demo.url)).text();
  if (served !== readFileSync("dist/index.html", "utf8"))
    throw new Error("the binary has other pages than dist: npm run build, then cargo build --workspace");
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await demo?.stop();
});

/** Walks through one page, which is asked for anew every second; nothing is complained about, and axe finds nothing. */
function walk(name: string, query: string, through: (page: Page) => Promise<void>) {
  test(name, async () => {
    const { page, complaints } = await openPage(browser, `${demo.url}?${query}&since=-5m&refresh=1`);
    page.setDefaultTimeout(60_000);
    try {
      await through(page);
      expect(await violations(page)).toEqual([]);
      expect(complaints).toEqual([]);
    } finally {
      await page.screenshot({ path: `${SHOTS}/hub-${name}.png` });
      await page.close();
    }
  });
}

const CATALOGUE = "shop/Deployment/catalogue";
const POSTGRES = "shop/StatefulSet/postgres";

/** The number in the last cell of the row that begins so. */
async function number(row: Locator): Promise<number> {
  const text = await row.locator(".right").last().textContent();
  return Number.parseFloat(text!.replace(/[^\d.]/g, ""));
}

walk("map", `at=${POSTGRES}`, async (page) => {
  const panel = page.getByRole("complementary", { name: "Details" });
  await panel.getByRole("heading", { name: "postgres" }).waitFor();
  await panel.locator("section", { hasText: "Called by" }).getByRole("button", { name: "catalogue" }).click();
  await page.waitForURL(/at=.*catalogue.*postgres/);
  await panel.locator("h2", { hasText: /^catalogue.*→ postgres/ }).waitFor();
  for (const measure of ["Bytes sent", "Bytes received", "Round trip p50"])
    expect(await number(panel.getByRole("row", { name: measure })), measure).toBeGreaterThan(0);
  await panel.getByText("TCP 5432").first().waitFor();
  // It is on the picture as well: the shop has a frame, and the box in it is found by its name.
  await drawn(page);
  await page.keyboard.press("/");
  await page.keyboard.type("postgres");
  await page.keyboard.press("Enter");
  await page.locator("[aria-live]").filter({ hasText: "postgres, StatefulSet in shop" }).waitFor({ state: "attached" });
});

walk("matrix", `as=matrix&focus=${POSTGRES}&hops=1`, async (page) => {
  const cell = page.getByRole("gridcell", { name: /catalogue\b.* calls .*\bpostgres/ });
  await cell.filter({ hasText: /\d/ }).click();
  await page.locator(".panel h2", { hasText: /^catalogue.*→ postgres/ }).waitFor();
});

walk("compared", "compare=week", async (page) => {
  await page.getByText("The hub knows nothing of the time that this is compared with").waitFor();
});

walk("edges", "as=edges&search=frontend", async (page) => {
  const row = page.getByRole("row").filter({ hasText: "load/loadgen" }).filter({ hasText: "shop/frontend" }).first();
  const requests = row.getByRole("gridcell").filter({ hasText: /^[1-9]\d*$/ });
  await requests.first().waitFor();
  await row.filter({ hasText: "TCP 8080" }).waitFor();
});

walk("workloads", "view=workloads", async (page) => {
  // The recommender asks at a closed port of it: only the caller saw that fail, yet it is told of who was asked.
  const asked = page.getByRole("row").filter({ hasText: "catalogueDeployment" });
  await asked.filter({ hasText: /▲ \d/ }).waitFor();
  await page.getByRole("columnheader", { name: "Failed connections" }).waitFor();
  await page.getByRole("searchbox").fill("shop/");
  await page.getByRole("link", { name: "postgres" }).click();
  await page.waitForURL(/view=workload&/);
  await page.getByText("StatefulSet in shop").waitFor();
});

walk("workload", `view=workload&workload=${CATALOGUE}`, async (page) => {
  const summary = page.getByRole("region", { name: "Summary" });
  await summary.getByRole("row", { name: /^Incoming .*\d KiB/ }).waitFor();
  await page.locator(".plot canvas").nth(3).waitFor();
  const peer = (name: string) => page.getByRole("row").filter({ has: page.getByRole("link", { name }) });
  await peer("shop/frontend").filter({ hasText: "← calls it" }).first().waitFor();
  await peer("shop/postgres").filter({ hasText: "TCP 5432" }).waitFor();
  await page.getByRole("tab", { name: /^Pods/ }).click();
  await page
    .getByRole("row")
    .filter({ hasText: /catalogue-\w+-\w+/ })
    .filter({ hasText: /\d+\.\d+\.\d+\.\d+/ })
    .waitFor();
});

walk("failures", "view=workload&workload=shop/Deployment/recommender&tab=failures", async (page) => {
  const records = page.locator(".record");
  await records.filter({ hasText: "ECONNREFUSED" }).first().click();
  const fields = page.locator("aside").filter({ hasText: "servicecatalogue" });
  const [, time] = /T(\d+:\d+:\d+\.\d{3})/.exec((await fields.textContent())!)!;
  // Newer ones push it down; it stays the chosen one.
  const first = await records.first().textContent();
  await page.waitForFunction((old) => document.querySelector(".record")?.textContent !== old, first);
  await page.locator(".record.active").filter({ hasText: time! }).waitFor();
});

walk("records", "view=records", async (page) => {
  await page.getByText("● live").waitFor();
  const records = page.locator(".record");
  await records
    .filter({ hasText: /shop\/\S+.*→ / })
    .first()
    .waitFor();

  await page.getByLabel("Filter", { exact: true }).selectOption("kind");
  await page.locator("#filter").fill("dns");
  await page.keyboard.press("Enter");
  await page.waitForURL(/filter=kind:dns/);
  await page.locator("#filter").fill("namespace=shop");
  await page.keyboard.press("Enter");
  await page.getByText("amphipod observe -f --kind dns --namespace shop").waitFor();
  await records.filter({ hasText: "NOERROR" }).first().waitFor();
  for (const text of await records.allTextContents()) expect(text).toMatch(/shop\/.*dns/);

  await page.keyboard.press("Escape");
  await page.locator(".record-lines").focus();
  await page.keyboard.press("p");
  await page.getByText(/paused, [1-9]\d* new/).waitFor();
  const held = await records.first().textContent();
  await page.getByText(/paused, ([2-9]|\d{2,}) new/).waitFor();
  expect(await records.first().textContent()).toBe(held);
  await page.keyboard.press("p");
  await page.waitForFunction((old) => document.querySelector(".record")?.textContent !== old, held);
});

walk("nodes", "view=nodes", async (page) => {
  const node = page.getByRole("grid", { name: "Nodes" }).getByRole("row").nth(1);
  await node.filter({ hasText: "● connected" }).waitFor();
  await node.click();
  const probes = page.getByRole("complementary", { name: "Probes" });
  for (const program of ["tcp_set_state", "flow_tcp", "dns_ingress"])
    await probes
      .locator(".verdict")
      .filter({ hasText: new RegExp(`active.*${program}$`) })
      .waitFor();
  // Another kernel may have less to offer, and says so; none of them may refuse.
  expect(await probes.getByText(/failed|away/).count()).toBe(0);
  await page.getByText("1 of 1 nodes · 0 away").waitFor();
});

walk("status", "view=status", async (page) => {
  await page.getByText("● ready").waitFor();
  const fact = (name: string) =>
    page.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: true }) });
  await fact("agents")
    .filter({ hasText: /agents1$/ })
    .waitFor();
  await page.getByRole("row", { name: /^pods \d{2} yes$/ }).waitFor();
  await page.getByRole("row", { name: /^connections Connections/ }).waitFor();
});
