// Numbers for people: tables of Markdown, which are also what docs/performance.md shows.
export const ms = us => (us === undefined || us === null ? '–' : us < 10_000 ? (us / 1000).toFixed(2) : (us / 1000).toFixed(0));
export const whole = number => Math.round(number).toLocaleString('en-US');
export const fixed = (number, digits = 2) => (Number.isFinite(number) ? number.toFixed(digits) : '–');
export const percent = share => `${Math.round(share * 100)} %`;

/** Nearest rank, as the load generator has it. */
export function percentile(values, wanted) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((sorted.length * wanted) / 100) - 1)];
}

export const median = values => percentile(values, 50);

export function table(title, head, rows) {
  const cells = [head, ...rows].map(row => row.map(String));
  const widths = head.map((_, column) => Math.max(3, ...cells.map(row => row[column].length)));
  const line = row => `| ${row.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i ? `${'-'.repeat(width + 1)}:` : `${'-'.repeat(width + 2)}`)).join('|')}|`;
  return [`### ${title}`, '', line(cells[0]), rule, ...cells.slice(1).map(line), ''].join('\n');
}

export const outcomes = counts => Object.entries(counts).map(([name, count]) => `${count} ${name}`).join(', ');
