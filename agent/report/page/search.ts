// SPDX-License-Identifier: Apache-2.0
// What a search finds in a tree, and what it costs: a match within a match counts once.
import * as format from "./format";
import type { Tree } from "./tree";
import type { View } from "./view";

/** 1 for each entry whose function matches. */
export function findMatches(tree: Tree, matching: Uint8Array): Uint8Array {
  return Uint8Array.from(tree.fn, (fn) => (fn >= 0 ? matching[fn] : 0));
}

/** "12 frames of 3 functions, 41.50 %". */
export function matchText(view: View, matching: Uint8Array): string {
  const { tree, total } = view.costs;
  const covered = new Uint8Array(tree.size);
  const cost = total.map(() => 0);
  const functions = new Set<number>();
  let frames = 0;
  for (const node of tree.preorder) {
    if (node === 0 || !total.some((values) => values[node] > 0)) continue;
    const above = covered[tree.parent[node]];
    const matches = matching[tree.fn[node]] === 1;
    covered[node] = above === 1 || matches ? 1 : 0;
    if (!matches) continue;
    frames++;
    functions.add(tree.fn[node]);
    if (above === 0) total.forEach((values, run) => (cost[run] += values[node]));
  }
  if (frames === 0) return "nothing found";
  const shares = cost.map((value, run) => format.share(value, view.sum[run]));
  const share = shares.length > 1 ? `${shares[0]} before, ${shares[1]} after` : shares[0];
  return `${format.plural(frames, "frame")} of ${format.plural(functions.size, "function")}, ${share}`;
}
