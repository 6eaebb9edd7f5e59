// Texts to take along: rows as Markdown, lists of labels.
import type { Detail, Pack } from "./pack";
import { columnsOf } from "./columns";
import { count, duration, phrase, plural, quoted, title } from "./format";
import { causeOf, classOf, nameOf, sidesOf, type Side } from "./rows";
import { dialog, said } from "./state";

const most = 200;

/** escape keeps text text. Of what means something to Markdown, only what it could mean inside of a line. */
function escape(text: string): string {
  return text.replace(/[\\`*_{}[\]<>|~#&]/g, "\\$&").replace(/@(?=\w)/g, "@\u200b"); // nobody is called
}

/** html is for the elements that Markdown has no words for. */
function html(text: string): string {
  return text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** cut keeps a cell to what can be read in one. */
function cut(text: string): string {
  return text.length <= 160 ? text : text.slice(0, 159) + "…";
}

function fence(text: string, language = ""): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((t) => t.length));
  const mark = "`".repeat(longest + 1);
  return `${mark}${language}\n${text.replace(/\n$/, "")}\n${mark}\n`;
}

export function tableAsMarkdown(p: Pack, rows: Uint32Array): string {
  const { head } = p;
  const facts = [plural(p.count, "row"), ...head.classes.filter((c) => c in head.summary).map((c) => `**${count(head.summary[c]!)}** ${phrase(c)}`)];
  const columns = columnsOf(p);
  const line = (cells: string[]) => `| ${cells.join(" | ")} |\n`;
  let out = `### ${escape(head.title)}\n\n`;
  if (head.compare.length > 0) out += `${escape(head.compare[0]!)} → ${escape(head.compare.slice(1).join(", "))}: `;
  out += facts.join(" · ") + "\n\n";
  if (head.incomplete) out += `**Incomplete:** ${escape(head.incomplete)}\n\n`;
  out += line(columns.map((c) => escape(c.head))) + line(columns.map((c) => (c.style === "number" ? "--:" : "---")));
  for (const row of rows.subarray(0, most)) {
    out += line(columns.map((c) => {
      const { text, dim } = c.cell(row);
      return escape(cut(dim ? `${text} ${dim}` : text));
    }));
  }
  if (rows.length > most) out += `\n… and ${plural(rows.length - most, "more row")}.\n`;
  return out;
}

export function rowAsMarkdown(p: Pack, row: number, detail: Detail | undefined): string {
  const sides = sidesOf(p, row);
  const change = sides.map((s) => (s.name ? `${escape(s.name)}: ` : "") + (s.outcome ? phrase(s.outcome) : "not there") + (s.took ? ` (${duration(s.took)})` : "")).join(", ");
  let out = `### ${escape(nameOf(p, row))}\n\n**${title(classOf(p, row))}** ${change}\n\n`;
  const error = detail?.error || causeOf(p, row);
  if (error) out += fence(error) + "\n";
  const { deciding } = decided(sides, detail);
  if (deciding?.label) out += fence(`cbuild repro ${quoted(deciding.label)}`, "sh") + "\n";
  for (const [name, text] of detail?.diffs ?? []) out += `Difference of ${escape(name)}:\n\n${fence(text, "diff")}\n`;
  for (const [name, text, note] of detail?.sides[deciding?.index ?? 0]?.texts ?? []) {
    if (text) out += `<details><summary>${html(note ? `${name}, ${note}` : name)}</summary>\n\n${fence(text)}\n</details>\n\n`;
  }
  return out;
}

/** decided returns the side whose log and error matter: what the detail says, else the last one that exists. */
export function decided(sides: Side[], detail: Detail | undefined): { deciding: (Side & { index: number }) | undefined; rest: number[] } {
  let index = detail ? detail.side : sides.findLastIndex((s) => s.outcome !== "");
  if (!sides[index]) index = 0;
  const side = sides[index];
  return { deciding: side && { ...side, index }, rest: sides.map((_, i) => i).filter((i) => i !== index) };
}

/** retryList lists what may come out better when it is done once more: of the given rows, the instances that did not pass. */
export function retryList(p: Pack, rows: Uint32Array, all: boolean): string[] {
  const labels: string[] = [];
  const compared = p.head.compare.length > 0;
  for (const row of rows) {
    const c = classOf(p, row);
    if (compared && !all && c !== "regressed" && c !== "inconclusive") continue;
    for (const s of sidesOf(p, row)) {
      if (s.label && s.outcome && s.outcome !== "pass" && s.outcome !== "skipped") labels.push(s.label);
    }
  }
  return labels;
}

/** spare is the text that could not be copied, for the dialog that shows it. */
export let spare = { title: "", text: "" };

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    spare = { title: what, text };
    dialog.value = "text"; // no clipboard here: it is ready to be copied by hand
  }
}

let timer = 0;

export function say(text: string): void {
  said.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => (said.value = ""), 2000);
}

export function download(name: string, text: string): void {
  const a = document.createElement("a");
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
