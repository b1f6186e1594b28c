// SPDX-License-Identifier: Apache-2.0
// Where the frames of a tree lie, and who lies beside whom.
import type { Tree } from "./tree";

export class Layout {
  /** Left edge of each frame, in the units of `width`. */
  private readonly x: Float64Array;

  /** `width`: what each entry costs; those of callees add up to their caller's at most. */
  constructor(
    private readonly tree: Tree,
    private readonly width: Float64Array,
  ) {
    this.x = new Float64Array(tree.size);
    for (const node of tree.preorder) {
      if (width[node] <= 0) continue;
      let x = this.x[node];
      for (const child of tree.childrenOf(node)) {
        this.x[child] = x;
        x += width[child];
      }
    }
  }

  isWithin(node: number, above: number): boolean {
    const { parent, depth } = this.tree;
    let i = node;
    while (depth[i] > depth[above]) i = parent[i];
    return i === above;
  }

  /** How many rows have a frame below `zoomed` of at least `least` pixels, where `zoomed` has `pixels`. */
  rows(zoomed: number, pixels: number, least: number): number {
    const { tree, width } = this;
    const smallest = (least * width[zoomed]) / Math.max(1, pixels);
    let deepest = tree.depth[zoomed];
    const waiting = [zoomed];
    while (waiting.length > 0) {
      const node = waiting.pop()!;
      deepest = Math.max(deepest, tree.depth[node]);
      for (const child of tree.childrenOf(node)) if (width[child] >= smallest && width[child] > 0) waiting.push(child);
    }
    return deepest + 1;
  }

  /** In pixels from the left; `zoomed` and what is above it take the whole width. */
  place(node: number, zoomed: number, pixels: number): { left: number; width: number } {
    const { tree, width, x } = this;
    if (tree.depth[node] <= tree.depth[zoomed]) return { left: 0, width: pixels };
    const scale = pixels / width[zoomed];
    return { left: (x[node] - x[zoomed]) * scale, width: width[node] * scale };
  }

  /** The frame at that depth and part (0 to 1) of the width; -1: none. */
  at(depth: number, part: number, zoomed: number): number {
    const { tree, width, x } = this;
    if (depth <= tree.depth[zoomed]) return depth === 0 ? 0 : tree.path(zoomed)[depth - 1];
    const value = x[zoomed] + part * width[zoomed];
    let node = zoomed;
    while (tree.depth[node] < depth) {
      const next = tree.childrenOf(node).find((child) => value >= x[child] && value < x[child] + width[child]);
      if (next === undefined) return -1;
      node = next;
    }
    return node;
  }

  /** The costliest of what it calls; itself where it calls nothing. */
  heaviest(node: number): number {
    let best = node;
    for (const child of this.tree.childrenOf(node)) {
      if (this.width[child] > 0 && (best === node || this.width[child] > this.width[best])) best = child;
    }
    return best;
  }

  /** The neighbour with the same caller; itself where there is none. */
  sibling(node: number, step: 1 | -1): number {
    if (node === 0) return 0;
    const siblings = Array.from(this.tree.childrenOf(this.tree.parent[node])).filter((other) => this.width[other] > 0);
    return siblings[siblings.indexOf(node) + step] ?? node;
  }
}
