// SPDX-License-Identifier: Apache-2.0
// What the page shows, as agent/report/page_data.h describes it.
import { Tree } from "./tree";

/** What a sample is counted by: CPU time and wall time in nanoseconds, or samples. */
export type Kind = "cpu" | "count" | "wall";

/** As FactsJson (agent/report/facts_json.h) writes them; times in seconds, null: not known. */
export interface Facts {
  name: string | null;
  command: string[];
  pid: number | null;
  host: string | null;
  system: string | null;
  cpus: number | null;
  start: string | null;
  duration: number | null;
  runtimes: { name: string; processes: number }[];
  samples: number;
  cpu: number | null;
  wall: number | null;
  cpu_not_sampled: number | null;
  kernel_cpu: number | null;
  rate_asked: number | null;
  rate_achieved: number | null;
  losses: Record<string, number>;
  unnamed: { module: string; reason: string; addresses: number; samples: number }[];
  pauses: { count: number; p50: number; p99: number; max: number };
  own: { cpu: number; peak_bytes: number } | null;
  throttling: { periods: number; throttled_periods: number; throttled: number } | null;
}

export interface Threads {
  pid: number[];
  tid: number[];
  process: string[];
  thread: string[];
}

export type Values = Partial<Record<Kind, Float64Array>>;

/** Columns of the same length. */
export interface Samples {
  node: Int32Array;
  thread: Int32Array;
  slice: Int32Array;
  values: Values;
}

/** What functions cost alone, by line. */
export interface Lines {
  fn: number[];
  line: number[];
  values: Values;
}

export interface Run {
  facts: Facts;
  /** Length of a time slice in nanoseconds; 0: times are not known. */
  slice: number;
  slices: number;
  threads: Threads;
  samples: Samples;
  lines: Lines;
}

export interface Functions {
  name: string[];
  file: string[];
  line: number[];
}

/** One run, or two to be compared (before, after). */
export interface Report {
  compare: Kind | null;
  functions: Functions;
  tree: Tree;
  runs: Run[];
}

interface RawRun {
  facts: Facts;
  slice: number;
  threads: { pid: number[]; tid: number[]; process: number[]; thread: number[] };
  samples: Record<string, number[]>;
  lines: Record<string, number[]>;
}

interface Raw {
  compare: Kind | null;
  strings: string[];
  functions: { name: number[]; file: number[]; line: number[] };
  nodes: { back: number[]; function: number[] };
  runs: RawRun[];
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function valuesOf(raw: Record<string, number[]>): Values {
  const values: Values = { cpu: Float64Array.from(raw.cpu), count: Float64Array.from(raw.count) };
  if (raw.wall) values.wall = Float64Array.from(raw.wall);
  return values;
}

function runOf(raw: RawRun, strings: string[]): Run {
  const node = Int32Array.from(raw.samples["node+"]);
  for (let i = 1; i < node.length; i++) node[i] += node[i - 1];
  const slice = Int32Array.from(raw.samples.slice);
  let slices = 1;
  for (const index of slice) slices = Math.max(slices, index + 1);
  return {
    facts: raw.facts,
    slice: raw.slice,
    slices,
    threads: {
      pid: raw.threads.pid,
      tid: raw.threads.tid,
      process: raw.threads.process.map((id) => strings[id]),
      thread: raw.threads.thread.map((id) => strings[id]),
    },
    samples: {
      node,
      thread: Int32Array.from(raw.samples.thread),
      slice,
      values: valuesOf(raw.samples),
    },
    lines: { fn: raw.lines.function, line: raw.lines.line, values: valuesOf(raw.lines) },
  };
}

/** From the base64 text that the agent put into the page. */
export async function readReport(base64: string): Promise<Report> {
  const raw = JSON.parse(await inflate(bytesOf(base64))) as Raw;
  const size = raw.nodes.back.length;
  const parent = new Int32Array(size);
  for (let i = 1; i < size; i++) parent[i] = i - raw.nodes.back[i];
  const fn = Int32Array.from(raw.nodes.function);
  fn[0] = -1;
  const runs = raw.runs.map((run) => runOf(run, raw.strings));
  const weight = new Float64Array(size);
  for (const { samples } of runs) {
    const { wall, cpu, count } = samples.values;
    const value = wall ?? (cpu!.some((time) => time > 0) ? cpu! : count!);
    for (let i = 0; i < samples.node.length; i++) weight[samples.node[i]] += value[i];
  }
  return {
    compare: raw.compare,
    functions: {
      name: raw.functions.name.map((id) => raw.strings[id]),
      file: raw.functions.file.map((id) => raw.strings[id]),
      line: raw.functions.line,
    },
    tree: new Tree(parent, fn, weight),
    runs,
  };
}
