// Durations in bins that grow with them: eight to a power of ten, from 1 ms.
import type { Pack } from "./pack";
import { derive } from "./rows";

export const perDecade = 8;
const bins = 8 * perDecade; // up to 28 hours

/** binsOf is the bin of each row's time on a side, 255 where there is none. */
function binsOf(p: Pack, side: number): Uint8Array | undefined {
  const took = p.numbers(`side.${side}.took`);
  const outcome = p.numbers(`side.${side}.outcome`);
  if (!took) return undefined;
  return derive(p, `bins.${side}`, () => {
    const out = new Uint8Array(p.count).fill(255);
    for (let i = 0; i < out.length; i++) {
      const ms = took[i]!;
      if (ms > 0 && (!outcome || outcome[i])) out[i] = Math.min(bins - 1, Math.floor(Math.log10(ms) * perDecade));
    }
    return out;
  });
}

export interface Histogram {
  /** first and last of the bins that are not empty in some side. */
  first: number;
  last: number;
  /** counts of each side by bin. */
  counts: Uint32Array[];
  /** medians of each side in ms, NaN for none. */
  medians: number[];
}

export function histogram(p: Pack, rows: Uint32Array): Histogram | undefined {
  const sides = Array.from({ length: p.sides }, (_, s) => binsOf(p, s));
  if (sides.every((s) => !s)) return undefined;
  const counts = sides.map((of) => {
    const out = new Uint32Array(256);
    if (of) for (const row of rows) out[of[row]!]!++;
    return out.subarray(0, bins);
  });
  const filled = Array.from({ length: bins }, (_, b) => b).filter((b) => counts.some((c) => c[b]! > 0));
  if (filled.length === 0) return undefined;
  return { first: filled[0]!, last: filled.at(-1)!, counts, medians: sides.map((_, s) => median(p, s, rows, counts[s]!)) };
}

/** median looks only at the rows of the bin that it must be in. */
function median(p: Pack, side: number, rows: Uint32Array, counts: Uint32Array): number {
  const took = p.numbers(`side.${side}.took`);
  const of = binsOf(p, side);
  let rank = counts.reduce((a, b) => a + b, 0) >> 1;
  const bin = counts.findIndex((n) => (rank -= n) < 0);
  if (!took || !of || bin < 0) return NaN;
  const near = new Uint32Array(counts[bin]!);
  let n = 0;
  for (const row of rows) if (of[row] === bin) near[n++] = took[row]!;
  return near.sort()[rank + counts[bin]!]!;
}

/** edge is where a bin begins, in ms. */
export function edge(bin: number): number {
  return 10 ** (bin / perDecade);
}
