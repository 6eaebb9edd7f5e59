// Deep links: the part of the address after # names what is shown, so that it can be sent to somebody.
import { batch, effect } from "@preact/signals";
import { nameOf, rowNamed } from "./rows";
import { cause, classes, opened, pack, picked, query, sort, theme } from "./state";

/** written is the state as text. */
function written(): string {
  const out = new URLSearchParams();
  if (query.value) out.set("q", query.value);
  if (classes.value.length > 0) out.set("class", classes.value.join(","));
  if (cause.value) out.set("cause", String(cause.value));
  if (sort.value.id) out.set("sort", (sort.value.down ? "-" : "") + sort.value.id);
  if (pack.value && picked.value >= 0 && opened.value) out.set("row", nameOf(pack.value, picked.value));
  if (theme.value) out.set("theme", theme.value);
  return out.toString();
}

function read(): void {
  const from = new URLSearchParams(location.hash.slice(1));
  const p = pack.peek();
  batch(() => {
    query.value = from.get("q") ?? "";
    classes.value = (from.get("class") ?? "").split(",").filter((c) => p?.head.classes.includes(c));
    const n = Number(from.get("cause"));
    cause.value = p && Number.isInteger(n) && n > 0 && n <= p.head.causes.length ? n : 0;
    const by = from.get("sort") ?? "";
    sort.value = { id: by.replace(/^-/, ""), down: by.startsWith("-") };
    const row = from.get("row");
    const index = p && row !== null ? rowNamed(p, row) : -1;
    if (index >= 0) picked.value = index;
    opened.value = index >= 0;
    const t = from.get("theme");
    theme.value = t === "light" || t === "dark" ? t : "";
  });
}

/** readTheme is for the time before there is a pack. */
export function readTheme(): void {
  const t = new URLSearchParams(location.hash.slice(1)).get("theme");
  if (t === "light" || t === "dark") theme.value = t;
}

/** followHash reads the address now and whenever it changes, and writes it whenever the state does. */
export function followHash(): void {
  read();
  let last = written();
  let pending = 0;
  let reading = false;
  const write = (push: boolean) => {
    const url = "#" + last;
    try {
      if (push) history.pushState(null, "", url);
      else history.replaceState(null, "", url);
    } catch {
      // Browsers bound how often that may be done; the address is right again after the next change.
    }
  };
  effect(() => {
    const now = written();
    if (now === last) return;
    const push = isStep(last, now);
    last = now;
    if (reading) return;
    clearTimeout(pending);
    if (push) write(true);
    else pending = setTimeout(write, 200, false);
  });
  const back = () => {
    if (location.hash.slice(1) === last) return;
    clearTimeout(pending);
    reading = true;
    read();
    reading = false;
  };
  addEventListener("popstate", back);
  addEventListener("hashchange", back);
}

/** isStep tells a change that one may want to go back from: not each letter of a query, and not each row on the way. */
function isStep(before: string, after: string): boolean {
  const [a, b] = [new URLSearchParams(before), new URLSearchParams(after)];
  return ["class", "cause", "sort"].some((k) => a.get(k) !== b.get(k)) || a.has("row") !== b.has("row");
}
