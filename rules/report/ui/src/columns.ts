// The columns of the table, in their order: how each is shown and how it sorts.
import { difference, duration, number, phrase, title, tone } from "./format";
import { byNumber, byText } from "./order";
import type { Numbers, Pack } from "./pack";
import { causeOf, classOf, longest, maximum, outcomeOf, reused, slower, sideOf } from "./rows";

export interface Cell {
  text: string;
  tone?: string;
  dim?: string; // after the text, less visible
}

export interface Column {
  id: string; // in the hash; names of the report's own columns have a prefix
  head: string;
  style: "key" | "class" | "words" | "number" | "code";
  /** extra columns give way to an open detail. */
  extra?: boolean;
  cell(row: number): Cell;
  /** values are the cells that sort as numbers; section names those that sort as texts. */
  values?: () => Numbers | undefined;
  section?: string;
}

export function columnsOf(p: Pack): Column[] {
  return [...rowColumns(p), ...sideColumns(p), ...ownColumns(p), ...costColumns(p)];
}

function rowColumns(p: Pack): Column[] {
  const text = (section: string) => (row: number): Cell => ({ text: p.texts(section)?.at(row) ?? "" });
  const columns: Column[] = [
    { id: "key", head: "Name", style: "key", cell: text("key"), section: "key" },
    ...p.head.axes.map((name, a): Column => ({ id: `axis:${name}`, head: name, style: "words", cell: text(`axis.${a}`), section: `axis.${a}` })),
  ];
  if (p.sides === 0) return columns; // plain data has no outcome
  columns.push({
    id: "class", head: p.head.compare.length > 0 ? "Class" : "Outcome", style: "class", values: () => p.numbers("class"),
    cell(row) {
      const c = classOf(p, row);
      return { text: title(c), tone: tone(c) };
    },
  });
  return columns;
}

/** sideColumns are the outcomes of the compared keys. */
function sideColumns(p: Pack): Column[] {
  return p.head.compare.map((name, s) => ({
    id: `side:${name}`, head: name, style: "words", extra: s === 0, values: () => p.numbers(`side.${s}.outcome`),
    cell(row) {
      const outcome = outcomeOf(p, row, s);
      const exit = outcome === "fail" ? sideOf(p, row, s).exit : 0;
      return { text: outcome === "" ? "—" : phrase(outcome), tone: tone(outcome), dim: exit > 1 ? String(exit) : "" };
    },
  }));
}

/** ownColumns are those that the build file asks for. Columns of outcomes only are the same as the sides. */
function ownColumns(p: Pack): Column[] {
  const columns: Column[] = [];
  p.head.columns.forEach(({ name, kind }, i) => {
    if (kind === "outcome") return;
    const section = `column.${i}`;
    if (kind === "number") {
      const values = p.numbers(section);
      columns.push({ id: `column:${name}`, head: name, style: "number", extra: true, values: () => values, cell: (row) => ({ text: number(values?.[row] ?? NaN) }) });
    } else {
      columns.push({ id: `column:${name}`, head: name, style: kind === "artifact" ? "code" : "words", extra: true, section, cell: (row) => ({ text: artifact(p.texts(section)?.at(row) ?? "").name }) });
    }
  });
  if (p.head.grouped) {
    columns.push({ id: "group", head: "Group", style: "words", extra: true, section: "group", cell: (row) => ({ text: p.texts("group")?.at(row) ?? "" }) });
  }
  return columns;
}

/** artifact takes a cell apart: name, digest, and where it lies beside the page, "" if it does not. Other texts are names. */
export function artifact(text: string): { name: string; digest: string; link: string } {
  const [name = "", digest = "", link = ""] = text.split("\t");
  return { name, digest, link: link.startsWith("files/") ? link : "" }; // so it can't be another kind of address
}

/** costColumns say what a row cost, and the first line of what went wrong. */
function costColumns(p: Pack): Column[] {
  const columns: Column[] = [];
  const time = longest(p);
  const delta = slower(p);
  if (time) columns.push({ id: "time", head: "Time", style: "number", extra: true, values: () => time, cell: (row) => ({ text: time[row] ? duration(time[row]!) : "" }) });
  if (delta) columns.push({ id: "delta", head: "Δ time", style: "number", extra: true, values: () => delta, cell: (row) => ({ text: Number.isNaN(delta[row]) ? "" : difference(delta[row]!) }) });
  if (maximum(p, "cached")) {
    const words = ["", "in part", "cached"];
    columns.push({ id: "cached", head: "Cached", style: "words", extra: true, values: () => reused(p), cell: (row) => ({ text: words[reused(p)[row]!]!, tone: "gray" }) });
  }
  if (p.head.causes.length > 0) {
    columns.push({ id: "cause", head: "First error", style: "code", values: () => p.numbers("cause"), cell: (row) => ({ text: causeOf(p, row) }) });
  }
  return columns;
}

/** orderBy returns all rows in the order of a column. */
export function orderBy(p: Pack, column: Column, down: boolean): Uint32Array | undefined {
  const texts = column.section && p.texts(column.section);
  if (texts) return byText(texts, p.count, down);
  const values = column.values?.();
  if (!values) return undefined;
  // Rows without a cause come after those with one, in whatever direction.
  return byNumber(column.id === "cause" ? Float64Array.from(values, (v) => v || NaN) : values, down);
}
