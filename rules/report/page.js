"use strict";
// The page of a report. All text goes into text nodes: nothing that comes from the data is ever parsed as html.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const KEY = 0, CLASS = 1, AXES = 2, COLUMNS = 3, GROUP = 4, SIDES = 5, PROBLEMS = 6; // the members of a row
  const perPage = 500;
  const compared = data.compare.length > 0;
  const order = new Map(data.classes.map((c, i) => [c, i]));
  const label = (c) => c === "oom" ? "Out of memory" : c[0].toUpperCase() + c.slice(1).replace("-", " ");
  const number = (n) => n.toLocaleString("en-US");

  // make returns an element with the given properties and children; strings become text nodes.
  function make(tag, props, ...children) {
    const e = document.createElement(tag);
    for (const [name, value] of Object.entries(props || {})) {
      if (name in e) e[name] = value; else e.setAttribute(name, value);
    }
    e.append(...children);
    return e;
  }

  function seconds(ms) {
    if (ms < 1000) return ms + " ms";
    if (ms < 60000) return (ms / 1000).toFixed(1) + " s";
    const s = Math.round(ms / 1000);
    return Math.floor(s / 60) + " min " + (s % 60) + " s";
  }

  const taken = (row) => row[SIDES].reduce((sum, s) => sum + ((s && s.ms) || 0), 0);
  const cached = (row) => row[SIDES].length > 0 && row[SIDES].every((s) => !s || s.from) ? "yes" : "";
  const shown = (v) => Array.isArray(v) ? v[0] : v;

  // A column has a name, a value to sort and search by, and a way to fill its cell.
  const columns = [{ name: compared ? "Key" : "Row", value: (r) => r[KEY] }];
  columns.push({
    name: compared ? "Class" : "Outcome", value: (r) => order.get(r[CLASS]), text: (r) => r[CLASS],
    fill: (td, r) => td.append(make("span", { className: "class " + r[CLASS] }, label(r[CLASS]))),
  });
  data.axes.forEach((name, i) => columns.push({ name, value: (r) => r[AXES][i] ?? "" }));
  data.columns.forEach((name, i) => columns.push({
    name, value: (r) => shown(r[COLUMNS][i]), fill: (td, r) => cell(td, r, i),
    num: data.rows.every((r) => typeof r[COLUMNS][i] === "number" || r[COLUMNS][i] === "") && data.rows.some((r) => r[COLUMNS][i] !== ""),
  }));
  if (data.grouped) columns.push({ name: "Group", value: (r) => r[GROUP] });
  if (data.rows.some((r) => taken(r) > 0)) {
    columns.push({ name: "Time", num: true, quiet: true, value: taken, fill: (td, r) => td.append(taken(r) ? seconds(taken(r)) : "") });
  }
  if (data.rows.some(cached)) columns.push({ name: "Cached", quiet: true, value: cached });

  const outcomes = new Set(["pass", "fail", "crash", "timeout", "oom", "unavailable", "error", "invalid", "skipped", "cancelled"]);
  function cell(td, row, i) {
    const v = row[COLUMNS][i];
    const problem = row[PROBLEMS] && row[PROBLEMS][i];
    if (problem) {
      td.append(make("span", { className: "invalid", title: problem }, "invalid"));
    } else if (Array.isArray(v)) {
      td.append(make("span", { className: "artifact", title: v[1] }, v[0]));
    } else if (typeof v === "number") {
      td.className = "num";
      td.append(number(v));
    } else {
      if (outcomes.has(v)) td.className = v;
      td.append(v);
    }
  }

  // What is searched: everything that a row shows, in lower case; made at the first search.
  let haystack = null;
  const search = () => haystack ??= data.rows.map((r) => columns.filter((c) => !c.quiet)
    .map((c) => (c.text || c.value)(r)).concat(r[SIDES].map((s) => s && s.why || "")).join("\n").toLowerCase());

  const state = { classes: new Set(), query: "", sort: -1, down: false, page: 0, picked: -1 };
  let view = []; // indices of the rows that are shown, in order

  function select() {
    const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
    const texts = words.length ? search() : null;
    view = [];
    data.rows.forEach((r, i) => {
      if (state.classes.size && !state.classes.has(r[CLASS])) return;
      if (texts && !words.every((w) => w[0] === "-" && w.length > 1 ? !texts[i].includes(w.slice(1)) : texts[i].includes(w))) return;
      view.push(i);
    });
    if (state.sort >= 0) {
      const value = columns[state.sort].value, rows = data.rows, sign = state.down ? -1 : 1;
      const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
        : typeof a === "number" ? -1 : typeof b === "number" ? 1 : a < b ? -1 : a > b ? 1 : 0;
      view.sort((i, j) => sign * compare(value(rows[i]), value(rows[j])) || i - j);
    }
    state.page = 0;
    paint();
  }

  // The frame of the page.
  const filters = make("div", { className: "filters" });
  const total = data.rows.length;
  const buttons = data.classes.map((c) => {
    const b = make("button", { type: "button" }, make("b", { className: c }, number(data.summary[c])), label(c));
    b.classList.toggle("none", !data.summary[c]);
    b.onclick = () => {
      if (!state.classes.delete(c)) state.classes.add(c);
      select();
    };
    filters.append(b);
    return b;
  });
  const all = make("button", { type: "button" }, make("b", {}, number(total)), "All");
  all.onclick = () => { state.classes.clear(); select(); };
  filters.append(all);

  const bar = make("div", { className: "bar", title: "Rows by class" });
  bar.setAttribute("aria-hidden", "true");
  for (const c of data.classes) {
    if (!data.summary[c]) continue;
    const part = make("i", { className: c, title: number(data.summary[c]) + " " + c });
    part.style.flexGrow = data.summary[c];
    bar.append(part);
  }

  const input = make("input", { type: "search", placeholder: "Search: words, -without", autocomplete: "off", spellcheck: false });
  input.setAttribute("aria-label", "Search rows");
  let pending = 0;
  input.oninput = () => {
    clearTimeout(pending);
    pending = setTimeout(() => { state.query = input.value; select(); }, total > 20000 ? 120 : 0);
  };
  const count = make("output");
  const where = make("span");
  const turn = (text, name, by) => {
    const b = make("button", { type: "button", title: name }, text);
    b.setAttribute("aria-label", name);
    b.onclick = () => { state.page += by; paint(); };
    return b;
  };
  const back = turn("‹", "Previous page", -1), forth = turn("›", "Next page", 1);
  const pages = make("div", { className: "pages" }, back, where, forth);
  const tools = make("div", { className: "tools" }, input, make("kbd", { title: "Press / to search, Escape to close" }, "/"), count, pages);

  const heads = columns.map((c, i) => {
    const b = make("button", { type: "button" }, c.name);
    b.onclick = () => {
      if (state.sort !== i) [state.sort, state.down] = [i, false];
      else if (!state.down) state.down = true;
      else [state.sort, state.down] = [-1, false];
      select();
    };
    return make("th", { scope: "col", className: (c.num ? "num " : "") + (c.quiet ? "quiet" : "") }, b);
  });
  const body = make("tbody");
  const empty = make("p", { className: "empty", hidden: true }, "No row matches.");
  const box = make("div", { className: "table" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body), empty);
  const detail = make("section", { className: "detail", hidden: true });
  detail.setAttribute("aria-label", "Details of the row");
  const split = make("div", { className: "split" }, box, detail);
  document.getElementById("app").append(bar, filters, tools, split);

  function paint() {
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", state.classes.has(data.classes[i])));
    all.setAttribute("aria-pressed", state.classes.size === 0);
    heads.forEach((th, i) => {
      if (i === state.sort) th.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    });
    const last = Math.max(0, Math.ceil(view.length / perPage) - 1);
    state.page = Math.min(Math.max(state.page, 0), last);
    const from = state.page * perPage, part = view.slice(from, from + perPage);
    count.value = view.length === total ? number(total) + (total === 1 ? " row" : " rows") : number(view.length) + " of " + number(total) + " rows";
    pages.hidden = last === 0;
    pages.style.display = last === 0 ? "none" : "";
    where.textContent = number(from + 1) + "–" + number(from + part.length);
    back.disabled = state.page === 0;
    forth.disabled = state.page === last;
    empty.hidden = view.length > 0;
    body.replaceChildren(...part.map(line));
    box.scrollTop = 0;
  }

  function line(i) {
    const row = data.rows[i];
    const tr = make("tr", { tabIndex: 0 }, ...columns.map((c) => {
      const td = make("td", { className: c.num ? "num" : "" });
      if (c.quiet) td.classList.add("quiet", "dim");
      if (c.fill) c.fill(td, row); else td.append(c.value(row));
      if (!td.title && td.textContent.length > 40) td.title = td.textContent;
      return td;
    }));
    tr.dataset.row = i;
    tr.classList.toggle("picked", i === state.picked);
    tr.onclick = () => pick(i);
    tr.onkeydown = (e) => {
      if (e.key === "Enter") pick(i);
      const next = e.key === "ArrowDown" ? tr.nextElementSibling : e.key === "ArrowUp" ? tr.previousElementSibling : null;
      if (next) {
        e.preventDefault();
        next.focus();
        if (state.picked >= 0) pick(Number(next.dataset.row));
      }
    };
    return tr;
  }

  // The detail pane.
  function pick(i) {
    state.picked = i;
    for (const tr of body.children) tr.classList.toggle("picked", Number(tr.dataset.row) === i);
    detail.hidden = i < 0;
    split.classList.toggle("open", i >= 0); // the table then drops what is least looked at
    if (i < 0) return;
    const row = data.rows[i];
    const close = make("button", { type: "button", title: "Close (Escape)" }, "✕");
    close.setAttribute("aria-label", "Close");
    close.onclick = () => pick(-1);
    const parts = [
      make("div", { className: "top" }, make("h2", {}, row[KEY]), close),
      make("p", { className: "line" }, make("span", { className: "class " + row[CLASS] }, label(row[CLASS]))),
      ...fields(row),
      ...row[SIDES].map((s, n) => side(row, s, compared ? data.compare[n] : "")),
    ];
    detail.replaceChildren(...parts);
    detail.scrollTop = 0;
  }

  function fields(row) {
    const list = make("dl");
    const add = (name, ...value) => list.append(make("dt", {}, name), make("dd", {}, ...value));
    data.axes.forEach((a, n) => add(a, row[AXES][n] ?? ""));
    data.columns.forEach((name, n) => {
      if (compared && data.compare.includes(name)) return; // the sides below say more
      const dd = make("span");
      const v = row[COLUMNS][n], problem = row[PROBLEMS] && row[PROBLEMS][n];
      if (problem) dd.append(make("span", { className: "invalid" }, problem));
      else if (Array.isArray(v)) dd.append(make("span", { className: "artifact" }, v[0]), " ", make("span", { className: "dim artifact" }, v[1]));
      else dd.append(typeof v === "number" ? number(v) : v);
      add(name, dd);
    });
    if (data.grouped) add("Group", row[GROUP]);
    return list.childElementCount ? [list] : [];
  }

  function side(row, s, name) {
    const e = make("div", { className: "side" });
    if (!s) {
      e.append(make("div", { className: "line" }, make("h3", {}, name), make("span", { className: "dim" }, "not there")));
      return e;
    }
    const head = make("div", { className: "line" });
    if (name) head.append(make("h3", {}, name));
    head.append(make("span", { className: s.o }, s.o));
    if (s.x) head.append(make("span", { className: "dim" }, "exit code " + s.x));
    if (s.c && data.compare.length > 2) head.append(make("span", { className: "class " + s.c }, label(s.c)));
    const used = [s.ms && seconds(s.ms), s.cpu && seconds(s.cpu) + " of processor", s.mem && "up to " + number(s.mem) + " MiB"].filter(Boolean);
    if (used.length) head.append(make("span", { className: "dim" }, used.join(", ")));
    if (s.from) head.append(make("span", { className: "dim" }, "cached"));
    e.append(head);
    if (s.why) e.append(make("pre", {}, s.why));
    for (const [file, text, note] of s.texts || []) {
      e.append(make("div", { className: "text" }, make("b", {}, file), note));
      if (text) e.append(make("pre", { tabIndex: 0 }, text));
    }
    if (s.label) e.append(command("cbuild log '" + s.label.replace("\x01", () => row[KEY]).replaceAll("'", "'\\''") + "'"));
    return e;
  }

  function command(text) {
    const code = make("pre", {}, text);
    const b = make("button", { type: "button" }, "Copy");
    b.onclick = async () => {
      try {
        await navigator.clipboard.writeText(text);
        b.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // no clipboard here: it is ready to be copied by hand
        b.textContent = "Selected";
      }
      setTimeout(() => { b.textContent = "Copy"; }, 1500);
    };
    return make("div", { className: "command" }, code, b);
  }

  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "/" && document.activeElement !== input) {
      e.preventDefault();
      input.focus();
      input.select();
    } else if (e.key === "Escape") {
      if (state.picked >= 0) pick(-1);
      else if (document.activeElement === input && input.value) { input.value = ""; state.query = ""; select(); }
      else input.blur();
    }
  });

  // Deep links: the hash names what is searched for, the classes, and the row that is open.
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (name === "q") input.value = state.query = value;
    if (name === "class" && order.has(value)) state.classes.add(value);
    if (name === "row") state.picked = data.rows.findIndex((r) => r[KEY] === value);
  }
  select();
  if (state.picked >= 0) {
    state.page = Math.floor(Math.max(view.indexOf(state.picked), 0) / perPage);
    paint();
    pick(state.picked);
  }
})();
