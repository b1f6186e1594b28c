// SPDX-License-Identifier: Apache-2.0
// What is shown: profile type, process, thread, and the part of the run.
import type { Kind } from "./data";
import { announce, h, labelled, printable } from "./dom";
import * as format from "./format";
import type { ThemeSwitch } from "./theme";
import { TimeStrip } from "./timestrip";
import type { Group, View } from "./view";

const MOST_CHOICES = 500;
const KIND_NAMES: Record<Kind, string> = {
  cpu: "CPU time",
  wall: "Wall time (running or waiting)",
  count: "Samples",
};

function fillSelect(select: HTMLSelectElement, all: string, groups: Group[], chosen: string): void {
  const options = groups.slice(0, MOST_CHOICES).map(({ key, label }) => h("option", { value: key }, printable(label)));
  select.replaceChildren(h("option", { value: "" }, `${all} (${format.count(groups.length)})`), ...options);
  select.value = chosen;
}

function kindField(view: View): HTMLElement {
  const select = h("select", { onchange: () => view.change({ kind: select.value as Kind }) });
  for (const kind of view.kinds) select.append(h("option", { value: kind }, KIND_NAMES[kind]));
  select.value = view.choice.kind;
  return labelled("Profile", select);
}

function compareField(view: View): HTMLElement | null {
  if (!view.compares) return null;
  const select = h(
    "select",
    { onchange: () => view.change({ normalised: select.value === "shares" }) },
    h("option", { value: "shares" }, "Shares: each run is 100 %"),
    h("option", { value: "amounts" }, "Amounts as they are (same work)"),
  );
  return labelled("Compare", select);
}

/** Says what is shown now. */
function shownText(view: View): string {
  const { kind } = view.choice;
  const texts = view.sum.map((sum) => (kind === "count" ? format.plural(sum, "sample") : `${format.duration(sum)} of ${format.kindName(kind)}`));
  return texts.join(" before, ") + (texts.length > 1 ? " after" : "");
}

export function controlsSection(view: View, theme: ThemeSwitch): HTMLElement {
  const process = h("select", { onchange: () => view.change({ process: process.value }) });
  const thread = h("select", { onchange: () => view.change({ thread: thread.value }) });
  const shown = h("strong", { class: "shown" });
  const reset = h("button", { type: "button", onclick: () => view.change({ process: "", thread: "", from: 0, to: view.slices }) }, "Show all");
  const times = !view.compares && view.slices > 1 && view.report.runs[0].slice > 0;
  const strip = times ? new TimeStrip(view, theme) : null;
  const update = () => {
    const { choice } = view;
    fillSelect(process, "All processes", view.processes(), choice.process);
    fillSelect(thread, "All threads", view.threads(), choice.thread);
    shown.textContent = shownText(view);
    reset.hidden = choice.process === "" && choice.thread === "" && choice.from === 0 && choice.to === view.slices;
    strip?.update();
  };
  update();
  view.onChange(() => {
    // Would lose the focus.
    if (reset === document.activeElement) process.focus();
    update();
    announce(`Shown: ${shownText(view)}`);
  });
  return h(
    "section",
    { "aria-labelledby": "controls-title", class: "controls" },
    h("h2", { id: "controls-title" }, "What is shown"),
    h(
      "div",
      { class: "fields" },
      kindField(view),
      compareField(view),
      labelled("Process", process),
      labelled("Thread", thread),
      h("div", { class: "field sum" }, h("span", {}, "Shown: ", shown), reset),
    ),
    strip?.element,
  );
}
