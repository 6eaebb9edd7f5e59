// The pack holds a report's rows as columns. What a column holds is decoded when it is first asked for: most of a large report's bytes
// are never looked at.

export type Numbers = Uint8Array | Uint16Array | Uint32Array | Float64Array;

export interface Target {
  label: string;
  name: string;
  rule: string;
  done: number;
  total: number;
  open: boolean;
  cached: number;
  failed: number;
  counts: Record<string, number>;
  took: number;
}

export interface Build {
  began: number;
  took: number;
  jobs: number;
  lanes: number;
  targets: Target[];
}

export type CauseKind = "error" | "limit" | "infrastructure";

export interface Cause {
  text: string;
  kind: CauseKind;
  rows: number;
}

export interface ColumnHead {
  name: string;
  kind: "number" | "text" | "outcome" | "artifact";
}

interface Section {
  form: "u8" | "u16" | "u32" | "f64" | "text" | "dict";
  at: [number, number];
  codes?: "u8" | "u16" | "u32";
  words?: [number, number];
}

export interface Header {
  version: number;
  title: string;
  count: number;
  compare: string[];
  axes: string[];
  columns: ColumnHead[];
  grouped: boolean;
  classes: string[];
  outcomes: string[];
  summary: Record<string, number>;
  incomplete: string;
  trouble: string;
  sandbox: string;
  build: Build;
  causes: Cause[];
  chunks: number[];
  sections: Record<string, Section>;
}

/** Detail is what is known of a row that needs a look. */
export interface Detail {
  side: number; // that decided over the row's class; -1 if there is none
  sides: SideDetail[];
  diffs?: Excerpt[];
  error?: string;
  problems?: string[];
}

export type Excerpt = [name: string, text: string, note: string];

export interface SideDetail {
  key?: string;
  why?: string;
  texts?: Excerpt[];
  inputs?: string[];
}

/** A Column of n texts. search sets out[i] for each text that holds needle, which is in lower case. */
export interface Column {
  at(i: number): string;
  search(needle: string, out: Uint8Array): void;
}

const empty = { classes: [], outcomes: [""], compare: [], axes: [], columns: [], causes: [], chunks: [], summary: {}, sections: {} };

export class Pack {
  readonly head: Header;
  /** sides is how many instances a row has at most. */
  readonly sides: number;
  private readonly bytes: ArrayBuffer;
  private readonly start: number; // of the sections
  private readonly columns = new Map<string, Column | undefined>();
  private readonly arrays = new Map<string, Numbers | undefined>();

  constructor(bytes: ArrayBuffer) {
    const magic = bytes.byteLength < 8 ? 0 : new DataView(bytes).getUint32(0);
    if (magic !== 0x63627031) throw new Error("This is not the data of a report."); // "cbp1"
    this.start = 8 + new DataView(bytes).getUint32(4, true);
    const header = new TextDecoder().decode(new Uint8Array(bytes, 8, this.start - 8));
    this.head = { ...empty, ...JSON.parse(header) };
    if (this.head.version !== 1) throw new Error(`The data of this report has version ${this.head.version}.`);
    this.bytes = bytes;
    this.sides = this.head.compare.length || (this.numbers("side.0.outcome")?.some((o) => o > 0) ? 1 : 0);
  }

  get count(): number {
    return this.head.count;
  }

  /** numbers returns a section of numbers, undefined if nothing is known for any row. */
  numbers(name: string): Numbers | undefined {
    if (!this.arrays.has(name)) {
      const s = this.head.sections[name];
      this.arrays.set(name, s && this.typed(s.form, s.at));
    }
    return this.arrays.get(name);
  }

  /** texts returns a section of texts, undefined if there is none. */
  texts(name: string): Column | undefined {
    if (!this.columns.has(name)) this.columns.set(name, this.open(name));
    return this.columns.get(name);
  }

  private open(name: string): Column | undefined {
    const s = this.head.sections[name];
    if (!s) return undefined;
    const text = (at: [number, number]) =>
      new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(this.bytes, this.start + at[0], at[1]));
    if (s.form === "dict" && s.codes && s.words) return new Dict(this.typed(s.codes, s.at), text(s.words).split("\n"));
    return new Lines(text(s.at), this.count);
  }

  private typed(form: string, [at, length]: [number, number]): Numbers {
    const offset = this.start + at;
    switch (form) {
      case "u8":
        return new Uint8Array(this.bytes, offset, length);
      case "u16":
        return new Uint16Array(this.bytes, offset, length / 2);
      case "u32":
        return new Uint32Array(this.bytes, offset, length / 4);
      case "f64":
        return new Float64Array(this.bytes, offset, length / 8);
    }
    throw new Error(`The data of this report has a section of the unknown form ${form}.`);
  }
}

/** Lines are texts that seldom repeat: one string, and where each of them begins in it. */
export class Lines implements Column {
  /** starts has one element more than there are lines, as if another one followed. */
  readonly starts: Uint32Array;
  private lower = "";
  private lowerStarts: Uint32Array | undefined;

  constructor(
    readonly text: string,
    readonly count: number,
  ) {
    this.starts = lineStarts(text, count);
  }

  at(i: number): string {
    return this.text.slice(this.starts[i], this.starts[i + 1]! - 1);
  }

  search(needle: string, out: Uint8Array): void {
    if (!this.lowerStarts) {
      this.lower = this.text.toLowerCase();
      // A few letters become longer in lower case.
      this.lowerStarts = this.lower.length === this.text.length ? this.starts : lineStarts(this.lower, this.count);
    }
    const { lower, lowerStarts: starts } = this;
    let row = 0;
    for (let at = lower.indexOf(needle); at >= 0 && row < this.count; ) {
      row = rowAt(starts, at, row);
      out[row++] = 1;
      at = lower.indexOf(needle, starts[row]!); // once per row is enough
    }
  }

  /** find returns the row of exactly this text, -1 if there is none. */
  find(text: string): number {
    const at = ("\n" + this.text + "\n").indexOf("\n" + text + "\n");
    return at < 0 || this.count === 0 || text.includes("\n") ? -1 : rowAt(this.starts, at, 0);
  }
}

function lineStarts(text: string, count: number): Uint32Array {
  const starts = new Uint32Array(count + 1);
  for (let i = 1, at = 0; i <= count; i++) {
    at = text.indexOf("\n", at) + 1;
    if (at === 0) {
      starts.fill(text.length + 1, i); // the last line, or damaged data: the rest is empty
      break;
    }
    starts[i] = at;
  }
  return starts;
}

/** rowAt returns the line that holds offset at, knowing that it is low or after it. It looks nearby first: matches come in order. */
function rowAt(starts: Uint32Array, at: number, low: number): number {
  let step = 1;
  while (low + step < starts.length && starts[low + step]! <= at) {
    low += step;
    step *= 2;
  }
  let high = Math.min(low + step, starts.length - 1);
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle]! <= at) low = middle;
    else high = middle;
  }
  return low;
}

/** A Dict holds texts that repeat: the distinct ones, and the code of each row's. */
export class Dict implements Column {
  constructor(
    readonly codes: Numbers,
    readonly words: string[],
  ) {}

  at(i: number): string {
    return this.words[this.codes[i]!] ?? "";
  }

  search(needle: string, out: Uint8Array): void {
    this.mark(this.words.map((w) => w.toLowerCase().includes(needle)), out);
  }

  /** mark sets out for the rows whose word is chosen. */
  mark(chosen: boolean[], out: Uint8Array): void {
    markCodes(this.codes, chosen, out);
  }
}

/** markCodes sets out[i] where chosen[codes[i]]. */
export function markCodes(codes: Numbers, chosen: boolean[], out: Uint8Array): void {
  const table = Uint8Array.from(chosen, Number);
  for (let i = 0; i < codes.length; i++) if (table[codes[i]!]) out[i] = 1;
}
