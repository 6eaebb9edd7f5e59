// What ran when: a row for each lane, or how many lanes were busy where there are too many.
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { color, dark, useSize } from "./chart";
import { count, duration, phrase, plural } from "./format";
import type { Pack } from "./pack";
import { busy, kindOf, kinds, spanAt, spansOf, type Spans } from "./spans";
import { pack } from "./state";

const mostLanes = 24;
const axisHeight = 18;

export function Timeline() {
  const p = pack.value!;
  const spans = useMemo(() => spansOf(p), [p]);
  return (
    <section class="panel timeline" aria-label="Timeline">
      <h2>
        Timeline <small>{spans && <Legend pack={p} spans={spans} />}</small>
      </h2>
      {spans ? <Lanes pack={p} spans={spans} /> : <p class="empty">{p.sides > 0 ? "Nothing had to run: all results were there." : "Nothing ran for these rows."}</p>}
    </section>
  );
}

const words = { run: "pass", red: "fail", amber: "limit", violet: "error" };

/** Legend names the colours that there are. */
function Legend({ pack: p, spans }: { pack: Pack; spans: Spans }) {
  const outcomes = p.head.outcomes.filter((_, i) => spans.outcome.includes(i));
  return (
    <>
      {spans.lanes > mostLanes ? plural(spans.lanes, "lane") : plural(runs(spans), "run")}
      {kinds.map((k, i) => outcomes.some((o) => kindOf(o) === i) && (
        <span key={k} class={`key swatch ${k}`}>
          {words[k]}
        </span>
      )).reverse()}
    </>
  );
}

function runs(s: Spans): number {
  let sum = s.runs ? 0 : s.count;
  for (const n of s.runs ?? []) sum += n;
  return sum;
}

function facts(s: Spans): string {
  return `${plural(runs(s), "run")} on ${plural(s.lanes, "lane")}`;
}

function Lanes({ pack: p, spans }: { pack: Pack; spans: Spans }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height } = useSize(box);
  const hint = useSignal({ text: "", x: 0, y: 0 });
  const isDark = dark.value;
  useEffect(() => {
    if (canvas.current && width > 20 && height > 20) draw(canvas.current, p, spans, width, height);
  }, [spans, width, height, isDark]);
  const point = (e: MouseEvent) => {
    const at = canvas.current!.getBoundingClientRect();
    const [x, y] = [e.clientX - at.left, e.clientY - at.top];
    hint.value = { text: tell(p, spans, x / width, y, height - axisHeight), x, y };
  };
  const h = hint.value;
  return (
    <div class="lanes" ref={box} role="img" aria-label={`Timeline: ${facts(spans)} in ${duration(spans.end)}`} onMouseMove={point} onMouseLeave={() => (hint.value = { text: "", x: 0, y: 0 })}>
      <canvas ref={canvas} />
      {h.text && (
        <div class="hint" style={{ top: `${h.y + 14}px`, ...(h.x > width / 2 ? { right: `${width - h.x}px` } : { left: `${h.x}px` }) }}>
          {h.text}
        </div>
      )}
    </div>
  );
}

/** tell says what is under the mouse. */
function tell(p: Pack, s: Spans, part: number, y: number, height: number): string {
  const time = part * s.end;
  if (s.lanes > mostLanes || y < 0 || y >= height) return "";
  const i = spanAt(s, Math.floor((y / height) * s.lanes), time, s.end / 200);
  if (i < 0) return "";
  const name = p.head.build.targets[s.target?.[i] ?? -1]?.name ?? "";
  const runs = s.runs?.[i] ?? 1;
  const outcome = phrase(p.head.outcomes[s.outcome[i]!] ?? "");
  return `${name && name + ": "}${runs > 1 ? `${count(runs)} runs, worst ${outcome}` : outcome}, ${duration(s.took[i]!)} from ${duration(s.start[i]!)}`;
}

function draw(canvas: HTMLCanvasElement, p: Pack, s: Spans, width: number, height: number): void {
  const ratio = devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.scale(ratio, ratio);
  const inside = canvas.parentElement!;
  axis(pen, s.end, width, height, color(inside, "dim"), color(inside, "line"), getComputedStyle(inside).fontFamily);
  const rows = s.lanes <= mostLanes ? s.lanes : 1;
  const colors = kinds.map((k) => color(inside, `paint-${k}`));
  drawRows(pen, busy(s, p.head.outcomes, rows, width), { rows, width, height: height - axisHeight }, colors);
}

/** drawRows fills each pixel of a row up to the part of the time that was busy. What went wrong is never too thin to be seen. */
function drawRows(pen: CanvasRenderingContext2D, parts: Float32Array[], size: { rows: number; width: number; height: number }, colors: string[]): void {
  const step = size.height / size.rows;
  const gap = step > 4 && size.rows > 1 ? 2 : 0;
  const thick = size.rows === 1 ? step : Math.min(34, step - gap);
  for (let row = 0; row < size.rows; row++) {
    const bottom = row * step + (step + thick) / 2;
    for (let x = 0; x < size.width; x++) {
      let y = bottom;
      parts.forEach((part, kind) => {
        const share = part[row * size.width + x]!;
        if (share <= 0) return;
        const tall = Math.min(Math.max(share * thick, kinds[kind] === "run" ? 1 : 2), y - bottom + thick);
        pen.fillStyle = colors[kind]!;
        pen.fillRect(x, y - tall, 1, tall);
        y -= tall;
      });
    }
  }
}

const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4, 3e5, 6e5, 12e5, 18e5, 36e5, 72e5, 144e5, 288e5, 864e5, 1728e5, 6048e5];

function axis(pen: CanvasRenderingContext2D, end: number, width: number, height: number, text: string, line: string, font: string): void {
  const step = steps.find((s) => (s / end) * width > 70) ?? end;
  pen.font = `11px ${font}`;
  pen.textBaseline = "bottom";
  for (let t = 0; t <= end; t += step) {
    const x = Math.round((t / end) * width);
    pen.fillStyle = line;
    pen.fillRect(Math.min(x, width - 1), 0, 1, height - axisHeight + 3);
    pen.fillStyle = text;
    const label = t === 0 ? "0" : tick(t);
    const w = pen.measureText(label).width;
    if (x - w / 2 + w <= width || t === 0) pen.fillText(label, Math.max(0, x - w / 2), height);
  }
}

function tick(ms: number): string {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60_000) return `${ms / 1000} s`;
  if (ms < 3_600_000) return `${ms / 60_000} min`;
  return ms < 86_400_000 ? `${ms / 3_600_000} h` : `${ms / 86_400_000} d`;
}
