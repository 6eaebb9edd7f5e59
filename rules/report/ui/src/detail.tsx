// What is known of the picked row.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { artifact, columnsOf } from "./columns";
import { Diff } from "./diff";
import { count, duration, number, phrase, quoted, title, tone } from "./format";
import { copy, decided, rowAsMarkdown } from "./markdown";
import type { Detail, Pack, SideDetail } from "./pack";
import { base, openDetail } from "./packed";
import { axesOf, causeOf, classOf, keyOf, sidesOf, type Side } from "./rows";
import { cause, opened, pack, picked } from "./state";

/** Loaded is the detail of a row, or why there is none. */
interface Loaded {
  detail?: Detail | undefined;
  trouble?: string;
}

function useDetail(p: Pack, row: number): Loaded | undefined {
  const loaded = useSignal<{ row: number; pack: Pack; is: Loaded } | undefined>(undefined);
  useEffect(() => {
    const ordinal = p.numbers("detail")?.[row] ?? 0;
    const done = (is: Loaded) => {
      if (current) loaded.value = { row, pack: p, is };
    };
    let current = true;
    if (ordinal === 0) done({});
    else openDetail(p, ordinal - 1).then((detail) => done({ detail }), (e) => done({ trouble: String(e instanceof Error ? e.message : e) }));
    return () => {
      current = false;
    };
  }, [p, row]);
  const l = loaded.value;
  return l && l.row === row && l.pack === p ? l.is : undefined;
}

export function DetailPane() {
  const p = pack.value!;
  const row = picked.value;
  const loaded = useDetail(p, row);
  const pane = useRef<HTMLElement>(null);
  useEffect(() => {
    if (pane.current) pane.current.scrollTop = 0;
  }, [row]);
  useEffect(() => {
    // On a small screen the pane lies over the rest.
    if (matchMedia("(max-width: 1000px)").matches) pane.current?.focus();
  }, []);
  const detail = loaded?.detail;
  const sides = sidesOf(p, row);
  const { deciding, rest } = decided(sides, detail);
  const error = detail?.error || deciding?.why;
  return (
    <aside class="detail" ref={pane} tabIndex={0} aria-label={`Details of ${keyOf(p, row)}`} data-test="detail">
      <Top pack={p} row={row} sides={sides} detail={detail} />
      <Cause pack={p} row={row} error={error} />
      <Fields pack={p} row={row} problems={detail?.problems} />
      {deciding?.label && <Commands side={deciding} />}
      {!loaded && <p class="dim">Opening…</p>}
      {loaded?.trouble && <p class="warning">{loaded.trouble}</p>}
      {detail?.diffs?.map(([name, text, note], i) => (
        <Part key={i} name={`Difference of ${name}`} note={[between(p, detail), "normalized", note].filter(Boolean).join(", ")}>
          {text ? <Diff text={text} /> : <p class="dim">None.</p>}
        </Part>
      ))}
      {deciding && <SideParts side={deciding} is={detail?.sides[deciding.index]} compared={sides.length > 1} open />}
      {rest.filter((s) => sides[s]!.outcome).map((s) => (
        <SideParts key={s} side={sides[s]!} is={detail?.sides[s]} compared open={false} />
      ))}
      {loaded && !loaded.trouble && !detail && sides.length > 0 && <p class="dim">Nothing more is kept of rows that need no look. Their logs are in the store: see the command above.</p>}
    </aside>
  );
}

/** between names the sides that a difference is about: if the base decided, the other one is not told. */
function between(p: Pack, d: Detail): string {
  return d.side > 0 || p.head.compare.length === 2 ? `${p.head.compare[0]} → ${p.head.compare[Math.max(d.side, 1)]}` : "";
}

function Top({ pack: p, row, sides, detail }: { pack: Pack; row: number; sides: Side[]; detail: Detail | undefined }) {
  const c = classOf(p, row);
  return (
    <div class="title">
      <div class="buttons">
        <button type="button" data-test="copy-row" onClick={() => copy(rowAsMarkdown(p, row, detail), "The row as Markdown")}>
          Copy as Markdown
        </button>
        <button type="button" class="square" aria-label="Close" title="Close (Esc)" data-test="close" onClick={() => (opened.value = false)}>
          ✕
        </button>
      </div>
      <h2>
        {keyOf(p, row)} <small>{axesOf(p, row).join(" ")}</small>
      </h2>
      {sides.length > 0 && (
        <p class="verdict">
          <span class={`class ${tone(c)}`}>{title(c)}</span>
          {p.head.compare.length > 0 && <Outcomes sides={sides} many={sides.length > 2} />}
        </p>
      )}
    </div>
  );
}

function Outcomes({ sides, many }: { sides: Side[]; many: boolean }) {
  return (
    <span class={many ? "outcomes many" : "outcomes"}>
      {sides.map((s, i) => (
        <span key={i}>
          {i > 0 && !many && <span class="dim"> → </span>}
          <span class="dim">{s.name} </span>
          <span class={tone(s.outcome)}>{s.outcome ? phrase(s.outcome) : "not there"}</span>
          {many && <span class={`class ${tone(s.class)}`}>{s.class ? title(s.class) : ""}</span>}
        </span>
      ))}
    </span>
  );
}

function Cause({ pack: p, row, error }: { pack: Pack; row: number; error: string | undefined }) {
  const n = p.numbers("cause")?.[row] ?? 0;
  const text = causeOf(p, row);
  if (!error && !text) return null;
  const same = p.head.causes[n - 1]?.rows ?? 0;
  return (
    <div class="first">
      <code>{error || text}</code>
      {same > 1 && (
        <button type="button" class="link" data-test="same-cause" onClick={() => (cause.value = n)}>
          {count(same)} rows with the same cause
        </button>
      )}
    </div>
  );
}

/** Fields are the report's own columns. */
function Fields({ pack: p, row, problems }: { pack: Pack; row: number; problems: string[] | undefined }) {
  const columns = columnsOf(p).filter((c) => c.id.startsWith("column:") || c.id === "group");
  const wrong = p.head.columns.map((c, i) => [c.name, problems?.[i] ?? ""] as const).filter(([, why]) => why);
  if (columns.length + wrong.length === 0) return null;
  return (
    <dl>
      {columns.map((c) => (
        <div key={c.id}>
          <dt>{c.head}</dt>
          <dd class={c.style === "code" ? "code" : ""}>{c.style === "code" && c.section ? <Artifact text={p.texts(c.section)?.at(row) ?? ""} /> : c.cell(row).text || "—"}</dd>
        </div>
      ))}
      {wrong.map(([name, why]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class="violet">{why}</dd>
        </div>
      ))}
    </dl>
  );
}

/** plain are the names of files that a browser shows without running anything. Others are saved: a program has made them, and where the report is hosted it
 *  would else speak with the host's name. */
const plain = /\.(txt|log|csv|json|md|png|jpe?g|gif|webp)$/i;

function Artifact({ text }: { text: string }) {
  const { name, digest, link } = artifact(text);
  return (
    <>
      {link ? <a href={link} download={plain.test(name) ? undefined : name}>{name}</a> : name || "—"} <span class="dim">{digest}</span>
    </>
  );
}

function Commands({ side }: { side: Side }) {
  const label = quoted(side.label);
  return (
    <Part name="Reproduce" note={side.name}>
      <Command text={`cbuild repro ${label}`} />
      <Command text={`cbuild log ${label}`} />
    </Part>
  );
}

function Command({ text }: { text: string }) {
  return (
    <div class="command">
      <code>{text}</code>
      <button type="button" data-test="copy-command" aria-label={`Copy ${text}`} onClick={() => copy(text, "The command")}>
        Copy
      </button>
    </div>
  );
}

function Part({ name, note, children }: { name: string; note?: string | undefined; children: ComponentChildren }) {
  return (
    <section class="part">
      <h3>
        {name} {note && <small>{note}</small>}
      </h3>
      {children}
    </section>
  );
}

function SideParts({ side: s, is, compared, open }: { side: Side; is: SideDetail | undefined; compared: boolean; open: boolean }) {
  const used = [s.took ? duration(s.took) : "", s.cpu ? `${duration(s.cpu)} of processor` : "", s.memory ? `up to ${number(s.memory)} MiB` : "", ["", "cached", "cached remotely"][s.cached] ?? ""];
  return (
    <details class="side" open={open}>
      <summary>
        {compared && <b>{s.name} </b>}
        <span class={tone(s.outcome)}>{phrase(s.outcome)}</span>
        <span class="dim">{["", s.exit ? `exit code ${s.exit}` : "", ...used].filter(Boolean).map((t) => ` · ${t}`)}</span>
      </summary>
      {(is?.why || s.why) && <p class="why">{is?.why || s.why}</p>}
      {is?.texts?.map(([name, text, note], i) => (
        <Part key={i} name={name === "log" ? "Log tail" : name} note={note}>
          {name === "log" && base !== undefined && s.label && (
            <a href={`${base}log/${encodeURIComponent(s.label)}`} target="_blank" rel="noreferrer">
              Full log
            </a>
          )}
          {text ? <pre tabIndex={0}>{text}</pre> : <p class="dim">Empty.</p>}
        </Part>
      ))}
      {is?.inputs && is.inputs.length > 0 && (
        <Part name="Inputs">
          <pre class="inputs" tabIndex={0}>
            {is.inputs.join("\n")}
          </pre>
        </Part>
      )}
      {is?.key && <p class="dim code">key {is.key}</p>}
      {!open && s.label && <Command text={`cbuild log ${quoted(s.label)}`} />}
    </details>
  );
}
