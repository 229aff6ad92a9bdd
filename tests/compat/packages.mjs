// Versions of the packages, read where they are installed or pinned: no row is typed.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from '../lib/stack.mjs';

const FOLDER = join(ROOT, 'tests/compat');

/** The Python that has the packages of requirements.txt; scripts/lib.sh makes it. */
export const PYTHON = process.env.QUITTANCE_COMPAT_PYTHON ?? join(FOLDER, '.venv/bin/python');

/** Of an npm package, as installed in a folder of tests/. */
export function versionOf(name, folder = 'compat') {
  return JSON.parse(readFileSync(join(ROOT, 'tests', folder, 'node_modules', name, 'package.json'), 'utf8')).version;
}

/** Of a Python package, as requirements.txt pins it; pip installs no other. */
export function pinned(name) {
  const line = readFileSync(join(FOLDER, 'requirements.txt'), 'utf8').split('\n').find(one => one.toLowerCase().startsWith(`${name.toLowerCase()}==`));
  if (!line) throw new Error(`requirements.txt does not pin ${name}`);
  return line.slice(name.length + 2).split(/[ ;\\]/)[0];
}
