// How far along the calls a workload stands: trophic levels, as ecologists compute them for food webs (MacKay,
// Johnson and Sansom 2020, "How directed is a directed network?"). Levels h minimise the sum over edges of
// (h[destination] - h[source] - 1)². That is convex, so the answer does not depend on a random start, and smooth, so
// one edge more moves a level by a little: what the longest path, which most tools use, does not promise.

const ROUNDS = 60;

/** Levels whose mean in each connected part is 0; callers low, called high. `each`: an edge counts as often as it stands there. */
export function levels(count: number, source: Uint32Array, destination: Uint32Array, each = false): Float64Array {
  const degree = new Float64Array(count);
  const balance = new Float64Array(count);
  const pairs = pairsOf(count, source, destination, each);
  for (const [from, to] of pairs) {
    degree[from]! += 1;
    degree[to]! += 1;
    balance[from]! -= 1;
    balance[to]! += 1;
  }
  const starts = new Uint32Array(count + 1);
  for (let node = 0; node < count; node++) starts[node + 1] = starts[node]! + degree[node]!;
  const fill = starts.slice();
  const neighbours = new Uint32Array(pairs.length * 2);
  for (const [from, to] of pairs) {
    neighbours[fill[from]!++] = to;
    neighbours[fill[to]!++] = from;
  }

  const height = new Float64Array(count);
  // Gauss-Seidel there and back: converges fast on graphs as dense as these, and the order is that of the keys.
  for (let round = 0; round < ROUNDS; round++) {
    let moved = 0;
    for (let step = 0; step < count; step++) {
      const node = round % 2 === 0 ? step : count - 1 - step;
      const own = degree[node]!;
      if (own === 0) continue;
      let sum = balance[node]!;
      for (let at = starts[node]!; at < starts[node + 1]!; at++) sum += height[neighbours[at]!]!;
      const next = sum / own;
      moved = Math.max(moved, Math.abs(next - height[node]!));
      height[node] = next;
    }
    if (moved < 1e-4) break;
  }
  settle(count, starts, neighbours, degree, height);
  return height;
}

/** Each pair once, without loops, in order: how much is said does not matter, only that somebody calls. */
function pairsOf(count: number, source: Uint32Array, destination: Uint32Array, each: boolean): [number, number][] {
  const codes = new Float64Array(source.length);
  for (let edge = 0; edge < source.length; edge++) codes[edge] = source[edge]! * count + destination[edge]!;
  codes.sort();
  const pairs: [number, number][] = [];
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at]!;
    if (!each && at > 0 && code === codes[at - 1]) continue;
    const from = Math.floor(code / count);
    const to = code % count;
    if (from !== to) pairs.push([from, to]);
  }
  return pairs;
}

/** Levels are determined up to a constant in each connected part: its mean, weighted by degree, becomes 0. */
function settle(
  count: number,
  starts: Uint32Array,
  neighbours: Uint32Array,
  degree: Float64Array,
  height: Float64Array,
): void {
  const seen = new Uint8Array(count);
  for (let first = 0; first < count; first++) {
    if (seen[first]) continue;
    seen[first] = 1;
    const part = [first];
    for (let at = 0; at < part.length; at++) {
      const node = part[at]!;
      for (let next = starts[node]!; next < starts[node + 1]!; next++) {
        const other = neighbours[next]!;
        if (seen[other]) continue;
        seen[other] = 1;
        part.push(other);
      }
    }
    let sum = 0;
    let weight = 0;
    for (const node of part) {
      sum += height[node]! * degree[node]!;
      weight += degree[node]!;
    }
    const mean = weight > 0 ? sum / weight : 0;
    for (const node of part) height[node]! -= mean;
  }
}

export interface Heights {
  /** Within its own namespace: what happens in another one moves nothing here. */
  node: Float64Array;
  /** Of all nodes together, for pictures without namespaces. */
  flat: Float64Array;
  /** Of each namespace among the others. */
  namespace: Map<string, number>;
}

export function heightsOf(namespaces: readonly string[], source: Uint32Array, destination: Uint32Array): Heights {
  const names = [...new Set(namespaces)].sort();
  const numbers = new Map(names.map((name, number) => [name, number]));
  const of = namespaces.map((name) => numbers.get(name)!);
  const inner: [number, number][] = [];
  const outer: [number, number][] = [];
  for (let edge = 0; edge < source.length; edge++) {
    const from = source[edge]!;
    const to = destination[edge]!;
    if (of[from] === of[to]) inner.push([from, to]);
    else outer.push([of[from]!, of[to]!]);
  }
  const solve = (count: number, edges: [number, number][], each: boolean) =>
    levels(
      count,
      Uint32Array.from(edges, ([from]) => from),
      Uint32Array.from(edges, ([, to]) => to),
      each,
    );
  const groups = solve(names.length, outer, true);
  return {
    node: solve(namespaces.length, inner, false),
    flat: levels(namespaces.length, source, destination),
    namespace: new Map(names.map((name, number) => [name, groups[number]!])),
  };
}
