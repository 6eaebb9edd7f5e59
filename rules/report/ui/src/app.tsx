// The report page. It takes the place of what the file shows without scripts.
import { effect, untracked } from "@preact/signals";
import { render } from "preact";
import { DetailPane } from "./detail";
import { FilterBox } from "./box";
import { Classes, Header, Said, Warnings } from "./headline";
import { Causes } from "./causes";
import { Dialogs } from "./dialogs";
import { Durations } from "./durations";
import { followHash, readTheme } from "./hash";
import { listenToKeys } from "./keys";
import { Banner, follow } from "./live";
import { base, openPack } from "./packed";
import { Pipeline } from "./pipeline";
import { PrintTable } from "./print";
import { Sides } from "./sides";
import { opened, pack, replace, theme, trouble } from "./state";
import { Table } from "./table";
import { Timeline } from "./timeline";
import "uplot/dist/uPlot.min.css";
import "./app.css";

function App() {
  const p = pack.value;
  if (!p) return <Waiting />;
  return (
    <>
      <Header />
      <main>
        <Banner />
        <Warnings />
        <Pipeline />
        <Classes />
        <div class="panels">
          {p.head.causes.length > 0 && <Causes />}
          {p.head.compare.length > 2 && <Sides />}
          {p.sides > 0 && <Durations />}
          <Timeline />
        </div>
        <FilterBox />
        <div class={opened.value ? "split open" : "split"}>
          <Table />
          {opened.value && <DetailPane />}
        </div>
        <PrintTable />
      </main>
      {p.head.sandbox && <footer>{p.head.sandbox}</footer>}
      <Dialogs />
      <Said />
    </>
  );
}

/** Waiting is what a live page shows before there are rows, and any page whose data can't be opened. */
function Waiting() {
  return (
    <>
      <header class="top">
        <h1>{document.title}</h1>
      </header>
      <main>
        <Banner />
        <Pipeline />
        {trouble.value ? (
          <p class="warning" role="alert">
            {trouble.value}
          </p>
        ) : (
          <p class="empty">No rows yet.</p>
        )}
      </main>
    </>
  );
}

/** root is where the page is built. Everything else that is seen is for readers without scripts, and goes once there is something better. */
function root(): HTMLElement {
  let app = document.getElementById("app");
  if (!app) {
    app = document.createElement("div");
    app.id = "app";
    document.body.append(app);
  }
  for (const e of [...document.body.children]) {
    if (e !== app && (!/^(SCRIPT|STYLE|NOSCRIPT)$/.test(e.tagName) || e.contains(app))) e.remove();
  }
  return app;
}

/** painted marks the time when the rows can be seen: the frame after the one that they are drawn in. A hidden tab has no frames. */
function painted(): void {
  const frame = document.hidden ? (then: () => void) => setTimeout(then) : requestAnimationFrame;
  frame(() =>
    frame(() => {
      performance.mark("cbuild:painted");
      document.documentElement.dataset.ready = "1";
    }),
  );
}

/** once does something as soon as a condition holds: a live page may have no rows yet. */
function once(holds: () => boolean, then: () => void): void {
  let done = false;
  effect(() => {
    if (done || !holds()) return;
    done = true;
    untracked(then);
  });
}

async function start(): Promise<void> {
  readTheme();
  effect(() => {
    if (theme.value) document.documentElement.dataset.theme = theme.value;
    else delete document.documentElement.dataset.theme;
  });
  listenToKeys();
  once(() => pack.value !== undefined, followHash);
  if (base !== undefined) {
    follow();
    render(<App />, root());
  }
  try {
    replace(await openPack());
  } catch (e) {
    if (base === undefined) trouble.value = e instanceof Error ? e.message : String(e);
  }
  if (base === undefined) render(<App />, root());
  painted();
}

void start();
