// The filter box, what is wrong with what stands in it, and how much is left.
import { useEffect, useRef } from "preact/hooks";
import { count, phrase, plural } from "./format";
import { cause, classes, clear, filtered, narrowed, pack, query, shown, toggleClass, view } from "./state";

export function FilterBox() {
  const p = pack.value!;
  const input = useRef<HTMLInputElement>(null);
  const frame = useRef(0);
  const text = query.value;
  useEffect(() => {
    // The box is only written to if something else changed the query, so that the cursor stays where it is.
    if (input.current && input.current.value !== text) input.current.value = text;
  }, [text]);
  const { mistakes } = filtered.value;
  return (
    <div class="tools" role="search">
      <div class="box">
        <input
          ref={input} type="search" aria-label="Filter" aria-describedby="mistakes" placeholder={example(p.head.compare)} autocomplete="off" spellcheck={false} data-test="filter"
          onInput={() => {
            cancelAnimationFrame(frame.current); // one filter for all letters of a frame
            frame.current = requestAnimationFrame(() => (query.value = input.current!.value));
          }}
        />
        <kbd aria-hidden="true">/</kbd>
      </div>
      {cause.value > 0 && <Chip name="cause" text={p.head.causes[cause.value - 1]!.text} drop={() => (cause.value = 0)} />}
      {classes.value.map((c) => (
        <Chip key={c} name="class" text={phrase(c)} drop={() => toggleClass(c)} />
      ))}
      <output class="count" aria-live="polite" data-test="count">
        {narrowed.value ? `${count(view.value.length)} of ${plural(p.count, "row")}${breakdown()}` : plural(p.count, "row")}
      </output>
      {narrowed.value && (
        <button type="button" class="link" data-test="clear" onClick={clear}>
          Show all
        </button>
      )}
      <div class="mistakes" id="mistakes" role="status" data-test="mistakes">
        {mistakes.map((m, i) => (
          <p key={i}>{m}</p>
        ))}
      </div>
    </div>
  );
}

function example(compare: string[]): string {
  return compare.length > 0 ? `Filter: name  class:regressed  time>60  -${compare[0]}:timeout` : "Filter: name  outcome:fail  time>60  -error:timeout";
}

/** breakdown says of which classes the rows are, if that is not clear. */
function breakdown(): string {
  if (classes.value.length === 1 || shown.value.size === 0) return "";
  return ": " + [...shown.value].map(([c, n]) => `${count(n)} ${phrase(c)}`).join(", ");
}

function Chip({ name, text, drop }: { name: string; text: string; drop: () => void }) {
  return (
    <button type="button" class="chip" data-test="chip" title={`Drop ${name}: ${text}`} aria-label={`Drop the filter ${name}: ${text}`} onClick={drop}>
      <span class="dim">{name}</span> <span class="text">{text}</span> <span aria-hidden="true">✕</span>
    </button>
  );
}
