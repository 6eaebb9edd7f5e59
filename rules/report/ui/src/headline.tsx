// The title, what was compared, and the classes with their counts, which add up to the rows.
import { count, date, duration, phrase, plural, quiet, title, tone } from "./format";
import type { Pack } from "./pack";
import { classes, clear, dialog, narrowed, pack, said, theme, toggleClass, view } from "./state";
import { copy, tableAsMarkdown } from "./markdown";
import { derive, outcomeOf } from "./rows";

export function Header() {
  const p = pack.value!;
  const { head } = p;
  return (
    <header class="top">
      <div class="what">
        <h1>{head.title}</h1>
        <p class="about" data-test="about">
          <Compared names={head.compare} />
          {about(p).map((part) => (
            <span key={part}>{part}</span>
          ))}
        </p>
      </div>
      <div class="actions">
        <button type="button" data-test="retry" onClick={() => (dialog.value = "retry")}>
          Retry list
        </button>
        <button type="button" data-test="copy" onClick={() => copy(tableAsMarkdown(p, view.value), "The rows as Markdown")}>
          Copy as Markdown
        </button>
        <ThemeToggle />
        <button type="button" class="square" aria-label="Help: filter language and keys" title="Help (?)" data-test="help" onClick={() => (dialog.value = "help")}>
          ?
        </button>
      </div>
    </header>
  );
}

function Compared({ names }: { names: string[] }) {
  if (names.length === 0) return null;
  return (
    <span class="compared">
      <b>{names[0]}</b>
      <span aria-label="compared with"> → </span>
      {names.slice(1).map((n, i) => (
        <span key={i}>
          {i > 0 && ", "}
          <b>{n}</b>
        </span>
      ))}
    </span>
  );
}

function about(p: Pack): string[] {
  const { build } = p.head;
  const parts = [plural(p.count, "row")];
  const [all, cached] = reuse(p);
  if (all > 0) parts.push(cached === 0 ? `${plural(all, "result")}, none cached` : cached === all ? `all ${plural(all, "result")} cached` : `${count(cached)} of ${plural(all, "result")} cached`);
  if (build) {
    parts.push(`took ${duration(build.took)} on ${plural(build.jobs, "job")}`);
    if (build.began > 0) parts.push(date(build.began));
  }
  return parts;
}

/** reuse counts the results of all sides, and those that were cached. */
function reuse(p: Pack): [number, number] {
  let [all, cached] = [0, 0];
  for (let s = 0; s < p.sides; s++) {
    const outcomes = p.numbers(`side.${s}.outcome`);
    const from = p.numbers(`side.${s}.cached`);
    for (let i = 0; i < p.count; i++) {
      if (outcomes?.[i]) all++;
      if (from?.[i]) cached++;
    }
  }
  return [all, cached];
}

function ThemeToggle() {
  const next = { "": "dark", dark: "light", light: "" } as const;
  const names = { "": "as the system", dark: "dark", light: "light" };
  const signs = { "": "◐", dark: "●", light: "○" };
  const text = `Colours: ${names[theme.value]}`;
  return (
    <button type="button" class="square" data-test="theme" data-theme-is={theme.value || "system"} aria-label={text} title={text} onClick={() => (theme.value = next[theme.value])}>
      {signs[theme.value]}
    </button>
  );
}

/** Warnings say what a reader must know before any number. */
export function Warnings() {
  const { incomplete, trouble } = pack.value!.head;
  if (!incomplete && !trouble) return null;
  return (
    <p class="warning" role="alert" data-test="incomplete">
      <b>Incomplete</b> {incomplete}
      {incomplete && trouble ? ". " : ""}
      {trouble}
    </p>
  );
}

export function Classes() {
  const p = pack.value!;
  const { summary } = p.head;
  const named = p.head.classes.filter((c) => c in summary);
  return (
    <section class="classes" aria-label="Rows by class">
      <Bar counts={named.map((c) => [c, summary[c]!])} total={p.count} />
      <div class={named.length > 8 ? "tiles many" : "tiles"}>
        {named.map((c) => (
          <Tile key={c} name={c} n={summary[c]!} note={explain(p, c)} />
        ))}
        <button type="button" class="tile all" data-test="class" data-class="all" aria-pressed={!narrowed.value} onClick={clear}>
          <span class="n">{count(p.count)}</span>
          <span class="word">All</span>
          {p.head.compare.length > 0 && <span class="note">each row once</span>}
        </button>
      </div>
    </section>
  );
}

function Tile({ name, n, note }: { name: string; n: number; note: string }) {
  return (
    <button type="button" class={`tile ${name} ${tone(name)} ${n === 0 ? "none" : ""} ${quiet(name) ? "quiet" : ""}`} data-test="class" data-class={name} aria-pressed={classes.value.includes(name)} title={note} onClick={() => toggleClass(name)}>
      <span class="n">{count(n)}</span>
      <span class="word">{title(name)}</span>
      {note && <span class="note">{note}</span>}
    </button>
  );
}

/** Bar shows shares; the tiles below it say the same in words. */
function Bar({ counts, total }: { counts: [string, number][]; total: number }) {
  return (
    <div class="bar" aria-hidden="true">
      {counts.map(([c, n]) => n > 0 && <i key={c} class={`${tone(c)} ${c}`} style={{ flexGrow: n / total }} />)}
    </div>
  );
}

/** explain says what a class means, in the fewest words. */
function explain(p: Pack, c: string): string {
  const [base, ...others] = p.head.compare;
  if (base === undefined) return "";
  const other = others.length === 1 ? others[0] : "others";
  switch (c) {
    case "regressed":
      return "pass → fail";
    case "fixed":
      return "fail → pass";
    case "changed":
      return "other output";
    case "same-pass":
      return "pass → pass";
    case "same-fail":
      return "fail → fail";
    case "new":
      return `only ${other}`;
    case "gone":
      return `only ${base}`;
    case "skipped":
      return "not run";
    case "inconclusive":
      return inconclusive(p);
  }
  return "";
}

/** inconclusive says what kept rows from being decided: "40 timeout, 3 out of memory". A row counts once, by its last such side. */
function inconclusive(p: Pack): string {
  const code = p.head.classes.indexOf("inconclusive");
  const of = p.numbers("class");
  if (!p.head.summary.inconclusive || !of) return "no limits, no trouble";
  const counts = new Map<string, number>();
  for (let i = 0; i < p.count; i++) {
    if (of[i] !== code) continue;
    let word = "";
    for (let s = p.sides - 1; s >= 0 && !word; s--) {
      const outcome = outcomeOf(p, i, s);
      if (outcome && outcome !== "pass" && outcome !== "fail" && outcome !== "crash") word = outcome;
    }
    word ||= "network";
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([w, n]) => `${count(n)} ${phrase(w)}`).join(", ");
}

/** Said shows for a moment what a button did. */
export function Said() {
  return (
    <div class={`said ${said.value ? "shown" : ""}`} role="status">
      {said.value}
    </div>
  );
}
