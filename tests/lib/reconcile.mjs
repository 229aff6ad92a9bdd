// `quittance reconcile`, beside the world of a test.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';

import * as stack from './stack.mjs';

/** Runs the program over the last hour; resolves to its exit code and document. */
export async function reconcile(here, ...args) {
  const child = stack.start(join(stack.BIN, 'quittance'), ['reconcile', '--config', here.config, '--json', '--since', '1h', ...args], {
    env: { ...process.env, BASE_WALLET: here.wallet.key, SOLANA_WALLET: here.net.solana.wallet_key },
  });
  const out = [];
  child.stdout.on('data', chunk => out.push(chunk));
  const [code] = await once(child, 'close');
  const text = Buffer.concat(out).toString();
  assert.ok(text, child.log.join('\n'));
  return { code, ...JSON.parse(text) };
}
