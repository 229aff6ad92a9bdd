// A PostgreSQL cluster of one's own, in a temporary folder, reachable by a Unix
// socket only. `initdb`, `pg_ctl` and `psql` must be on the PATH.
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** PostgreSQL refuses to run as root; these users can run it instead. */
const UNPRIVILEGED = ['postgres', 'nobody'];
const CONNECTIONS_MAX = 200;

const number = (...args) => Number(execFileSync('id', args, { stdio: ['ignore', 'pipe', 'ignore'] }));

function unprivileged() {
  if (process.getuid() !== 0) return {};
  for (const name of UNPRIVILEGED) {
    try {
      return { uid: number('-u', name), gid: number('-g', name) };
    } catch {
      // No such user.
    }
  }
  throw new Error(`PostgreSQL refuses root, and there is none of the users ${UNPRIVILEGED.join(', ')}`);
}

/**
 * Starts a cluster, gives it to `body` and removes it, however `body` ends. A
 * watchdog does so even if this process is killed. `url(database)` is for the
 * program, `sql(database, text)` reads behind its back. `more` are options of
 * the server.
 */
export async function withCluster(body, more = []) {
  const user = unprivileged();
  const folder = mkdtempSync(join(tmpdir(), 'quittance-pg-'));
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
  const run = (program, ...args) => execFileSync(program, args, { ...user, cwd: '/', stdio: 'ignore' });
  const data = join(folder, 'data');
  run('initdb', '-U', 'quittance', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync', '-D', data);
  const script = 'read -r _; pg_ctl -D "$1/data" -m immediate stop; rm -rf "$1"';
  const watchdog = spawn('sh', ['-c', script, 'watchdog', folder], {
    ...user, cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'ignore'],
  });
  try {
    // Durable commits: what a killed replica leaves behind must be there.
    const settings = [
      "-c listen_addresses=''", `-c unix_socket_directories='${folder}'`, `-c max_connections=${CONNECTIONS_MAX}`, ...more,
    ].join(' ');
    const start = () => run('pg_ctl', '-D', data, '-l', join(folder, 'log'), '-w', '-o', settings, 'start');
    start();
    const sql = (database, text) => execFileSync(
      'psql', ['-X', '-q', '-t', '-A', '-h', folder, '-U', 'quittance', '-d', database, '-c', text], { encoding: 'utf8' },
    ).trim();
    const url = database => `postgres://quittance@localhost/${database}?host=${folder}`;
    const create = database => { sql('postgres', `CREATE DATABASE ${database}`); return url(database); };
    const stop = mode => run('pg_ctl', '-D', data, '-m', mode, '-w', 'stop');
    return await body({ create, url, sql, folder, start, stop, standby: () => standby(folder, user, run) });
  } finally {
    const gone = once(watchdog, 'exit');
    watchdog.stdin.end();
    await gone;
  }
}

/** A hot standby of a running cluster: it reads, and writes once it is promoted. */
function standby(primary, user, run) {
  const folder = mkdtempSync(join(tmpdir(), 'quittance-pg-'));
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  run('pg_basebackup', '-h', primary, '-U', 'quittance', '-D', data, '-R', '-X', 'stream', '-c', 'fast');
  const settings = `-c listen_addresses='' -c unix_socket_directories='${folder}' -c max_connections=${CONNECTIONS_MAX}`;
  run('pg_ctl', '-D', data, '-l', join(folder, 'log'), '-w', '-o', settings, 'start');
  const sql = (database, text) => execFileSync(
    'psql', ['-X', '-q', '-t', '-A', '-h', folder, '-U', 'quittance', '-d', database, '-c', text], { encoding: 'utf8' },
  ).trim();
  return {
    folder, sql,
    promote: () => run('pg_ctl', '-D', data, '-w', 'promote'),
    end: () => {
      run('pg_ctl', '-D', data, '-m', 'immediate', '-w', 'stop');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
