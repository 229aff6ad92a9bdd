// The page that a person sees who opens a paid URL, in Chromium with a test wallet, against the sample API on a real
// local chain.
//
//   node tests/agents/page.mjs
import assert from 'node:assert/strict';

import { account } from '../lib/base-payment.mjs';
import { browser } from '../lib/browser.mjs';
import * as buyer from '../lib/buyer.mjs';
import * as stack from '../lib/stack.mjs';
import { finish, test } from '../lib/tally.mjs';
import { world } from '../lib/world.mjs';

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const here = await world(net, folder, 'page', { bin: stack.BIN, pendingSeconds: 20 });
  const api = await here.start();
  const url = `${api.url}${buyer.PATH}`;
  const opening = await buyer.opening(net, 'base', here.payTo.base);
  const signer = account(net.base.payer_key);
  const asked = [];
  const wallet = async (method, params) => {
    asked.push(method);
    if (method === 'eth_requestAccounts') return [signer.address];
    if (method !== 'eth_signTypedData_v4') return null;
    const { domain, types, primaryType, message } = JSON.parse(params[1]);
    const { EIP712Domain: _, ...others } = types;
    return signer.signTypedData({ domain, types: others, primaryType, message });
  };
  await buyer.offer(api, 'solana');
  const chromium = browser();
  try {
    await test('the answer is a page for who asks for one, and what it was for everybody else', async () => {
      const page = await fetch(url, { headers: { Accept: 'text/html,*/*;q=0.8' } });
      assert.deepEqual([page.status, page.headers.get('allow'), page.headers.get('content-type')], [405, 'POST', 'text/html; charset=utf-8']);
      const policy = page.headers.get('content-security-policy');
      assert.match(policy, /^default-src 'none'; script-src 'sha256-[A-Za-z0-9+/=]+';/);
      assert.ok(!policy.includes('unsafe'));
      const text = await page.text();
      for (const network of [stack.BASE, stack.SOLANA]) assert.ok(text.includes(network));
      assert.ok(!/<(script|link|img)[^>]+(src|href)=/.test(text), 'nothing is loaded');
      assert.notEqual((await fetch(url)).headers.get('content-type'), 'text/html; charset=utf-8');
    });

    await test('the button signs once, and the answer is shown in place', async () => {
      const page = await chromium.open(url, wallet);
      await buyer.until('the page', () => page.evaluate('document.readyState === "complete" && !!document.getElementById("pay")'));
      await page.evaluate('document.getElementById("pay").click()');
      const said = await buyer.until('an answer', () => page.evaluate('/^paid; transaction/.test(document.getElementById("said").textContent) && document.getElementById("said").textContent'));
      await buyer.until('the picture', () => page.evaluate('document.querySelector("#answer img")?.naturalWidth > 0'));
      assert.deepEqual(asked, ['eth_requestAccounts', 'wallet_switchEthereumChain', 'eth_signTypedData_v4']);
      assert.deepEqual(page.said.filter(text => /Content.Security|Refused/.test(text)), []);
      const rows = await stack.books(here.config);
      assert.deepEqual(rows.map(({ state, runs }) => [state, runs]), [['settled', 1]]);
      assert.ok(said.endsWith(rows[0].transaction));
    });

    await test('who has no wallet is told so', async () => {
      const page = await chromium.open(url);
      await buyer.until('the page', () => page.evaluate('document.readyState === "complete" && !!document.getElementById("pay")'));
      await page.evaluate('document.getElementById("pay").click()');
      assert.match(await page.evaluate('document.getElementById("said").textContent'), /no wallet found/);
    });
    await test('the books agree with the chain', () => buyer.assertBooks(net, here.config, opening));
  } finally {
    chromium.close();
  }
});
finish();
