// The targets in the order of the pipeline: how many results each has, how many of them were there already, and what they took.
import { Fragment } from "preact";
import { count, duration } from "./format";
import type { Target } from "./pack";
import { live, pack } from "./state";

export function Pipeline() {
  const targets = live.value?.targets ?? pack.value?.head.build?.targets ?? [];
  if (targets.length === 0) return null;
  return (
    <ol class="pipeline" aria-label="Pipeline" tabIndex={0}>
      {targets.map((t, i) => (
        <Fragment key={t.label}>
          <li class="step" title={t.label} data-test="target" data-name={t.name}>
            <div class="name">
              <b>{t.name}</b> <span class="rule">{t.rule}</span>
            </div>
            <div class="facts">
              <span>{progress(t)}</span>
              {t.cached > 0 && <span>{t.cached === Math.max(t.done, results(t)) && t.total === t.done ? "cached" : `${count(t.cached)} cached`}</span>}
              {t.took > 0 && <span>{duration(t.took)}</span>}
              {t.failed > 0 && <span class="red">{count(t.failed)} failed</span>}
            </div>
            <Share target={t} />
          </li>
          {i + 1 < targets.length && (
            <li class="arrow" aria-hidden="true">
              →
            </li>
          )}
        </Fragment>
      ))}
    </ol>
  );
}

/** results are the instances of a target's rows. */
function results(t: Target): number {
  return Object.values(t.counts).reduce((a, b) => a + b, 0);
}

function progress(t: Target): string {
  if (t.done === t.total && !t.open) return count(Math.max(t.done, results(t)));
  return `${count(t.done)} of ${t.open ? "≥ " : ""}${count(t.total)}`;
}

/** Share is a line under a step: how much is done, and how much of that failed. */
function Share({ target: t }: { target: Target }) {
  const done = t.total > 0 ? (100 * t.done) / t.total : 0;
  const failed = (done * t.failed) / Math.max(1, results(t));
  return (
    <div class="share" aria-hidden="true">
      <i class="red" style={{ width: `${failed}%` }} />
      <i class="done" style={{ width: `${done - failed}%` }} />
    </div>
  );
}
