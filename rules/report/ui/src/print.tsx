// On paper there is no window to scroll: the first rows of the view, as a plain table.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { count } from "./format";
import { columns, pack, view } from "./state";

const most = 200;

export function PrintTable() {
  const on = useSignal(false);
  useEffect(() => {
    const paper = matchMedia("print");
    const begin = () => (on.value = true);
    const end = () => (on.value = paper.matches);
    addEventListener("beforeprint", begin);
    addEventListener("afterprint", end);
    paper.addEventListener("change", end);
    return () => {
      removeEventListener("beforeprint", begin);
      removeEventListener("afterprint", end);
      paper.removeEventListener("change", end);
    };
  }, []);
  if (!on.value || !pack.value) return null;
  const rows = Array.from(view.value.subarray(0, most));
  return (
    <table class="paper" data-test="paper">
      <caption>{rows.length < view.value.length ? `The first ${count(rows.length)} of ${count(view.value.length)} rows` : ""}</caption>
      <thead>
        <tr>
          {columns.value.map((c) => (
            <th key={c.id} class={c.style}>
              {c.head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row}>
            {columns.value.map((c) => (
              <td key={c.id} class={`${c.style} ${c.cell(row).tone ?? ""}`}>
                {c.cell(row).text}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
