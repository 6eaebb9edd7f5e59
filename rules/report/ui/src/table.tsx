// The table holds only the rows that are on the screen, whatever their number.
import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { useSize } from "./chart";
import type { Column } from "./columns";
import type { Pack } from "./pack";
import { nameOf } from "./rows";
import { clear, columns, narrowed, open, opened, pack, picked, sort, sortBy, view } from "./state";

export const rowHeight = 28;
const headHeight = 32;
const tallest = 12_000_000; // browsers end elements at some height, Firefox at 17.9 million pixels

export function Table() {
  const p = pack.value!;
  const rows = view.value;
  const grid = useRef<HTMLDivElement>(null);
  const size = useSize(grid);
  const top = useSignal(0);
  const all = columns.value;
  const shown = useMemo(() => fitting(all, size.width, opened.value), [all, size.width, opened.value]);
  const tracks = useMemo(() => widths(p, shown), [p, shown]);
  const window = new Window(rows.length, Math.max(0, size.height - headHeight));

  useEffect(() => {
    // Another filter or order begins at the top; a newer state of the same rows does not.
    if (grid.current && lastPack.current === p) grid.current.scrollTop = 0;
    lastPack.current = p;
  }, [rows]);
  const lastPack = useRef(p);

  useLayoutEffect(() => {
    const at = picked.value < 0 ? -1 : rows.indexOf(picked.value);
    if (grid.current && at >= 0) grid.current.scrollTop = window.reach(at, grid.current.scrollTop);
  }, [picked.value, size.height > 0, opened.value]);

  const first = window.first(top.value);
  const visible = Array.from(rows.subarray(first, first + window.rows));
  return (
    <div
      class="grid" ref={grid} role="grid" tabIndex={0} aria-label="Rows" aria-rowcount={rows.length + 1} aria-colcount={shown.length} data-test="table"
      aria-activedescendant={visible.includes(picked.value) ? `row-${picked.value}` : undefined}
      style={{ "--tracks": tracks.template, "--least": `${tracks.least}px` }}
      onScroll={(e) => (top.value = e.currentTarget.scrollTop)}
    >
      <Head columns={shown} />
      <div class="space" role="presentation" style={{ height: `${window.height}px` }}>
        <div class="window" role="rowgroup" style={{ height: `${Math.min(window.view, window.height)}px` }}>
          {visible.map((row, i) => (
            <Row key={i} pack={p} row={row} at={first + i} y={i * rowHeight - window.cut(top.value)} columns={shown} />
          ))}
        </div>
      </div>
      {rows.length === 0 && (
        <div class="empty" role="row">
          <div role="gridcell">
            No rows{" "}
            {narrowed.value && (
              <button type="button" onClick={clear}>
                Show all
              </button>
            )}
          </div>
        </div>
      )}
    </div>
  );
}

/** A Window says which rows stand where. Beyond the tallest element the way of the scroll bar is scaled, so that the last row can be reached. */
class Window {
  readonly height: number;
  readonly rows: number;
  private readonly full: number;

  constructor(
    count: number,
    readonly view: number,
  ) {
    this.full = count * rowHeight;
    this.height = Math.min(this.full, tallest);
    this.rows = Math.ceil(view / rowHeight) + 1;
  }

  private offset(top: number): number {
    if (this.full === this.height) return top;
    return (top / (this.height - this.view)) * (this.full - this.view);
  }

  first(top: number): number {
    return Math.max(0, Math.floor(this.offset(top) / rowHeight));
  }

  /** cut is how much of the first row is above the window. */
  cut(top: number): number {
    return Math.max(0, this.offset(top)) - this.first(top) * rowHeight;
  }

  /** reach returns where to scroll to from top so that a row is seen. */
  reach(at: number, top: number): number {
    const offset = this.offset(top);
    let to = offset;
    if (at * rowHeight < offset) to = at * rowHeight;
    else if ((at + 1) * rowHeight > offset + this.view) to = (at + 1) * rowHeight - this.view;
    if (to === offset) return top;
    return this.full === this.height ? to : (to / (this.full - this.view)) * (this.height - this.view);
  }
}

/** fitting leaves out what there is no room for: next to a detail, and on a small screen. */
function fitting(all: Column[], width: number, beside: boolean): Column[] {
  if (width > 0 && width < 520) return all.filter((c) => c.style === "key" || c.id === "class");
  return beside ? all.filter((c) => !c.extra) : all;
}

function Head({ columns }: { columns: Column[] }) {
  return (
    <div class="row head" role="row" aria-rowindex={1}>
      {columns.map((c) => {
        const on = sort.value.id === c.id;
        const down = sort.value.down;
        return (
          <div key={c.id} role="columnheader" class={c.style} aria-sort={on ? (down ? "descending" : "ascending") : "none"}>
            <button type="button" tabIndex={-1} data-test="sort" data-column={c.id} title={`Sort by ${c.head}`} onClick={() => sortBy(c.id, c.style === "number")}>
              <span>{c.head}</span>
              {on && <i aria-hidden="true">{down ? "▼" : "▲"}</i>}
            </button>
          </div>
        );
      })}
    </div>
  );
}

interface RowProps {
  pack: Pack;
  row: number;
  at: number;
  y: number;
  columns: Column[];
}

function Row({ pack: p, row, at, y, columns }: RowProps) {
  const on = picked.value === row;
  return (
    <div
      class={on ? "row on" : "row"} role="row" id={`row-${row}`} aria-rowindex={at + 2} aria-selected={on} data-test="row" data-row={at} data-key={nameOf(p, row)}
      style={{ transform: `translateY(${y}px)` }}
      onClick={() => open(on && opened.value ? -1 : row)}
    >
      {columns.map((c) => {
        const cell = c.cell(row);
        return (
          <div key={c.id} role="gridcell" class={`${c.style} ${cell.tone ?? ""}`} title={cell.text}>
            {cell.text}
            {cell.dim && <small> {cell.dim}</small>}
          </div>
        );
      })}
    </div>
  );
}

const pen = document.createElement("canvas").getContext("2d");
const sample = 300;
const limits = { key: [150, 460], class: [118, 140], words: [56, 220], number: [64, 130], code: [180, 480] } as const;

/** widths measures a sample of each column's texts. The last column takes what is left. */
function widths(p: Pack, columns: Column[]): { template: string; least: number } {
  const font = getComputedStyle(document.body).fontFamily;
  const tracks = columns.map((c) => {
    if (!pen) return limits[c.style][1];
    pen.font = `600 14px ${font}`;
    let widest = pen.measureText(c.head + " ▼").width;
    pen.font = c.style === "code" ? "12px monospace" : `14px ${font}`;
    for (let i = 0; i < sample && i < p.count; i++) {
      const row = p.count <= sample ? i : Math.floor((i * p.count) / sample);
      const { text, dim } = c.cell(row);
      widest = Math.max(widest, pen.measureText(text.slice(0, 100) + (dim ? " " + dim : "")).width);
    }
    const [least, most] = limits[c.style];
    return Math.round(Math.min(most, Math.max(least, widest + 26)));
  });
  const least = tracks.map((w, i) => (columns[i]!.style === "key" ? Math.min(w, 240) : i === tracks.length - 1 ? Math.min(w, 180) : w));
  const template = tracks.map((w, i) => `minmax(${least[i]}px, ${i === tracks.length - 1 ? "1fr" : `${w}px`})`).join(" ");
  return { template, least: least.reduce((a, b) => a + b, 0) };
}
