// With more than two sides: what became of the rows on each, against the base.
import { count, title, tone } from "./format";
import type { Pack } from "./pack";
import { quote } from "./query";
import { pack, query } from "./state";

export function Sides() {
  const p = pack.value!;
  const table = counted(p);
  const classes = p.head.classes.map((c, i) => [c, i] as const).filter(([, i]) => table.some((side) => side[i]! > 0));
  return (
    <section class="panel sides" aria-label="Classes by side">
      <h2>
        By side <small>each against {p.head.compare[0]}</small>
      </h2>
      <div class="scroll" tabIndex={0} role="group" aria-label="Classes by side">
        <table>
          <thead>
            <tr>
              <td />
              {p.head.compare.slice(1).map((name, s) => (
                <th key={s} scope="col" title={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {classes.map(([c, i]) => (
              <tr key={c}>
                <th scope="row" class={`class ${tone(c)}`}>
                  {title(c)}
                </th>
                {p.head.compare.slice(1).map((name, s) => (
                  <td key={s}>
                    {table[s]![i] ? (
                      <button type="button" class="link" data-test="side" title={`Rows of which ${name} is ${c}`} onClick={() => (query.value = `${quote(name)}:${c}`)}>
                        {count(table[s]![i]!)}
                      </button>
                    ) : (
                      <span class="dim">0</span>
                    )}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** counted has for each side but the base how many rows have which class. */
function counted(p: Pack): Uint32Array[] {
  return p.head.compare.slice(1).map((_, s) => {
    const out = new Uint32Array(256);
    for (const c of p.numbers(`side.${s + 1}.class`) ?? []) out[c]!++;
    return out;
  });
}
