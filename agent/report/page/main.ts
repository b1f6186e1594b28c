// SPDX-License-Identifier: Apache-2.0
// The report's page: what was profiled, how far to trust it, the functions, the flame graph.
import { controlsSection } from "./controls";
import { readReport } from "./data";
import { h, liveRegion } from "./dom";
import { factsSection, headerOf, titleOf } from "./facts";
import { FlameSection } from "./flamesection";
import { FunctionTable } from "./table";
import { ThemeSwitch } from "./theme";
import { View } from "./view";

async function start(): Promise<void> {
  const page = document.getElementById("page")!;
  const data = document.getElementById("data")!;
  const theme = new ThemeSwitch();
  const report = await readReport(data.textContent!.trim());
  data.remove();
  document.title = titleOf(report);
  const view = new View(report);
  const print = h("button", { type: "button", onclick: () => window.print() }, "Print");
  const table = new FunctionTable(view, (fn) => flame.open(fn));
  const flame = new FlameSection(view, theme, (fn) => table.select(fn));
  page.replaceChildren(
    headerOf(report, theme.button, print),
    factsSection(report),
    controlsSection(view, theme),
    table.element,
    flame.element,
    liveRegion(),
  );
  performance.mark("computed");
  // Once the browser has drawn it.
  requestAnimationFrame(() => setTimeout(() => performance.mark("shown")));
}

start().catch((error: unknown) => {
  const text = error instanceof Error ? error.message : String(error);
  const known = typeof DecompressionStream === "undefined";
  document
    .getElementById("page")!
    .replaceChildren(
      h("p", { role: "alert" }, known ? "This browser is too old for the page (it has no DecompressionStream)." : `The page's data cannot be read: ${text}`),
    );
});
