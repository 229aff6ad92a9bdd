// Claims per second, against how often the same disk can be made durable.
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { program, run } from './programs.mjs';
import { fixed, table, whole } from './report.mjs';

const PAGES = 256;

/** Overwrites 4 KiB in place, as a write-ahead log does, and makes it durable. The best half second of three:
 * another writer on the disk makes it slower, nothing makes it faster. */
function syncsPerSecond() {
  const path = join(tmpdir(), `quittance-bench-${process.pid}`);
  const file = openSync(path, 'w');
  const page = Buffer.alloc(4096, 1);
  const write = at => writeSync(file, page, 0, page.length, (at % PAGES) * page.length);
  for (let at = 0; at < PAGES; at += 1) write(at);
  fdatasyncSync(file);
  const rates = [1, 2, 3].map(() => {
    const begun = performance.now();
    let syncs = 0;
    while (performance.now() - begun < 500) {
      write(syncs);
      fdatasyncSync(file);
      syncs += 1;
    }
    return (syncs * 1000) / (performance.now() - begun);
  });
  closeSync(file);
  rmSync(path);
  return Math.max(...rates);
}

export async function ledger() {
  const before = syncsPerSecond();
  const { text } = await run(program('examples/claims'), []);
  const syncs = Math.max(before, syncsPerSecond());
  const lines = [...text.matchAll(/^(\w+)\s+(\d+) callers\s+(\d+) claims\/s\s+(\d+) commits$/gm)];
  const claims = lines.map(([, database, callers, perSecond, commits]) => ({
    database, callers: Number(callers), per_second: Number(perSecond), commits: Number(commits), ratio: { to_syncs: Number(perSecond) / syncs },
  }));
  if (claims.length === 0) throw new Error(`no claims in: ${text}`);
  return { syncs_per_second: syncs, claims, left_out: /left out: (.*)$/m.exec(text)?.[1] };
}

export function ledgerTable(found) {
  const head = ['durable claims', 'per second', 'commits', `per disk sync (${whole(found.syncs_per_second)}/s)`];
  return table('Ledger', head, found.claims.map(one => [
    `${one.database}, ${one.callers} callers`, whole(one.per_second), whole(one.commits), fixed(one.ratio.to_syncs),
  ]));
}
