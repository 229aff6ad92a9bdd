// The page that a person sees who opens a paid URL, before the gateway and both chains: who gets it and who does not,
// what it may load, and what of its request is escaped. With --browser also in a headless Chromium with a wallet of
// each chain, which leaves screenshots in the folder that QUITTANCE_SCREENSHOTS names.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import * as http from './lib/http.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { account, stranger } from './lib/base-payment.mjs';
import { withBrowser } from './lib/browser.mjs';
import { until } from './lib/buyer.mjs';
import { rpc } from './lib/chain.mjs';
import { finish, test } from './lib/tally.mjs';
import { CATALOGUE, upstream } from './lib/upstream.mjs';

const kit = await stack.clients('@solana/kit');

const BROWSER = process.argv.includes('--browser');
const HTML = { Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };
const NAVIGATES = { ...HTML, 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document', 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0' };
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR42mNQibyGBzGMSmNDAO2zhG36BBogAAAAAElFTkSuQmCC';

const get = (gate, path, headers = {}) => http.send(gate.url, { method: 'GET', path, headers });

/** Upstream answers of kinds that a person looks at. */
const modes = {
  picture: (_, response) => response.writeHead(200, { 'Content-Type': 'image/png' }).end(Buffer.from(PIXEL, 'base64')),
  inside: (_, response) => response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ data: [{ b64_json: PIXEL, note: '<img src=x onerror=document.title=1>' }] })),
  away: (_, response) => response.writeHead(303, { Location: '/v1/list' }).end(),
  words: (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<script>document.title = "ran"</script>words'),
};

function configure(folder, net, api, payTo, port) {
  const catalogue = join(folder, 'things.toml');
  writeFileSync(catalogue, CATALOGUE);
  const config = stack.configure(folder, net, {
    name: 'gateway', port,
    more: { base: { pay_to: payTo.base }, solana: { pay_to: payTo.solana }, quote: { refresh_seconds: 1 }, gate: { pending_wait_seconds: 1 } },
  });
  const more = `\n[gateway.upstreams.things]\nurl = "${api.url}"\ncatalogue = "${catalogue}"\nfailures_max = 50\n`;
  writeFileSync(config, readFileSync(config, 'utf8') + more);
  return config;
}

async function whoGetsIt(gate, api) {
  const program = await until('offers', async () => {
    const answer = await get(gate, '/v1/list?limit=3');
    return http.decode(answer.headers['payment-required'])?.accepts.length === 2 && answer;
  });
  assert.deepEqual([program.status, program.headers['content-type']], [402, 'application/json']);
  const page = await get(gate, '/v1/list?limit=3', NAVIGATES);
  assert.deepEqual([page.status, page.headers['content-type']], [402, 'text/html; charset=utf-8']);
  assert.deepEqual(http.decode(page.headers['payment-required']).accepts.map(one => one.network), [stack.BASE, stack.SOLANA]);
  for (const words of ['Base', 'Solana', stack.BASE, stack.SOLANA, 'USDC', 'Lists things', `${gate.url}/v1/list?limit=3`]) assert.ok(page.text.includes(words), words);
  for (const headers of [{ Accept: '*/*' }, { Accept: 'application/json' }, { ...HTML, 'Sec-Fetch-Mode': 'cors' }, { ...HTML, 'User-Agent': 'Mozilla/5.0 (compatible; bingbot/2.0)' }]) {
    const answer = await get(gate, '/v1/list?limit=3', headers);
    assert.deepEqual([answer.status, answer.headers['content-type'], answer.headers['content-security-policy']], [402, 'application/json', undefined]);
    assert.ok(answer.text.length < 8_192, 'and it is as short as it was');
    assert.ok(http.decode(answer.headers['payment-required']).accepts.length > 0);
  }
  const posted = await get(gate, '/v1/things', NAVIGATES);
  assert.deepEqual([posted.status, posted.headers.allow], [405, 'POST']);
  assert.ok(posted.text.includes('<textarea') && posted.text.includes('A brass key'));
  const wrong = await get(gate, '/v1/things');
  assert.deepEqual([wrong.status, wrong.headers.allow, wrong.json.error], [405, 'POST', 'method_not_allowed']);
  assert.equal((await get(gate, '/v1/nothing', NAVIGATES)).status, 404);
  assert.equal(api.seen.length, 0, 'the upstream hears nothing of all that');
}

async function whatItMayDo(gate) {
  for (const path of ['/v1/list?limit=3', '/v1/things']) {
    const { headers, text } = await get(gate, path, NAVIGATES);
    const policy = headers['content-security-policy'];
    assert.match(policy, /^default-src 'none'; script-src 'sha256-[\w+/]+='; style-src 'sha256-[\w+/]+='; connect-src 'self'; /);
    assert.match(policy, /base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/);
    assert.ok(!policy.includes('unsafe'));
    assert.deepEqual([headers['cache-control'], headers['x-content-type-options'], headers['referrer-policy']], ['no-store', 'nosniff', 'no-referrer']);
    assert.match(headers.vary, /Accept/);
    assert.ok(!/<(script|img|iframe)[^>]+(src|href)=|<link(?! rel="icon" href="data:,">)/.test(text), 'nothing is loaded');
    assert.ok(JSON.stringify(headers).length < 4_096, 'the head fits a proxy');
  }
}

async function whatIsEscaped(gate) {
  for (const path of ["/v1/things?q='onload='alert(1)", "/v1/things?'%3C/textarea%3E%3Cscript%3E", '/v1/things?{js}{sale}']) {
    const { status, text } = await get(gate, path, NAVIGATES);
    assert.equal(status, 405);
    assert.equal(text.match(/<script/g).length, 2, 'the page\'s own');
    assert.ok(!text.includes("'onload='") && !text.includes("?'"), text);
  }
}

/** The defect: the program that an offer names was not asked, so a token of Token-2022 went to no account. */
async function whoseTokenItIs() {
  const source = readFileSync(new URL('../crates/gate/src/person/wallets.js', import.meta.url), 'utf8');
  const { transfer } = await import(`data:text/javascript,${encodeURIComponent(`${source}\nexport { transfer };`)}`);
  const [feePayer, payer, payTo, asset, recentBlockhash] = Array.from({ length: 5 }, () => solana.stranger().address);
  const bytes = kit.getBase58Encoder().encode(payer);
  const accounts = async tokenProgram => {
    const made = await transfer({ asset, payTo, amount: '1', extra: { feePayer, recentBlockhash, tokenProgram } }, [...bytes]);
    const { messageBytes } = kit.getTransactionDecoder().decode(made);
    return kit.getCompiledTransactionMessageDecoder().decode(messageBytes).staticAccounts;
  };
  const programs = ['TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA', 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb'];
  for (const program of programs) {
    const seeds = owner => [owner, program, asset].map(one => kit.getBase58Encoder().encode(one));
    const account = async owner => (await kit.getProgramDerivedAddress({ programAddress: 'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL', seeds: seeds(owner) }))[0];
    assert.deepEqual((await accounts(program)).slice(0, 6), [feePayer, payer, await account(payer), await account(payTo), asset, program]);
  }
  assert.equal((await accounts(undefined))[5], programs[0]);
  await assert.rejects(accounts('MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr'), /token program/);
}

/** Both wallets; `asked` gathers what they were asked for, `refuses` what they say no to. */
function wallet(net) {
  const onBase = account(net.base.payer_key);
  const secret = kit.getBase58Encoder().encode(net.solana.payer_key);
  const { address } = solana.signer(net.solana.payer_key);
  const self = { asked: [], refuses: undefined };
  self.answer = async (method, params) => {
    self.asked.push(method);
    if (method === self.refuses) throw Object.assign(new Error('the person said no'), { code: 4001 });
    if (method === 'eth_requestAccounts') return [onBase.address];
    if (method === 'wallet_switchEthereumChain') throw Object.assign(new Error('unknown chain'), { code: 4902 });
    if (method === 'eth_signTypedData_v4') {
      const { domain, types: { EIP712Domain: _, ...types }, primaryType, message } = JSON.parse(params[1]);
      return onBase.signTypedData({ domain, types, primaryType, message });
    }
    if (method === 'connect') return { address, bytes: [...secret.subarray(32)] };
    assert.equal(method, 'signTransaction');
    const [, bytes, chain] = params;
    assert.equal(chain, 'solana:mainnet');
    return [...await signed(secret, Uint8Array.from(bytes))];
  };
  self.signatures = () => self.asked.filter(method => /^(eth_sign|sign)/.test(method)).length;
  return self;
}

async function signed(secret, bytes) {
  const pair = await kit.createKeyPairFromBytes(secret);
  const transaction = await kit.partiallySignTransaction([pair], kit.getTransactionDecoder().decode(bytes));
  return new Uint8Array(kit.getTransactionEncoder().encode(transaction));
}

const SAID = 'document.getElementById("said").textContent';
const ANSWER = 'document.getElementById("answer")';
const buttonsOf = page => page.run('[...document.querySelectorAll("#pay button")].map(one => one.textContent)');

/** Presses a button as who has no mouse does. */
async function press(page, words) {
  const find = `[...document.querySelectorAll("#pay button:enabled")].find(one => one.textContent.includes(${JSON.stringify(words)}))`;
  await until(`a button ${words}`, () => page.run(`!!${find}`), 20);
  await page.run(`${find}.focus()`);
  await page.press('Enter');
}

async function says(page, pattern, seconds = 40) {
  return until(`${pattern}`, async () => {
    const said = await page.run(SAID);
    return pattern.test(said) && said;
  }, seconds);
}

async function request(page, mode) {
  const body = JSON.stringify({ prompt: `${mode} ${Math.random()}`, mode });
  await page.run(`(() => { const body = document.getElementById("body"); body.value = ${JSON.stringify(body)}; body.dispatchEvent(new Event("change")); })()`);
}

async function buysOnEach(open, purse, config) {
  const list = await open('/v1/list?limit=2');
  await until('both wallets', async () => (await buttonsOf(list)).length === 2);
  assert.deepEqual((await buttonsOf(list)).map(text => text.replace(/[\d.]+ USDC/, 'PRICE')), ['Pay PRICE on Base with Test <b>wallet</b>', 'Pay PRICE on Solana with Sun wallet']);
  await press(list, 'on Solana');
  const onSolana = await says(list, /^paid; transaction/);
  assert.match(await list.run(`${ANSWER}.textContent`), /"thing": "made"/);
  assert.equal(await list.run('document.activeElement.id'), 'answer', 'who reads by ear is led to it');
  assert.deepEqual(purse.asked, ['connect', 'signTransaction']);
  const things = await open('/v1/things');
  await request(things, 'picture');
  await press(things, 'on Base');
  const onBase = await says(things, /^paid; transaction/);
  await until('the picture', () => things.run(`${ANSWER}.querySelector("img")?.naturalWidth === 10`));
  assert.deepEqual(purse.asked.slice(2), ['eth_requestAccounts', 'wallet_switchEthereumChain', 'eth_signTypedData_v4']);
  const rows = await stack.books(config);
  assert.deepEqual(rows.map(({ state, runs }) => [state, runs]), [['settled', 1], ['settled', 1]]);
  for (const said of [onSolana, onBase]) assert.ok(rows.some(({ transaction }) => said.endsWith(transaction)), said);
  assert.deepEqual([...list.complaints, ...things.complaints].filter(text => !/402|405/.test(text)), [], 'nothing is blocked and nothing fails');
}

async function showsData(open) {
  const page = await open('/v1/things');
  await request(page, 'inside');
  await press(page, 'on Base');
  await until('the picture in the JSON', () => page.run(`${ANSWER}.querySelector("img")?.naturalWidth === 10`));
  assert.match(await page.run(`${ANSWER}.textContent`), /onerror/, 'as text');
  await request(page, 'words');
  await press(page, 'on Base');
  await until('the words', async () => (await page.run(`${ANSWER}.textContent`)).includes('</script>words'));
  assert.ok(!['1', 'ran'].includes(await page.run('document.title')), 'what was bought is no markup');
}

/** P5, P7: whatever the page hears, is reloaded to, or is pressed, it signs once. */
async function insists(open, purse, net, config, api) {
  const page = await open('/v1/list?limit=4');
  const before = { signatures: purse.signatures(), rows: (await stack.books(config)).length, seen: api.seen.length };
  await rpc(net.base.rpc_url, 'evm_setIntervalMining', 0);
  await press(page, 'on Base');
  await says(page, /^not settled yet/);
  await page.reload();
  assert.deepEqual(await buttonsOf(page), ['Send the payment that was signed before']);
  assert.match(await page.run(SAID), /nobody knows yet how it ended/);
  await press(page, 'signed before');
  await says(page, /^not settled yet/);
  await rpc(net.base.rpc_url, 'evm_setIntervalMining', 1);
  await says(page, /^paid; transaction/);
  const rows = await stack.books(config);
  assert.deepEqual([purse.signatures() - before.signatures, rows.length - before.rows, api.seen.length - before.seen], [1, 1, 1]);
  assert.deepEqual((await buttonsOf(page)).length, 2, 'now it may be bought again');
}

async function creditsAreKept(open, purse, config, api) {
  const page = await open('/v1/things');
  const before = { signatures: purse.signatures(), rows: (await stack.books(config)).length };
  await request(page, 'later');
  api.broken = true;
  await press(page, 'on Solana');
  await says(page, /^the service failed \(50\d\); transaction .*not used up/);
  api.broken = false;
  // The defect: the page that this one was reloaded to had lost the body, and with it the payment.
  const body = await page.run('document.getElementById("body").value');
  await page.reload();
  await until('the body', async () => (await page.run('document.getElementById("body").value')) === body);
  assert.equal(await page.run('document.getElementById("body").readOnly'), true, 'it is that request that is paid for');
  await press(page, 'signed before');
  await says(page, /^paid; transaction/);
  assert.deepEqual([purse.signatures() - before.signatures, (await stack.books(config)).length - before.rows], [1, 1]);
}

/** The defect: it was called paid and the payment forgotten, though no receipt can be read beside a redirect. */
async function redirects(open, purse) {
  const page = await open('/v1/things');
  const before = purse.signatures();
  await request(page, 'away');
  await press(page, 'on Base');
  await says(page, /^answered with a redirect; see whether it was paid/);
  assert.deepEqual(await buttonsOf(page), ['Send the payment that was signed before']);
  assert.equal(purse.signatures() - before, 1);
}

async function refusals(open, purse, config) {
  const before = (await stack.books(config)).length;
  const page = await open('/v1/list');
  purse.refuses = 'eth_signTypedData_v4';
  await press(page, 'on Base');
  await says(page, /the person said no/);
  purse.refuses = undefined;
  assert.equal((await buttonsOf(page)).length, 2, 'and nothing is kept of it');
  const bad = await open('/v1/things');
  await bad.run('document.getElementById("body").value = "{}"');
  await press(bad, 'Show the price');
  await says(bad, /^answered with 400/);
  assert.equal((await stack.books(config)).length, before);
}

async function withoutAWallet(page, url) {
  const bare = await page(`${url}/v1/list`);
  await until('the word for it', () => bare.run('!document.getElementById("none").hidden'));
  assert.equal((await buttonsOf(bare)).length, 0);
  // What got into the page could neither run nor send.
  await bare.run('document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\'document.title=1\'>")');
  assert.notEqual(await bare.run('document.title'), '1');
  assert.equal(await bare.run('fetch("https://elsewhere.example/").then(() => "sent", () => "kept")'), 'kept');
}

async function looks(open) {
  const folder = process.env.QUITTANCE_SCREENSHOTS;
  const wide = 'document.documentElement.scrollWidth <= document.documentElement.clientWidth';
  for (const theme of ['light', 'dark']) {
    const page = await open('/v1/things', 'Earth wallet');
    await until('both wallets', async () => (await buttonsOf(page)).length === 3);
    await page.theme(theme);
    const [ground, text] = await page.run('[getComputedStyle(document.documentElement), getComputedStyle(document.body)].map(one => one.color)');
    assert.equal(ground, text);
    assert.ok(await page.run(wide), 'nothing is wider than the window');
    if (folder) await page.shoot(join(folder, `page-${theme}.png`), 900);
    await page.width(400);
    assert.ok(await page.run(wide), 'nor on a telephone');
    if (folder) await page.shoot(join(folder, `page-narrow-${theme}.png`), 1_200);
  }
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const late = (_, response) => (api.broken ? response.writeHead(500).end('oops') : response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"thing":"late"}'));
  const api = await upstream({ modes: { ...modes, later: late } });
  const payTo = { base: stranger().address, solana: solana.stranger().address };
  const config = configure(folder, net, api, payTo, await stack.freePort());
  const gate = await stack.gateway(net, config);
  await test('a browser gets the page, and programs what they got', () => whoGetsIt(gate, api));
  await test('the page loads nothing, is framed by nobody and kept by no cache', () => whatItMayDo(gate));
  await test('no request becomes markup', () => whatIsEscaped(gate));
  await test('a token is paid by its own program', whoseTokenItIs);
  if (BROWSER) {
    await withBrowser(async ({ page }) => {
      const purse = wallet(net);
      const open = (path, name) => page(`${gate.url}${path}`, { wallet: purse.answer, name });
      await test('a person buys on each network with the keyboard alone, and sees the answer', () => buysOnEach(open, purse, config));
      await test('what was bought is shown as data', () => showsData(open));
      await test('p5 a pending payment is sent again, also by the page that is reloaded, and none is signed beside it', () => insists(open, purse, net, config, api));
      await test('p6 what the service failed at is sent again with the same payment', () => creditsAreKept(open, purse, config, api));
      await test('what is answered with a redirect is not called paid, and its payment is kept', () => redirects(open, purse));
      await test('who says no has paid nothing', () => refusals(open, purse, config));
      await test('who has no wallet is told so, and nothing leaves the page', () => withoutAWallet(page, gate.url));
      await test('it fits light and dark, wide and narrow', () => looks(open));
    });
  }
  await api.close();
});
finish();
