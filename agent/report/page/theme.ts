// SPDX-License-Identifier: Apache-2.0
import type { Theme } from "./colors";
import { announce, h } from "./dom";

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

/** The page's theme: as the system has it, until the reader chooses; light on paper. */
export class ThemeSwitch {
  readonly button: HTMLButtonElement;
  private chosen: Theme | null = null;
  private printing = false;
  private readonly listeners: (() => void)[] = [];

  constructor() {
    this.button = h("button", {
      type: "button",
      onclick: () => {
        this.chosen = this.theme === "dark" ? "light" : "dark";
        this.apply();
        announce(`${this.chosen} colours`);
      },
    });
    prefersDark.addEventListener("change", () => this.apply());
    addEventListener("beforeprint", () => this.print(true));
    addEventListener("afterprint", () => this.print(false));
    this.apply();
  }

  get theme(): Theme {
    if (this.printing) return "light";
    return this.chosen ?? (prefersDark.matches ? "dark" : "light");
  }

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  private print(printing: boolean): void {
    this.printing = printing;
    this.apply();
  }

  private apply(): void {
    document.documentElement.dataset.theme = this.theme;
    this.button.textContent = this.theme === "dark" ? "Light colours" : "Dark colours";
    for (const listener of this.listeners) listener();
  }
}
