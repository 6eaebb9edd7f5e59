// The filter language: what a query means for the rows of a pack.
import { markCodes, type Numbers, type Pack } from "./pack";
import { milliseconds, nearest, parse, type Op, type Term } from "./query";
import { longest, maximum, reused, slower } from "./rows";

/** Filtered are the rows that a query matches (1), all of them if rows is undefined, and what is wrong with the query. */
export interface Filtered {
  rows: Uint8Array | undefined;
  mistakes: string[];
}

/** A Match sets out for the rows that a term matches. A string instead says what is wrong with the term. */
type Match = (out: Uint8Array) => void;

/** A Field makes the match for an operator and a value, which is not empty. */
type Field = (op: Op, value: string) => Match | string;

export function filter(p: Pack, query: string): Filtered {
  const mistakes: string[] = [];
  const known = fields(p);
  let rows: Uint8Array | undefined;
  for (const term of parse(query)) {
    const match = matchOf(p, known, term, mistakes);
    if (!match) continue;
    const out = new Uint8Array(p.count);
    match(out);
    if (term.negated) for (let i = 0; i < out.length; i++) out[i]! ^= 1;
    if (rows) for (let i = 0; i < out.length; i++) out[i]! &= rows[i]!;
    rows = out;
  }
  return { rows, mistakes };
}

function matchOf(p: Pack, known: Map<string, Field>, term: Term, mistakes: string[]): Match | undefined {
  const named = search(p, ["key"], term.text);
  if (term.op === "") return named;
  const field = known.get(term.field);
  if (!field) {
    const near = nearest(term.field, known.keys());
    mistakes.push(`There is no field “${term.field}”: looked for “${term.text}” in the names. ${near ? `Did you mean “${near}”?` : `Fields are ${[...known.keys()].join(", ")}.`}`);
    return named;
  }
  if (term.value === "") return undefined; // still being written
  const match = field(term.op, term.value);
  if (typeof match !== "string") return match;
  mistakes.push(match);
  return undefined;
}

/** fields are what can stand before an operator. A report's own names do not hide those of the language. */
export function fields(p: Pack): Map<string, Field> {
  const { head } = p;
  const all = new Map<string, Field>();
  const add = (name: string, field: Field | undefined) => {
    name = name.toLowerCase();
    if (field && name !== "" && !all.has(name)) all.set(name, field);
  };
  const sides = Array.from({ length: p.sides }, (_, s) => s);
  const outcomes = (s: number) => ({ codes: p.numbers(`side.${s}.outcome`), words: head.outcomes });
  const classes = (s: number) => ({ codes: p.numbers(`side.${s}.class`), words: head.classes });

  add("name", textField(p, ["key", ...head.axes.map((_, a) => `axis.${a}`)]));
  add("class", wordField("class", [{ codes: p.numbers("class"), words: head.classes }]));
  if (sides.length > 0) {
    add("outcome", wordField("outcome", sides.map(outcomes)));
    add("error", errorField(p));
    add("why", textField(p, sides.map((s) => `side.${s}.why`)));
    add("time", numberField(longest(p), milliseconds, "time>60, time<200ms or time>1m30s"));
    add("delta", numberField(slower(p), signed(milliseconds), "delta>2s or delta<-200ms"));
    add("cpu", numberField(maximum(p, "cpu"), milliseconds, "cpu>60 or cpu>1m30s"));
    add("mem", numberField(maximum(p, "mem"), Number, "mem>512, in MiB"));
    add("exit", anyNumber(sides.map((s) => p.numbers(`side.${s}.exit`))));
    add("cached", cachedField(p, sides));
  }
  if (head.grouped) add("group", textField(p, ["group"]));
  head.compare.forEach((name, s) => add(name, wordField(name, [outcomes(s), classes(s)])));
  head.axes.forEach((name, a) => add(name, textField(p, [`axis.${a}`])));
  head.columns.forEach((c, i) => {
    add(c.name, c.kind === "number" ? numberField(p.numbers(`column.${i}`), Number, `${c.name}>100`) : textField(p, [`column.${i}`]));
  });
  return all;
}

/** search matches rows with the text in one of the sections. */
function search(p: Pack, sections: string[], text: string): Match {
  const needle = text.toLowerCase();
  return (out) => sections.forEach((s) => p.texts(s)?.search(needle, out));
}

/** alternatives are the parts of a,b. */
function alternatives(value: string): string[] {
  return value.split(",").filter((v) => v !== "");
}

function textField(p: Pack, sections: string[]): Field | undefined {
  if (!sections.some((s) => p.texts(s))) return undefined;
  return (op, value) => {
    if (op !== ":" && op !== "=") return `“${op}” is for numbers.`;
    return search(p, sections, value);
  };
}

function errorField(p: Pack): Field {
  return (op, value) => {
    if (op !== ":" && op !== "=") return `“${op}” is for numbers.`;
    const needle = value.toLowerCase();
    const codes = p.numbers("cause");
    return (out) => codes && markCodes(codes, [false, ...p.head.causes.map((c) => c.text.toLowerCase().includes(needle))], out);
  };
}

interface Coded {
  codes: Numbers | undefined;
  words: string[];
}

/** wordField matches rows in which one of the codes stands for a word that begins with the value. */
function wordField(name: string, sets: Coded[]): Field {
  const words = [...new Set(sets.flatMap((s) => s.words))].filter((w) => w !== "");
  return (op, value) => {
    if (op !== ":" && op !== "=") return `“${op}” is for numbers.`;
    const wanted = alternatives(value.toLowerCase());
    const odd = wanted.find((v) => !words.some((w) => w.startsWith(v)));
    if (odd !== undefined) {
      const near = nearest(odd, words);
      return `“${odd}” is no ${name === "class" || name === "outcome" ? name : `outcome of ${name}`}. ${near ? `Did you mean “${near}”?` : `There are ${words.join(", ")}.`}`;
    }
    return (out) => {
      for (const { codes, words } of sets) {
        if (codes) markCodes(codes, words.map((w) => w !== "" && wanted.some((v) => w.startsWith(v))), out);
      }
    };
  };
}

function numberField(values: Numbers | undefined, read: (text: string) => number, example: string): Field | undefined {
  if (!values) return undefined;
  return (op, value) => {
    const limit = read(value);
    if (Number.isNaN(limit)) return `“${value}” can't be compared: write ${example}.`;
    const holds = compare(op, limit);
    return (out) => {
      for (let i = 0; i < values.length; i++) if (holds(values[i]!)) out[i] = 1;
    };
  };
}

/** compare is false for NaN, which stands for nothing. */
function compare(op: Op, limit: number): (v: number) => boolean {
  switch (op) {
    case ">":
      return (v) => v > limit;
    case "<":
      return (v) => v < limit;
    case ">=":
      return (v) => v >= limit;
    case "<=":
      return (v) => v <= limit;
  }
  return (v) => v === limit;
}

function signed(read: (text: string) => number): (text: string) => number {
  return (text) => (/^[-\u2212]/.test(text) ? -read(text.slice(1)) : read(text.replace(/^\+/, "")));
}

function anyNumber(sides: (Numbers | undefined)[]): Field {
  return (op, value) => {
    const limit = Number(value);
    if (Number.isNaN(limit)) return `“${value}” is no exit code.`;
    const holds = compare(op, limit);
    return (out) => {
      for (const side of sides) if (side) for (let i = 0; i < side.length; i++) if (holds(side[i]!)) out[i] = 1;
    };
  };
}

/** cachedField knows yes and no, which are about all sides of a row, and local and remote, which are about any. */
function cachedField(p: Pack, sides: number[]): Field {
  return (_, value) => {
    const place = ["local", "remote"].indexOf(value) + 1;
    if (place) {
      return (out) => {
        for (const s of sides) {
          const codes = p.numbers(`side.${s}.cached`);
          if (codes) for (let i = 0; i < out.length; i++) if (codes[i] === place) out[i] = 1;
        }
      };
    }
    if (value !== "yes" && value !== "no") return "Write cached:yes, cached:no, cached:local or cached:remote.";
    return (out) => {
      const rows = reused(p);
      for (let i = 0; i < out.length; i++) if ((rows[i] === 2) === (value === "yes")) out[i] = 1;
    };
  };
}
