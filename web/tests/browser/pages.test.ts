// Each page in a real browser: it shows what the hub says, every state of it is in its address, the keyboard leads
// through it, nothing is complained about, and axe finds nothing in either theme. Pictures go into shots/.

import { mkdirSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Running, start } from "../../mock/server.ts";
import { type Browser, drawn, launch, openPage, SHOTS, violations } from "./browser.ts";

let browser: Browser;
let hub: Running;
let sick = "";

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true });
  browser = await launch();
  hub = await start({ services: 120, missing: true });
  const found = hub.mock.cluster.services.find((service) => service.sick)!;
  sick = `${found.namespace}/${found.kind}/${found.name}`;
});
afterAll(async () => {
  await browser.close();
  await hub.close();
});

async function on<T>(query: string, then: (page: Page, complaints: string[]) => Promise<T>, at = hub): Promise<T> {
  const { page, complaints } = await openPage(browser, at.url + query);
  try {
    return await then(page, complaints);
  } finally {
    await page.close();
  }
}

/** Until the page says so. */
async function says(page: Page, text: string | RegExp, where = "body"): Promise<void> {
  await page.locator(where).filter({ hasText: text }).first().waitFor();
}

/** Every page: what it has to say before it counts as there. */
const PAGES: [name: string, query: () => string, text: string | RegExp][] = [
  ["map", () => "", "failing"],
  ["map-selected", () => `?at=${sick}&compare=previous`, "Called by"],
  ["map-errors", () => "?errors=1", "failing"],
  ["map-focus", () => `?focus=${sick}&hops=1`, "1 hop"],
  ["map-folded", () => "?fold=open", "failing"],
  ["map-zones", () => "?group=zone", "zones"],
  ["matrix", () => "?as=matrix", "caller"],
  ["matrix-compared", () => "?as=matrix&compare=3h", "▼"],
  ["map-compared", () => "?compare=day&namespace=shop", "less than before"],
  ["edges", () => "?as=edges&compare=day", "vs before"],
  ["workloads", () => "?view=workloads&compare=previous", "of 120 workloads"],
  ["workload", () => `?view=workload&workload=${sick}&compare=day`, "Round trip"],
  ["workload-failures", () => `?view=workload&workload=${sick}&tab=failures`, "ECONNREFUSED"],
  ["records", () => "?view=records&filter=!kind:flow", "● live"],
  ["nodes", () => "?view=nodes", "tcp_set_state"],
  ["status", () => "?view=status", "12459522364653510520"],
];

describe.each(["dark", "light"])("%s", (theme) => {
  test.each(PAGES)("%s", async (name, query, text) => {
    const path = `${query() || "?"}${query() ? "&" : ""}theme=${theme}&refresh=0`;
    await on(path, async (page, complaints) => {
      await says(page, text);
      if (name.startsWith("map")) await drawn(page);
      if (name === "workload") await page.locator(".plot canvas").nth(3).waitFor();
      expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe(theme);
      expect(await violations(page)).toEqual([]);
      await page.screenshot({ path: `${SHOTS}/${name}-${theme}.png` });
      expect(complaints).toEqual([]);
    });
  });
});

describe("comparison", () => {
  test("a workload with itself before it was deployed, in the address", async () => {
    await on(`?view=workload&workload=${sick}&refresh=0`, async (page, complaints) => {
      await page.getByRole("button", { name: "Compare with just before the last" }).click();
      await page.waitForURL(/compare=deploy:/);
      await says(page, /[▲▼≈=]/, ".summary .muted");
      expect(await page.getByLabel("Compare with").inputValue()).toBe(`deploy:${sick}`);
      await says(page, "before", ".charts");
      await page.getByRole("button", { name: ", the last" }).first().click();
      await page.waitForURL(/compare=previous/);
      expect(page.url()).toMatch(/since=2\d{3}-/);
      expect(complaints).toEqual([]);
    });
  });

  test("with a time of one's own", async () => {
    await on("?refresh=0", async (page) => {
      await drawn(page);
      await page.keyboard.press("t");
      const dialog = page.getByRole("dialog", { name: "Time range" });
      await dialog.getByLabel("Compared with").fill("sometime");
      await says(page, "compare with previous", ".popover");
      await dialog.getByLabel("Compared with").fill("3h");
      await dialog.getByRole("button", { name: "Show" }).click();
      await page.waitForURL(/compare=3h/);
      await says(page, "more than before", ".legend");
      await page.keyboard.press("m");
      await page.locator(".matrix-cell .changed").filter({ hasText: /[▲▼]/ }).first().waitFor();
      expect(await page.getByLabel("Compare with").inputValue()).toBe("3h");
    });
  });
});

describe("map", () => {
  test("pages below any path, as behind a proxy", async () => {
    // The mock serves files by their path; the built page names none that begins with a slash.
    await on("index.html", async (page, complaints) => {
      await drawn(page);
      expect(complaints).toEqual([]);
    });
  });

  test("its bar takes one line at 1280 pixels", async () => {
    await on("?refresh=0", async (page) => {
      await page.setViewportSize({ width: 1280, height: 800 });
      await drawn(page);
      expect((await page.getByRole("toolbar", { name: "Map" }).boundingBox())!.height).toBeLessThan(50);
    });
  });

  test("what is chosen is in the address, and the address brings it back", async () => {
    await on("?refresh=0", async (page) => {
      await drawn(page);
      await page.getByRole("button", { name: "Errors only" }).click();
      await page.getByLabel("Measure").selectOption("connect");
      await page.getByLabel("Statistic").selectOption("p50");
      await page.getByLabel("Compare with").selectOption("day");
      await page.locator(".line-button").first().click();
      await says(page, "→", ".panel h2");
      const [address, title] = [page.url(), await page.locator(".panel h2").textContent()];
      for (const part of ["errors=1", "measure=connect", "statistic=p50", "compare=day", "at="])
        expect(address).toContain(part);
      await page.goto(address);
      await says(page, title!, ".panel h2");
      expect(await page.getByLabel("Measure").inputValue()).toBe("connect");
      await page.goBack();
      await says(page, /failing/, ".panel h2");
    });
  });

  test("by keyboard alone: find, select, walk, focus, open", async () => {
    await on("?refresh=0", async (page) => {
      await drawn(page);
      const name = sick.split("/")[2]!;
      await page.keyboard.press("/");
      await page.keyboard.type(name);
      await page.keyboard.press("Enter");
      await page.locator("[aria-live]").filter({ hasText: name }).waitFor({ state: "attached" });
      const spoken = () => page.locator("[aria-live]").textContent();
      const before = await spoken();
      await page.keyboard.press("ArrowDown");
      await page.waitForFunction((old) => document.querySelector("[aria-live]")?.textContent !== old, before);
      await page.keyboard.press("f");
      await page.waitForURL(/focus=/);
      await page.keyboard.press("Enter");
      await page.waitForURL(/view=workload&/);
      await says(page, "Incoming");
    });
  });

  test("a click on a namespace folds it, its corner stays where it is, and another click unfolds it", async () => {
    await on("?refresh=0", async (page) => {
      await drawn(page);
      const corner = () =>
        page.evaluate(() => {
          const { map } = document.querySelector("canvas") as unknown as {
            map: { frameOnScreen(name: string): [number, number] | undefined };
          };
          return map.frameOnScreen("shop");
        });
      await page.keyboard.press("+");
      await page.locator(".picture").focus();
      await page.keyboard.press("+");
      await page.waitForURL(/camera=/);
      const [x, y] = (await corner())!;
      const box = (await page.locator("canvas").boundingBox())!;
      await page.mouse.click(box.x + x + 30, box.y + y + 8);
      await page.waitForURL(/fold=shut&fold=shop/);
      await page.waitForFunction(() => document.querySelector(".picture")!.ariaLabel!.includes("boxes"));
      await expect.poll(async () => (await corner())!.map(Math.round)).toEqual([Math.round(x), Math.round(y)]);
      await page.mouse.dblclick(box.x + x + 30, box.y + y + 12);
      await page.waitForURL(/fold=shut(?!&fold)/);
    });
  });

  test("the wheel and the pointer move it, and the address follows", async () => {
    await on("?refresh=0", async (page) => {
      await drawn(page);
      await page.mouse.move(500, 500);
      await page.mouse.wheel(0, -400);
      await page.waitForURL(/camera=/);
      const zoomed = page.url();
      await page.mouse.down();
      await page.mouse.move(650, 560, { steps: 5 });
      await page.mouse.up();
      await page.waitForURL((url) => url.href !== zoomed);
      await page.getByRole("button", { name: "Fit" }).click();
      await page.waitForURL((url) => !url.search.includes("camera"));
    });
  });

  test("a service and the workload of its name are told apart", async () => {
    const twins = /ingress\/ingress-nginx (ds|svc)/;
    for (const [query, where] of [
      ["?as=matrix", "[role=columnheader], [role=rowheader]"],
      ["?as=edges", "[role=gridcell]"],
    ])
      await on(`${query}&refresh=0&search=ingress`, async (page) => {
        await says(page, twins, where);
        await page.locator('[title="Service"]').filter({ hasText: "svc" }).first().waitFor();
        await page.locator('[title="DaemonSet"]').filter({ hasText: "ds" }).first().waitFor();
      });
  });

  test("what fails has a reason beyond the threshold, and says where it is", async () => {
    await on("?refresh=0&threshold=0.01", async (page) => {
      const lines = page.locator(".line-button.two");
      await lines.first().waitFor();
      for (const text of await lines.allTextContents()) {
        const percent = /([\d.]+) %/.exec(text)?.[1];
        if (percent !== undefined) expect(Number(percent), text).toBeGreaterThanOrEqual(1);
        expect(text).toMatch(/ · [a-z]/);
        expect(text).not.toMatch(/(^|→) *- /);
      }
    });
  });

  test("the matrix by keyboard", async () => {
    await on("?as=matrix&refresh=0", async (page) => {
      const grid = page.getByRole("grid");
      await grid.focus();
      await page.keyboard.press("Enter");
      await says(page, "→", ".panel h2");
      for (let step = 0; step < 30; step++) await page.keyboard.press("ArrowDown");
      const id = await grid.getAttribute("aria-activedescendant");
      expect(await page.locator(`[id="${id}"]`).getAttribute("aria-label")).toMatch(/calls/);
      expect(await page.getByRole("row").count()).toBeLessThan(80);
    });
  });

  test("says what is missing, and what was cut", async () => {
    await on("?refresh=0", async (page) => {
      await says(page, "2 nodes with at least 1,234 rows missing");
      await page.locator("summary").click();
      await says(page, "spool full");
    });
    const many = await start({ services: 300, edges: 21_000 });
    try {
      await on(
        "?refresh=0",
        async (page) => {
          await page.getByRole("button", { name: "Ask for 100,000" }).click();
          await page.waitForURL(/limit=100000/);
          await page.getByText("has more edges").waitFor({ state: "detached" });
        },
        many,
      );
    } finally {
      await many.close();
    }
  });
});

describe("workloads", () => {
  test("ten thousand rows are as few elements as a hundred", async () => {
    const many = await start({ services: 5000, edges: 20_000 });
    try {
      await on(
        "?view=workloads&refresh=0",
        async (page) => {
          await says(page, "5,000 of 5,000");
          const grid = page.getByRole("grid");
          expect(await grid.getAttribute("aria-rowcount")).toBe("5001");
          expect(await page.getByRole("row").count()).toBeLessThan(80);
          await grid.focus();
          await page.keyboard.press("End");
          await page.keyboard.press("Enter");
          await page.waitForURL(/view=workload&/);
        },
        many,
      );
    } finally {
      await many.close();
    }
  });

  test("sorted, searched, opened; back leads back", async () => {
    await on("?view=workloads&refresh=0", async (page) => {
      await says(page, "of 120");
      await page.getByRole("button", { name: "Bytes sent" }).click();
      await page.waitForURL(/sort=-bytes_sent/);
      await page.getByRole("searchbox").fill("kube-system");
      await says(page, "2 of 120");
      await page.getByRole("link", { name: "coredns" }).click();
      await says(page, "Deployment in kube-system");
      await page.goBack();
      await says(page, "2 of 120");
    });
  });

  test("dragging over a chart chooses that time", async () => {
    await on(`?view=workload&workload=${sick}&refresh=0`, async (page) => {
      const chart = page.locator(".plot .u-over").first();
      await chart.waitFor();
      const box = (await chart.boundingBox())!;
      await page.mouse.move(box.x + 40, box.y + 40);
      await page.mouse.down();
      await page.mouse.move(box.x + 160, box.y + 40, { steps: 5 });
      await page.mouse.up();
      await page.waitForURL(/since=\d{4}-.*until=\d{4}-/);
    });
  });

  test("one that nobody has seen", async () => {
    await on("?view=workload&workload=a/Deployment/none", async (page) => {
      await says(page, "widen the range", "[role=alert]");
      expect(await page.getByText("No incoming signals").count()).toBe(0);
      expect(await page.getByRole("tab").count()).toBe(0);
    });
  });

  test.each([
    [1600, 900],
    [1280, 720],
    [390, 844],
  ])("at %i x %i its parts follow each other without gaps, and each can be reached", async (width, height) => {
    await on(`?view=workload&workload=${sick}&refresh=0`, async (page) => {
      await page.setViewportSize({ width, height });
      await page.locator(".plot canvas").nth(3).waitFor();
      const parts = await page.locator(".workload > *").evaluateAll((list) =>
        list.map((one) => {
          const { top, bottom } = one.getBoundingClientRect();
          const style = getComputedStyle(one);
          const cut = one.scrollHeight > one.clientHeight + 1 && !/auto|scroll/.test(style.overflowY);
          return { name: one.className, top, bottom, height: bottom - top, cut };
        }),
      );
      expect(parts.map(({ name }) => name.split(" ").at(-1))).toEqual([
        "summary",
        "deploys",
        "charts",
        "tabs",
        "tab-panel",
      ]);
      for (const [index, part] of parts.entries()) {
        const before = parts[index - 1];
        if (before) expect(Math.abs(part.top - before.bottom), `${before.name}, ${part.name}`).toBeLessThan(4);
        expect(part.cut, part.name).toBe(false);
      }
      for (const part of parts.slice(0, 2)) {
        const [first, last] = await page
          .locator(`.${part.name.split(" ").at(-1)} >> css=:scope > *`)
          .evaluateAll((list) => [list[0]!.getBoundingClientRect().top, list.at(-1)!.getBoundingClientRect().bottom]);
        expect(part.height - (last! - first!), part.name).toBeLessThan(20);
      }
      const chart = (await page.locator(".charts figure").first().boundingBox())!;
      const charts = parts.find(({ name }) => name === "charts")!;
      expect(charts.height).toBeGreaterThanOrEqual(chart.height);
      // What does not fit is scrolled to, the last row as well.
      const panel = page.locator(".tab-panel");
      await panel.scrollIntoViewIfNeeded();
      expect((await panel.boundingBox())!.height).toBeGreaterThanOrEqual(200);
    });
  });
});

describe("records", () => {
  test("follow, pause, go on; what was lost is said", async () => {
    await on("?view=records", async (page) => {
      await says(page, "● live");
      await says(page, /▲ \d+ records lost here/, ".record");
      await says(page, /▲ \d+ lost/, "[role=status]");
      await page.keyboard.press("p");
      await says(page, /paused, [1-9]\d* new/);
      const first = () => page.locator(".record").first().textContent();
      const held = await first();
      await says(page, /paused, \d{2,} new/);
      expect(await first()).toBe(held);
      await page.keyboard.press("p");
      await page.waitForFunction((old) => document.querySelector(".record")?.textContent !== old, held);
    });
  });

  test("filters as in observe, in the address and for the terminal", async () => {
    await on("?view=records&last=2000", async (page) => {
      await page.getByLabel("Filter", { exact: true }).selectOption("kind");
      await page.locator("#filter").fill("dns");
      await page.keyboard.press("Enter");
      await page.waitForURL(/filter=kind:dns/);
      await page.locator("#filter").fill("!to-port=53");
      await page.keyboard.press("Enter");
      await says(page, "amphipod observe -f --kind dns --not --to-port 53", "code");
      await says(page, "Nothing yet");
      await page.getByRole("button", { name: "Remove filter to_port 53" }).click();
      await page.locator(".record").nth(5).waitFor();
      for (const text of await page.locator(".record").allTextContents()) expect(text).toMatch(/dns|lost here/);
    });
  });

  test.each([
    [1280, true],
    [390, false],
  ])("at %i pixels both ends of a record are in sight, and what it is", async (width, headed) => {
    await on("?view=records&paused=1", async (page) => {
      await page.setViewportSize({ width, height: 844 });
      const record = page
        .locator(".record")
        .filter({ has: page.locator(".end") })
        .first();
      await record.waitFor();
      const cells = await record.locator("> *").evaluateAll((list) => list.map((one) => one.getBoundingClientRect()));
      for (const cell of cells) expect(cell.right).toBeLessThanOrEqual(width);
      expect(await page.locator(".record-head").count()).toBe(headed ? 1 : 0);
    });
  });

  test("a filter that the hub refuses is told in its words", async () => {
    await on("?view=records&filter=port:x", async (page) => says(page, "give a port from 1 to 65535", "[role=alert]"));
  });

  test("five thousand a second do not stop the page", async () => {
    const busy = await start({ services: 200, records: 5000 });
    try {
      await on(
        "?view=records",
        async (page) => {
          await says(page, /\d,\d{3}\/s/, "[role=status]");
          const gap = await page.evaluate(async () => {
            let worst = 0;
            let last = performance.now();
            for (let frame = 0; frame < 120; frame++) {
              await new Promise(requestAnimationFrame);
              worst = Math.max(worst, performance.now() - last);
              last = performance.now();
            }
            return worst;
          });
          console.log(`records at 5,000/s: worst frame ${gap.toFixed(0)} ms`);
          expect(gap).toBeLessThan(500);
          expect(await page.locator(".record").count()).toBeLessThan(80);
          await says(page, "older let go");
        },
        busy,
      );
    } finally {
      await busy.close();
    }
  });

  test("a record with all of its fields", async () => {
    await on("?view=records", async (page) => {
      await page.locator(".record").nth(3).click();
      await says(page, "cgroup id", "aside");
      await page.waitForURL(/paused=1/);
    });
  });
});

describe("nodes and status", () => {
  test("problems first, and each node's probes", async () => {
    await on("?view=nodes&refresh=0", async (page) => {
      await page.getByRole("button", { name: "Problems only" }).click();
      await page.waitForURL(/problems=1/);
      await page.locator(".grid-row").first().click();
      await page.waitForURL(/at=node-/);
      await says(page, "tcp_set_state", "aside");
    });
  });

  test("the signs of a node's programs have room, and its long list is reached by keyboard", async () => {
    await on("?view=nodes&refresh=0", async (page) => {
      await page.setViewportSize({ width: 1280, height: 720 });
      await page.locator(".grid-row .signs").first().waitFor();
      const cut = await page
        .locator(".grid-row [role=gridcell]:last-child")
        .evaluateAll((list) => list.filter((one) => one.scrollWidth > one.clientWidth).length);
      expect(cut).toBe(0);
      const panel = page.getByRole("complementary", { name: "Probes" });
      await panel.focus();
      await page.keyboard.press("End");
      await page.waitForFunction(() => document.querySelector("aside")!.scrollTop > 0);
    });
  });

  test.each([1280, 1024, 390])(
    "at %i pixels the status is read downwards, and each table to its last column",
    async (width) => {
      await on("?view=status&refresh=0", async (page) => {
        await page.setViewportSize({ width, height: 800 });
        await says(page, "12459522364653510520");
        const status = page.getByRole("region", { name: "Status" });
        expect(await status.evaluate((one) => one.scrollWidth - one.clientWidth)).toBe(0);
        for (const table of await page.locator(".status table").all()) {
          const last = table.locator("tr").first().locator("> *").last();
          await last.scrollIntoViewIfNeeded();
          const box = (await last.boundingBox())!;
          expect(box.x + box.width, (await last.textContent()) ?? "").toBeLessThanOrEqual(width);
        }
      });
    },
  );

  test("all that the hub says of itself is shown, with every digit", async () => {
    await on("?view=status&refresh=0", async (page) => {
      for (const text of ["12459522364653510520", "84 MiB", "hub-1"]) await says(page, text, "td");
      await says(page, "403: list is forbidden");
    });
  });
});

describe("everywhere", () => {
  test("no page is wider than a phone", async () => {
    for (const [name, query, text] of PAGES)
      await on(`${query() || "?"}&refresh=0`, async (page) => {
        await page.setViewportSize({ width: 390, height: 844 });
        await says(page, text);
        const wide = await page
          .locator("header, header *, main, main > *, .bar *, .panel")
          .evaluateAll((list) =>
            list.filter((one) => one.getBoundingClientRect().right > innerWidth).map((one) => one.className),
          );
        expect(wide, name).toEqual([]);
      });
  });

  test("times by hand, and what is no time", async () => {
    await on("?refresh=0", async (page) => {
      await drawn(page);
      await page.keyboard.press("t");
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel("From").fill("lately");
      await says(page, "lately is no time");
      expect(await dialog.getByRole("button", { name: "Show" }).isDisabled()).toBe(true);
      await dialog.getByLabel("From").fill("-90m");
      await page.keyboard.press("Enter");
      await page.waitForURL(/since=-90m/);
      await page.getByRole("button", { name: "Earlier" }).click();
      await page.waitForURL(/until=\d{4}/);
    });
  });

  test("keys lead to every page, and help lists them", async () => {
    await on("?refresh=0", async (page) => {
      await drawn(page);
      for (const [key, view] of [
        ["r", "records"],
        ["n", "nodes"],
        ["s", "status"],
        ["w", "workloads"],
      ] as const) {
        await page.keyboard.press("g");
        await page.keyboard.press(key);
        await page.waitForURL(new RegExp(`view=${view}`));
      }
      await page.keyboard.press("?");
      await says(page, "Dark or light", "dialog");
      expect(await violations(page)).toEqual([]);
      await page.keyboard.press("Escape");
      await page.locator("dialog").waitFor({ state: "detached" });
      await page.keyboard.press("d");
      await page.waitForURL(/theme=light/);
    });
  });

  test("a hub in trouble is told in its words, on every page", async () => {
    const down = await start({ services: 10, failing: 503 });
    try {
      for (const query of [
        "",
        "?view=workloads",
        "?view=workload&workload=a/b/c",
        "?view=records",
        "?view=nodes",
        "?view=status",
      ])
        await on(query, async (page) => says(page, "the store is being repaired", "[role=alert]"), down);
    } finally {
      await down.close();
    }
  });

  test("a hub that goes away, and comes back", async () => {
    const first = await start({ services: 20 });
    const port = Number(new URL(first.url).port);
    await on(
      "?refresh=1",
      async (page) => {
        await drawn(page);
        await first.close();
        await says(page, "The hub does not answer", "[role=alert]");
        // What was there is still there.
        expect(await page.locator("canvas").count()).toBe(1);
        const second = await start({ services: 20 }, port);
        await page.locator("[role=alert]").waitFor({ state: "detached" });
        await second.close();
      },
      first,
    );
  });
});
