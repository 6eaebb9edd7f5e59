import assert from "node:assert/strict";
import { test } from "node:test";
import { edge, histogram } from "../src/histogram";
import { identity } from "../src/order";
import { Pack } from "../src/pack";
import { busy, kinds, spanAt, spansOf } from "../src/spans";
import { encode } from "./encode";

let seed = 5;
const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
const outcomes = ["", "pass", "fail", "timeout", "error"];

test("histogram: every known time is in the bin that holds it, and medians are those of sorting", () => {
  const n = 3001;
  const sides = [0, 1].map((s) => Array.from({ length: n }, () => (random(5) === 0 ? 0 : Math.floor(1.01 ** random(1500 + 100 * s)))));
  const p = new Pack(
    encode({ title: "t", count: n, compare: ["a", "b"], outcomes, classes: [], causes: [] }, {
      "side.0.outcome": { form: "u8", values: sides[0]!.map((ms) => (ms ? 1 : 0)) }, "side.0.took": { form: "u32", values: sides[0]! },
      "side.1.outcome": { form: "u8", values: sides[1]!.map((ms) => (ms ? 1 : 0)) }, "side.1.took": { form: "u32", values: sides[1]! },
    }).buffer,
  );
  const odd = identity(n).filter((i) => i % 2 === 1);
  for (const rows of [identity(n), odd, odd.subarray(0, 1)]) {
    const h = histogram(p, rows)!;
    sides.forEach((took, s) => {
      const known = Array.from(rows, (r) => took[r]!).filter((ms) => ms > 0).sort((a, b) => a - b);
      assert.equal(h.counts[s]!.reduce((a, b) => a + b, 0), known.length);
      h.counts[s]!.forEach((count, bin) => {
        const last = bin === h.counts[s]!.length - 1;
        assert.equal(count, known.filter((ms) => ms >= edge(bin) - 1e-6 && (last || ms < edge(bin + 1) - 1e-6)).length, `bin ${bin}`);
      });
      assert.equal(h.medians[s], known.length ? known[known.length >> 1] : NaN);
    });
  }
  assert.equal(histogram(p, identity(n).subarray(0, 0)), undefined);
});

function timeline(spans: [lane: number, start: number, took: number, outcome: number][], lanes: number) {
  const column = (i: number) => spans.map((s) => s[i]!);
  const p = new Pack(
    encode({ title: "t", count: 0, outcomes, classes: [], causes: [], build: { lanes, targets: [] } }, {
      "span.lane": { form: "u16", values: column(0) }, "span.start": { form: "u32", values: column(1) },
      "span.took": { form: "u32", values: column(2) }, "span.outcome": { form: "u8", values: column(3) },
    }).buffer,
  );
  return spansOf(p);
}

test("timeline: no spans, nothing to draw", () => assert.equal(timeline([], 2), undefined));

test("timeline: pixels add up to the time that was busy", () => {
  const spans: [number, number, number, number][] = [];
  for (let lane = 0; lane < 3; lane++) for (let at = 0; at < 10_000; at += 60) spans.push([lane, at, 1 + random(50), 1 + random(4)]);
  const s = timeline(spans, 3)!;
  const width = 100; // a pixel is about 100 ms: every span is shorter
  for (const rows of [3, 1]) {
    const parts = busy(s, outcomes, rows, width);
    const sum = parts.flatMap((p) => [...p]).reduce((a, b) => a + b, 0);
    const want = ((spans.reduce((a, [, , took]) => a + took, 0) / s.end) * width * rows) / 3;
    assert.ok(Math.abs(sum - want) < 0.01 * want, `${rows} rows: ${sum}, want ${want}`);
    const failed = parts[kinds.indexOf("red")]!.reduce((a, b) => a + b, 0);
    const wantFailed = ((spans.filter((x) => x[3] === 2).reduce((a, [, , took]) => a + took, 0) / s.end) * width * rows) / 3;
    assert.ok(Math.abs(failed - wantFailed) < 0.01 * want);
  }
});

test("timeline: what is under the mouse is the nearest span of the lane", () => {
  const s = timeline([[0, 0, 10, 1], [0, 100, 50, 2], [1, 0, 500, 1]], 2)!;
  assert.equal(spanAt(s, 0, 120, 5), 1);
  assert.equal(spanAt(s, 0, 12, 5), 0);
  assert.equal(spanAt(s, 0, 97, 5), 1);
  assert.equal(spanAt(s, 0, 50, 5), -1);
  assert.equal(spanAt(s, 1, 50, 5), 2);
});
