import { test } from "vitest";
import { start } from "../../mock/server.ts";
import { drawn, launch, openPage } from "./browser.ts";

test("look", async () => {
  const hub = await start({ services: 120, missing: true });
  const big = await start({ services: 1000 });
  const b = await launch();
  const shoot = async (name: string, url: string, map = false, wait = 700) => {
    const { page, complaints } = await openPage(b, url);
    if (map) await drawn(page);
    await page.waitForTimeout(wait);
    await page.screenshot({ path: `shots/${name}.png` });
    if (complaints.length) console.log(name, complaints);
    await page.close();
  };
  const s = hub.mock.cluster.services.find((x) => x.sick)!;
  const key = `${s.namespace}/${s.kind}/${s.name}`;
  const only = process.env.LOOK?.split(",");
  const jobs: [string, string, boolean?, number?][] = [
    ["map", hub.url, true],
    ["map-selected", `${hub.url}?at=${key}&compare=previous&theme=light`, true, 1500],
    ["map-errors", `${hub.url}?errors=1`, true],
    ["map-big", big.url, true],
    ["map-big-open", `${big.url}?fold=shut&top=0`, true, 1500],
    ["matrix", `${hub.url}?as=matrix`, false, 1200],
    ["edges", `${hub.url}?as=edges&compare=previous&theme=light`, false, 1200],
    ["workloads", `${hub.url}?view=workloads`, false, 1200],
    ["workload", `${hub.url}?view=workload&workload=${key}&compare=day`, false, 1500],
    ["records", `${hub.url}?view=records&filter=!kind:flow`, false, 2500],
    ["nodes", `${big.url}?view=nodes`, false, 1200],
    ["status", `${hub.url}?view=status&theme=light`, false, 1200],
  ];
  for (const j of jobs) if (!only || only.includes(j[0])) await shoot(...j);
  await b.close();
  await hub.close();
  await big.close();
}, 300000);
