// SPDX-License-Identifier: Apache-2.0
// The flame graph with all around it: search, colours, callers and callees of one function, the chosen frame.
import { changeFill, Palette, tints, fill, type ColorBy } from "./colors";
import { changeOf, changeText } from "./compare";
import { announce, copyText, h, labelled, nameText, newId, printable } from "./dom";
import { FlameGraph, type Picture } from "./flame";
import * as format from "./format";
import { Legend } from "./legend";
import { findMatches, matchText } from "./search";
import type { ThemeSwitch } from "./theme";
import { calleesOf, callersOf, type Costs } from "./tree";
import type { View } from "./view";

const HELP =
  "Arrow keys go to the caller, to the heaviest callee and to the neighbours; Enter zooms in, Backspace zooms out by one, Escape shows all; " +
  "C shows callers and callees; N and Shift+N go to the next and previous match of a search.";

export class FlameSection {
  readonly element: HTMLElement;
  /** The function whose callers and callees are shown; -1: the whole tree is. */
  private opened = -1;
  private readonly palettes: Record<ColorBy, Palette>;
  private colorBy: ColorBy;
  private costs: { callers: Costs; callees: Costs } | null = null;
  private readonly names: string[];
  private readonly shown: string[];
  private readonly help = newId();
  private readonly main: FlameGraph;
  private readonly callers: FlameGraph;
  private readonly callees: FlameGraph;
  private readonly whole = h("div", {});
  private readonly sandwich = h("div", { hidden: true });
  private readonly search = h("input", { type: "search", autocomplete: "off", spellcheck: "false" });
  private readonly found = h("span", { class: "count", role: "status" });
  private readonly reset = h("button", { type: "button", onclick: () => this.resetZoom() }, "Reset zoom");
  private readonly legend: Legend;
  private readonly details = h("div", { class: "details" });
  private readonly title = h("h3", { tabindex: -1 });

  /** `onSelect`: a function was chosen here; -1: none. */
  constructor(
    private readonly view: View,
    private readonly theme: ThemeSwitch,
    private readonly onSelect: (fn: number) => void,
  ) {
    const { name, file } = view.report.functions;
    this.names = name.map((text, i) => `${text}\n${file[i]}`.toLowerCase());
    this.shown = name.map((text) => printable(text) || "(no name)");
    this.palettes = { runtime: this.makePalette("runtime"), package: this.makePalette("package") };
    this.colorBy = this.palettes.runtime.colors.length > 1 ? "runtime" : "package";
    const events = (costs: () => Costs) => ({
      onSelect: (node: number) => this.showDetails(costs(), node),
      onZoom: (node: number) => (this.reset.hidden = node === 0 || this.opened >= 0),
      onOpen: (node: number) => this.open(costs().tree.fn[node]),
    });
    this.main = new FlameGraph("Flame graph of all calls", this.help, false, events(() => view.costs));
    this.callers = new FlameGraph("Callers", this.help, true, events(() => this.costs!.callers));
    this.callees = new FlameGraph("Callees", this.help, false, events(() => this.costs!.callees));
    this.legend = new Legend(() => this.applyDimmed());
    this.search.addEventListener("input", () => this.runSearch());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.graphs()[0].nextMatch(event.shiftKey ? -1 : 1);
    });
    this.element = this.build();
    this.reset.hidden = true;
    view.onChange(() => this.update());
    theme.onChange(() => this.update());
    this.update();
  }

  private get palette(): Palette {
    return this.palettes[this.colorBy];
  }

  private makePalette(by: ColorBy): Palette {
    return new Palette(this.view.report.functions, by, this.view.functions[0].self);
  }

  /** Shows who calls a function and what it calls; the root of all (-1) has neither. */
  open(fn: number): void {
    if (fn < 0) return;
    this.opened = fn;
    this.update();
    this.showDetails(this.costs!.callees, 0);
    this.element.scrollIntoView({ block: "start" });
    this.title.focus({ preventScroll: true });
    announce(`Callers and callees of ${this.shown[fn]}`);
  }

  private close(): void {
    this.opened = -1;
    this.update();
    this.main.focus();
  }

  private resetZoom(): void {
    // The button is about to go.
    this.main.focus();
    this.main.zoom(0);
  }

  private graphs(): FlameGraph[] {
    return this.opened >= 0 ? [this.callers, this.callees] : [this.main];
  }

  private build(): HTMLElement {
    const title = newId();
    const explanation = this.view.compares
      ? "Each box is a function, as wide as what it cost in both runs together. The boxes below it are what it called."
      : "Each box is a function, as wide as its share of what is shown. The boxes below it are what it called, the costliest on the left: left to right is not time.";
    this.whole.append(this.main.element);
    this.sandwich.append(
      this.title,
      h("p", { class: "explanation" }, "Above: who called it. Below: what it called. ", h("button", { type: "button", onclick: () => this.close() }, "Back to all calls")),
      this.callers.element,
      this.callees.element,
    );
    return h(
      "section",
      { "aria-labelledby": title, class: "flame-section" },
      h("h2", { id: title }, "Flame graph"),
      h("p", { class: "explanation" }, explanation),
      h("div", { class: "fields" }, labelled("Search", this.search, { class: "field wide" }), this.colorField(), this.reset, this.found),
      this.legend.element,
      this.whole,
      this.sandwich,
      this.details,
      h("details", { class: "explanation" }, h("summary", {}, "Keyboard"), h("p", { id: this.help }, HELP)),
    );
  }

  private colorField(): HTMLElement | null {
    if (this.view.compares) return null;
    const select = h(
      "select",
      {
        onchange: () => {
          this.colorBy = select.value as ColorBy;
          this.update();
        },
      },
      h("option", { value: "runtime" }, "Runtime"),
      h("option", { value: "package" }, "Package or library"),
    );
    select.value = this.colorBy;
    return labelled("Colour by", select);
  }

  private update(): void {
    const { view } = this;
    const functions = view.report.functions;
    if (view.compares) this.legend.showChange(this.theme.theme);
    else this.legend.show(this.palette.categories(view.functions[0].self), view.sum[0], this.theme.theme);
    this.whole.hidden = this.opened >= 0;
    this.sandwich.hidden = this.opened < 0;
    if (this.opened >= 0) {
      const size = functions.name.length;
      this.costs = { callers: callersOf(view.costs, this.opened, size), callees: calleesOf(view.costs, this.opened, size) };
      this.title.replaceChildren("Callers and callees of ", nameText(functions.name[this.opened]));
      this.callers.show(this.pictureOf(this.costs.callers));
      this.callees.show(this.pictureOf(this.costs.callees));
      this.reset.hidden = true;
    } else {
      this.costs = null;
      this.main.show(this.pictureOf(view.costs));
      this.reset.hidden = this.main.zoomed === 0;
    }
    this.applyDimmed();
    this.runSearch();
    const graph = this.graphs()[this.graphs().length - 1];
    this.showDetails(this.costs?.callees ?? view.costs, graph.selected);
  }

  private applyDimmed(): void {
    const { pressed } = this.legend;
    for (const graph of this.graphs()) {
      const tree = graph === this.main ? this.view.costs.tree : graph === this.callers ? this.costs!.callers.tree : this.costs!.callees.tree;
      graph.setDimmed(pressed === null ? null : (node) => this.palette.colorOf(tree.fn[node]) !== pressed);
    }
  }

  private pictureOf(costs: Costs): Picture {
    const { tree } = costs;
    const { theme } = this.theme;
    const label = (node: number) => this.labelOf(costs, node);
    if (this.view.compares) {
      const { bases } = this.view.scale;
      const [before, after] = bases;
      const width = costs.total[0].map((value, i) => (before > 0 ? value / before : 0) + (after > 0 ? costs.total[1][i] / after : 0));
      return {
        tree,
        width,
        label,
        fill: (node) => changeFill(tree.fn[node] < 0 ? 0 : changeOf(costs.total.map((total) => total[node]), bases).degree, theme),
        describe: (node) => this.describe(costs, node),
        tip: (node) => this.tip(costs, node),
      };
    }
    const colors = new Map([-1, ...this.palette.colors].map((color) => [color, tints(color, theme)]));
    return {
      tree,
      width: costs.total[0],
      label,
      fill: (node) => {
        const fn = tree.fn[node];
        return fn < 0 ? fill(-1, theme) : colors.get(this.palette.colorOf(fn))![fn % 3];
      },
      describe: (node) => this.describe(costs, node),
      tip: (node) => this.tip(costs, node),
    };
  }

  private labelOf(costs: Costs, node: number): string {
    const fn = costs.tree.fn[node];
    return fn < 0 ? "all" : this.shown[fn];
  }

  private figures(costs: Costs, node: number): string[] {
    const { kind } = this.view.choice;
    const { sum } = this.view;
    const values = costs.total.map((total) => total[node]);
    const text = (value: number, run: number) => `${format.share(value, sum[run])} (${format.amount(value, kind, sum[run])})`;
    if (this.view.compares) {
      const { absolute, relative } = changeText(values, this.view.scale);
      return [`before ${text(values[0], 0)}`, `after ${text(values[1], 1)}`, `change ${absolute}, ${relative}`];
    }
    return [`total ${text(values[0], 0)}`, `self ${text(costs.self[0][node], 0)}`];
  }

  private describe(costs: Costs, node: number): string {
    const { tree } = costs;
    const children = Array.from(tree.childrenOf(node)).filter((child) => costs.total.some((total) => total[child] > 0)).length;
    const path = [0, ...tree.path(node).slice(0, -1)].map((above) => this.labelOf(costs, above));
    const near = path.slice(-6);
    const far = path.length - near.length;
    const calls = this.graphs().length > 1 && costs === this.costs?.callers ? format.plural(children, "caller") : format.plural(children, "callee");
    const parts = [this.labelOf(costs, node), ...this.figures(costs, node), `level ${tree.depth[node]}`, calls];
    if (node !== 0) parts.push(`path: ${far > 0 ? `${far} more, ` : ""}${near.join(", ")}`);
    return parts.join("; ");
  }

  private tip(costs: Costs, node: number): string[] {
    const fn = costs.tree.fn[node];
    const place = fn < 0 ? "" : this.placeOf(fn);
    return [this.labelOf(costs, node), ...(place === "" ? [] : [place]), ...this.figures(costs, node)];
  }

  private placeOf(fn: number): string {
    const { file, line } = this.view.report.functions;
    if (file[fn] === "") return "";
    return printable(line[fn] > 0 ? `${file[fn]}:${line[fn]}` : file[fn]);
  }

  private runSearch(): void {
    const wanted = this.search.value.trim().toLowerCase();
    const matching = wanted === "" ? null : Uint8Array.from(this.names, (name) => (name.includes(wanted) ? 1 : 0));
    const trees = this.opened >= 0 ? [this.costs!.callers, this.costs!.callees] : [this.view.costs];
    this.graphs().forEach((graph, i) => graph.setMatches(matching && findMatches(trees[i].tree, matching)));
    this.found.textContent = matching ? matchText(this.view, matching) : "";
  }

  private showDetails(costs: Costs, node: number): void {
    const fn = costs.tree.fn[node] ?? -1;
    this.onSelect(fn);
    if (fn < 0) {
      this.details.replaceChildren(h("p", { class: "note" }, "Choose a frame to see its figures and its path."));
      return;
    }
    const graph = costs === this.view.costs ? this.main : costs === this.costs?.callers ? this.callers : this.callees;
    const place = this.placeOf(fn);
    const lines = this.view.hotLines(fn);
    const own = lines.reduce((sum, { cost }) => sum + cost, 0);
    const path = costs.tree.path(node).map((above) =>
      h("li", {}, h("button", { type: "button", class: "link", "aria-current": above === node ? "true" : null, onclick: () => graph.select(above) }, nameText(this.shown[costs.tree.fn[above]]))),
    );
    this.details.replaceChildren(
      h("h3", {}, nameText(this.shown[fn])),
      place === "" ? "" : h("p", { class: "place" }, nameText(place)),
      h("p", {}, this.figures(costs, node).join(" · ")),
      lines.length > 0 ? h("p", {}, `Its own cost by line, over the whole run: ${lines.slice(0, 5).map(({ line, cost }) => `line ${line} (${format.share(cost, own)})`).join(", ")}`) : "",
      h(
        "p",
        { class: "buttons" },
        h("button", { type: "button", onclick: () => graph.zoom(node) }, "Zoom in"),
        h("button", { type: "button", onclick: () => this.open(fn) }, "Callers and callees"),
        h("button", { type: "button", onclick: () => void copyText(this.shown[fn]).then(() => announce("Copied")) }, "Copy name"),
      ),
      path.length > 0 ? h("nav", { "aria-label": "Path from the root" }, h("ol", { class: "path" }, ...path)) : "",
    );
  }
}
