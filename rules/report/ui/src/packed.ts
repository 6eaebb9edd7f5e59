// Where the page's data comes from: elements of the file itself, or the server of a live page.
import { Pack, type Detail } from "./pack";

declare global {
  interface Uint8ArrayConstructor {
    fromBase64?(text: string): Uint8Array<ArrayBuffer>;
  }
}

/** base of the server if the page is live, else undefined. */
export const base = document.body.dataset.live;

export async function openPack(): Promise<Pack> {
  if (base === undefined) return new Pack(await gunzip(embedded(document.getElementById("pack"))));
  const answer = await get("pack");
  const next = new Pack(await gunzip(await bytesOf(answer)));
  generation = answer.headers.get("Generation") ?? "";
  return next;
}

/** generation is of which state of a live page the pack is: details of another state would be those of other rows. */
let generation = "";

const opened = new Map<number, Promise<Detail[]>>(); // a few chunks, the last used one last
const kept = 6;

/** openDetail returns the detail with the given ordinal. */
export async function openDetail(pack: Pack, ordinal: number): Promise<Detail> {
  const { chunks } = pack.head;
  let n = chunks.length - 1;
  while (n > 0 && chunks[n]! > ordinal) n--;
  const chunk = opened.get(n) ?? openChunk(n);
  opened.delete(n);
  opened.set(n, chunk);
  if (opened.size > kept) opened.delete(opened.keys().next().value!);
  const details = await chunk.catch((e) => {
    opened.delete(n); // it may be there the next time
    throw e;
  });
  const detail = details[ordinal - chunks[n]!];
  if (!detail) throw new Error("The detail of this row is missing.");
  return detail;
}

/** forget drops what was opened of an older state of a live page. */
export function forget(): void {
  opened.clear();
}

async function openChunk(n: number): Promise<Detail[]> {
  const packed = base === undefined ? embedded(document.querySelectorAll("script.detail")[n]) : await bytesOf(await get(`detail/${n}?of=${generation}`));
  return JSON.parse(new TextDecoder().decode(await gunzip(packed)));
}

async function get(name: string): Promise<Response> {
  const answer = await fetch(base + name, { cache: "no-store" });
  if (!answer.ok) throw new Error(`The server answers ${answer.status}.`);
  return answer;
}

async function bytesOf(answer: Response): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await answer.arrayBuffer());
}

function embedded(e: Element | null | undefined): Uint8Array<ArrayBuffer> {
  if (!e) throw new Error("This file is not complete: a part of its data is missing.");
  const text = (e.textContent ?? "").trim();
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

async function gunzip(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer; // a server may have left it to the browser
  if (typeof DecompressionStream === "undefined") throw new Error("This browser is too old to open the report's data. results.csv has the same rows.");
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}
