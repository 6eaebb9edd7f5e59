// A page that is served while the build runs follows it.
import { signal } from "@preact/signals";
import { count, duration, plural } from "./format";
import type { Target } from "./pack";
import { base, forget, openPack } from "./packed";
import { live, pack, replace, type Running } from "./state";

const lost = signal(false);
let generation = -1;
let busy = false;

/** follow listens to the server's events; each that speaks of a newer state of the report fetches it. */
export function follow(): void {
  const events = new EventSource(base + "events");
  events.addEventListener("build", (e) => {
    lost.value = false;
    live.value = JSON.parse((e as MessageEvent<string>).data);
    void refresh(live.value!);
  });
  events.onerror = () => (lost.value = true); // the browser tries again by itself
}

async function refresh(now: Running): Promise<void> {
  if (busy || !now.report || now.report.generation === generation) return;
  busy = true;
  let done = false;
  try {
    const next = await openPack();
    generation = now.report.generation;
    forget();
    replace(next);
    done = true;
  } catch {
    // The next event tries again; what is shown stays.
  } finally {
    busy = false;
  }
  if (done) void refresh(live.value!); // what came meanwhile may have been the last event
}

export function Banner() {
  const b = live.value;
  if (base === undefined || (!b && !lost.value)) return null;
  const over = b !== undefined && b.outcome !== "running"; // then nobody misses the server
  const away = lost.value && !over;
  const running = !over && !away;
  return (
    <section class={running ? "banner" : "banner over"} aria-label="Build" data-test="banner">
      <p role="status">
        <b>{away ? "Not connected" : running ? "Running" : `Build ended: ${b!.outcome}`}</b>
        {b && (
          <>
            {b.args && <code>cbuild {b.args.join(" ")}</code>}
            <span>{counts(b)}</span>
            <span>{duration(b.took ?? 0)}</span>
            {pack.value && b.report && <span>{plural(b.report.rows, "row")} so far</span>}
          </>
        )}
        {away && <span>what is shown is the last known state; trying again</span>}
      </p>
      {running && <Instances build={b!} />}
    </section>
  );
}

function counts(b: Running): string {
  const sum = (of: (t: Target) => number) => (b.targets ?? []).reduce((n, t) => n + of(t), 0);
  const open = b.targets?.some((t) => t.open) ? "≥ " : "";
  return `${count(sum((t) => t.done))} of ${open}${count(sum((t) => t.total))} done, ${count(sum((t) => t.failed))} failed`;
}

const most = 6;

function Instances({ build: b }: { build: Running }) {
  const running = b.running ?? [];
  const waiting = b.waiting ?? [];
  if (running.length + waiting.length === 0) return null;
  return (
    <ul class="running">
      {running.slice(0, most).map((r) => (
        <li key={r.name}>
          <code>{r.name}</code> {duration(r.took)}
        </li>
      ))}
      {running.length > most && <li class="dim">and {count(running.length - most)} more</li>}
      {waiting.length > 0 && <li class="dim">waiting: {waiting.slice(0, most).join(", ")}</li>}
    </ul>
  );
}
