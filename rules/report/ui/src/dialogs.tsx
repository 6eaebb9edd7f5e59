// What lies over the page: help, the retry list, texts to copy by hand.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { fields } from "./filter";
import { plural } from "./format";
import { keys } from "./keys";
import { copy, download, retryList, spare } from "./markdown";
import { dialog, narrowed, pack, view } from "./state";

export function Dialogs() {
  switch (dialog.value) {
    case "help":
      return <Help />;
    case "retry":
      return <Retry />;
    case "text":
      return (
        <Dialog title={spare.title}>
          <p>This browser lets no page write to the clipboard here. The text is selected: copy it.</p>
          <Text value={spare.text} />
        </Dialog>
      );
  }
  return null;
}

function Dialog({ title, children }: { title: string; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  const close = () => (dialog.value = "");
  return (
    <dialog ref={ref} aria-label={title} data-test="dialog" onClose={close} onClick={(e) => e.target === ref.current && close()}>
      <div class="title">
        <div class="buttons">
          <button type="button" class="square" aria-label="Close" onClick={close}>
            ✕
          </button>
        </div>
        <h2>{title}</h2>
      </div>
      {children}
    </dialog>
  );
}

function Text({ value }: { value: string }) {
  const ref = useRef<HTMLTextAreaElement>(null);
  useEffect(() => ref.current?.select(), []);
  return <textarea ref={ref} readOnly rows={14} aria-label="Text" value={value} data-test="text" />;
}

function Retry() {
  const p = pack.value!;
  const labels = retryList(p, view.value, narrowed.value);
  const text = labels.map((l) => l + "\n").join("");
  const of = narrowed.value || p.head.compare.length === 0 ? "the rows in view" : "the rows that regressed or are inconclusive";
  return (
    <Dialog title="Retry list">
      <p>
        {plural(labels.length, "instance")} of {of} did not pass. Run {labels.length === 1 ? "it" : "them"} once more with <code>cbuild -B @./retry-list.txt</code>
      </p>
      <Text value={text} />
      <div class="buttons">
        <button type="button" data-test="download" disabled={labels.length === 0} onClick={() => download("retry-list.txt", text)}>
          Download
        </button>
        <button type="button" disabled={labels.length === 0} onClick={() => copy(text, "Retry list")}>
          Copy
        </button>
      </div>
    </Dialog>
  );
}

function Help() {
  const p = pack.value!;
  const side = p.head.compare[0];
  const examples: [string, string][] = [
    ["serde", "names with serde in them; several words must all match"],
    ["-serde", "without: a minus turns any term round"],
    ['"two words"', "quotes keep blanks together"],
    ...(p.sides > 0 ? ([
      [side ? "class:regressed,fixed" : "class:fail,crash", "one or the other; the beginning of a word is enough"],
      ["error:E0308", "rows whose first error line has this in it"],
      ["time>60", "the longest side took more than 60 s; also 200ms, 1m30s"],
      ["cached:yes", "nothing had to be run; also no, local, remote"],
    ] as [string, string][]) : []),
    ...(side ? ([[`${side}:fail`, `outcome on a side; -${side}:timeout is the opposite`]] as [string, string][]) : []),
  ];
  return (
    <Dialog title="Help">
      <h3>Filter</h3>
      <List of={examples} />
      <p>
        Fields of this report: <code>{[...fields(p).keys()].join(" ")}</code>
      </p>
      <h3>Keys</h3>
      <List of={keys} />
      <p>The address of this page names what is shown: send it to show somebody the same.</p>
    </Dialog>
  );
}

function List({ of }: { of: [string, string][] }) {
  return (
    <dl>
      {of.map(([name, text]) => (
        <div key={name}>
          <dt>
            <code>{name}</code>
          </dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  );
}
