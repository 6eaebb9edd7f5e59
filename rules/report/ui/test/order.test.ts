import assert from "node:assert/strict";
import { test } from "node:test";
import { byNumber, byText } from "../src/order";
import { Dict, Lines } from "../src/pack";

let seed = 3;
const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;

/** expected sorts as anybody would: equal rows keep their order, NaN is last. */
function expected<T extends number | string>(values: ArrayLike<T>, down: boolean): number[] {
  const known = (v: T) => !(typeof v === "number" && Number.isNaN(v));
  return Array.from(values, (_, i) => i).sort((a, b) => {
    const [x, y] = [values[a]!, values[b]!];
    if (!known(x) || !known(y)) return Number(known(y)) - Number(known(x)) || a - b;
    return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1) || a - b;
  });
}

for (const down of [false, true]) {
  test(`numbers ${down ? "down" : "up"}`, () => {
    const lists = [
      [], [1], [3, 1, 2, 1, 3], [NaN, 1, NaN, -1], [0, -0.5, 0.5, -1e300, 1e300, 5e-324, -5e-324, Infinity, -Infinity],
      Array.from({ length: 3000 }, () => random(50) - 25), Array.from({ length: 3000 }, () => (random(1e9) - 5e8) / 7),
      Array.from({ length: 500 }, () => (random(4) ? random(1e6) : NaN)),
    ];
    for (const list of lists) assert.deepEqual([...byNumber(Float64Array.from(list), down)], expected(list, down));
    const words = Uint32Array.from({ length: 2000 }, () => random(2 ** 31 - 1) * 2);
    assert.deepEqual([...byNumber(words, down)], expected(words, down));
    const bytes = Uint8Array.from({ length: 2000 }, () => random(5));
    assert.deepEqual([...byNumber(bytes, down)], expected(bytes, down));
  });

  test(`texts ${down ? "down" : "up"}`, () => {
    const lists = [
      [], ["a"], ["b", "a", "c", "a"], ["a", "b", "c", "a", "b", "c", "aa"],
      Array.from({ length: 2000 }, () => String(random(300))),
      Array.from({ length: 3000 }, () => "github.com/" + Array.from({ length: random(9) }, () => "ab/é東😀"[random(6)]).join("")),
      Array.from({ length: 100 }, () => "same"), ["x".repeat(20_000) + "b", ...Array.from({ length: 40 }, (_, i) => "x".repeat(20_000 - (i % 3)))],
      [...Array.from({ length: 400 }, (_, i) => `k${i}`).sort(), ...Array.from({ length: 300 }, (_, i) => `k${i}`).sort()],
    ];
    for (const list of lists) {
      const want = expected(list, down);
      assert.deepEqual([...byText(new Lines(list.join("\n"), list.length), list.length, down)], want);
      const words = [...new Set(list)];
      const codes = Uint16Array.from(list, (t) => words.indexOf(t));
      assert.deepEqual([...byText(new Dict(codes, words), list.length, down)], want);
    }
  });
}
