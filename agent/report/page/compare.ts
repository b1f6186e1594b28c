// SPDX-License-Identifier: Apache-2.0
// What changed between two runs. Each counts as 100 %: a longer run is no slower program.
import * as format from "./format";

export interface Change {
  /** Share after less share before, from -1 to 1. */
  points: number;
  /** From -1 (vanished) over 0 (the same share) to 1 (new). */
  degree: number;
}

export function changeOf(values: number[], sums: number[]): Change {
  const before = sums[0] > 0 ? values[0] / sums[0] : 0;
  const after = sums[1] > 0 ? values[1] / sums[1] : 0;
  return { points: after - before, degree: before + after > 0 ? (after - before) / (before + after) : 0 };
}

export function changeText(
  { points }: Change,
  values: number[],
  sums: number[],
): { absolute: string; relative: string; trend: string } {
  const absolute = `${format.signed(100 * points, 2)} pp`;
  const trend = points > 0.00005 ? "more" : points < -0.00005 ? "less" : "same";
  let relative: string;
  if (values[0] === 0) relative = values[1] === 0 ? "–" : "new";
  else if (values[1] === 0) relative = "gone";
  else relative = `${format.signed(100 * (values[1] / sums[1] / (values[0] / sums[0]) - 1), 0)} %`;
  return { absolute, relative, trend };
}
