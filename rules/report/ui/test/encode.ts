// Writes the data of a page as the report's writer does, for tests.

export type Values =
  | { form: "u8" | "u16" | "u32" | "f64"; values: ArrayLike<number> }
  | { form: "text"; values: readonly string[] }
  | { form: "dict"; values: readonly string[] };

const arrays = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f64: Float64Array };

export function encode(header: Record<string, unknown>, sections: Record<string, Values>): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  const add = (bytes: Uint8Array): [number, number] => {
    const at: [number, number] = [size, bytes.length];
    const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8);
    padded.set(bytes);
    parts.push(padded);
    size += padded.length;
    return at;
  };
  const utf8 = (lines: readonly string[]) => new TextEncoder().encode(lines.join("\n"));
  const described: Record<string, any> = {};
  for (const [name, s] of Object.entries(sections)) {
    if (s.form === "text") {
      described[name] = { form: "text", at: add(utf8(s.values)) };
    } else if (s.form === "dict") {
      const words = [...new Set(s.values)];
      const index = new Map(words.map((w, i) => [w, i]));
      const codes = words.length < 256 ? "u8" : words.length < 65536 ? "u16" : "u32";
      const at = add(bytesOf(codes, s.values.map((v) => index.get(v)!)));
      described[name] = { form: "dict", codes, at, words: add(utf8(words)) };
    } else {
      described[name] = { form: s.form, at: add(bytesOf(s.form, s.values)) };
    }
  }
  let text = JSON.stringify({ version: 1, ...header, sections: described });
  while ((8 + new TextEncoder().encode(text).length) % 8 !== 0) text += " ";
  const head = new TextEncoder().encode(text);
  const out = new Uint8Array(8 + head.length + size);
  out.set(new TextEncoder().encode("cbp1"));
  new DataView(out.buffer).setUint32(4, head.length, true);
  out.set(head, 8);
  let at = 8 + head.length;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

function bytesOf(form: keyof typeof arrays, values: ArrayLike<number>): Uint8Array {
  const a = arrays[form].from(values);
  return new Uint8Array(a.buffer);
}
