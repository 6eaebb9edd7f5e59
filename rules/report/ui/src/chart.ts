// What the charts share: their size, and colours as the canvas wants them.
import { computed, signal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import { theme } from "./state";

const system = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(system.matches);
system.addEventListener("change", () => (systemDark.value = system.matches));

/** dark tells which colours are shown. Charts read it to be drawn again. */
export const dark = computed(() => (theme.value === "" ? systemDark.value : theme.value === "dark"));

/** color resolves one of the page's colours as it is inside of an element. */
export function color(inside: Element, name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  inside.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** useSize follows the size of an element in CSS pixels; it is 0 × 0 until it is known. */
export function useSize(ref: RefObject<HTMLElement | null>): { width: number; height: number } {
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const e = ref.current;
    if (!e) return;
    const measure = () => setSize((old) => (old.width === e.clientWidth && old.height === e.clientHeight ? old : { width: e.clientWidth, height: e.clientHeight }));
    const watch = new ResizeObserver(measure);
    watch.observe(e);
    measure();
    return () => watch.disconnect();
  }, []);
  return size;
}
