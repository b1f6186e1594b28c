// SPDX-License-Identifier: Apache-2.0
// What the colours stand for. Pressing one brings its frames forward, for who cannot tell it from another.
import { changeFill, fill, type Category, type Theme } from "./colors";
import { h, printable } from "./dom";
import * as format from "./format";

export class Legend {
  readonly element = h("div", { class: "legend", role: "group", "aria-label": "Colours" });
  /** The colour that was pressed; null: none. */
  pressed: number | null = null;

  constructor(private readonly onPress: () => void) {}

  show(categories: Category[], sum: number, theme: Theme): void {
    if (!categories.some(({ color }) => color === this.pressed)) this.pressed = null;
    const focused = this.element.querySelector<HTMLElement>(":focus")?.dataset.color;
    this.element.replaceChildren(
      ...categories.map(({ name, cost, color }) =>
        h(
          "button",
          {
            type: "button",
            class: "category",
            "data-color": color,
            "aria-pressed": String(color === this.pressed),
            onclick: () => {
              this.pressed = color === this.pressed ? null : color;
              this.show(categories, sum, theme);
              this.onPress();
            },
          },
          swatch(fill(color, theme)),
          `${printable(name)} `,
          h("span", { class: "note" }, format.share(cost, sum)),
        ),
      ),
    );
    if (focused !== undefined) this.element.querySelector<HTMLElement>(`[data-color="${focused}"]`)?.focus();
  }

  showChange(theme: Theme): void {
    const steps: [number, string][] = [
      [-1, "gone"],
      [-0.35, "less"],
      [0, "the same, or by chance"],
      [0.35, "more"],
      [1, "new"],
    ];
    this.element.replaceChildren(
      ...steps.map(([change, text]) => h("span", { class: "category" }, swatch(changeFill(change, theme)), text)),
    );
  }
}

function swatch(color: string): HTMLElement {
  const element = h("span", { class: "swatch", "aria-hidden": true });
  element.style.backgroundColor = color;
  return element;
}
