import assert from "node:assert/strict";
import { test } from "node:test";
import { Dict, Lines, Pack } from "../src/pack";
import { encode } from "./encode";

const header = { title: "t", count: 3, compare: [], axes: [], columns: [], classes: ["fail", "pass"], outcomes: ["", "pass", "fail"], causes: [] };

function pack(sections: Parameters<typeof encode>[1], more: Record<string, unknown> = {}): Pack {
  return new Pack(encode({ ...header, ...more }, sections).buffer);
}

function found(column: { search(needle: string, out: Uint8Array): void }, needle: string, count: number): number[] {
  const out = new Uint8Array(count);
  column.search(needle, out);
  return [...out.keys()].filter((i) => out[i]);
}

test("sections of numbers of every width", () => {
  const p = pack({
    a: { form: "u8", values: [1, 255, 3] },
    b: { form: "u16", values: [1, 65535, 3] },
    c: { form: "u32", values: [1, 4294967295, 3] },
    d: { form: "f64", values: [1.5, NaN, -3] },
  });
  assert.deepEqual([...p.numbers("a")!], [1, 255, 3]);
  assert.deepEqual([...p.numbers("b")!], [1, 65535, 3]);
  assert.deepEqual([...p.numbers("c")!], [1, 4294967295, 3]);
  assert.deepEqual([...p.numbers("d")!], [1.5, NaN, -3]);
  assert.equal(p.numbers("e"), undefined);
  assert.equal(p.texts("e"), undefined);
});

test("texts, also empty and foreign ones, at both ends", () => {
  for (const values of [["", "grün — 東京", "😀"], ["a", "", ""], ["", "", "z"], ["\ufeffmark", "b", "c"]]) {
    const p = pack({ t: { form: "text", values }, d: { form: "dict", values } });
    for (const name of ["t", "d"]) assert.deepEqual(values.map((_, i) => p.texts(name)!.at(i)), values);
  }
});

test("no rows at all", () => {
  const p = pack({ key: { form: "text", values: [] }, d: { form: "dict", values: [] } }, { count: 0 });
  assert.deepEqual(found(p.texts("key")!, "a", 0), []);
  assert.deepEqual(found(p.texts("d")!, "a", 0), []);
  assert.equal((p.texts("key") as Lines).find("a"), -1);
});

test("a text is found in each row that has it, and in no other", () => {
  const values = ["alpha", "beta", "", "alphabet", "gamma alpha", "x"];
  const p = pack({ t: { form: "text", values }, d: { form: "dict", values: values } }, { count: values.length });
  for (const name of ["t", "d"]) {
    const c = p.texts(name)!;
    assert.deepEqual(found(c, "alpha", 6), [0, 3, 4]);
    assert.deepEqual(found(c, "a", 6), [0, 1, 3, 4]);
    assert.deepEqual(found(c, "x", 6), [5]);
    assert.deepEqual(found(c, "ab", 6), [3]);
    assert.deepEqual(found(c, "etaalpha", 6), []); // not across rows
    assert.deepEqual(found(c, "nothing", 6), []);
  }
});

test("letters that grow in lower case do not shift the rows after them", () => {
  const values = ["İİİ", "two", "İx", "four"];
  const lines = pack({ t: { form: "text", values } }, { count: 4 }).texts("t")!;
  assert.deepEqual(found(lines, "two", 4), [1]);
  assert.deepEqual(found(lines, "x", 4), [2]);
  assert.deepEqual(found(lines, "four", 4), [3]);
});

test("search agrees with includes on many random rows", () => {
  let seed = 1;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  const values = Array.from({ length: 2000 }, () => Array.from({ length: random(9) }, () => "abC"[random(3)]).join(""));
  const p = pack({ t: { form: "text", values }, d: { form: "dict", values } }, { count: values.length });
  for (const needle of ["a", "ab", "cc", "abcab", "bbbbb"]) {
    const want = [...values.keys()].filter((i) => values[i]!.toLowerCase().includes(needle));
    assert.deepEqual(found(p.texts("t")!, needle, values.length), want, needle);
    assert.deepEqual(found(p.texts("d")!, needle, values.length), want, needle);
  }
});

test("find wants the whole text", () => {
  const lines = pack({ t: { form: "text", values: ["ab", "a", "b"] } }).texts("t") as Lines;
  assert.deepEqual(["ab", "a", "b", "", "ab\na"].map((t) => lines.find(t)), [0, 1, 2, -1, -1]);
});

test("dictionaries of more than 256 words", () => {
  const values = Array.from({ length: 1000 }, (_, i) => `w${i % 700}`);
  const d = pack({ d: { form: "dict", values } }, { count: 1000 }).texts("d") as Dict;
  assert.equal(d.words.length, 700);
  assert.equal(d.at(999), "w299");
  assert.deepEqual(found(d, "w699", 1000), [699]);
});

test("other data is refused", () => {
  assert.throws(() => new Pack(new Uint8Array(4).buffer), /not the data/);
  assert.throws(() => new Pack(new TextEncoder().encode("<!doctype html>").buffer as ArrayBuffer), /not the data/);
  assert.throws(() => pack({}, { version: 2 }), /version 2/);
});
