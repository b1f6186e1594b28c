// SPDX-License-Identifier: Apache-2.0
// What was profiled, and the facts that make the figures trustworthy.
import type { Facts, Report, Run } from "./data";
import { h, nameText, printable } from "./dom";
import * as format from "./format";

interface Fact {
  label: string;
  value: string;
  notes: string[];
  /** The figures are worse for it. */
  warns?: boolean;
}

const LOST: [string, string][] = [
  ["torn", "the stack changed while it was read"],
  ["unreadable", "memory could not be read"],
  ["stop_timeout", "the thread did not stop in time"],
  ["dropped", "naming did not keep up"],
];
const SHOWN: [string, string][] = [
  ["truncated", "cut at the depth limit"],
  ["incomplete", "without their callers"],
  ["folded", "folded into “[other stacks]”"],
];

const seconds = (value: number): string => format.duration(value * 1e9);

function rateFact(facts: Facts): Fact {
  const notes = [];
  if (facts.rate_achieved !== null) notes.push(`${facts.rate_achieved.toFixed(1)} times a second`);
  if (facts.rate_asked !== null) notes.push(`${Number(facts.rate_asked.toFixed(2))} asked for`);
  const late = facts.losses.late_ticks ?? 0;
  if (late > 0) notes.push(`${format.plural(late, "time")} left out, the machine was too busy`);
  const slow = facts.rate_achieved !== null && facts.rate_asked !== null && facts.rate_achieved < 0.9 * facts.rate_asked;
  return { label: "Samples", value: format.count(facts.samples), notes, warns: slow };
}

function cpuFact(facts: Facts): Fact {
  const notes = [];
  const cpu = facts.cpu ?? 0;
  const notSampled = facts.cpu_not_sampled ?? 0;
  let warns = false;
  if (facts.kernel_cpu !== null) {
    notes.push(`the kernel counted ${seconds(facts.kernel_cpu)}`);
    warns = Math.abs(facts.kernel_cpu - cpu) > 0.05 * facts.kernel_cpu;
  }
  if (notSampled > 0) {
    notes.push(`${format.share(notSampled, cpu)} fell between samples, shown as “[not sampled]”`);
    warns ||= notSampled > 0.2 * cpu;
  }
  if (facts.wall !== null) notes.push(`${seconds(facts.wall)} of wall time, over all threads`);
  return { label: "CPU time", value: seconds(cpu), notes, warns };
}

function causes(counts: Record<string, number>, names: [string, string][]): { sum: number; notes: string[] } {
  const present = names.filter(([key]) => (counts[key] ?? 0) > 0);
  return {
    sum: present.reduce((sum, [key]) => sum + counts[key], 0),
    notes: present.map(([key, text]) => `${format.count(counts[key])}: ${text}`),
  };
}

function lossFacts(facts: Facts): Fact[] {
  const lost = causes(facts.losses, LOST);
  const shown = causes(facts.losses, SHOWN);
  const rows: Fact[] = [
    {
      label: "Lost samples",
      value: lost.sum === 0 ? "none" : format.count(lost.sum),
      notes: lost.sum === 0 ? ["every sample that was taken is here"] : lost.notes,
      warns: lost.sum * 100 > facts.samples,
    },
  ];
  rows.push({
    label: "Stacks not whole",
    value: shown.sum === 0 ? "none" : format.count(shown.sum),
    notes: shown.sum === 0 ? ["each has all its callers"] : shown.notes,
    warns: shown.sum * 20 > facts.samples,
  });
  return rows;
}

// A profile that was read from a file does not tell why code has no name, but the agent calls it by its address.
function unnamedByName(run: Run, { tree, functions }: Report): Facts["unnamed"] {
  const counts = new Map<string, number>();
  run.samples.node.forEach((node, i) => {
    const fn = tree.fn[node];
    if (fn < 0 || !/\+0x[0-9a-f]+$/.test(functions.name[fn])) return;
    counts.set(functions.file[fn], (counts.get(functions.file[fn]) ?? 0) + run.samples.values.count![i]);
  });
  return [...counts].map(([module, samples]) => ({ module, reason: "shown by address", addresses: 0, samples }));
}

function unnamedFact(run: Run, report: Report): Fact {
  const { facts } = run;
  const unnamed = facts.unnamed.length > 0 ? facts.unnamed : unnamedByName(run, report);
  const reasons = new Map<string, number>();
  for (const { reason, samples } of unnamed) reasons.set(reason, (reasons.get(reason) ?? 0) + samples);
  const sum = [...reasons.values()].reduce((a, b) => a + b, 0);
  const most = [...unnamed].sort((a, b) => b.samples - a.samples)[0];
  const notes = [...reasons].filter(([, samples]) => samples > 0).map(([reason, samples]) => `${format.plural(samples, "sample")}: ${reason}`);
  if (sum > 0) notes.push(`most in ${printable(most.module)}`);
  return {
    label: "Without a name",
    value: sum === 0 ? "none" : format.share(sum, facts.samples),
    notes: sum === 0 ? ["each sample is in a function with a name"] : notes,
    warns: sum * 20 > facts.samples,
  };
}

function pauseFact({ pauses }: Facts): Fact {
  if (pauses.count === 0) {
    return { label: "Pauses", value: "none", notes: ["no thread was stopped to be read"] };
  }
  return {
    label: "Pauses",
    value: `${seconds(pauses.p50)}`,
    notes: [`in the median; 99 % below ${seconds(pauses.p99)}, longest ${seconds(pauses.max)}`, format.plural(pauses.count, "stop")],
    warns: pauses.max > 0.01,
  };
}

function ownFact(facts: Facts): Fact | null {
  if (facts.own === null) return null;
  const part = facts.cpu !== null && facts.cpu > 0 ? `${format.share(facts.own.cpu, facts.cpu)} of the program’s` : "";
  return {
    label: "The agent itself",
    value: `${seconds(facts.own.cpu)} of CPU`,
    notes: [part, `${format.bytes(facts.own.peak_bytes)} of memory at most`].filter((note) => note !== ""),
  };
}

function throttleFact({ throttling }: Facts): Fact | null {
  if (throttling === null) return null;
  const { periods, throttled_periods, throttled } = throttling;
  if (throttled_periods === 0) {
    return { label: "CPU quota", value: "not reached", notes: ["the kernel never held the program back"] };
  }
  return {
    label: "CPU quota",
    value: `held back ${seconds(throttled)}`,
    notes: [`in ${format.count(throttled_periods)} of ${format.plural(periods, "period")}; what waits then uses no CPU and is no sample`],
    warns: true,
  };
}

// Of a profile that another tool made only what it says itself is known.
function isOurs(facts: Facts): boolean {
  return facts.own !== null || facts.rate_achieved !== null;
}

function factsOf(run: Run, report: Report): Fact[] {
  const { facts } = run;
  const rows: (Fact | null)[] = [rateFact(facts), cpuFact(facts)];
  if (isOurs(facts)) {
    rows.push(...lossFacts(facts), unnamedFact(run, report), pauseFact(facts), ownFact(facts), throttleFact(facts));
  }
  return rows.filter((fact) => fact !== null) as Fact[];
}

function valueParts({ value, notes, warns }: Fact): Node[] {
  const parts: Node[] = [h("strong", {}, value)];
  if (warns) parts.unshift(h("span", { class: "warning", role: "img", "aria-label": "Attention:" }, "▲"));
  for (const note of notes) parts.push(h("span", { class: "note" }, note));
  return parts;
}

function oneRun(report: Report): HTMLElement {
  const list = h("dl", { class: "facts" });
  for (const fact of factsOf(report.runs[0], report)) {
    list.append(h("div", {}, h("dt", {}, fact.label), h("dd", {}, ...valueParts(fact))));
  }
  return list;
}

function twoRuns(report: Report): HTMLElement {
  const sides = report.runs.map((run) => factsOf(run, report));
  const labels = [...new Set(sides.flat().map((fact) => fact.label))];
  const cell = (side: Fact[], label: string) => {
    const fact = side.find((other) => other.label === label);
    return h("td", {}, ...(fact ? valueParts(fact) : ["not known"]));
  };
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Facts of both runs" },
    h(
      "table",
      { class: "compared" },
      h("thead", {}, h("tr", {}, h("td", {}), h("th", { scope: "col" }, "Before"), h("th", { scope: "col" }, "After"))),
      h("tbody", {}, ...labels.map((label) => h("tr", {}, h("th", { scope: "row" }, label), ...sides.map((side) => cell(side, label))))),
    ),
  );
}

export function factsSection(report: Report): HTMLElement {
  return h(
    "section",
    { "aria-labelledby": "facts-title", class: "facts-section" },
    h("h2", { id: "facts-title" }, "How far to trust the figures"),
    report.runs.length === 1 ? oneRun(report) : twoRuns(report),
  );
}

/** A name for the whole page. */
export function titleOf({ runs }: Report): string {
  const names = runs.map(({ facts }) => printable(facts.name || facts.command[0] || "profile"));
  if (names.length === 1) return names[0];
  return names[0] === names[1] ? `${names[0]}, before and after` : `${names[0]} → ${names[1]}`;
}

function startText(start: string | null): string {
  if (start === null) return "";
  const date = new Date(start);
  if (Number.isNaN(date.getTime()) || date.getTime() === 0) return "";
  return date.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "medium" });
}

function whatOf(facts: Facts): HTMLElement {
  const rows: [string, Node | string][] = [];
  if (facts.command.length > 0) rows.push(["Command", h("code", {}, nameText(facts.command.join(" ")))]);
  const start = startText(facts.start);
  const time = [start, facts.duration !== null ? `for ${seconds(facts.duration)}` : ""].filter((text) => text !== "").join(", ");
  if (time !== "") rows.push(["When", time]);
  const cpus = facts.cpus === null ? "" : format.plural(facts.cpus, "CPU");
  const host = [facts.host ?? "", facts.system ?? "", cpus].filter((text) => text !== "").map(printable);
  if (host.length > 0) rows.push(["Where", host.join(" · ")]);
  const runtimes = facts.runtimes.map(({ name, processes }) => `${printable(name)} (${format.count(processes)} ${processes === 1 ? "process" : "processes"})`);
  if (runtimes.length > 0) rows.push(["Runtimes", runtimes.join(", ")]);
  return h("dl", { class: "what" }, ...rows.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value))));
}

export function headerOf(report: Report, ...buttons: HTMLElement[]): HTMLElement {
  const { runs } = report;
  const about = runs.length === 1 ? "Profile of" : "Two profiles, compared";
  const sides = runs.map(({ facts }, i) =>
    runs.length === 1 ? whatOf(facts) : h("div", { class: "side" }, h("h2", {}, i === 0 ? "Before" : "After"), whatOf(facts)),
  );
  return h(
    "header",
    {},
    h("div", { class: "title" }, h("p", { class: "about" }, about), h("h1", {}, nameText(titleOf(report))), h("div", { class: "buttons" }, ...buttons)),
    h("div", { class: runs.length === 1 ? "" : "sides" }, ...sides),
  );
}
