// docs/compatibility.md is what the tests saw: each owns a table of it between two marks. A test fails when the
// page says anything else; with QUITTANCE_WRITE=1 (scripts/compatibility) it writes its table.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from '../lib/stack.mjs';

const PAGE = join(ROOT, 'docs/compatibility.md');

/** A cell of something that did not run. */
export const NOT_RUN = 'not run';

const cell = text => String(text ?? NOT_RUN).replaceAll('|', '\\|').replaceAll('\n', ' ');

/** Markdown of rows, each an object with the columns' names. */
export function table(columns, rows) {
  const line = cells => `| ${cells.join(' | ')} |`;
  return [
    line(columns),
    `|${columns.map(() => '---').join('|')}|`,
    ...rows.map(row => line(columns.map(name => cell(row[name])))),
  ].join('\n');
}

/** Holds the page's table called `name` to `text`, or writes it. */
export function publish(name, text) {
  const [begin, end] = [`<!-- ${name}: written by scripts/compatibility -->\n`, `\n<!-- /${name} -->`];
  const page = readFileSync(PAGE, 'utf8');
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  assert.ok(from >= 0 && to > from, `docs/compatibility.md has no marks for ${name}`);
  const at = from + begin.length;
  if (process.env.QUITTANCE_WRITE) return writeFileSync(PAGE, page.slice(0, at) + text + page.slice(to));
  return assert.equal(page.slice(at, to), text, 'docs/compatibility.md is not what was seen; scripts/compatibility writes it');
}
