// How long the rows in view took on each side.
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import { color, dark, useSize } from "./chart";
import { count, duration } from "./format";
import { edge, histogram, perDecade, type Histogram } from "./histogram";
import type { Pack } from "./pack";
import { pack, view } from "./state";

const colors = ["dim", "accent", "amber", "green", "violet", "red"];
const dashes = [[4, 3], [], [8, 3], [2, 2], [10, 3, 2, 3], [1, 3]];

export function Durations() {
  const p = pack.value!;
  const rows = view.value;
  const data = useMemo(() => histogram(p, rows), [p, rows]);
  const hovered = useSignal(-1);
  return (
    <section class="panel durations" aria-label="Durations">
      <h2>
        Durations <small data-test="durations">{data ? (hovered.value >= 0 ? reading(p, data, hovered.value) : <Legend pack={p} data={data} />) : ""}</small>
      </h2>
      {data ? <Plot data={data} onHover={(bin) => (hovered.value = bin)} label={summary(p, data)} /> : <p class="empty">{rows.length === 0 ? "No rows." : "No durations are known."}</p>}
    </section>
  );
}

/** sideNames are the compared keys; a report without a comparison has one side without a name. */
function sideNames(p: Pack): string[] {
  return p.head.compare.length > 0 ? p.head.compare : ["all"];
}

function Legend({ pack: p, data }: { pack: Pack; data: Histogram }) {
  return (
    <>
      {p.sides < 3 && "median "}
      {sideNames(p).map((name, s) => (
        <span key={s} class="key">
          <svg width="14" height="8" aria-hidden="true" class={lineColor(s, p)}>
            <line x1="0" y1="4" x2="14" y2="4" stroke="currentColor" stroke-width="2" stroke-dasharray={dash(s, p).join(" ")} />
          </svg>
          {p.sides > 1 && name}
          {p.sides < 3 && !Number.isNaN(data.medians[s]) && ` ${duration(data.medians[s]!)}`}
        </span>
      ))}
    </>
  );
}

function lineColor(side: number, p: Pack): string {
  return p.sides === 1 ? "accent" : colors[side % colors.length]!;
}

function dash(side: number, p: Pack): number[] {
  return p.sides === 1 ? [] : dashes[side % dashes.length]!;
}

function reading(p: Pack, data: Histogram, bin: number): string {
  return `${duration(edge(bin))} to ${duration(edge(bin + 1))}: ` + sideNames(p).map((name, s) => `${count(data.counts[s]![bin]!)} ${p.sides === 1 ? "rows" : name}`).join(", ");
}

function summary(p: Pack, data: Histogram): string {
  return "Histogram of durations. Medians: " + sideNames(p).map((name, s) => `${name} ${Number.isNaN(data.medians[s]) ? "none" : duration(data.medians[s]!)}`).join(", ");
}

function Plot({ data, onHover, label }: { data: Histogram; onHover: (bin: number) => void; label: string }) {
  const ref = useRef<HTMLDivElement>(null);
  const { width, height } = useSize(ref);
  const isDark = dark.value;
  const p = pack.value!;
  useEffect(() => {
    const e = ref.current;
    if (!e || width < 50 || height < 40) return;
    const plot = new uPlot(options(p, data, e, { width, height }, onHover), points(data), e);
    return () => plot.destroy();
  }, [data, width, height, isDark]);
  return <div class="plot" ref={ref} role="img" aria-label={label} />;
}

/** range shows at least two powers of ten, so that one bin does not fill the panel. */
function range(data: Histogram): [number, number] {
  let [low, high] = [data.first - 1, data.last + 2];
  const missing = Math.max(0, 2 * perDecade - (high - low));
  low = Math.max(0, low - Math.ceil(missing / 2));
  return [low, Math.max(high, low + 2 * perDecade)];
}

function points(data: Histogram): uPlot.AlignedData {
  const [low, high] = range(data);
  const xs = Array.from({ length: high - low + 1 }, (_, i) => low + i);
  return [xs, ...data.counts.map((c) => xs.map((x) => c[x] ?? 0))] as uPlot.AlignedData;
}

const ticks: [number, string][] = [[1, "1 ms"], [10, "10 ms"], [100, "0.1 s"], [1000, "1 s"], [10_000, "10 s"], [60_000, "1 min"], [600_000, "10 min"], [3_600_000, "1 h"], [36_000_000, "10 h"]];
const tickAt = new Map(ticks.map(([ms, text]) => [Math.log10(ms) * perDecade, text]));

interface Box {
  width: number;
  height: number;
}

function options(p: Pack, data: Histogram, e: HTMLElement, box: Box, onHover: (bin: number) => void): uPlot.Options {
  const [low, high] = range(data);
  const stepped = uPlot.paths.stepped!({ align: 1 });
  const axis = { stroke: color(e, "dim"), font: `11px ${getComputedStyle(e).fontFamily}`, grid: { stroke: color(e, "line"), width: 1 }, ticks: { show: false } };
  return {
    ...box,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { time: false, range: [low, high] }, y: { range: (_, __, max) => [0, Math.max(max * 1.05, 1)] } },
    axes: [
      { ...axis, size: 22, gap: 3, splits: () => [...tickAt.keys()].filter((x) => x >= low && x <= high - (high - low) / 20), values: (_, at) => at.map((x) => tickAt.get(x) ?? "") },
      { ...axis, size: 44, gap: 4, space: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6], values: (_, at) => at.map((v) => (v >= 1000 ? `${v / 1000}k` : String(v))) },
    ],
    series: [
      {},
      ...data.counts.map((_, s) => {
        const stroke = color(e, lineColor(s, p));
        const last = s === data.counts.length - 1;
        return { stroke, width: 1.5, dash: dash(s, p), paths: stepped, points: { show: false }, fill: last ? color(e, "fill") : undefined };
      }),
    ],
    hooks: {
      setCursor: [(u) => {
        const x = u.cursor.left! >= 0 ? Math.floor(u.posToVal(u.cursor.left!, "x")) : -1;
        onHover(x >= 0 && x < data.counts[0]!.length ? x : -1);
      }],
    },
  };
}
