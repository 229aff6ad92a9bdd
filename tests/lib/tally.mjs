// The tests of one file under node:test: `node tests/NAME.mjs` runs the file and names each test
// with its time. The first failure ends the file, because the tests of a file share one world;
// tests that a file runs beside each other stay beside each other.
import { basename } from 'node:path';
import nodeTest from 'node:test';

/** As many at once as a file starts; node:test would queue them otherwise. */
const AT_ONCE = 1_000;

const failed = [];
let end;
const over = new Promise(resolve => { end = resolve; });
const opened = new Promise(resolve => {
  nodeTest(basename(process.argv[1], '.mjs'), { concurrency: AT_ONCE }, context => {
    resolve(context);
    return over;
  });
});
// Who fails may leave servers open behind it, which would keep the process for ever, and what is
// thrown beside the tests would be noted only. The file's own `finally` comes before this.
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.prependListener(event, error => {
    process.stderr.write(`${error?.stack ?? error}\n`);
    process.exit(1);
  });
}

/** Runs `body` as a test called `name`; throws what it throws, which ends the file. */
export async function test(name, body) {
  const failure = await tried(name, body);
  if (failure) throw failure.error;
}

/** A row of a table: the rows behind it run also when it fails, and the file fails at its end. */
export async function row(name, body) {
  if (await tried(name, body)) failed.push(name);
}

async function tried(name, body) {
  const context = await opened;
  let failure;
  await context.test(name, async () => {
    try {
      await body();
    } catch (error) {
      failure = { error };
      throw error;
    }
  });
  if (failure) process.stderr.write(`FAILED  ${name}\n`);
  return failure;
}

/** Ends a file whose tests all passed; one that does not get here has failed. */
export function finish() {
  if (failed.length > 0) throw new Error(`failed:\n  ${failed.join('\n  ')}`);
  end();
}
