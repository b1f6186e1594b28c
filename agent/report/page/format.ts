// SPDX-License-Identifier: Apache-2.0
// Figures as texts.
import type { Kind } from "./data";

const UNITS: [number, string][] = [
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"],
];

/** Nanoseconds in the unit that fits them, with three figures: "1.23 s", "45.6 ms". */
export function duration(ns: number): string {
  const size = Math.abs(ns);
  if (size === 0) return "0 s";
  if (size >= 60e9) return longDuration(ns / 1e9);
  const [unit, name] = UNITS.find(([least]) => size >= least * 0.9995) ?? [1, "ns"];
  const value = size / unit;
  const digits = unit === 1 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${ns < 0 ? "−" : ""}${value.toFixed(digits)} ${name}`;
}

function longDuration(seconds: number): string {
  const whole = Math.round(Math.abs(seconds));
  const parts = [
    [Math.floor(whole / 3600), "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ].filter(([count]) => (count as number) > 0);
  return (seconds < 0 ? "−" : "") + parts.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

export function count(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** A part of a whole: "12.34 %". */
export function share(part: number, whole: number): string {
  return whole > 0 ? `${((100 * part) / whole).toFixed(2)} %` : "–";
}

export function bytes(value: number): string {
  return value < 1 << 20 ? `${(value / 1024).toFixed(0)} KiB` : `${(value / (1 << 20)).toFixed(1)} MiB`;
}

export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** A value of a column, all in one unit that fits the column's largest. */
export function amount(value: number, kind: Kind, largest: number): string {
  if (kind === "count") return count(value);
  return largest >= 1e9 ? `${(value / 1e9).toFixed(3)} s` : `${(value / 1e6).toFixed(3)} ms`;
}

/** With a sign. */
export function signedAmount(value: number, kind: Kind, largest: number): string {
  const text = amount(Math.abs(value), kind, largest);
  return value === 0 ? text : (value > 0 ? "+" : "−") + text;
}

/** With each digit, for who wants to compare. */
export function exact(value: number, kind: Kind): string {
  return kind === "count" ? plural(value, "sample") : `${count(value)} ns`;
}

export function kindName(kind: Kind): string {
  return { cpu: "CPU time", count: "samples", wall: "wall time" }[kind];
}

/** With a sign: "+1.20", "−0.30". */
export function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value > 0 ? "+" : "−") + text;
}
