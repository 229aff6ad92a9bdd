// The shipped files of deploy/, read; and what runs the tools that check them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { ROOT } from './stack.mjs';

const { parse: parseYaml, parseAllDocuments } = createRequire(join(ROOT, 'tests/clients/package.json'))('yaml');

export const DEPLOY = join(ROOT, 'deploy');

export const text = path => readFileSync(join(DEPLOY, path), 'utf8');
export const yaml = path => parseYaml(text(path));
/** Each object of a file with several. */
export const objects = path => parseAllDocuments(text(path)).map(document => document.toJS());
export const dashboard = JSON.parse(text('grafana/dashboards/quittance.json'));
export const rules = yaml('prometheus/alerts.yml').groups.flatMap(group => group.rules);
export const panels = dashboard.panels.flatMap(panel => panel.targets.map(({ expr }) => ({ title: panel.title, expr })));

/** Names of metric families in a text of queries. */
export function names(queries) {
  return new Set([...queries.matchAll(/\bquittance_\w+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, '')));
}
export const used = () => names([...panels, ...rules].map(({ expr }) => expr).join('\n'));

export function tool(command, args, options) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (error?.code === 'ENOENT') throw new Error(`${command} is missing: run scripts/setup --with-prometheus`);
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}
