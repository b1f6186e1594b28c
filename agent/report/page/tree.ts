// SPDX-License-Identifier: Apache-2.0
// Trees of calls: entry 0 is the root, and a caller comes before what it calls.

/** Sums up in each entry what lies below it. */
export function totals(parent: Int32Array, self: Float64Array): Float64Array {
  const total = Float64Array.from(self);
  for (let i = total.length - 1; i > 0; i--) total[parent[i]] += total[i];
  return total;
}

/** The form of a tree. Siblings lie in a fixed order, the heaviest first, so that a filter moves nothing around. */
export class Tree {
  readonly size: number;
  readonly depth: Int32Array;
  readonly maxDepth: number;
  /** Children of i are children[first[i]] to children[first[i + 1] - 1]. */
  readonly first: Int32Array;
  readonly children: Int32Array;
  /** All entries, a caller before what it calls, siblings in their order. */
  readonly preorder: Int32Array;
  /** 1 where no caller is the same function: totals of a function are summed over these. */
  readonly outermost: Uint8Array;

  /** `fn` of the root is -1 where it is no function. `weight`: of each entry alone, for the order. */
  constructor(
    readonly parent: Int32Array,
    readonly fn: Int32Array,
    weight: Float64Array,
  ) {
    const size = parent.length;
    this.size = size;
    this.depth = new Int32Array(size);
    this.first = new Int32Array(size + 1);
    let maxDepth = 0;
    for (let i = 1; i < size; i++) {
      this.depth[i] = this.depth[parent[i]] + 1;
      maxDepth = Math.max(maxDepth, this.depth[i]);
      this.first[parent[i] + 1]++;
    }
    this.maxDepth = maxDepth;
    for (let i = 0; i < size; i++) this.first[i + 1] += this.first[i];
    this.children = new Int32Array(Math.max(0, size - 1));
    const next = this.first.slice();
    for (let i = 1; i < size; i++) this.children[next[parent[i]]++] = i;
    const total = totals(parent, weight);
    for (let i = 0; i < size; i++) {
      if (this.first[i + 1] - this.first[i] > 1) {
        this.children.subarray(this.first[i], this.first[i + 1]).sort((a, b) => total[b] - total[a] || a - b);
      }
    }
    this.preorder = this.walk();
    this.outermost = this.findOutermost();
  }

  childrenOf(node: number): Int32Array {
    return this.children.subarray(this.first[node], this.first[node + 1]);
  }

  /** From the root (not included) to `node`. */
  path(node: number): number[] {
    const nodes = [];
    for (let i = node; i > 0; i = this.parent[i]) nodes.push(i);
    return nodes.reverse();
  }

  private walk(): Int32Array {
    const order = new Int32Array(this.size);
    const waiting = [0];
    for (let i = 0; waiting.length > 0; i++) {
      const node = waiting.pop()!;
      order[i] = node;
      for (let k = this.first[node + 1] - 1; k >= this.first[node]; k--) waiting.push(this.children[k]);
    }
    return order;
  }

  private findOutermost(): Uint8Array {
    const outermost = new Uint8Array(this.size);
    const open = new Map<number, number>();
    const path: number[] = [];
    for (const node of this.preorder) {
      while (path.length > this.depth[node]) {
        const left = this.fn[path.pop()!];
        open.set(left, open.get(left)! - 1);
      }
      const fn = this.fn[node];
      const count = open.get(fn) ?? 0;
      outermost[node] = fn >= 0 && count === 0 ? 1 : 0;
      open.set(fn, count + 1);
      path.push(node);
    }
    return outermost;
  }
}

/** A tree and what its entries cost in each run (one, or before and after). */
export interface Costs {
  tree: Tree;
  self: Float64Array[];
  total: Float64Array[];
}

/** Puts together a tree of which only the paths are known. */
class Grower {
  private readonly parent = [0];
  private readonly fn: number[];
  private readonly known = new Map<number, number>();
  private readonly self: number[][];

  constructor(
    root: number,
    private readonly functions: number,
    runs: number,
  ) {
    this.fn = [root];
    this.self = Array.from({ length: runs }, () => [0]);
  }

  child(node: number, fn: number): number {
    const key = node * this.functions + fn;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const made = this.parent.length;
    this.known.set(key, made);
    this.parent.push(node);
    this.fn.push(fn);
    for (const self of this.self) self.push(0);
    return made;
  }

  add(node: number, run: number, value: number): void {
    this.self[run][node] += value;
  }

  grown(): Costs {
    const parent = Int32Array.from(this.parent);
    const self = this.self.map((values) => Float64Array.from(values));
    const weight = new Float64Array(parent.length);
    for (const values of self) values.forEach((value, i) => (weight[i] += value));
    return {
      tree: new Tree(parent, Int32Array.from(this.fn), weight),
      self,
      total: self.map((values) => totals(parent, values)),
    };
  }
}

/** What `fn` calls, wherever it is called: its root is `fn`. */
export function calleesOf(costs: Costs, fn: number, functions: number): Costs {
  const { tree } = costs;
  const grower = new Grower(fn, functions, costs.self.length);
  const place = new Int32Array(tree.size).fill(-1);
  for (const node of tree.preorder) {
    const above = node === 0 ? -1 : place[tree.parent[node]];
    if (above >= 0) {
      if (!costs.total.some((total) => total[node] > 0)) continue;
      place[node] = grower.child(above, tree.fn[node]);
    } else if (tree.fn[node] === fn) {
      place[node] = 0;
    } else {
      continue;
    }
    costs.self.forEach((self, run) => grower.add(place[node], run, self[node]));
  }
  return grower.grown();
}

/** Who calls `fn`: its root is `fn`, its children are the callers, theirs the callers' callers. */
export function callersOf(costs: Costs, fn: number, functions: number): Costs {
  const { tree } = costs;
  const grower = new Grower(fn, functions, costs.self.length);
  for (let node = 1; node < tree.size; node++) {
    if (tree.fn[node] !== fn || tree.outermost[node] === 0) continue;
    if (!costs.total.some((total) => total[node] > 0)) continue;
    let place = 0;
    for (let i = tree.parent[node]; i > 0; i = tree.parent[i]) place = grower.child(place, tree.fn[i]);
    costs.total.forEach((total, run) => grower.add(place, run, total[node]));
  }
  return grower.grown();
}

/** Self and total of each function in one run; recursion counts once. */
export function byFunction(costs: Costs, run: number, functions: number): { self: Float64Array; total: Float64Array } {
  const { tree } = costs;
  const self = new Float64Array(functions);
  const total = new Float64Array(functions);
  for (let node = 1; node < tree.size; node++) {
    self[tree.fn[node]] += costs.self[run][node];
    if (tree.outermost[node] === 1) total[tree.fn[node]] += costs.total[run][node];
  }
  return { self, total };
}
