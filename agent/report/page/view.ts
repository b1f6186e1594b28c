// SPDX-License-Identifier: Apache-2.0
// What of the report is shown at the moment: the reader's choice, and the costs that follow from it.
import type { Scale } from "./compare";
import type { Kind, Report, Run, Threads } from "./data";
import { byFunction, totals, type Costs } from "./tree";

export interface Choice {
  kind: Kind;
  /** Key of a Group; "": all. */
  process: string;
  thread: string;
  /** Time slices [from, to). */
  from: number;
  to: number;
  /** Of two runs: each counts as 100 %; else amounts are compared as they are. */
  normalised: boolean;
}

/** Threads that can be chosen together. */
export interface Group {
  key: string;
  label: string;
  cost: number;
}

export class View {
  readonly kinds: Kind[];
  readonly slices: number;
  choice: Choice;
  costs!: Costs;
  /** Self and total of each function, by run. */
  functions!: { self: Float64Array; total: Float64Array }[];
  /** What all of it costs, by run. */
  sum!: number[];
  private readonly known = new Map<string, Group[]>();
  private readonly listeners: (() => void)[] = [];

  constructor(readonly report: Report) {
    const has = (kind: Kind) =>
      report.runs.some(({ samples }) => samples.values[kind]?.some((value) => value > 0) ?? false);
    this.kinds = (["cpu", "wall", "count"] as Kind[]).filter(has);
    if (this.kinds.length === 0) this.kinds = ["cpu"];
    this.slices = Math.max(...report.runs.map((run) => run.slices));
    const wanted = report.compare ?? "wall"; // who asked for it wants to see it
    this.choice = {
      kind: this.kinds.includes(wanted) ? wanted : this.kinds[0],
      process: "",
      thread: "",
      from: 0,
      to: this.slices,
      normalised: true,
    };
    this.compute();
  }

  get compares(): boolean {
    return this.report.compare !== null && this.report.runs.length === 2;
  }

  /** How two runs are compared. */
  get scale(): Scale {
    const { kind, normalised } = this.choice;
    const most = Math.max(...this.sum);
    return { kind, normalised, bases: normalised ? this.sum : this.sum.map(() => most) };
  }

  /** Called after each change. */
  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  change(part: Partial<Choice>): void {
    this.choice = { ...this.choice, ...part };
    if (part.process !== undefined && part.thread === undefined) this.choice.thread = "";
    this.compute();
    for (const listener of this.listeners) listener();
  }

  processes(): Group[] {
    return this.cached(`${this.choice.kind} processes`, (threads, i) => ({ key: this.processKey(threads, i), label: this.processLabel(threads, i) }), "");
  }

  /** Of the chosen process. */
  threads(): Group[] {
    return this.cached(
      `${this.choice.kind} threads ${this.choice.process}`,
      (threads, i) => ({ key: this.threadKey(threads, i), label: this.threadLabel(threads, i) }),
      this.choice.process,
    );
  }

  /** What the chosen threads cost in each time slice of a run. */
  timeline(run: Run): Float64Array {
    const sums = new Float64Array(this.slices);
    const { thread, slice, values } = run.samples;
    const value = values[this.choice.kind];
    if (!value) return sums;
    const chosen = this.chosenThreads(run.threads);
    for (let i = 0; i < slice.length; i++) {
      if (chosen[thread[i]] === 1) sums[slice[i]] += value[i];
    }
    return sums;
  }

  /** A function's own cost by line over the whole (last) run, the hottest first, where lines are known. */
  hotLines(fn: number): { line: number; cost: number }[] {
    const { lines } = this.report.runs[this.report.runs.length - 1];
    const value = lines.values[this.choice.kind];
    const found = lines.fn.flatMap((other, i) => (other === fn ? [{ line: lines.line[i], cost: value?.[i] ?? 0 }] : []));
    return found.filter(({ cost }) => cost > 0).sort((a, b) => b.cost - a.cost);
  }

  private compute(): void {
    const { tree, runs, functions } = this.report;
    const self = runs.map((run) => {
      const sums = new Float64Array(tree.size);
      this.eachSample(run, (node, value) => (sums[node] += value));
      return sums;
    });
    this.costs = { tree, self, total: self.map((sums) => totals(tree.parent, sums)) };
    this.sum = this.costs.total.map((total) => total[0]);
    this.functions = runs.map((_, run) => byFunction(this.costs, run, functions.name.length));
  }

  private eachSample(run: Run, visit: (node: number, value: number) => void): void {
    const { node, thread, slice, values } = run.samples;
    const value = values[this.choice.kind];
    if (!value) return;
    const { from, to } = this.choice;
    const chosen = this.chosenThreads(run.threads);
    for (let i = 0; i < node.length; i++) {
      if (chosen[thread[i]] === 1 && slice[i] >= from && slice[i] < to) visit(node[i], value[i]);
    }
  }

  private chosenThreads(threads: Threads): Uint8Array {
    const { process, thread } = this.choice;
    return Uint8Array.from(threads.pid, (_, i) =>
      (process === "" || this.processKey(threads, i) === process) &&
      (thread === "" || this.threadKey(threads, i) === thread)
        ? 1
        : 0,
    );
  }

  // Two runs have no process or thread in common but by name.
  private processKey(threads: Threads, i: number): string {
    return this.compares ? `name ${threads.process[i]}` : `${threads.pid[i]}`;
  }

  private threadKey(threads: Threads, i: number): string {
    return this.compares ? `name ${threads.thread[i]}` : `${threads.pid[i]} ${threads.tid[i]}`;
  }

  private processLabel(threads: Threads, i: number): string {
    const name = threads.process[i] || "process";
    return this.compares || threads.pid[i] === 0 ? name : `${name} (${threads.pid[i]})`;
  }

  private threadLabel(threads: Threads, i: number): string {
    const name = threads.thread[i] || "thread";
    return this.compares || threads.tid[i] === 0 ? name : `${name} (${threads.tid[i]})`;
  }

  private cached(key: string, describe: (threads: Threads, i: number) => { key: string; label: string }, process: string): Group[] {
    let found = this.known.get(key);
    if (found === undefined) {
      found = this.groups(describe, process);
      this.known.set(key, found);
    }
    return found;
  }

  private groups(describe: (threads: Threads, i: number) => { key: string; label: string }, process: string): Group[] {
    const groups = new Map<string, Group>();
    for (const run of this.report.runs) {
      const { threads, samples } = run;
      const value = samples.values[this.choice.kind];
      const costs = new Float64Array(threads.pid.length);
      if (value) samples.thread.forEach((index, i) => (costs[index] += value[i]));
      threads.pid.forEach((_, i) => {
        if (process !== "" && this.processKey(threads, i) !== process) return;
        const { key, label } = describe(threads, i);
        const group = groups.get(key) ?? { key, label, cost: 0 };
        // A process or thread may have changed its name: the later one tells more.
        if (costs[i] > 0) group.label = label;
        group.cost += costs[i];
        groups.set(key, group);
      });
    }
    return [...groups.values()].sort((a, b) => b.cost - a.cost);
  }
}
