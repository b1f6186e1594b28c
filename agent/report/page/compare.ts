// SPDX-License-Identifier: Apache-2.0
// What changed between two runs.
import type { Kind } from "./data";
import * as format from "./format";

export interface Change {
  /** After less before, as parts of `bases`. */
  points: number;
  /** From -1 (gone) over 0 (the same) to 1 (new). */
  degree: number;
}

/** `bases`: what counts as 100 % of each run; the same for both, where amounts are compared as they are. */
export function changeOf(values: number[], bases: number[]): Change {
  const before = bases[0] > 0 ? values[0] / bases[0] : 0;
  const after = bases[1] > 0 ? values[1] / bases[1] : 0;
  return { points: after - before, degree: before + after > 0 ? (after - before) / (before + after) : 0 };
}

/** How a comparison is shown. */
export interface Scale {
  kind: Kind;
  bases: number[];
  /** Of each run all; amounts: as they are. */
  normalised: boolean;
}

export function sideText(value: number, run: number, { kind, bases, normalised }: Scale): string {
  return normalised ? format.share(value, bases[run]) : format.amount(value, kind, bases[0]);
}

export function changeText(values: number[], { kind, bases, normalised }: Scale): { absolute: string; relative: string; trend: string } {
  const { points } = changeOf(values, bases);
  const trend = points > 0.00005 ? "more" : points < -0.00005 ? "less" : "same";
  const absolute = normalised ? `${format.signed(100 * points, 2)} pp` : format.signedAmount(values[1] - values[0], kind, bases[0]);
  let relative: string;
  if (values[0] === 0) relative = values[1] === 0 ? "–" : "new";
  else if (values[1] === 0) relative = "gone";
  else relative = `${format.signed(100 * (values[1] / bases[1] / (values[0] / bases[0]) - 1), 0)} %`;
  return { absolute, relative, trend };
}
