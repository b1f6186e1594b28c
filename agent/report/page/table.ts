// SPDX-License-Identifier: Apache-2.0
// The functions as a table: sorted, filtered, copied; some hundred rows at a time.
import { announce, copyText, h, labelled, nameText, newId, printable } from "./dom";
import * as format from "./format";
import { changeOf, changeText, sideText } from "./compare";
import type { View } from "./view";

const FIRST = 25;
const MORE = 200;

interface Row {
  fn: number;
  /** In nanoseconds or samples: of one run, or before and after. */
  self: number[];
  total: number[];
}

interface Column {
  key: string;
  title: string;
  /** What is sorted by, large first; texts the other way round. */
  order: (row: Row) => number | string;
  cells: (row: Row) => HTMLElement[];
  /** Titles and texts of its cells when they are copied. */
  copied: [string, (row: Row) => string][];
}

export class FunctionTable {
  readonly element: HTMLElement;
  private readonly body = h("tbody", {});
  private readonly head = h("tr", {});
  private readonly caption = h("caption", { class: "unseen" });
  private readonly count = h("span", { class: "count", role: "status" });
  private readonly more = h("button", { type: "button", onclick: () => this.showMore() });
  private readonly filter = h("input", { type: "search", autocomplete: "off", spellcheck: "false", oninput: () => this.setFilter() });
  private readonly names: string[];
  private columns: Column[] = [];
  private sortKey = "self";
  private descending = true;
  private rows: Row[] = [];
  private limit = FIRST;
  private selected = -1;

  /** `open`: the reader wants to see a function's callers and callees. */
  constructor(
    private readonly view: View,
    private readonly open: (fn: number) => void,
  ) {
    const { name, file } = view.report.functions;
    this.names = name.map((text, i) => `${text}\n${file[i]}`.toLowerCase());
    if (view.compares) this.sortKey = "self-change";
    this.element = this.build();
    this.update();
    view.onChange(() => this.update());
  }

  /** Marks the row of a function; -1: none. */
  select(fn: number): void {
    this.body.querySelector(".selected")?.classList.remove("selected");
    this.selected = fn;
    this.body.querySelector(`[data-function="${fn}"]`)?.classList.add("selected");
  }

  private build(): HTMLElement {
    const title = newId();
    const explanation = this.view.compares
      ? "Self: what a function’s own code used. Total: with all that it called. Changes of shares are in percentage points (pp). What is grey may be chance, for few samples tell it; it comes last."
      : "Self: what a function’s own code used. Total: with all that it called. Press a name to see who calls it and what it calls.";
    return h(
      "section",
      { "aria-labelledby": title, class: "functions" },
      h("h2", { id: title }, "Functions"),
      h("p", { class: "explanation" }, explanation),
      h(
        "div",
        { class: "fields" },
        labelled("Filter by name or file", this.filter, { class: "field wide" }),
        h("button", { type: "button", onclick: () => this.copy() }, "Copy table"),
        this.count,
      ),
      h(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of functions" },
        h("table", { class: this.view.compares ? "functions-table changes" : "functions-table" }, this.caption, h("thead", {}, this.head), this.body),
      ),
      h("p", { class: "more" }, this.more),
    );
  }

  private update(): void {
    this.columns = this.view.compares ? this.changeColumns() : this.plainColumns();
    const [first, second] = this.view.functions;
    this.rows = this.view.report.functions.name
      .map((_, fn) => ({
        fn,
        self: second ? [first.self[fn], second.self[fn]] : [first.self[fn]],
        total: second ? [first.total[fn], second.total[fn]] : [first.total[fn]],
      }))
      .filter(({ total }) => total.some((value) => value > 0));
    this.sort();
    this.render();
  }

  private sort(): void {
    const { order } = this.columns.find(({ key }) => key === this.sortKey) ?? this.columns[1];
    const sign = this.descending ? -1 : 1;
    const last = (row: Row) => row.total[row.total.length - 1];
    const keyed = this.rows.map((row) => ({ row, key: order(row) }));
    keyed.sort((a, b) => {
      if (a.key !== b.key) return a.key < b.key ? -sign : sign;
      return last(b.row) - last(a.row) || a.row.fn - b.row.fn;
    });
    this.rows = keyed.map(({ row }) => row);
  }

  private sortBy(column: Column): void {
    const isText = column.key === "name";
    this.descending = column.key === this.sortKey ? !this.descending : !isText;
    this.sortKey = column.key;
    this.sort();
    this.render();
    this.head.querySelector<HTMLElement>(`[data-key="${column.key}"]`)?.focus();
    announce(`Sorted by ${column.title}, ${this.descending ? "largest" : isText ? "A" : "smallest"} first`);
  }

  private setFilter(): void {
    this.limit = FIRST;
    this.render();
  }

  private shown(): Row[] {
    const wanted = this.filter.value.trim().toLowerCase();
    return wanted === "" ? this.rows : this.rows.filter(({ fn }) => this.names[fn].includes(wanted));
  }

  private render(): void {
    const rows = this.shown();
    this.head.replaceChildren(...this.columns.map((column) => this.headCell(column)));
    this.body.replaceChildren(...rows.slice(0, this.limit).map((row) => this.rowElement(row)));
    const { kind } = this.view.choice;
    this.caption.textContent = `Functions by ${format.kindName(kind)}`;
    const all = format.plural(this.rows.length, "function");
    this.count.textContent = rows.length === this.rows.length ? all : `${format.count(rows.length)} of ${all}`;
    const left = rows.length - this.limit;
    this.more.hidden = left <= 0;
    this.more.textContent = left <= MORE ? `Show the other ${format.count(left)}` : `Show ${format.count(MORE)} more of ${format.count(left)}`;
  }

  private showMore(): void {
    const first = this.limit;
    this.limit += MORE;
    this.render();
    // So that the keyboard goes on where the new rows begin.
    this.body.rows[first]?.querySelector("button")?.focus();
  }

  private headCell(column: Column): HTMLElement {
    const sorted = column.key === this.sortKey;
    const span = column.copied.length > 1 && column.key !== "name" ? column.copied.length : null;
    return h(
      "th",
      {
        scope: span === null ? "col" : "colgroup",
        colspan: span,
        "aria-sort": sorted ? (this.descending ? "descending" : "ascending") : null,
        class: column.key === "name" ? "name" : "number",
      },
      h(
        "button",
        { type: "button", "data-key": column.key, onclick: () => this.sortBy(column) },
        column.title,
        h("span", { "aria-hidden": true, class: "arrow" }, sorted ? (this.descending ? " ▼" : " ▲") : ""),
      ),
    );
  }

  private rowElement(row: Row): HTMLElement {
    const cells = this.columns.flatMap((column) => column.cells(row));
    return h("tr", { "data-function": row.fn, class: row.fn === this.selected ? "selected" : null }, ...cells);
  }

  private nameColumn(): Column {
    const { name, file, line } = this.view.report.functions;
    const place = (fn: number) => (file[fn] === "" ? "" : line[fn] > 0 ? `${file[fn]}:${line[fn]}` : file[fn]);
    return {
      key: "name",
      title: "Function",
      order: ({ fn }) => name[fn].toLowerCase(),
      cells: ({ fn }) => [
        h(
          "th",
          { scope: "row", class: "name" },
          h(
            "div",
            {},
            h("button", { type: "button", class: "link", onclick: () => this.open(fn) }, nameText(name[fn] || "(no name)")),
            place(fn) === "" ? null : nameText(place(fn), { class: "place" }),
          ),
        ),
      ],
      copied: [
        ["Function", ({ fn }) => printable(name[fn])],
        ["File", ({ fn }) => printable(place(fn))],
      ],
    };
  }

  private plainColumns(): Column[] {
    const { kind } = this.view.choice;
    const [sum] = this.view.sum;
    const column = (key: "self" | "total", title: string): Column => ({
      key,
      title,
      order: (row) => row[key][0],
      cells: (row) => {
        const [value] = row[key];
        const bar = h("span", { class: "bar", "aria-hidden": true });
        bar.style.width = `${sum > 0 ? (100 * value) / sum : 0}%`;
        return [
          h("td", { class: value === 0 ? "number zero" : "number", title: format.exact(value, kind) }, format.amount(value, kind, sum)),
          h("td", { class: "number share" }, bar, h("span", {}, format.share(value, sum))),
        ];
      },
      copied: [
        [title, (row) => format.amount(row[key][0], kind, sum)],
        [`${title} share`, (row) => format.share(row[key][0], sum)],
      ],
    });
    return [this.nameColumn(), column("self", "Self"), column("total", "Total")];
  }

  private changeColumns(): Column[] {
    const { scale } = this.view;
    const side = (key: "self" | "total", run: number, title: string): Column => ({
      key: `${key}-${run}`,
      title,
      order: (row) => row[key][run],
      cells: (row) => [h("td", { class: "number", title: format.exact(row[key][run], scale.kind) }, sideText(row[key][run], run, scale))],
      copied: [[title, (row) => sideText(row[key][run], run, scale)]],
    });
    const change = (key: "self" | "total", title: string): Column => {
      return {
        key: `${key}-change`,
        title,
        order: (row) => {
          const { points, isChance } = changeOf(row[key], scale);
          // No part is more than 1: what may be chance, and what has not changed, comes behind the rest.
          return Math.abs(points) + (isChance || points === 0 ? 0 : 1);
        },
        cells: (row) => {
          const { absolute, relative, trend } = changeText(row[key], scale);
          return [
            h("td", { class: `number change ${trend}` }, absolute),
            h("td", { class: `number change ${trend}` }, relative),
          ];
        },
        copied: [
          [title, (row) => changeText(row[key], scale).absolute],
          [`${title}, relative`, (row) => changeText(row[key], scale).relative],
        ],
      };
    };
    return [
      this.nameColumn(),
      side("self", 0, "Self before"),
      side("self", 1, "Self after"),
      change("self", "Self change"),
      side("total", 0, "Total before"),
      side("total", 1, "Total after"),
      change("total", "Total change"),
    ];
  }

  private async copy(): Promise<void> {
    const rows = this.shown();
    const fields = this.columns.flatMap(({ copied }) => copied);
    const lines = [fields.map(([title]) => title), ...rows.map((row) => fields.map(([, text]) => text(row)))];
    await copyText(lines.map((line) => line.join("\t")).join("\n"));
    announce(`Copied: ${format.plural(rows.length, "function")}`);
  }
}
