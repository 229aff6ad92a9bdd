// docs/pay-with-curl.md as it stands: its commands and its scripts, run in the order of the page against the sample
// API on real local chains.
//
//   node tests/curl.mjs
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

import * as buyer from './lib/buyer.mjs';
import * as stack from './lib/stack.mjs';
import { finish, test } from './lib/tally.mjs';
import { NETWORKS, world } from './lib/world.mjs';
import { PYTHON } from './compat/packages.mjs';

const page = readFileSync(join(stack.ROOT, 'docs/pay-with-curl.md'), 'utf8');
const blocks = [...page.matchAll(/^```(\S+) ?(\S*)\n([\s\S]*?)^```$/gm)].map(([, language, word, text]) => ({ language, word, text }));
const commands = word => blocks.filter(one => one.language === 'sh' && one.word === word).map(one => one.text);
const scripts = blocks.filter(one => one.language === 'python');

/** The page's commands in one shell, with its scripts saved beside them. */
async function shell(net, api, folder, lines) {
  mkdirSync(folder);
  for (const { word, text } of scripts) writeFileSync(join(folder, word), text);
  writeFileSync(join(folder, 'page.sh'), `set -eu\ncd '${folder}'\n${lines.join('')}`);
  return stack.run('bash', [join(folder, 'page.sh')], {
    API: api.url, EVM_KEY: net.base.payer_key, SOLANA_KEY: net.solana.payer_key, SOLANA_RPC: net.solana.rpc_url,
    PATH: `${dirname(PYTHON)}${delimiter}${process.env.PATH}`,
  });
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const here = await world(net, folder, 'curl', { bin: stack.BIN });
  const api = await here.start();
  const opened = await Promise.all(NETWORKS.map(network => buyer.opening(net, network, here.payTo[network])));
  const [ask, decode, signBase, again] = commands('');
  const [signSolana] = commands('solana');
  await test('the page has the steps that this test runs', () => {
    assert.deepEqual([commands('').length, commands('solana').length], [4, 1]);
    assert.deepEqual(scripts.map(one => one.word), ['sign_base.py', 'sign_solana.py']);
  });
  for (const [network, sign] of [['base', signBase], ['solana', signSolana]]) {
    await test(`${network}: the page buys an image, and its last command fetches it again`, async () => {
      const said = await shell(net, api, join(folder, network), [ask, decode, sign, again, again]);
      assert.match(said, /^HTTP\/1\.1 402 Payment Required/);
      const receipts = [...said.matchAll(/HTTP\/1\.1 200 OK\s*(\{.*?\})(?=\s*(HTTP|$))/gs)].map(([, text]) => JSON.parse(text));
      assert.equal(receipts.length, 2, said);
      assert.deepEqual([receipts[0].success, receipts[1].transaction], [true, receipts[0].transaction]);
      const answer = JSON.parse(readFileSync(join(folder, network, 'paid.json'), 'utf8'));
      assert.match(answer.outputs[0].url, /^data:image\/png;base64,/);
      const caip = network === 'base' ? stack.BASE : stack.SOLANA;
      const rows = (await stack.books(here.config)).filter(one => one.network === caip);
      assert.deepEqual(rows.map(({ state, runs, transaction }) => [state, runs, transaction]), [['settled', 1, receipts[0].transaction]]);
    });
  }
  for (const opening of opened) {
    await test(`${opening.network}: the books agree with the chain`, () => buyer.assertBooks(net, here.config, opening));
  }
});
finish();
