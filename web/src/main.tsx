import { render } from "preact";
import { App } from "./shell/app.tsx";
import { loadMeasures } from "./state/measures.ts";
import { turnBySearch } from "./state/place.ts";
import "./style/table.css";
import "./style/map.css";
import "./style/page.css";

void loadMeasures();
// Links of ours change the state; whatever asks for another tab or window gets one.
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey)
    return;
  const anchor = (event.target as Element).closest("a");
  const href = anchor?.getAttribute("href");
  if (!href?.startsWith("?") || anchor?.target) return;
  event.preventDefault();
  turnBySearch(href);
});
render(<App />, document.getElementById("app")!);
