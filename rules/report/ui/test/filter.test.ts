import assert from "node:assert/strict";
import { test } from "node:test";
import { filter } from "../src/filter";
import { Pack } from "../src/pack";
import { milliseconds, nearest, parse, quote } from "../src/query";
import { encode } from "./encode";

// Six rows: what was compared is "before" and "after".
const p = new Pack(
  encode(
    {
      title: "t", count: 6, compare: ["before", "after"], axes: ["target"], grouped: true,
      columns: [{ name: "size", kind: "number" }, { name: "Licence", kind: "text" }],
      classes: ["regressed", "inconclusive", "fixed", "same-fail", "same-pass"],
      outcomes: ["", "pass", "fail", "timeout"],
      causes: [{ text: "error[E0308]: mismatched types", kind: "error", rows: 2 }, { text: "timed out", kind: "limit", rows: 1 }],
    },
    {
      key: { form: "text", values: ["serde-1.0", "Serde_json-1.0", "two words", "a:b", "rand", "-dash"] },
      class: { form: "u8", values: [0, 0, 1, 2, 3, 4] },
      cause: { form: "u8", values: [1, 0, 2, 0, 1, 0] },
      group: { form: "dict", values: ["web", "web", "cli", "cli", "", ""] },
      "axis.0": { form: "dict", values: ["x86", "arm", "x86", "x86", "arm", "x86"] },
      "column.0": { form: "f64", values: [10, 200, NaN, 0, -5, 100] },
      "column.1": { form: "dict", values: ["MIT", "MIT", "Apache-2.0", "", "BSD", "MIT"] },
      "side.0.outcome": { form: "u8", values: [1, 1, 3, 2, 2, 1] },
      "side.1.outcome": { form: "u8", values: [2, 2, 3, 1, 2, 1] },
      "side.1.class": { form: "u8", values: [0, 0, 1, 2, 3, 4] },
      "side.0.took": { form: "u32", values: [100, 61_000, 900_000, 5, 1, 0] },
      "side.1.took": { form: "u32", values: [250, 60_000, 900_000, 5, 90_000, 0] },
      "side.0.cached": { form: "u8", values: [1, 1, 0, 2, 0, 0] },
      "side.1.cached": { form: "u8", values: [1, 0, 0, 1, 0, 0] },
      "side.1.exit": { form: "u8", values: [101, 1, 0, 0, 1, 0] },
    },
  ).buffer,
);

function rows(query: string): number[] | string[] {
  const { rows, mistakes } = filter(p, query);
  if (mistakes.length > 0) return mistakes;
  return [0, 1, 2, 3, 4, 5].filter((i) => !rows || rows[i]);
}

const cases: [query: string, rows: number[]][] = [
  ["", [0, 1, 2, 3, 4, 5]],
  ["serde", [0, 1]],
  ["SERDE", [0, 1]],
  ["serde json", [1]],
  ["-serde", [2, 3, 4, 5]],
  ["serde -json", [0]],
  ['"two words"', [2]],
  ["two words", [2]],
  ['"wo w"', [2]],
  ['-"two words"', [0, 1, 3, 4, 5]],
  ['"-dash"', [5]],
  ["name:serde", [0, 1]],
  ["name:arm", [1, 4]],
  ["class:regressed", [0, 1]],
  ["class:regressed,fixed", [0, 1, 3]],
  ["class:same", [4, 5]],
  ["class:", [0, 1, 2, 3, 4, 5]],
  ["-class:same-pass", [0, 1, 2, 3, 4]],
  ["before:fail", [3, 4]],
  ["after:fail", [0, 1, 4]],
  ["-before:timeout", [0, 1, 3, 4, 5]],
  ["after:regressed", [0, 1]],
  ["outcome:timeout", [2]],
  ["outcome:fail", [0, 1, 3, 4]],
  ["error:e0308", [0, 4]],
  ['error:"timed out"', [2]],
  ["-error:e0308", [1, 2, 3, 5]],
  ["group:web", [0, 1]],
  ["target:arm", [1, 4]],
  ["TARGET:ARM", [1, 4]],
  ["licence:mit", [0, 1, 5]],
  ["size>10", [1, 5]],
  ["size>=10", [0, 1, 5]],
  ["size<0", [4]],
  ["size:100", [5]],
  ["size=0", [3]],
  ["-size>10", [0, 2, 3, 4]],
  ["time>60", [1, 2, 4]],
  ["time>1m", [1, 2, 4]],
  ["time<200ms", [3, 5]],
  ["time>1m30s", [2]],
  ["time>=90", [2, 4]],
  ["delta>60", [4]],
  ["delta<-500ms", [1]],
  ["exit:101", [0]],
  ["exit>0", [0, 1, 4]],
  ["cached:yes", [0, 3]],
  ["cached:no", [1, 2, 4, 5]],
  ["cached:local", [0, 1, 3]],
  ["cached:remote", [3]],
  ["serde class:regressed time<1", [0]],
  ["-", []],
];

for (const [query, want] of cases) {
  test(`filter ${query || "nothing"}`, () => {
    if (query === "-") assert.deepEqual(rows("-"), [0, 1, 5]); // a word: names with a dash
    else assert.deepEqual(rows(query), want);
  });
}

test("an unknown field is looked for in the names, and told", () => {
  const { rows, mistakes } = filter(p, "a:b");
  assert.deepEqual([...rows!], [0, 0, 0, 1, 0, 0]);
  assert.match(mistakes[0]!, /no field “a”/);
  assert.match(filter(p, "clas:regressed").mistakes[0]!, /Did you mean “class”\?/);
  assert.match(filter(p, "befroe:fail").mistakes[0]!, /Did you mean “before”\?/);
});

test("a wrong value is told, and does not hide everything", () => {
  for (const [query, told] of [
    ["class:regresed", /Did you mean “regressed”\?/],
    ["before:crahs", /no outcome of before/],
    ["time>soon", /can't be compared/],
    ["size>big", /size>100/],
    ["class>3", /is for numbers/],
    ["cached:maybe", /cached:yes/],
  ] as [string, RegExp][]) {
    const { rows, mistakes } = filter(p, query);
    assert.equal(rows, undefined, query);
    assert.match(mistakes[0]!, told);
  }
});

test("terms are read as they are written", () => {
  assert.deepEqual(parse(' a  -b:"c d" e>=1 "x:y" -'), [
    { negated: false, field: "", op: "", value: "a", text: "a" },
    { negated: true, field: "b", op: ":", value: "c d", text: "b:c d" },
    { negated: false, field: "e", op: ">=", value: "1", text: "e>=1" },
    { negated: false, field: "", op: "", value: "x:y", text: "x:y" },
    { negated: false, field: "", op: "", value: "-", text: "-" },
  ]);
  assert.deepEqual(parse('"my size">3')[0], { negated: false, field: "my size", op: ">", value: "3", text: "my size>3" });
  for (const word of [":x", ">5", "="]) assert.deepEqual(parse(word)[0], { negated: false, field: "", op: "", value: word, text: word });
  assert.deepEqual(parse('open:"still going')[0]!.value, "still going");
});

test("quote makes one word", () => {
  for (const text of ["plain", "two words", "-minus", "a:b", "x>y"]) {
    const [term, ...rest] = parse(`${quote(text)}:z`);
    assert.deepEqual([term!.field, term!.value, rest.length], [text.toLowerCase(), "z", 0], text);
  }
});

test("durations", () => {
  assert.deepEqual(["60", "1.5", "200ms", "1m", "1m30s", "2h", "1d"].map(milliseconds), [60_000, 1500, 200, 60_000, 90_000, 7_200_000, 86_400_000]);
  for (const bad of ["", "x", "1x", "-5", "1m-"]) assert.ok(Number.isNaN(milliseconds(bad)), bad);
});

test("nearest forgives a slip, not a different word", () => {
  assert.equal(nearest("calss", ["class", "cause"]), "class");
  assert.equal(nearest("zebra", ["class", "cause"]), undefined);
});
