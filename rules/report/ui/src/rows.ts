// What several parts of the page want to know of a row.
import { Dict, Lines, type Numbers, type Pack } from "./pack";

/** A Side is one instance of a row as the table and the detail show it. */
export interface Side {
  name: string; // "" without a comparison
  outcome: string;
  class: string;
  exit: number;
  took: number;
  cpu: number;
  memory: number;
  cached: number;
  why: string;
  label: string;
}

/** keyMark stands for the row's key in a label. As an expression: in a text, the bundler would write the character itself. */
const keyMark = /\x01/;

export function keyOf(p: Pack, row: number): string {
  return p.texts("key")?.at(row) ?? "";
}

export function axesOf(p: Pack, row: number): string[] {
  return p.head.axes.map((_, a) => p.texts(`axis.${a}`)?.at(row) ?? "");
}

/** nameOf tells rows apart: the key, and the keys on further axes. */
export function nameOf(p: Pack, row: number): string {
  return [keyOf(p, row), ...axesOf(p, row)].join(" ");
}

/** rowNamed returns the row with a name, -1 if there is none. */
export function rowNamed(p: Pack, name: string): number {
  const keys = p.texts("key");
  if (keys instanceof Lines && p.head.axes.length === 0) return keys.find(name);
  for (let i = 0; i < p.count; i++) {
    if (name.startsWith(keyOf(p, i)) && nameOf(p, i) === name) return i;
  }
  return -1;
}

export function classOf(p: Pack, row: number): string {
  return p.head.classes[p.numbers("class")?.[row] ?? -1] ?? "";
}

export function causeOf(p: Pack, row: number): string {
  return p.head.causes[(p.numbers("cause")?.[row] ?? 0) - 1]?.text ?? "";
}

/** exists tells whether a row has a side. */
export function outcomeOf(p: Pack, row: number, side: number): string {
  return p.head.outcomes[p.numbers(`side.${side}.outcome`)?.[row] ?? 0] ?? "";
}

export function sideOf(p: Pack, row: number, side: number): Side {
  const n = (field: string): number => p.numbers(`side.${side}.${field}`)?.[row] ?? 0;
  const text = (field: string) => p.texts(`side.${side}.${field}`)?.at(row) ?? "";
  return {
    name: p.head.compare[side] ?? "",
    outcome: outcomeOf(p, row, side),
    class: p.head.classes[p.numbers(`side.${side}.class`)?.[row] ?? 255] ?? "",
    exit: n("exit") || 0,
    took: n("took"),
    cpu: n("cpu"),
    memory: n("mem"),
    cached: n("cached"),
    why: text("why"),
    label: text("label").replace(keyMark, () => keyOf(p, row)),
  };
}

export function sidesOf(p: Pack, row: number): Side[] {
  return Array.from({ length: p.sides }, (_, s) => sideOf(p, row, s));
}

const derived = new WeakMap<Pack, Map<string, Numbers | undefined>>();

/** derive keeps a column that is computed from others as long as the pack lives. */
export function derive<T extends Numbers | undefined>(p: Pack, name: string, make: () => T): T {
  let of = derived.get(p);
  if (!of) derived.set(p, (of = new Map()));
  if (!of.has(name)) of.set(name, make());
  return of.get(name) as T;
}

/** longest is the time of each row's longest side in ms, undefined if no time is known. */
export function longest(p: Pack): Numbers | undefined {
  return maximum(p, "took");
}

/** maximum is the largest of each row's sides in a field. */
export function maximum(p: Pack, field: string): Numbers | undefined {
  return derive(p, field, () => {
    const sides = Array.from({ length: p.sides }, (_, s) => p.numbers(`side.${s}.${field}`)).filter((s) => s !== undefined);
    if (sides.length < 2) return sides[0];
    const out = new Float64Array(p.count);
    for (const side of sides) for (let i = 0; i < out.length; i++) if (side[i]! > out[i]!) out[i] = side[i]!;
    return out;
  });
}

/** slower is how much longer the last side took than the base in ms, NaN where one of them is missing. */
export function slower(p: Pack): Float64Array | undefined {
  return derive(p, "slower", () => {
    const last = p.sides - 1;
    const [a, b, x, y] = [p.numbers("side.0.took"), p.numbers(`side.${last}.took`), p.numbers("side.0.outcome"), p.numbers(`side.${last}.outcome`)];
    if (last < 1 || !a || !b || !x || !y) return undefined;
    const out = new Float64Array(p.count);
    for (let i = 0; i < out.length; i++) out[i] = x[i] && y[i] && a[i] && b[i] ? b[i]! - a[i]! : NaN;
    return out;
  });
}

/** reused says of each row whether all (2), some (1) or none (0) of its sides were cached. */
export function reused(p: Pack): Uint8Array {
  return derive(p, "reused", () => {
    const out = new Uint8Array(p.count);
    const present = new Uint8Array(p.count);
    for (let s = 0; s < p.sides; s++) {
      const outcome = p.numbers(`side.${s}.outcome`);
      const cached = p.numbers(`side.${s}.cached`);
      for (let i = 0; i < out.length; i++) {
        if (!outcome?.[i]) continue;
        present[i]!++;
        if (cached?.[i]) out[i]!++;
      }
    }
    for (let i = 0; i < out.length; i++) out[i] = out[i] === 0 ? 0 : out[i] === present[i] ? 2 : 1;
    return out;
  });
}

/** words returns the distinct texts of a column, undefined for one that does not repeat. */
export function words(p: Pack, name: string): string[] | undefined {
  const c = p.texts(name);
  return c instanceof Dict ? c.words : undefined;
}
