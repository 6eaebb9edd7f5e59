// Spans of the timeline, put into pixels. However many there are, what is drawn grows with the pixels only.
import type { Numbers, Pack } from "./pack";

export interface Spans {
  count: number;
  lanes: number;
  end: number; // ms
  lane: Numbers;
  start: Numbers;
  took: Numbers;
  outcome: Numbers;
  target: Numbers | undefined;
  runs: Numbers | undefined;
}

export function spansOf(p: Pack): Spans | undefined {
  const [lane, start, took, outcome] = ["lane", "start", "took", "outcome"].map((n) => p.numbers(`span.${n}`));
  if (!lane || !start || !took || !outcome || lane.length === 0) return undefined;
  let end = 1;
  let lanes = p.head.build?.lanes ?? 1;
  for (let i = 0; i < lane.length; i++) {
    end = Math.max(end, start[i]! + took[i]!);
    lanes = Math.max(lanes, lane[i]! + 1);
  }
  return { count: lane.length, lanes, end, lane, start, took, outcome, target: p.numbers("span.target"), runs: p.numbers("span.runs") };
}

/** kinds are the colours of outcomes, in the order in which they are drawn from the bottom: what went wrong is seen first. */
export const kinds = ["violet", "amber", "red", "run"] as const;

export function kindOf(outcome: string): number {
  switch (outcome) {
    case "pass":
    case "skipped":
      return 3;
    case "fail":
    case "crash":
      return 2;
    case "timeout":
    case "oom":
      return 1;
  }
  return 0;
}

/** busy returns for each kind, each of rows, and each of width pixels how much of the time something of the kind ran. Lanes beyond rows share one row. */
export function busy(s: Spans, outcomes: string[], rows: number, width: number): Float32Array[] {
  const kind = outcomes.map(kindOf);
  const out = kinds.map(() => new Float32Array(rows * width));
  const scale = width / s.end;
  const part = rows / s.lanes;
  for (let i = 0; i < s.count; i++) {
    const into = out[kind[s.outcome[i]!] ?? 0]!;
    const row = Math.floor(s.lane[i]! * part) * width;
    let from = s.start[i]! * scale;
    let to = Math.min(width, from + s.took[i]! * scale);
    if (to - from >= 1) [from, to] = [Math.round(from), Math.round(to)]; // edges are sharp where there is room for them
    for (let x = Math.floor(from); x < to; x++) into[row + x]! += (Math.min(to, x + 1) - Math.max(from, x)) * part;
  }
  return out;
}

/** spanAt returns the span of a lane nearest to a time, -1 if none is within slack. */
export function spanAt(s: Spans, lane: number, time: number, slack: number): number {
  let best = -1;
  let least = slack;
  for (let i = 0; i < s.count; i++) {
    if (s.lane[i] !== lane) continue;
    const away = Math.max(s.start[i]! - time, time - s.start[i]! - s.took[i]!, 0);
    if (away < least || (away === 0 && best < 0)) [best, least] = [i, away];
    if (away === 0) break;
  }
  return best;
}
