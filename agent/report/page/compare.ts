// SPDX-License-Identifier: Apache-2.0
// What changed between two runs.
import type { Kind } from "./data";
import * as format from "./format";

/** How two runs are compared. */
export interface Scale {
  kind: Kind;
  /** Each run counts as 100 %; else amounts are compared as they are. */
  normalised: boolean;
  /** What counts as 100 % of each run. */
  bases: number[];
  /** What each run cost in all, and how many samples told it. */
  sums: number[];
  samples: number[];
}

export interface Change {
  /** After less before, as parts of `bases`. */
  points: number;
  /** From -1 (gone) over 0 (the same) to 1 (new). */
  degree: number;
  /** So few samples that it may be chance: less than three standard errors of Poisson counts. */
  isChance: boolean;
}

export function changeOf(values: number[], { bases, sums, samples }: Scale): Change {
  const parts = values.map((value, run) => (bases[run] > 0 ? value / bases[run] : 0));
  const counts = values.map((value, run) => (sums[run] > 0 ? (value / sums[run]) * samples[run] : 0));
  const [before, after] = parts;
  const variance = parts.reduce((sum, part, run) => sum + (counts[run] > 0 ? part ** 2 / counts[run] : 0), 0);
  const points = after - before;
  return {
    points,
    degree: before + after > 0 ? points / (before + after) : 0,
    isChance: Math.abs(points) < 3 * Math.sqrt(variance),
  };
}

export function sideText(value: number, run: number, { kind, bases, normalised }: Scale): string {
  return normalised ? format.share(value, bases[run]) : format.amount(value, kind, bases[0]);
}

export function changeText(values: number[], scale: Scale): { absolute: string; relative: string; trend: string } {
  const { kind, bases, normalised } = scale;
  const { points, isChance } = changeOf(values, scale);
  const isSame = Math.abs(points) < 0.00005;
  const trend = isSame ? "same" : isChance ? "chance" : points > 0 ? "more" : "less";
  const absolute = normalised ? `${format.signed(100 * points, 2)} pp` : format.signedAmount(values[1] - values[0], kind, bases[0]);
  let relative: string;
  if (values[0] === 0) relative = values[1] === 0 ? "–" : "new";
  else if (values[1] === 0) relative = "gone";
  else relative = `${format.signed(100 * (values[1] / bases[1] / (values[0] / bases[0]) - 1), 0)} %`;
  return { absolute, relative, trend };
}
