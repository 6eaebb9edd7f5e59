// The text of the filter box as terms. What they mean for rows is in filter.ts.

export type Op = ":" | "=" | ">" | "<" | ">=" | "<=";

/** A Term is a word, or a field with an operator and a value. */
export interface Term {
  negated: boolean;
  /** field is in lower case, and empty for a word. */
  field: string;
  op: Op | "";
  value: string;
  /** text is the term without its sign, as one word. */
  text: string;
}

/** parse never fails: what is no field with an operator is a word. */
export function parse(query: string): Term[] {
  const terms: Term[] = [];
  for (let i = 0; i < query.length; ) {
    if (/\s/.test(query[i]!)) {
      i++;
      continue;
    }
    const [term, end] = scan(query, i);
    if (term) terms.push(term);
    i = end;
  }
  return terms;
}

/** scan reads the term at i and returns where it ends. Quotes keep blanks and operators together; one that is left open ends with the text. */
function scan(query: string, i: number): [Term | undefined, number] {
  let negated = false;
  if (query[i] === "-" && i + 1 < query.length && !/\s/.test(query[i + 1]!)) {
    negated = true;
    i++;
  }
  let text = "";
  let field = "";
  let op: Op | "" = "";
  let from = 0; // where the value begins in text
  for (let quotes = false; i < query.length; i++) {
    const c = query[i]!;
    if (c === '"') {
      quotes = !quotes;
      continue;
    }
    if (!quotes && /\s/.test(c)) break;
    text += c;
    if (!quotes && op === "" && text.length > 1 && /[:=<>]/.test(c)) {
      field = text.slice(0, -1).toLowerCase();
      op = c as Op;
      if ((c === ">" || c === "<") && query[i + 1] === "=") {
        op = `${c}=`;
        text += "=";
        i++;
      }
      from = text.length;
    }
  }
  const value = text.slice(from);
  return [text === "" ? undefined : { negated, field, op, value, text }, i];
}

/** quote makes value one word of a query. */
export function quote(value: string): string {
  return /^[^\s":<>=-][^\s":<>=]*$/.test(value) ? value : `"${value.replaceAll('"', "")}"`;
}

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** milliseconds reads "60" (seconds), "1m30s", "200ms"; NaN if it is no duration. */
export function milliseconds(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (!/^(\d+(\.\d+)?(ms|s|min|m|h|d))+$/.test(text)) return NaN;
  let sum = 0;
  for (const [, n, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|min|m|h|d)/g)) sum += Number(n) * units[unit!]!;
  return sum;
}

/** nearest returns the word that text most likely stands for, undefined if none is near. */
export function nearest(text: string, words: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(text.length / 3)) + 0.5;
  for (const word of words) {
    const d = distance(text, word.toLowerCase());
    if (d < least) [best, least] = [word, d];
  }
  return best;
}

/** distance counts the letters to insert, drop, replace or swap with a neighbour. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) next[j] = Math.min(next[j]!, before[j - 2]! + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}
