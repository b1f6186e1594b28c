// SPDX-License-Identifier: Apache-2.0
// One tree of calls as boxes: drawn on a canvas, walked with the keyboard, told to screen readers.
import { announce, h } from "./dom";
import type { Tree } from "./tree";

const ROW = 20;
const LEAST = 0.7; // pixels; what is narrower is not drawn
const LEAST_TEXT = 26;
const FONT = "12px ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

/** What is drawn. Widths of callees add up to their caller's at most. */
export interface Picture {
  tree: Tree;
  width: Float64Array;
  /** As it can be shown (printable). */
  label: (node: number) => string;
  fill: (node: number) => string;
  /** All about a frame, for a screen reader. */
  describe: (node: number) => string;
  /** The same in short lines, for a tooltip. */
  tip: (node: number) => string[];
}

export interface FlameEvents {
  /** A frame has the focus; 0: none but the root. */
  onSelect: (node: number) => void;
  onZoom: (node: number) => void;
  /** Callers and callees of this frame's function are asked for. */
  onOpen: (node: number) => void;
}

interface Colors {
  ink: string;
  paper: string;
  line: string;
  accent: string;
}

export class FlameGraph {
  readonly element: HTMLElement;
  zoomed = 0;
  selected = 0;
  private picture: Picture | null = null;
  private x = new Float64Array(0);
  private matches: Uint8Array | null = null;
  private dimmed: ((node: number) => boolean) | null = null;
  private readonly canvas = h("canvas", { "aria-hidden": true });
  private readonly spacer = h("div", { class: "spacer" });
  private readonly box: HTMLElement;
  private readonly tooltip = h("div", { class: "tooltip", "aria-hidden": true, hidden: true });
  private readonly textWidths = new Map<string, number>();
  private hovered = -1;
  private rows = 1;

  /** `upward`: the root is at the bottom, for callers. */
  constructor(
    label: string,
    help: string,
    private readonly upward: boolean,
    private readonly events: FlameEvents,
  ) {
    this.box = h(
      "div",
      {
        class: "flame-box",
        tabindex: 0,
        role: "application",
        "aria-roledescription": "flame graph",
        "aria-label": label,
        "aria-describedby": help,
        onkeydown: (event: KeyboardEvent) => this.onKey(event),
        onfocus: () => this.tell(this.selected || this.zoomed),
        onscroll: () => this.draw(),
        onclick: (event: MouseEvent) => this.onClick(event),
        onmousemove: (event: MouseEvent) => this.hover(event),
        onmouseleave: () => this.hover(null),
      },
      this.canvas,
      this.spacer,
    );
    this.element = h("div", { class: "flame" }, this.box, this.tooltip);
    new ResizeObserver(() => this.resize()).observe(this.box);
  }

  /** Another picture; of the same tree, where it was stays. */
  show(picture: Picture): void {
    if (this.picture?.tree !== picture.tree) {
      this.zoomed = 0;
      this.selected = 0;
      this.matches = null;
    }
    this.picture = picture;
    if (picture.width[this.zoomed] <= 0) this.zoomed = 0;
    if (picture.width[this.selected] <= 0) this.selected = 0;
    this.layOut();
    this.draw();
    if (this.upward) this.box.scrollTop = this.box.scrollHeight;
  }

  setMatches(matches: Uint8Array | null): void {
    this.matches = matches;
    this.draw();
  }

  /** Frames that step back behind the others. */
  setDimmed(dimmed: ((node: number) => boolean) | null): void {
    this.dimmed = dimmed;
    this.draw();
  }

  zoom(node: number): void {
    this.zoomed = node;
    this.layOut();
    this.draw();
    this.events.onZoom(node);
  }

  select(node: number): void {
    this.selected = node;
    this.reveal(node);
    this.draw();
    this.events.onSelect(node);
  }

  focus(): void {
    this.box.focus();
  }

  /** The next frame that was searched for, in drawing order. */
  nextMatch(step: 1 | -1): void {
    const { picture, matches } = this;
    if (!picture || !matches) return;
    const order = picture.tree.preorder;
    const found = Array.from(order).filter((node) => matches[node] === 1 && picture.width[node] > 0);
    if (found.length === 0) return;
    const here = found.indexOf(this.selected);
    const next = found[(here < 0 && step < 0 ? found.length - 1 : here + step + found.length) % found.length];
    if (!this.isWithin(next, this.zoomed)) this.zoom(0);
    this.select(next);
    this.tell(next);
  }

  redraw(): void {
    this.draw();
  }

  private resize(): void {
    if (!this.picture) return;
    this.countRows();
    this.draw();
  }

  private isWithin(node: number, above: number): boolean {
    const { parent, depth } = this.picture!.tree;
    let i = node;
    while (depth[i] > depth[above]) i = parent[i];
    return i === above;
  }

  // x of each frame in values, from the left.
  private layOut(): void {
    const { tree, width } = this.picture!;
    this.x = new Float64Array(tree.size);
    for (const node of tree.preorder) {
      if (width[node] <= 0) continue;
      let x = this.x[node];
      for (const child of tree.childrenOf(node)) {
        this.x[child] = x;
        x += width[child];
      }
    }
    this.countRows();
  }

  // As many as have a frame that is wide enough to be drawn.
  private countRows(): void {
    const { tree, width } = this.picture!;
    const least = (LEAST * width[this.zoomed]) / Math.max(1, this.box.clientWidth);
    let deepest = tree.depth[this.zoomed];
    const waiting = [this.zoomed];
    while (waiting.length > 0) {
      const node = waiting.pop()!;
      deepest = Math.max(deepest, tree.depth[node]);
      for (const child of tree.childrenOf(node)) if (width[child] >= least && width[child] > 0) waiting.push(child);
    }
    this.rows = deepest + 1;
    this.spacer.style.height = `${this.rows * ROW}px`;
  }

  private top(depth: number): number {
    return (this.upward ? this.rows - 1 - depth : depth) * ROW - this.box.scrollTop;
  }

  private place(node: number, pixels: number): { left: number; width: number } {
    const { tree, width } = this.picture!;
    if (tree.depth[node] <= tree.depth[this.zoomed]) return { left: 0, width: pixels };
    const scale = pixels / width[this.zoomed];
    return { left: (this.x[node] - this.x[this.zoomed]) * scale, width: width[node] * scale };
  }

  private draw(): void {
    const { picture } = this;
    const context = this.canvas.getContext("2d");
    const pixels = this.box.clientWidth;
    const height = this.box.clientHeight;
    if (!picture || !context || pixels === 0) return;
    const scale = devicePixelRatio || 1;
    const [wide, high] = [Math.round(pixels * scale), Math.round(height * scale)];
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      this.canvas.width = wide;
      this.canvas.height = high;
    }
    this.canvas.style.width = `${pixels}px`;
    this.canvas.style.height = `${height}px`;
    // It lies over the spacer, which gives the box its height.
    this.canvas.style.marginBottom = `${-height}px`;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, pixels, height);
    context.font = FONT;
    context.textBaseline = "middle";
    const colors = this.colors();
    for (const node of picture.tree.path(this.zoomed)) this.drawFrame(context, colors, node, 0, pixels);
    this.drawFrame(context, colors, 0, 0, pixels);
    if (picture.width[this.zoomed] > 0) this.drawBelow(context, colors, pixels, height);
    this.drawOutline(context, colors, this.hovered, 1, pixels);
    if (this.selected > 0) this.drawOutline(context, colors, this.selected, 2, pixels);
  }

  private drawBelow(context: CanvasRenderingContext2D, colors: Colors, pixels: number, height: number): void {
    const { tree, width } = this.picture!;
    const scale = pixels / width[this.zoomed];
    const origin = this.x[this.zoomed];
    const waiting = [this.zoomed];
    while (waiting.length > 0) {
      const node = waiting.pop()!;
      const top = this.top(tree.depth[node]);
      const isPast = this.upward ? top < -ROW : top > height;
      if (node !== this.zoomed) this.drawFrame(context, colors, node, (this.x[node] - origin) * scale, width[node] * scale);
      if (isPast) continue;
      for (const child of tree.childrenOf(node)) {
        if (width[child] * scale >= LEAST) waiting.push(child);
      }
    }
  }

  private drawFrame(context: CanvasRenderingContext2D, colors: Colors, node: number, left: number, width: number): void {
    const { tree, fill, label } = this.picture!;
    const top = this.top(tree.depth[node]);
    if (top < -ROW || top > this.box.clientHeight) return;
    const isContext = tree.depth[node] < tree.depth[this.zoomed];
    const isDim = this.matches !== null ? this.matches[node] === 0 : (this.dimmed?.(node) ?? false);
    context.globalAlpha = isDim ? 0.28 : isContext ? 0.6 : 1;
    context.fillStyle = fill(node);
    const drawn = width > 3 ? width - 1 : Math.max(width, 0.6);
    context.fillRect(left, top, drawn, ROW - 1);
    if (this.matches?.[node] === 1) {
      context.fillStyle = colors.accent;
      context.fillRect(left, top + ROW - 4, drawn, 3);
    }
    context.globalAlpha = isDim ? 0.65 : 1;
    if (width >= LEAST_TEXT) {
      context.fillStyle = isDim ? colors.paper : colors.ink;
      context.fillText(this.fitted(context, label(node), width - 9), left + 4, top + ROW / 2);
    }
    context.globalAlpha = 1;
  }

  private drawOutline(context: CanvasRenderingContext2D, colors: Colors, node: number, line: number, pixels: number): void {
    if (node < 0) return;
    const { tree } = this.picture!;
    const { left, width } = this.place(node, pixels);
    context.strokeStyle = line > 1 ? colors.accent : colors.line;
    context.lineWidth = line;
    const inset = line / 2;
    context.strokeRect(left + inset, this.top(tree.depth[node]) + inset, Math.max(2, width - 1 - line), ROW - 1 - line);
  }

  private fitted(context: CanvasRenderingContext2D, text: string, width: number): string {
    let measured = this.textWidths.get(text);
    if (measured === undefined) {
      measured = context.measureText(text).width;
      this.textWidths.set(text, measured);
    }
    if (measured <= width) return text;
    const characters = Math.floor((text.length * (width - 10)) / measured);
    return characters < 1 ? "" : `${text.slice(0, characters)}…`;
  }

  private colors(): Colors {
    const style = getComputedStyle(document.documentElement);
    const of = (name: string) => style.getPropertyValue(name).trim();
    return { ink: "#141414", paper: of("--ink"), line: of("--ink"), accent: of("--focus") };
  }

  private nodeAt(event: MouseEvent): number {
    const { picture } = this;
    if (!picture) return -1;
    const bounds = this.canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - bounds.top + this.box.scrollTop) / ROW);
    const depth = this.upward ? this.rows - 1 - row : row;
    const { tree, width } = picture;
    if (depth < 0 || depth >= this.rows) return -1;
    if (depth <= tree.depth[this.zoomed]) return depth === 0 ? 0 : tree.path(this.zoomed)[depth - 1];
    const value = this.x[this.zoomed] + ((event.clientX - bounds.left) / bounds.width) * width[this.zoomed];
    let node = this.zoomed;
    while (tree.depth[node] < depth) {
      const next = tree.childrenOf(node).find((child) => value >= this.x[child] && value < this.x[child] + width[child]);
      if (next === undefined) return -1;
      node = next;
    }
    return node;
  }

  private onClick(event: MouseEvent): void {
    const node = this.nodeAt(event);
    if (node < 0) return;
    this.select(node);
    this.zoom(node);
  }

  private hover(event: MouseEvent | null): void {
    const node = event ? this.nodeAt(event) : -1;
    if (node !== this.hovered) {
      this.hovered = node;
      this.draw();
    }
    this.tooltip.hidden = node < 0;
    if (!event || node < 0) return;
    const [name, ...lines] = this.picture!.tip(node);
    this.tooltip.replaceChildren(h("strong", {}, name), ...lines.map((line) => h("span", {}, line)));
    const bounds = this.element.getBoundingClientRect();
    const left = event.clientX - bounds.left;
    const width = this.tooltip.offsetWidth;
    this.tooltip.style.left = `${Math.max(0, Math.min(left + 14, bounds.width - width))}px`;
    this.tooltip.style.top = `${event.clientY - bounds.top + 18}px`;
  }

  private reveal(node: number): void {
    const depth = this.picture!.tree.depth[node];
    const top = (this.upward ? this.rows - 1 - depth : depth) * ROW;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = Math.max(0, top - ROW);
    else if (top + ROW > scrollTop + clientHeight) this.box.scrollTop = top + 2 * ROW - clientHeight;
  }

  private tell(node: number): void {
    announce(this.picture!.describe(node));
  }

  private heaviest(node: number): number {
    const { tree, width } = this.picture!;
    let best = node;
    for (const child of tree.childrenOf(node)) {
      if (width[child] > 0 && (best === node || width[child] > width[best])) best = child;
    }
    return best;
  }

  private sibling(node: number, step: 1 | -1): number {
    const { tree, width } = this.picture!;
    if (node === 0) return 0;
    const siblings = Array.from(tree.childrenOf(tree.parent[node])).filter((other) => width[other] > 0);
    return siblings[siblings.indexOf(node) + step] ?? node;
  }

  private onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.picture) return;
    const { tree } = this.picture;
    const here = this.selected || this.zoomed;
    const [toCaller, toCallee] = this.upward ? ["ArrowDown", "ArrowUp"] : ["ArrowUp", "ArrowDown"];
    const go = (node: number) => {
      if (!this.isWithin(node, this.zoomed)) this.zoom(node);
      this.select(node);
      this.tell(node);
    };
    const actions: Record<string, () => void> = {
      [toCaller]: () => go(tree.parent[here]),
      [toCallee]: () => go(this.heaviest(here)),
      ArrowLeft: () => go(this.sibling(here, -1)),
      ArrowRight: () => go(this.sibling(here, 1)),
      Home: () => go(0),
      Enter: () => this.zoomTo(here),
      " ": () => this.zoomTo(here),
      Backspace: () => this.zoomTo(tree.parent[this.zoomed]),
      Escape: () => this.zoomTo(0),
      n: () => this.nextMatch(1),
      N: () => this.nextMatch(-1),
      c: () => this.events.onOpen(here),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  private zoomTo(node: number): void {
    this.zoom(node);
    this.select(node);
    announce(node === 0 ? "All of it is shown" : `Zoomed to ${this.picture!.describe(node)}`);
  }
}
