// Sorting by a column: the order of all rows as a list of their numbers. Equal rows stay in the report's own order.
import { Dict, Lines, type Column, type Numbers } from "./pack";

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
  const order = identity(count);
  if (column instanceof Lines) sortLines(column, order, down);
  return order;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const few = 12;

/**
 * sortLines is the quicksort of strings by Bentley and Sedgewick (Fast algorithms for sorting and searching strings, 1997): rows are parted by one
 * letter at a time, so that what many names begin with is looked at once.
 */
function sortLines({ text, starts }: Lines, order: Uint32Array, down: boolean): void {
  /** letter is 0 after a line's end, and negative going down: then everything else stays the same. */
  const letter = (row: number, at: number): number => {
    const i = starts[row]! + at;
    const code = i < starts[row + 1]! - 1 ? text.charCodeAt(i) + 1 : 0;
    return down ? -code : code;
  };
  const before = (a: number, b: number, at: number): boolean => {
    for (; ; at++) {
      const [x, y] = [letter(a, at), letter(b, at)];
      if (x !== y) return x < y;
      if (x === 0) return a < b;
    }
  };
  /** part sorts the rows from low up to high, whose first letters are the same. */
  const part = (low: number, high: number, at: number): void => {
    while (high - low > few) {
      const [x, y, z] = [letter(order[low]!, at), letter(order[(low + high) >> 1]!, at), letter(order[high - 1]!, at)];
      const pivot = Math.max(Math.min(x, y), Math.min(Math.max(x, y), z));
      let [less, i, greater] = [low, low, high];
      while (i < greater) {
        const row = order[i]!;
        const l = letter(row, at);
        if (l < pivot) {
          order[i++] = order[less]!;
          order[less++] = row;
        } else if (l > pivot) {
          order[i] = order[--greater]!;
          order[greater] = row;
        } else i++;
      }
      part(low, less, at);
      part(greater, high, at);
      if (pivot === 0) {
        order.subarray(less, greater).sort(); // equal lines
        return;
      }
      [low, high] = [less, greater];
      at++;
    }
    for (let i = low + 1; i < high; i++) {
      const row = order[i]!;
      let j = i;
      for (; j > low && before(row, order[j - 1]!, at); j--) order[j] = order[j - 1]!;
      order[j] = row;
    }
  };
  part(0, order.length, 0);
}

export function identity(n: number): Uint32Array<ArrayBuffer> {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  return order;
}
