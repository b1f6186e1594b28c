// SPDX-License-Identifier: Apache-2.0
// The run from left to right: how much it did at each moment, and the part of it that is shown.
import { h, labelled } from "./dom";
import * as format from "./format";
import type { ThemeSwitch } from "./theme";
import type { View } from "./view";

const HEIGHT = 56;

export class TimeStrip {
  readonly element: HTMLElement;
  private readonly canvas = h("canvas", { "aria-hidden": true });
  private readonly from: HTMLInputElement;
  private readonly to: HTMLInputElement;
  private readonly text = h("span", { class: "range-text" });
  private readonly top = h("span", {});
  private readonly slice: number;
  /** Of the run, in nanoseconds. */
  private readonly end: number;
  private dragged: number | null = null;

  constructor(
    private readonly view: View,
    theme: ThemeSwitch,
  ) {
    const [run] = view.report.runs;
    this.slice = run.slice;
    const duration = (run.facts.duration ?? 0) * 1e9;
    this.end = duration > (run.slices - 1) * run.slice ? duration : run.slices * run.slice;
    this.from = this.slider(() => this.choose(Number(this.from.value), Math.max(Number(this.from.value) + 1, this.view.choice.to)));
    this.to = this.slider(() => this.choose(Math.min(Number(this.to.value) - 1, this.view.choice.from), Number(this.to.value)));
    this.canvas.addEventListener("pointerdown", (event) => this.startDrag(event));
    this.canvas.addEventListener("pointermove", (event) => this.drag(event));
    this.canvas.addEventListener("pointerup", () => (this.dragged = null));
    this.element = h(
      "div",
      { class: "timestrip" },
      h("div", { class: "strip-title" }, h("span", {}, "The run over time, ", this.top, ". Drag to show a part of it."), this.text),
      h("div", { class: "strip" }, this.canvas),
      h("div", { class: "sliders" }, labelled("From", this.from), labelled("To", this.to)),
    );
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    theme.onChange(() => this.draw());
  }

  update(): void {
    const { from, to } = this.view.choice;
    this.from.value = String(from);
    this.to.value = String(to);
    this.from.setAttribute("aria-valuetext", this.time(from));
    this.to.setAttribute("aria-valuetext", this.time(to));
    const all = from === 0 && to === this.view.slices;
    this.text.textContent = all ? `all of ${this.time(to)}` : `${this.time(from)} to ${this.time(to)}`;
    this.draw();
  }

  private slider(choose: () => void): HTMLInputElement {
    return h("input", { type: "range", min: 0, max: this.view.slices, step: 1, oninput: choose });
  }

  private choose(from: number, to: number): void {
    const { slices, choice } = this.view;
    const start = Math.max(0, Math.min(from, slices - 1));
    const end = Math.min(slices, Math.max(to, start + 1));
    if (start !== choice.from || end !== choice.to) this.view.change({ from: start, to: end });
    else this.update();
  }

  private time(slices: number): string {
    const ns = Math.min(slices * this.slice, this.end);
    return ns < 60e9 ? `${(ns / 1e9).toFixed(1)} s` : format.duration(ns);
  }

  private sliceAt(event: PointerEvent): number {
    const box = this.canvas.getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    return Math.max(0, Math.min(this.view.slices - 1, Math.floor(part * this.view.slices)));
  }

  private startDrag(event: PointerEvent): void {
    this.dragged = this.sliceAt(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.drag(event);
  }

  private drag(event: PointerEvent): void {
    if (this.dragged === null) return;
    const here = this.sliceAt(event);
    this.choose(Math.min(this.dragged, here), Math.max(this.dragged, here) + 1);
  }

  private draw(): void {
    const width = this.canvas.clientWidth;
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(HEIGHT * scale);
    const context = this.canvas.getContext("2d");
    if (!context || width === 0) return;
    context.scale(scale, scale);
    const { slices, choice } = this.view;
    const sums = this.view.timeline(this.view.report.runs[0]);
    // Some pixels for a column at least. What it cost by its time: the last slice is a part of one. Of less than half of it
    // the rate means nothing, for what no sample carried is there too.
    const columns = Math.min(slices, Math.floor(width / 2));
    const heights = Array.from({ length: columns }, (_, i) => {
      const first = Math.floor((i * slices) / columns);
      const end = Math.max(first + 1, Math.floor(((i + 1) * slices) / columns));
      const time = Math.min(end * this.slice, this.end) - first * this.slice;
      return sums.subarray(first, end).reduce((sum, value) => sum + value, 0) / Math.max(time, this.slice / 2);
    });
    const most = Math.max(...heights, 1e-12);
    this.top.textContent = this.topText(most);
    const style = getComputedStyle(document.documentElement);
    const [on, off] = [style.getPropertyValue("--strip-on"), style.getPropertyValue("--strip-off")];
    const step = width / columns;
    heights.forEach((height, i) => {
      const slice = (i * slices) / columns;
      context.fillStyle = slice >= choice.from - 1e-9 && slice < choice.to ? on : off;
      const pixels = (height / most) * (HEIGHT - 4);
      context.fillRect(i * step, HEIGHT - pixels, Math.max(1, step - (step > 4 ? 1 : 0)), pixels);
    });
    context.fillStyle = style.getPropertyValue("--line");
    context.fillRect(0, HEIGHT - 1, width, 1);
    context.fillStyle = style.getPropertyValue("--accent");
    for (const edge of [choice.from, choice.to]) {
      if (edge > 0 && edge < slices) context.fillRect(Math.round((edge / slices) * width) - 1, 0, 2, HEIGHT);
    }
  }

  private topText(most: number): string {
    const { kind } = this.view.choice;
    if (kind === "count") return `up to ${format.count(most * 1e9)} samples a second`;
    const busy = most.toFixed(1);
    return kind === "cpu" ? `up to ${busy} CPUs busy` : `up to ${busy} threads there`;
  }
}
