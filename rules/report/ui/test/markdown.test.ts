import assert from "node:assert/strict";
import { test } from "node:test";
import { quoted } from "../src/format";
import { retryList, rowAsMarkdown, tableAsMarkdown } from "../src/markdown";
import { identity } from "../src/order";
import { Pack } from "../src/pack";
import { encode } from "./encode";

const keys = ["plain", "a|b <i> [x](y) `c` *d*", "it's"];
const p = new Pack(
  encode(
    {
      title: "A <b>title</b>", count: 3, compare: ["before", "after"], classes: ["regressed", "inconclusive", "fixed"], outcomes: ["", "pass", "fail", "timeout", "skipped"],
      summary: { regressed: 1, inconclusive: 1, fixed: 1 }, causes: [{ text: "x".repeat(500), kind: "error", rows: 1 }],
    },
    {
      key: { form: "text", values: keys }, class: { form: "u8", values: [0, 1, 2] }, cause: { form: "u8", values: [1, 0, 0] },
      "side.0.outcome": { form: "u8", values: [1, 4, 2] }, "side.1.outcome": { form: "u8", values: [2, 3, 1] },
      "side.0.label": { form: "dict", values: ["//:try[\u0001][before]", "//:try[\u0001][before]", "//:try[\u0001][before]"] },
      "side.1.label": { form: "dict", values: ["//:try[\u0001][after]", "//:try[\u0001][after]", "//:try[\u0001][after]"] },
    },
  ).buffer,
);

test("a table has one line for each row, whatever is in it", () => {
  const text = tableAsMarkdown(p, identity(3));
  const lines = text.split("\n").filter((l) => l.startsWith("|"));
  assert.equal(lines.length, 5);
  const cells = (l: string) => l.replace(/\\\|/g, "").split("|").length;
  assert.deepEqual(new Set(lines.map(cells)).size, 1, text);
  assert.ok(!/[^\\]<(b|i)>/.test(text), text);
  assert.ok(lines.every((l) => l.length < 400), "long cells are cut");
});

test("a row's command and log stand in fences that they can't end", () => {
  const log = "a\n```\n````sh\nb";
  const text = rowAsMarkdown(p, 2, { side: 0, sides: [{ texts: [["log", log, "<cut>"]] }], error: "```" });
  assert.ok(text.includes("`````\n" + log + "\n`````"), text);
  assert.ok(text.includes("````\n```\n````"), text);
  assert.ok(text.includes("```sh\ncbuild repro '//:try[it'\\''s][before]'\n```"), text);
  assert.ok(text.includes("<summary>log, &#60;cut&#62;</summary>"), text);
});

test("the retry list has what did not pass, of regressed and inconclusive rows unless others are asked for", () => {
  assert.deepEqual(retryList(p, identity(3), false), ["//:try[plain][after]", `//:try[${keys[1]}][after]`]);
  assert.deepEqual(retryList(p, identity(3), true), ["//:try[plain][after]", `//:try[${keys[1]}][after]`, "//:try[it's][before]"]);
  assert.deepEqual(retryList(p, Uint32Array.of(2), true), ["//:try[it's][before]"]);
});

test("quoted is one word of a shell", () => {
  assert.equal(quoted("a'b $(c)"), "'a'\\''b $(c)'");
});
