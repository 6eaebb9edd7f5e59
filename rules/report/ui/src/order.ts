// Sorting by a column: the order of all rows as a list of their numbers. Equal rows stay in the report's own order.
import { Dict, type Column, type Numbers } from "./pack";

/** byNumber sorts in time that grows with the rows only. What is NaN comes last in both directions. */
export function byNumber(values: Numbers, down: boolean): Uint32Array {
  const n = values.length;
  const bits = new Uint32Array(2 * n);
  const doubles = new Float64Array(bits.buffer);
  for (let i = 0; i < n; i++) doubles[i] = down ? -values[i]! : values[i]!;
  for (let i = 0; i < n; i++) {
    // The bits of a double sort like it once those of negative ones are turned round, and the sign of the others is set.
    if (Number.isNaN(values[i]!)) bits[2 * i] = bits[2 * i + 1] = 0xffffffff;
    else if (bits[2 * i + 1]! >>> 31) {
      bits[2 * i] = ~bits[2 * i]!;
      bits[2 * i + 1] = ~bits[2 * i + 1]!;
    } else bits[2 * i + 1]! |= 0x80000000;
  }
  let order = identity(n);
  let spare = new Uint32Array(n);
  for (let digit = 0; digit < 4; digit++) {
    const half = digit >> 1;
    const shift = (digit & 1) * 16;
    const ends = new Uint32Array(65537);
    for (let i = 0; i < n; i++) ends[((bits[2 * i + half]! >>> shift) & 0xffff) + 1]!++;
    if (ends.includes(n)) continue; // the digit is the same everywhere
    for (let d = 1; d < ends.length; d++) ends[d]! += ends[d - 1]!;
    for (let i = 0; i < n; i++) {
      const row = order[i]!;
      spare[ends[(bits[2 * row + half]! >>> shift) & 0xffff]!++] = row;
    }
    [order, spare] = [spare, order];
  }
  return order;
}

export function byText(column: Column, count: number, down: boolean): Uint32Array {
  if (column instanceof Dict) {
    const ranks = new Uint32Array(column.words.length);
    column.words.map((_, i) => i).sort((a, b) => compare(column.words[a]!, column.words[b]!)).forEach((w, rank) => (ranks[w] = rank));
    return byNumber(Float64Array.from({ length: count }, (_, i) => ranks[column.codes[i]!]!), down);
  }
  const texts = Array.from({ length: count }, (_, i) => column.at(i));
  return merge(texts, down);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** merge sorts by merging the runs that are there already: names are sorted within each class. */
function merge(texts: string[], down: boolean): Uint32Array {
  const n = texts.length;
  const before = (a: number, b: number) => (down ? texts[a]! >= texts[b]! : texts[a]! <= texts[b]!);
  let order = identity(n);
  let runs: number[] = [];
  if (down) reverseRuns(order, texts);
  for (let i = 0; i < n; i++) if (i === 0 || !before(order[i - 1]!, order[i]!)) runs.push(i);
  let spare = new Uint32Array(n);
  while (runs.length > 1) {
    const next: number[] = [];
    for (let r = 0; r < runs.length; r += 2) {
      const middle = runs[r + 1] ?? n;
      const end = runs[r + 2] ?? n;
      next.push(runs[r]!);
      let [a, b] = [runs[r]!, middle];
      for (let out = a; out < end; out++) {
        spare[out] = b >= end || (a < middle && before(order[a]!, order[b]!)) ? order[a++]! : order[b++]!;
      }
    }
    [order, spare, runs] = [spare, order, next];
  }
  return order;
}

/** reverseRuns turns strictly ascending runs round, so that descending order finds long ones as well. */
function reverseRuns(order: Uint32Array, texts: string[]): void {
  for (let from = 0, i = 1; i <= order.length; i++) {
    if (i < order.length && texts[i - 1]! < texts[i]!) continue;
    order.subarray(from, i).reverse();
    from = i;
  }
}

export function identity(n: number): Uint32Array<ArrayBuffer> {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  return order;
}
