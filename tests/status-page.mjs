// The operator's pages and books over live payments on both chains: everything that stands on `/status`, a payment's
// whole story, searches, who may look, what a flood of reloads costs; and exports and statements that add up to the
// chain. With --browser also in a headless Chromium, which leaves screenshots in the folder that
// QUITTANCE_SCREENSHOTS names.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import * as chain from './lib/chain.mjs';
import * as http from './lib/http.mjs';
import * as official from './lib/official.mjs';
import * as stack from './lib/stack.mjs';
import { stranger } from './lib/base-payment.mjs';
import { withBrowser } from './lib/browser.mjs';
import { until } from './lib/buyer.mjs';
import * as solana from './lib/solana-payment.mjs';
import { finish, test } from './lib/tally.mjs';
import { CATALOGUE, upstream } from './lib/upstream.mjs';

const CAIP = { base: stack.BASE, solana: stack.SOLANA };
const BROWSER = process.argv.includes('--browser');
const HTML = { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
const JSON_TYPE = { 'Content-Type': 'application/json' };

const look = (url, path, headers = {}) => http.send(url, { method: 'GET', path, headers: { ...HTML, ...headers } });
const receipt = answer => http.decode(answer.headers['payment-response']);

/** Buys one thing at the gate; `mode` says what the API makes of it. */
async function buy(net, gate, network, mode = 'ok') {
  const request = { path: '/v1/things', headers: JSON_TYPE, body: JSON.stringify({ prompt: `${mode} ${Math.random()}`, mode }) };
  const required = await until('an offer', async () => http.decode((await http.send(gate.url, request)).headers['payment-required']));
  const terms = required.accepts.find(one => one.network === CAIP[network]);
  const signature = http.encode(await official.pay(net, network, terms));
  return http.send(gate.url, { ...request, headers: { ...JSON_TYPE, 'PAYMENT-SIGNATURE': signature } });
}

function configure(folder, net, api, payTo, admin, port) {
  const catalogue = join(folder, 'things.toml');
  writeFileSync(catalogue, CATALOGUE);
  const section = network => ({ pay_to: payTo[network], head_look_seconds: 1 });
  const config = stack.configure(folder, net, {
    name: 'gateway', port,
    more: { server: { admin_listen: `127.0.0.1:${admin}` }, base: section('base'), solana: section('solana'), quote: { refresh_seconds: 1 } },
  });
  const more = `\n[gateway.upstreams.things]\nurl = "${api.url}"\ncatalogue = "${catalogue}"\nfailures_max = 50\n`;
  writeFileSync(config, readFileSync(config, 'utf8') + more);
  return config;
}

/** What every browser is told with every page. */
function isGuarded(answer) {
  const policy = answer.headers['content-security-policy'];
  assert.match(policy, /^default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; connect-src 'self'; /);
  assert.match(policy, /base-uri 'none'; frame-ancestors 'none'$/);
  assert.ok(!policy.includes('unsafe'));
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  assert.equal(answer.headers['cache-control'], 'no-store');
  assert.match(answer.headers['content-type'], /^text\/html; charset=utf-8$/);
}

async function overview(admin, bought) {
  const page = await until('both payments', async () => {
    const answer = await look(admin, '/status/');
    return bought.every(({ transaction }) => answer.text.includes(transaction)) && answer;
  });
  assert.equal(page.status, 200);
  isGuarded(page);
  for (const words of ['Selling on all 2 networks', 'Base', 'Solana', 'Endpoints', '127.0.0.1', 'healthy', 'Wallets and their lanes', 'fine', 'In flight', 'Spent, 24 h', 'Newest payments', 'delivered', 'credit', 'Background work', 'tariffs', 'finality']) {
    assert.ok(page.text.includes(words), `${words} in ${page.text}`);
  }
  const browser = await look(admin, '/status');
  assert.match(browser.headers['content-type'], /html/, 'a browser that asks for /status gets the page, too');
  const program = await http.send(admin, { method: 'GET', path: '/status', headers: { Accept: '*/*' } });
  assert.deepEqual(Object.keys(program.json), ['now_ms', 'closed', 'upkeep', 'wallets'], 'and a program what it got before');
}

async function sums(admin) {
  const page = await until('the sums of the day', async () => {
    const answer = await look(admin, '/status/');
    return answer.text.includes('Summed') && answer.text.includes('credits with runs left') && answer;
  }, 60, 500);
  assert.ok(!page.text.includes('The sums are being made'));
}

async function searches(admin, bought) {
  const [base, onSolana] = bought;
  for (const { transaction, payer } of [base, onSolana]) {
    const found = await look(admin, `/status/search?q=${transaction}`);
    assert.equal(found.status, 303, found.text);
    const story = await look(admin, found.headers.location);
    assert.ok(story.text.includes(transaction) && story.text.includes(payer));
    isGuarded(story);
  }
  const upper = await look(admin, `/status/search?q=${base.transaction.toUpperCase().replace('0X', '0x')}`);
  assert.equal(upper.status, 303, 'whatever its letters');
  const of = await look(admin, `/status/search?q=${base.payer.toLowerCase()}`);
  assert.equal(of.status, 200);
  assert.ok(of.text.includes('payments of') && of.text.includes(base.transaction), 'a payer has several');
  for (const nothing of ['pay_00', `0x${'1'.repeat(64)}`, '%3Cscript%3Ealert(1)%3C%2Fscript%3E', '', '%00', "'%20OR%201=1"]) {
    const answer = await look(admin, `/status/search?q=${nothing}`);
    assert.equal(answer.status, 404, nothing);
    assert.ok(!answer.text.includes('<script>alert'), answer.text);
    isGuarded(answer);
  }
}

async function stories(admin, config, bought) {
  const books = await stack.books(config);
  for (const { transaction } of bought) {
    const { id } = books.find(one => one.transaction === transaction);
    const story = await until('the whole story', async () => {
      const answer = await look(admin, `/status/payments/${id}`);
      return answer.text.includes('Cost booked') && answer.text.includes('Answer reached its client') && answer;
    });
    const order = ['Claimed</td>', 'Signed and recorded', 'Settled</td>', 'Handler runs', 'Answer made', 'Answer reached its client'];
    const places = order.map(words => story.text.indexOf(words));
    assert.ok(places.every((place, at) => place > (places[at - 1] ?? 0)), `${order}: ${places}`);
    assert.ok(story.text.includes('Sent: ') && story.text.includes('a wallet of ours') && story.text.includes('landed it'));
    assert.ok(!/signature/i.test(story.text.replace(/<style>.*<\/style>/s, '')), 'no signature, and no word of one');
  }
  assert.equal((await look(admin, '/status/payments/pay_00')).status, 404);
}

async function whoMayLook(gate, admin) {
  for (const path of ['/status', '/status/', '/status/search?q=x', '/metrics']) {
    assert.equal((await look(gate.url, path)).status, 404, `${path} is not beside the API`);
  }
  const refused = { 'X-Forwarded-For': '203.0.113.7', Via: '1.1 proxy', Host: 'evil.example' };
  for (const [name, value] of Object.entries(refused)) {
    for (const path of ['/status/', '/status']) {
      assert.equal((await look(admin, path, { [name]: value })).status, 404, `${name} at ${path}`);
    }
  }
  const embedded = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' };
  assert.equal((await look(admin, '/status/', embedded)).status, 404);
  assert.equal((await http.send(admin, { method: 'POST', path: '/status/', headers: HTML, body: '' })).status, 405);
  assert.equal((await look(admin, '/metrics')).status, 200);
  assert.equal((await look(admin, '/healthz')).status, 200);
}

/** A hundred who reload at once share a look a second, and payments go on beside them. */
async function reloads(net, gate, admin) {
  const seen = new Set();
  const began = Date.now();
  let pages = 0;
  let stop = false;
  const reader = async () => {
    while (!stop) {
      const answer = await look(admin, '/status/');
      assert.ok([200, 503].includes(answer.status), answer.text);
      if (answer.status === 503) assert.equal(answer.headers['retry-after'], '1');
      else {
        pages += 1;
        seen.add(/<time>([^<]+)/.exec(answer.text)[1]);
      }
    }
  };
  const readers = Array.from({ length: 20 }, reader);
  const times = [];
  for (let at = 0; at < 5; at += 1) {
    const since = Date.now();
    assert.equal((await buy(net, gate, 'base')).status, 200);
    times.push(Date.now() - since);
  }
  stop = true;
  await Promise.all(readers);
  const seconds = (Date.now() - began) / 1_000;
  stack.say(`  ${pages} pages in ${seconds.toFixed(1)} s of ${seen.size} looks; payments beside them took ${times.join(', ')} ms`);
  assert.ok(pages > seen.size * 3, 'many pages, few looks');
  assert.ok(seen.size <= seconds + 2, 'at most one look a second');
}

const usdc = text => BigInt(text.replace('.', ''));
const total = (rows, field) => rows.reduce((sum, row) => sum + usdc(row[field]), 0n);

async function books(folder, net, config, payTo) {
  const command = (...args) => stack.program('payments', ...args, '--config', config);
  const lines = text => text.trim().split('\n').map(line => JSON.parse(line));
  const held = {
    [stack.BASE]: BigInt(await chain.baseBalance(net.base.rpc_url, net.base.usdc, payTo.base)),
    [stack.SOLANA]: BigInt(await chain.solanaBalance(net.solana.rpc_url, net.solana.mint, payTo.solana)),
  };
  const rows = lines(await command('export', '--json', '--state', 'settled'));
  const days = lines(await command('statement', '--json'));
  const sums = lines(await command('export', '--totals', '--json'));
  for (const [network, balance] of Object.entries(held)) {
    const of = list => list.filter(row => row.network === network);
    assert.ok(balance > 0n);
    assert.equal(total(of(rows), 'gross_usdc'), balance, `the export of ${network} is what its address holds`);
    assert.equal(total(of(days), 'gross_usdc'), balance, 'and so is the statement');
    assert.equal(total(of(sums), 'gross_usdc'), balance, 'and so are the totals');
    assert.equal(total(of(days), 'service_usdc') + total(of(days), 'surcharge_usdc'), balance);
    assert.equal(total(of(rows), 'cost_usdc'), total(of(days), 'cost_usdc'));
  }
  for (const row of rows.filter(one => one.network === stack.BASE)) {
    const { cost } = await chain.baseTransfer(net.base.rpc_url, net.base.usdc, row.transaction);
    assert.equal(BigInt(Math.round(Number(row.cost_coin) * 1e18)) / 1_000_000n, BigInt(cost) / 1_000_000n, 'the receipt\'s own cost');
    assert.equal(usdc(row.net_usdc), usdc(row.gross_usdc) - usdc(row.cost_usdc));
  }
  const csv = await command('export', '--csv', '--state', 'settled', '--network', 'base', '--since', '1h');
  const [titles, ...fields] = csv.trim().split('\r\n');
  assert.match(titles, /^id,claimed_at,settled_at,network,seller,/);
  assert.equal(fields.length, rows.filter(row => row.network === stack.BASE).length);
  assert.equal((await command('export', '--csv', '--until', '2020-01-01')).trim(), titles);
  const file = join(folder, 'books.parquet');
  await command('export', '--parquet', file);
  const parquet = readFileSync(file);
  assert.deepEqual([parquet.subarray(0, 4).toString(), parquet.subarray(-4).toString()], ['PAR1', 'PAR1']);
  assert.match(await command('statement'), /^day +network .*\n20\d\d-\d\d-\d\d +eip155:8453 +gate .*\n(.*\n)*\ntotal\n/);
  const listed = lines(await command('list', '--state', 'settled', '--network', 'solana', '--since', '1d'));
  assert.equal(listed.length, rows.filter(row => row.network === stack.SOLANA).length);
}

async function inABrowser(net, gate, admin) {
  const folder = process.env.QUITTANCE_SCREENSHOTS;
  await withBrowser(async ({ page }) => {
    const board = await page(`${admin}/status/`);
    await board.run('document.getElementById("q").focus()');
    await board.type('half a na');
    const seen = await board.run('document.querySelectorAll("a[id^=to-]").length');
    assert.ok(seen > 0);
    assert.equal((await buy(net, gate, 'base')).status, 200);
    const { transaction } = receipt(await buy(net, gate, 'solana'));
    const shows = `document.getElementById('board').innerHTML.includes(${JSON.stringify(transaction)})`;
    await until('the page to update by itself', () => board.run(shows), 20);
    assert.equal(await board.run('document.getElementById("q").value'), 'half a na', 'what is typed stays');
    assert.equal(await board.run('document.activeElement.id'), 'q');
    // A link that has the focus keeps it over an update.
    const link = await board.run('(() => { const link = document.querySelector("a[id^=to-]"); link.focus(); return link.id; })()');
    const mark = await board.run('document.querySelector("time").textContent');
    await until('another update', async () => (await board.run('document.querySelector("time").textContent')) !== mark, 20);
    assert.equal(await board.run('document.activeElement.id'), link);
    // The page's own policy holds: what got in could not run.
    await board.run('document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\'document.title=1\'>")');
    assert.notEqual(await board.run('document.title'), '1');
    const own = board.complaints.filter(text => !/Content Security Policy|violates/.test(text));
    assert.deepEqual(own, []);
    for (const theme of ['light', 'dark']) {
      const shown = await page(`${admin}/status/`);
      await shown.theme(theme);
      assert.deepEqual(shown.complaints, [], 'nothing is blocked and nothing fails');
      const wide = 'document.documentElement.scrollWidth <= document.documentElement.clientWidth';
      assert.ok(await shown.run(wide), 'nothing is wider than the window');
      if (folder) await shown.shoot(join(folder, `status-${theme}.png`));
      // What README.md shows.
      if (folder && theme === 'light') await shown.shoot(join(folder, 'status.png'), 900);
      const href = await shown.run('document.querySelector("a[id^=to-]").href');
      const story = await page(href);
      await story.theme(theme);
      assert.deepEqual(story.complaints, []);
      if (folder) await story.shoot(join(folder, `story-${theme}.png`));
      await shown.width(420);
      assert.ok(await shown.run(wide), 'nor on a telephone');
      if (folder) await shown.shoot(join(folder, `narrow-${theme}.png`), 1_600);
    }
  });
}

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const api = await upstream();
  const payTo = { base: stranger().address, solana: solana.stranger().address };
  const [port, adminPort] = [await stack.freePort(), await stack.freePort()];
  const config = configure(folder, net, api, payTo, adminPort, port);
  const gate = await stack.gateway(net, config);
  const admin = `http://127.0.0.1:${adminPort}`;
  const bought = [];
  for (const network of ['base', 'solana']) {
    const answer = await buy(net, gate, network);
    assert.equal(answer.status, 200, answer.text);
    bought.push(receipt(answer));
  }
  for (let at = 0; at < (BROWSER ? 6 : 1); at += 1) {
    await buy(net, gate, 'base');
    await buy(net, gate, 'solana');
  }
  const failed = await buy(net, gate, 'base', 'fail');
  assert.ok(failed.status >= 500, failed.text);

  await test('the page shows networks, lanes, endpoints, wallets, payments and work', () => overview(admin, bought));
  await test('sums of the day come in the background', () => sums(admin));
  await test('a payment is found by transaction, payer and name, and nothing else is', () => searches(admin, bought));
  await test('one payment\'s whole story is told in order', () => stories(admin, config, bought));
  await test('nobody looks from elsewhere, through a proxy, or under a stranger\'s name', () => whoMayLook(gate, admin));
  await test('reloads hold up no payment', () => reloads(net, gate, admin));
  if (BROWSER) await test('the page lives in a browser', () => inABrowser(net, gate, admin));
  await test('exports and statements add up to the chain', () => books(folder, net, config, payTo));
  await api.close();
});
finish();
