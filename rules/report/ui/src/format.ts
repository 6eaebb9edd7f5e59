// How numbers, durations and classes are written.

export function count(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
}

export function plural(n: number, word: string): string {
  return `${count(n)} ${word}${n === 1 ? "" : "s"}`;
}

/** number writes a value of a column: thousands are set apart, and not more digits than one can read. */
export function number(v: number): string {
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "" : String(v);
  if (Number.isInteger(v)) return Math.abs(v) < 1e15 ? (v < 0 ? "-" : "") + count(Math.abs(v)) : String(v);
  return String(Number(v.toPrecision(6)));
}

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 59.95) return `${s.toFixed(1)} s`;
  const minutes = Math.round(s) / 60;
  if (minutes < 60) return `${Math.floor(minutes)}m ${pad(Math.round(s) % 60)}s`;
  const total = Math.round(s / 60);
  return `${count(Math.floor(total / 60))}h ${pad(total % 60)}m`;
}

/** difference is a duration with its sign; nothing stands for no difference that counts. */
export function difference(ms: number): string {
  return ms === 0 ? "0" : (ms < 0 ? "−" : "+") + duration(Math.abs(ms));
}

function pad(n: number): string {
  return String(n).padStart(2, "0");
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** date is in UTC: a report is read by people in several places. */
export function date(unix: number): string {
  const d = new Date(unix);
  if (Number.isNaN(d.getTime())) return "";
  return `${d.getUTCDate()} ${months[d.getUTCMonth()]} ${d.getUTCFullYear()} ${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())} UTC`;
}

/** title is a class as a heading: "Same fail". */
export function title(word: string): string {
  const spaced = word.replaceAll("-", " ");
  return spaced === "oom" ? "Out of memory" : spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

/** phrase is a class inside of a sentence. */
export function phrase(word: string): string {
  return word === "oom" ? "out of memory" : word.replaceAll("-", " ");
}

/** tone is the colour of a class or an outcome. Words always stand beside it. */
export function tone(word: string): string {
  return tones.get(word) ?? "gray";
}

const tones = new Map([
  ...["regressed", "fail", "crash"].map((w) => [w, "red"] as const),
  ...["fixed"].map((w) => [w, "green"] as const),
  ...["changed", "timeout", "oom"].map((w) => [w, "amber"] as const),
  ...["inconclusive", "error", "invalid", "unavailable", "cancelled"].map((w) => [w, "violet"] as const),
  ...["new", "gone"].map((w) => [w, "blue"] as const),
]);

/** quiet classes need no look. */
export function quiet(word: string): boolean {
  return word === "same-pass" || word === "same-fail" || word === "pass" || word === "item" || word === "skipped";
}

/** quoted makes text one word of a shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
