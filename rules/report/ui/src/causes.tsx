// Root causes: first error lines without what differs from row to row, ranked. Limits and infrastructure stand apart: they say nothing of
// what was compared.
import { useSignal } from "@preact/signals";
import { count, plural } from "./format";
import type { CauseKind, Pack } from "./pack";
import { cause, loudClass, pack, shares, type Share } from "./state";

const page = 100;

export function Causes() {
  const p = pack.value!;
  const all = shares.value;
  const compared = p.head.compare.length > 0;
  return (
    <section class="panel causes" aria-label="Root causes">
      <h2>
        Root causes <small>{all.length === 0 ? "" : `${count(all.length)} distinct, by rows${compared ? " that regressed" : ""}`}</small>
      </h2>
      {all.length === 0 && <p class="empty">{p.head.causes.length === 0 ? "No row has an error." : "No row in view has an error."}</p>}
      <Group name="" kinds={["error"]} shares={all} />
      <Group name="Limits and infrastructure" kinds={["limit", "infrastructure"]} shares={all} />
    </section>
  );
}

interface GroupProps {
  name: string;
  kinds: CauseKind[];
  shares: Share[];
}

function Group({ name, kinds, shares }: GroupProps) {
  const p = pack.value!;
  const limit = useSignal(page);
  const of = shares.filter((s) => kinds.includes(p.head.causes[s.index]!.kind));
  if (of.length === 0) return null;
  const most = Math.max(...of.map((s) => s.all));
  return (
    <>
      {name && <h3>{name}</h3>}
      <div class={name ? "scroll apart" : "scroll"} tabIndex={0} role="group" aria-label={name || "Errors"}>
        <ul>
          {of.slice(0, limit.value).map((s) => (
            <Entry key={s.index} pack={p} share={s} most={most} />
          ))}
        </ul>
        {of.length > limit.value && (
          <button type="button" class="more" onClick={() => (limit.value += 10 * page)}>
            {plural(of.length - limit.value, "more cause")}
          </button>
        )}
      </div>
    </>
  );
}

/** Entry has a bar of all rows with the cause, of which the loud ones are in its colour. */
function Entry({ pack: p, share: s, most }: { pack: Pack; share: Share; most: number }) {
  const { text, kind } = p.head.causes[s.index]!;
  const on = cause.value === s.index + 1;
  const part = (n: number) => ({ width: `${(100 * n) / most}%` });
  return (
    <li>
      <button
        type="button" class={`cause ${kind === "error" ? "red" : "violet"}`} data-test="cause" data-cause={s.index + 1} aria-pressed={on}
        title={`${text}\n${plural(s.all, "row")}`} onClick={() => (cause.value = on ? 0 : s.index + 1)}
      >
        <i class="fill" aria-hidden="true" style={part(s.all)} />
        <i class="fill loud" aria-hidden="true" style={part(s.loud)} />
        <span class="text">{text}</span>
        {s.loud > 0 && s.loud < s.all && (
          <span class="loud">
            {count(s.loud)} {loudClass(kind)}
          </span>
        )}
        <span class="n" data-test="cause-rows">
          <b>{count(s.all)}</b> <small>{s.all === 1 ? "row" : "rows"}</small>
        </span>
      </button>
    </li>
  );
}
