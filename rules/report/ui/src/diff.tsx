// A unified diff: what it says by colour, its signs say as well.

export function Diff({ text }: { text: string }) {
  const lines = text.replace(/\n$/, "").split("\n");
  return (
    <pre class="diff" tabIndex={0}>
      {lines.map((line, i) => (
        <span key={i} class={kind(line)}>
          {line + "\n"}
        </span>
      ))}
    </pre>
  );
}

function kind(line: string): string {
  if (line.startsWith("+++ ") || line.startsWith("--- ") || line.startsWith("\\")) return "note";
  return { "+": "plus", "-": "minus", "@": "note" }[line.charAt(0)] ?? "";
}
