// Claims per second, against how often the same disk can be made durable.
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { program, run } from './programs.mjs';
import { fixed, table, whole } from './report.mjs';

const PAGES = 256;

/** Overwrites 4 KiB in place, as a write-ahead log does, and makes it durable; for a second. */
function syncsPerSecond() {
  const path = join(tmpdir(), `quittance-bench-${process.pid}`);
  const file = openSync(path, 'w');
  const page = Buffer.alloc(4096, 1);
  for (let at = 0; at < PAGES; at += 1) writeSync(file, page, 0, page.length, at * page.length);
  fdatasyncSync(file);
  const begun = performance.now();
  let syncs = 0;
  while (performance.now() - begun < 1_000) {
    writeSync(file, page, 0, page.length, (syncs % PAGES) * page.length);
    fdatasyncSync(file);
    syncs += 1;
  }
  const seconds = (performance.now() - begun) / 1_000;
  closeSync(file);
  rmSync(path);
  return syncs / seconds;
}

export async function ledger() {
  const syncs = syncsPerSecond();
  const { text } = await run(program('examples/claims'), []);
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
