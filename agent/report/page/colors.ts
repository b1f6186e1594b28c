// SPDX-License-Identifier: Apache-2.0
// Colours that the colour-blind can tell apart (after Okabe and Ito), light enough for dark text on them.
import type { Functions } from "./data";

export type Theme = "light" | "dark";
export type ColorBy = "package" | "runtime";

const FILLS: Record<Theme, string[]> = {
  light: ["#9cc9ee", "#f5bf66", "#86d3b4", "#eaa6c8", "#f2e680", "#f39c77", "#b9b3ea"],
  dark: ["#5f9fd0", "#cf983f", "#54a888", "#c084a7", "#bcae4e", "#cb7650", "#938bcc"],
};
const REST: Record<Theme, string> = { light: "#d3d3cd", dark: "#85868a" };
const CHANGE: Record<Theme, { less: string; same: string; more: string }> = {
  light: { less: "#4d9bdb", same: "#e6e5e0", more: "#e8792e" },
  dark: { less: "#4b9ae0", same: "#7d7e83", more: "#e5823a" },
};

export interface Category {
  name: string;
  cost: number;
  /** Which colour; -1: that of all that have none of their own. */
  color: number;
}

const SOURCE = /\.(c|cc|cpp|cxx|h|hpp|hh|s|asm|rs|go|zig|m|mm|f90|inl|ipp|tcc)$/i;

/** Which runtime a function belongs to, as far as its name and file tell. */
export function runtimeOf(name: string, file: string): string {
  if (/\[(kernel|syscall)\]$/.test(name)) return "Kernel";
  if (name === "<gc>" || /\.pyx?$/.test(file) || /^<(frozen|string|stdin)/.test(file)) return "Python";
  if (file === "" && /^\[.*\]$/.test(name)) return "Not code";
  if (/\.cs$/.test(file) || name.startsWith("dynamicClass.")) return ".NET";
  if (/\.(m?js|ts|cjs)$/.test(file) || /^(JS|LazyCompile|Function|Script):/.test(name)) return "JavaScript";
  if (/\.go$/.test(file)) return "Go";
  if (/\.rs$/.test(file)) return "Rust";
  // The file of a .NET method is its assembly.
  if (file !== "" && !/[\\/<]/.test(file) && !SOURCE.test(file) && !/\.so\b/.test(file)) return ".NET";
  return "Native";
}

/** The package, module, assembly or folder of a function. */
export function packageOf(name: string, file: string): string {
  const runtime = runtimeOf(name, file);
  if (runtime === "Kernel" || runtime === "Not code") return runtime;
  if (runtime === ".NET") return file === "" ? "Made at run time" : file;
  if (runtime === "Python") return pythonPackage(file);
  if (runtime === "Go") return /^(.*\/)?[^./]+/.exec(name)?.[0] ?? "Go";
  if (runtime === "Rust") return /^<?([A-Za-z_]\w*)::/.exec(name)?.[1] ?? "Rust";
  if (/\+0x[0-9a-f]+$/.test(name)) return name.slice(0, name.lastIndexOf("+"));
  const scope = /^(?:[\w&* ]* )?([A-Za-z_]\w*)::/.exec(name);
  if (scope) return scope[1];
  if (LIBC.test(file)) return "libc";
  if (CPYTHON.test(file)) return "CPython";
  return folderOf(file) || "Native";
}

function pythonPackage(file: string): string {
  const installed = /[\\/](?:site|dist)-packages[\\/]([^\\/]+)/.exec(file);
  if (installed) return installed[1].replace(/\.py$/, "");
  if (file === "" || /^<frozen/.test(file) || /[\\/]lib[\\/]python\d[\d.]*t?[\\/]/.test(file)) return "Python library";
  return folderOf(file) || file;
}

// Sources of glibc and of CPython, as their debug information names them.
const LIBC = /(^|\/)sysdeps\/|^\.\.?\/(csu|debug|elf|io|libio|malloc|math|misc|nptl|posix|signal|stdlib|string|time)\//;
const CPYTHON = /^(\.\/)?(Include|Modules|Objects|Parser|Python)\//;

function folderOf(file: string): string {
  const parts = file.split(/[\\/]/).filter((part) => part !== "" && part !== "." && part !== "..");
  return parts.length > 1 ? parts[parts.length - 2] : "";
}

/** The categories of all functions, and their colours: the costliest have one each, whatever is filtered later. */
export class Palette {
  private readonly names: string[] = [];
  private readonly of: Int32Array;

  /** `self`: of each function, of all that there is. */
  constructor(functions: Functions, by: ColorBy, self: Float64Array) {
    const index = new Map<string, number>();
    const found: { name: string; cost: number; color: number }[] = [];
    const belongs = functions.name.map((name, i) => {
      const category = (by === "runtime" ? runtimeOf : packageOf)(name, functions.file[i]);
      let place = index.get(category);
      if (place === undefined) {
        place = found.length;
        index.set(category, place);
        found.push({ name: category, cost: 0, color: -1 });
      }
      found[place].cost += self[i];
      return place;
    });
    const sorted = [...found].sort((a, b) => b.cost - a.cost);
    for (const category of sorted.filter(({ name }) => name !== "Not code").slice(0, FILLS.light.length)) {
      category.color = this.names.length;
      this.names.push(category.name);
    }
    const rest = sorted.filter(({ color }) => color < 0);
    if (rest.length > 0) this.names.push(rest.length === 1 ? rest[0].name : `Other (${rest.length})`);
    this.colors = this.names.map((_, i) => (rest.length > 0 && i === this.names.length - 1 ? -1 : i));
    this.of = Int32Array.from(belongs, (place) => found[place].color);
  }

  /** -1: that of all that have none of their own. */
  readonly colors: number[];

  colorOf(fn: number): number {
    return fn < 0 ? -1 : this.of[fn];
  }

  /** What each category costs. */
  categories(self: Float64Array): Category[] {
    const costs = new Map<number, number>();
    self.forEach((cost, fn) => costs.set(this.of[fn], (costs.get(this.of[fn]) ?? 0) + cost));
    return this.colors.map((color, i) => ({ name: this.names[i], cost: costs.get(color) ?? 0, color }));
  }
}

export function fill(color: number, theme: Theme): string {
  return color < 0 ? REST[theme] : FILLS[theme][color];
}

/** Tints of a colour, so that neighbours of one category can be told apart. */
export function tints(color: number, theme: Theme): string[] {
  const base = fill(color, theme);
  const toward = theme === "light" ? "#ffffff" : "#000000";
  return [base, mix(base, toward, 0.14), mix(base, toward, 0.26)];
}

/** `change` from -1 (vanished) to 1 (new). */
export function changeFill(change: number, theme: Theme): string {
  const { less, same, more } = CHANGE[theme];
  return mix(same, change < 0 ? less : more, Math.min(1, Math.abs(change)) ** 0.7);
}

function mix(from: string, to: string, part: number): string {
  const channel = (color: string, i: number) => parseInt(color.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mixed = [0, 1, 2].map((i) => Math.round(channel(from, i) * (1 - part) + channel(to, i) * part));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
