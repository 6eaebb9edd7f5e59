// What the page shows, and what follows from it.
import { batch, computed, signal } from "@preact/signals";
import { columnsOf, orderBy } from "./columns";
import { filter } from "./filter";
import { identity } from "./order";
import type { Build, CauseKind, Pack } from "./pack";
import { nameOf, rowNamed } from "./rows";

export interface Sort {
  id: string; // "" is the report's own order
  down: boolean;
}

export const pack = signal<Pack | undefined>(undefined);
/** trouble says why there is no pack. */
export const trouble = signal("");
export const query = signal("");
export const classes = signal<readonly string[]>([]);
/** cause is one more than its index, 0 for all rows. */
export const cause = signal(0);
export const sort = signal<Sort>({ id: "", down: false });
/** picked is a row or -1; its detail is shown if opened. */
export const picked = signal(-1);
export const opened = signal(false);
export const theme = signal<"" | "light" | "dark">("");
/** dialog is the one that is open. */
export const dialog = signal<"" | "help" | "retry" | "text">("");
/** said is read out and shown for a moment. */
export const said = signal("");

/** Running is what the server of a live page tells of the build. */
export interface Running {
  args?: string[];
  outcome?: string;
  took?: number;
  targets?: Build["targets"];
  running?: { name: string; took: number }[] | null;
  waiting?: string[] | null;
  report?: { rows: number; generation: number };
}

export const live = signal<Running | undefined>(undefined);

export const columns = computed(() => (pack.value ? columnsOf(pack.value) : []));

/** filtered is what the query alone matches. */
export const filtered = computed(() => (pack.value ? filter(pack.value, query.value) : { rows: undefined, mistakes: [] }));

/** chosen says of each code of a class whether its rows are shown. */
const chosen = computed(() => {
  const all = pack.value?.head.classes ?? [];
  return Uint8Array.from(all, (c) => (classes.value.length === 0 || classes.value.includes(c) ? 1 : 0));
});

const order = computed(() => {
  const p = pack.value;
  if (!p) return new Uint32Array(0);
  const column = columns.value.find((c) => c.id === sort.value.id);
  return (column && orderBy(p, column, sort.value.down)) || identity(p.count);
});

/** view lists the rows that are shown. */
export const view = computed(() => {
  const p = pack.value;
  const { rows } = filtered.value;
  const codes = p?.numbers("class");
  if (!p || (!rows && classes.value.length === 0 && !cause.value)) return order.value;
  const causes = cause.value ? p.numbers("cause") : undefined;
  const out = new Uint32Array(p.count);
  let n = 0;
  for (const row of order.value) {
    if (rows && !rows[row]) continue;
    if (codes && !chosen.value[codes[row]!]) continue;
    if (causes && causes[row] !== cause.value) continue;
    out[n++] = row;
  }
  return out.subarray(0, n);
});

/** shown counts the rows of the view by class. */
export const shown = computed(() => {
  const p = pack.value;
  const counts = new Map<string, number>();
  const codes = p?.numbers("class");
  if (!p || !codes) return counts;
  const by = new Uint32Array(256);
  for (const row of view.value) by[codes[row]!]!++;
  p.head.classes.forEach((c, i) => by[i] && counts.set(c, by[i]!));
  return counts;
});

/** Share counts the rows of a cause: all, and those of the class that makes it worth a look. */
export interface Share {
  index: number;
  /** loud are the regressed rows of an error, and the inconclusive ones of everything else. Without a comparison they are all. */
  loud: number;
  all: number;
}

export function loudClass(kind: CauseKind): string {
  return kind === "error" ? "regressed" : "inconclusive";
}

/** shares ranks the causes of the rows that query and classes leave. */
export const shares = computed<Share[]>(() => {
  const p = pack.value;
  const codes = p?.numbers("cause");
  const of = p?.numbers("class");
  if (!p || !codes || !of) return [];
  const compared = p.head.compare.length > 0;
  const loud = [0, ...p.head.causes.map((c) => (compared ? p.head.classes.indexOf(loudClass(c.kind)) : -1))];
  const all = new Uint32Array(loud.length);
  const counted = new Uint32Array(loud.length);
  const { rows } = filtered.value;
  for (let i = 0; i < codes.length; i++) {
    const c = codes[i]!;
    if (c === 0 || (rows && !rows[i]) || !chosen.value[of[i]!]) continue;
    all[c]!++;
    if (of[i] === loud[c] || !compared) counted[c]!++;
  }
  return p.head.causes
    .map((_, i) => ({ index: i, loud: counted[i + 1]!, all: all[i + 1]! }))
    .filter((s) => s.all > 0)
    .sort((a, b) => b.loud - a.loud || b.all - a.all || a.index - b.index);
});

export const narrowed = computed(() => query.value.trim() !== "" || classes.value.length > 0 || cause.value > 0);

export function toggleClass(c: string): void {
  classes.value = classes.value.includes(c) ? classes.value.filter((x) => x !== c) : [...classes.value, c];
}

export function clear(): void {
  batch(() => {
    query.value = "";
    classes.value = [];
    cause.value = 0;
  });
}

/** sortBy goes from ascending to descending to the report's own order; numbers begin with the largest. */
export function sortBy(id: string, down: boolean): void {
  const now = sort.value;
  if (now.id !== id) sort.value = { id, down };
  else if (now.down === down) sort.value = { id, down: !down };
  else sort.value = { id: "", down: false };
}

export function open(row: number): void {
  batch(() => {
    picked.value = row;
    opened.value = row >= 0;
  });
}

/** move picks the row that is so many further down in the view. */
export function move(by: number): void {
  const rows = view.value;
  if (rows.length === 0) return;
  const at = rows.indexOf(picked.value);
  const to = at < 0 && Number.isFinite(by) ? (by > 0 ? 0 : rows.length - 1) : at + by;
  picked.value = rows[Math.max(0, Math.min(rows.length - 1, to))]!;
}

/** replace shows a newer state of the report; what was picked is the row of the same name. */
export function replace(next: Pack): void {
  batch(() => {
    const old = pack.value;
    if (old && picked.value >= 0) {
      picked.value = rowNamed(next, nameOf(old, picked.value));
      if (picked.value < 0) opened.value = false;
    }
    const text = old?.head.causes[cause.value - 1]?.text;
    if (text !== undefined) cause.value = next.head.causes.findIndex((c) => c.text === text) + 1;
    pack.value = next;
  });
}
