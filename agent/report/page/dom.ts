// SPDX-License-Identifier: Apache-2.0
// Elements, and texts that programs made up.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: any) => void)>;

/** An element: "on…" attributes are listeners, true is an empty attribute, false and null are left out. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value);
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

// Characters that move or hide others: controls, bidirectional marks, line separators, zero width space.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A name as it can be shown: what would move or hide other characters is spelled out. */
export function printable(text: string): string {
  return text.replace(HIDDEN, (c) => `\\u{${c.charCodeAt(0).toString(16)}}`);
}

/** For names: reads from left to right whatever it holds. */
export function nameText(text: string, attributes: Attributes = {}): HTMLElement {
  return h("bdi", { dir: "ltr", ...attributes }, printable(text));
}

const live = h("div", { role: "status", "aria-live": "polite", class: "unseen" });

/** Where announce() puts its texts; belongs into the page once. */
export function liveRegion(): HTMLElement {
  return live;
}

/** Has a screen reader say it. */
export function announce(text: string): void {
  live.textContent = text;
}

export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Where the page may not use the clipboard itself.
    const area = h("textarea", { class: "unseen", "aria-hidden": true });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

let ids = 0;

/** An id that no other element has. */
export function newId(): string {
  return `e${++ids}`;
}

/** A label and the field that it is for. */
export function labelled(text: string, field: HTMLElement, attributes: Attributes = {}): HTMLElement {
  field.id = newId();
  return h("div", { class: "field", ...attributes }, h("label", { for: field.id }, text), field);
}
