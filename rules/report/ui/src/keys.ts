// The keyboard.
import { dialog, move, open, opened, picked, view } from "./state";

export const keys: [string, string][] = [
  ["/", "go to the filter"],
  ["j k ↓ ↑", "next and previous row"],
  ["PgDn PgUp", "20 rows on and back"],
  ["Enter", "open the row"],
  ["Esc", "close, then clear the filter box"],
  ["?", "this help"],
];

export function listenToKeys(): void {
  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || dialog.value) return;
    const target = e.target as HTMLElement;
    const writing = target.matches("input, textarea, select");
    if (e.key === "Escape") escape(target);
    else if (writing && e.key !== "ArrowDown" && e.key !== "Enter") return;
    else if (!act(e.key, target, writing)) return;
    e.preventDefault();
  });
}

function act(key: string, target: HTMLElement, writing: boolean): boolean {
  const elsewhere = target.closest("button, a, summary, pre, .detail, .scroll, .pipeline") !== null; // where these keys have a meaning of their own
  switch (key) {
    case "/":
      document.querySelector<HTMLInputElement>("[data-test=filter]")?.focus();
      document.querySelector<HTMLInputElement>("[data-test=filter]")?.select();
      return true;
    case "?":
      dialog.value = "help";
      return true;
    case "j":
      move(1);
      return true;
    case "k":
      move(-1);
      return true;
    case "Enter":
      if (elsewhere || view.value.length === 0) return false;
      open(picked.value >= 0 && view.value.includes(picked.value) ? picked.value : view.value[0]!);
      if (writing) focusTable();
      return true;
  }
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -Infinity, End: Infinity }[key];
  if (by === undefined || elsewhere) return false;
  if (writing) focusTable();
  move(by);
  return true;
}

function focusTable(): void {
  document.querySelector<HTMLElement>("[data-test=table]")?.focus({ preventScroll: true });
}

function escape(target: HTMLElement): void {
  if (opened.value) {
    opened.value = false;
    focusTable();
  } else if (target instanceof HTMLInputElement) {
    if (target.value) {
      target.value = "";
      target.dispatchEvent(new Event("input"));
    } else target.blur();
  }
}
