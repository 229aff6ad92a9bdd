// What the program does not take on trust, through `quittance serve`: the token,
// the recipient, the chain behind each endpoint, the values of its configuration,
// and, while it runs, whether a payment could land at all.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as stack from './lib/stack.mjs';
import { finish, test } from './lib/tally.mjs';
import { decode, encode } from './lib/http.mjs';
import { paySolana, signer } from './lib/solana-payment.mjs';

const { BASE, SOLANA } = stack;
const folder = mkdtempSync(join(tmpdir(), 'quittance-trust-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const net = await stack.devnet('--payers', '1');
const { privateKeyToAccount, generatePrivateKey } = await stack.clients('viem/accounts');
const { createPublicClient, createWalletClient, http: transport, parseAbi, keccak256, toBytes } = await stack.clients('viem');
const kit = await stack.clients('@solana/kit');
const rpc = async (url, method, ...params) => {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const answer = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  const { result, error } = await answer.json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
};
const owner = privateKeyToAccount(keccak256(toBytes('quittance devnet base deployer')));
await rpc(net.base.rpc_url, 'anvil_setBalance', owner.address, '0xde0b6b3a7640000');
const reader = createPublicClient({ transport: transport(net.base.rpc_url) });
const writer = createWalletClient({ account: owner, chain: null, transport: transport(net.base.rpc_url) });
const abi = parseAbi([
  'function initialize(string,string,string,uint8,address,address,address,address)', 'function initializeV2(string)',
  'function initializeV2_1(address)', 'function initializeV2_2(address[],string)',
  'function pause()', 'function unpause()', 'function blacklist(address)', 'function unBlacklist(address)',
]);
const asOwner = async (address, functionName, ...args) => {
  const hash = await writer.writeContract({ address, abi, functionName, args });
  const { status } = await reader.waitForTransactionReceipt({ hash, pollingInterval: 50 });
  assert.equal(status, 'success', functionName);
};

async function payoutAccount() {
  const [at] = await kit.getProgramDerivedAddress({
    programAddress: 'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL',
    seeds: [net.solana.pay_to, 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA', net.solana.mint].map(text => kit.getAddressEncoder().encode(text)),
  });
  return at;
}

/** Circle's contract once more, as another token. */
async function token(address, name, decimals, currency) {
  const slot = '0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3';
  const implementation = await rpc(net.base.rpc_url, 'eth_getStorageAt', net.base.usdc, slot, 'latest');
  const code = await rpc(net.base.rpc_url, 'eth_getCode', `0x${implementation.slice(26)}`, 'latest');
  await rpc(net.base.rpc_url, 'anvil_setCode', address, code);
  const me = owner.address;
  await asOwner(address, 'initialize', name, name, currency, decimals, me, me, me, me);
  await asOwner(address, 'initializeV2', name);
  await asOwner(address, 'initializeV2_1', '0x00000000000000000000000000000000000000aa');
  await asOwner(address, 'initializeV2_2', [], name);
  return address;
}

let configurations = 0;
/** A configuration; `change(sections)` edits it. */
function configure(change = () => {}) {
  configurations += 1;
  const sections = {
    server: { listen: '127.0.0.1:0', workers: 1, shutdown_seconds: 1 },
    ledger: { url: `sqlite://${join(folder, `${configurations}.sqlite`)}` },
    'networks.base': { network: BASE, rpc_urls: [net.base.rpc_url], asset: net.base.usdc, pay_to: net.base.pay_to, wallets: ['env:BASE_WALLET'] },
    'networks.solana': { network: SOLANA, rpc_urls: [net.solana.rpc_url], asset: net.solana.mint, pay_to: net.solana.pay_to, wallets: ['env:SOLANA_WALLET'] },
    rates: { eth_usd: '2500.00', sol_usd: '150.00' },
    quote: { refresh_seconds: 1 },
  };
  change(sections);
  const path = join(folder, `${configurations}.toml`);
  const lines = values => Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join('\n');
  writeFileSync(path, Object.entries(sections).filter(([, values]) => values).map(([title, values]) => `[${title}]\n${lines(values)}\n`).join('\n'));
  return path;
}

const wallet = generatePrivateKey();
const walletAddress = privateKeyToAccount(wallet).address;
const fund = wei => rpc(net.base.rpc_url, 'anvil_setBalance', walletAddress, `0x${wei.toString(16)}`);
await fund(10n ** 18n);
const secrets = { BASE_WALLET: wallet, SOLANA_WALLET: net.solana.wallet_key };

const children = new Set();
const killAll = () => {
  for (const child of children) child.kill('SIGKILL');
};
process.on('exit', killAll);

/** Runs `quittance serve`; resolves when it listens or ends. */
const serve = (change, env) => program('quittance', ['serve', '--config', configure(change)], env);

/** The sample API behind its gate. */
const gate = change => program('sample-api', ['--test-hooks', '--config', configure(sections => {
  sections.gate = { catalogue: join(stack.ROOT, 'catalogs/imgnai.toml') };
  change(sections);
})]);

function program(name, args, env = {}) {
  const child = spawn(join(stack.BIN, name), args, {
    env: { ...process.env, ...secrets, NO_COLOR: '1', ...env },
  });
  children.add(child);
  const program = { child, out: '', url: undefined, stop: () => child.kill('SIGKILL') };
  return new Promise(resolve => {
    const take = chunk => {
      program.out += chunk;
      const listens = /listening on (http:\/\/[0-9.]+:\d+)\s/.exec(program.out);
      if (listens && !program.url) { program.url = listens[1]; resolve(program); }
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('exit', code => { children.delete(child); program.code = code; resolve(program); });
  });
}

/** The start must end, with words that say what to do. */
async function refused(change, ...says) {
  const program = await serve(change);
  program.stop();
  assert.equal(program.url, undefined, `it started:\n${program.out}`);
  assert.equal(program.code, 1);
  for (const words of says) assert.match(program.out, words);
  return program.out;
}

const json = async (url, body) => {
  const answer = await fetch(url, body && { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  return { status: answer.status, retryAfter: answer.headers.get('retry-after'), body: await answer.json() };
};
const until = async (what, holds) => {
  const end = Date.now() + 20_000;
  let last;
  while (Date.now() < end) {
    last = await holds();
    if (last === true) return;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  assert.fail(`${what}: ${JSON.stringify(last)}`);
};
const closed = async (program, network) => (await json(`${program.url}/readyz`)).body.closed[network];
const only = name => sections => { for (const key of ['networks.base', 'networks.solana']) if (key !== name) sections[key] = undefined; };

/** A node in front of a real one; `answer(call)` may return what is said instead. */
function node(upstream, answer) {
  const seen = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', async () => {
      const call = JSON.parse(Buffer.concat(chunks).toString());
      seen.push(call.method);
      const mine = answer(call);
      if (mine === 'down') { response.destroy(); return; }
      const text = mine === undefined
        ? await (await fetch(upstream, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(call) })).text()
        : JSON.stringify({ jsonrpc: '2.0', id: call.id, result: mine });
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(text);
    });
  });
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve({ url: `http://127.0.0.1:${server.address().port}`, seen, server })));
}

/** Circle's token signed for, as a foreign server's customer would. */
async function payment() {
  const payer = privateKeyToAccount(net.base.payer_key);
  const terms = { scheme: 'exact', network: BASE, amount: '20000', asset: net.base.usdc, payTo: net.base.pay_to, maxTimeoutSeconds: 120, extra: { name: 'USD Coin', version: '2' } };
  const now = Math.floor(Date.now() / 1000);
  const authorization = { from: payer.address, to: terms.payTo, value: terms.amount, validAfter: String(now - 600), validBefore: String(now + 100), nonce: generatePrivateKey() };
  const field = (name, type) => ({ name, type });
  const signature = await payer.signTypedData({
    domain: { name: 'USD Coin', version: '2', chainId: 8453, verifyingContract: terms.asset },
    primaryType: 'TransferWithAuthorization',
    types: { TransferWithAuthorization: [field('from', 'address'), field('to', 'address'), field('value', 'uint256'), field('validAfter', 'uint256'), field('validBefore', 'uint256'), field('nonce', 'bytes32')] },
    message: authorization,
  });
  return { x402Version: 2, paymentPayload: { x402Version: 2, accepted: terms, payload: { signature, authorization } }, paymentRequirements: terms };
}

const base = more => sections => { only('networks.base')(sections); Object.assign(sections['networks.base'], more); };
const solana = more => sections => { only('networks.solana')(sections); Object.assign(sections['networks.solana'], more); };

// ---- at the start
await test('a token with 18 decimals does not sell for 10^-12 of the price', async () => {
  const asset = await token('0x00000000000000000000000000000000000e0c18', 'Eighteen', 18, 'USD');
  const named = { asset, asset_name: 'Eighteen' };
  await refused(base(named), /networks\.base/, /dollar = true/);
  await refused(base({ ...named, dollar: true }), /18 decimals/);
  await refused(base({ ...named, dollar: true, asset_decimals: 18 }), /asset_decimals must be between 6 and 6/);
});

await test('a euro token does not sell for a dollar', async () => {
  const asset = await token('0x00000000000000000000000000000000000e0c06', 'Euros', 6, 'EUR');
  await refused(base({ asset, asset_name: 'Euros' }), /dollar = true/);
  await refused(base({ asset, asset_name: 'Euros', dollar: true }), /not of US dollars/);
});

await test('another dollar token sells on the operator\'s word', async () => {
  const asset = await token('0x00000000000000000000000000000000000e0c07', 'Dollars', 6, 'USD');
  await refused(base({ asset, asset_name: 'Dolars', dollar: true }), /EIP-712 domain/);
  const program = await serve(base({ asset, asset_name: 'Dollars', dollar: true }));
  assert.ok(program.url, program.out);
  program.stop();
});

await test('a pay_to that could never pay out again is refused', async () => {
  const mistyped = net.base.pay_to.replace(/[a-f]/, letter => letter.toUpperCase());
  await refused(base({ pay_to: mistyped }), /pay_to has a wrong EIP-55 checksum/);
  await refused(base({ pay_to: net.base.usdc }), /pay_to is the token itself/);
  await refused(base({ pay_to: `0x${'0'.repeat(40)}` }), /zero address/);
  const lower = await serve(base({ pay_to: net.base.pay_to.toLowerCase() }));
  assert.match(lower.out, /networks\.base\.pay_to: has no checksum/);
  lower.stop();
  const [ata] = await kit.getProgramDerivedAddress({
    programAddress: 'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL',
    seeds: [(await kit.createKeyPairSignerFromBytes(kit.getBase58Encoder().encode(net.solana.payer_key))).address, 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA', net.solana.mint].map(text => kit.getAddressEncoder().encode(text)),
  });
  await refused(solana({ pay_to: ata }), /pay_to is a token account; put the address of its owner there/);
  await refused(solana({ pay_to: net.solana.mint }), /pay_to is the mint/);
  await refused(solana({ pay_to: 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA' }), /pay_to is a program/);
});

await test('an endpoint of another chain ends the start', async () => {
  const other = await node(net.base.rpc_url, call => (call.method === 'eth_chainId' ? '0x1' : undefined));
  await refused(base({ rpc_urls: [net.base.rpc_url, other.url] }), /rpc_urls\[1\] serves chain 1/);
  const devnet = await node(net.solana.rpc_url, call => (call.method === 'getGenesisHash' ? 'EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG' : undefined));
  await refused(solana({ rpc_urls: [net.solana.rpc_url, devnet.url] }), /rpc_urls\[1\] serves the cluster of genesis EtWT/);
  other.server.close();
  devnet.server.close();
});

await test('impossible values are refused', async () => {
  for (const [section, key, value] of [
    ['ledger', 'lease_seconds', 2], ['quote', 'base_fee_headroom', '0.9'], ['quote', 'markup', '0.5'],
    ['networks.base', 'max_timeout_seconds', 1e15], ['networks.base', 'poll_interval_ms', 0], ['networks.base', 'rpc_timeout_ms', 0],
  ]) await refused(sections => { sections[section][key] = value; }, new RegExp(`${section}\\.${key} must be between`));
});

await test('no output repeats a value that may hold a key', async () => {
  const canary = 'c4n4ry59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b7869';
  for (const [section, key, value] of [
    ['ledger', 'url', `postgres://user:${canary}@127.0.0.1:1/books`], ['ledger', 'url', canary], ['ledger', 'url', `sqlite:///nowhere/${canary}/x`],
    ['ledger', 'url', `env:${canary}`], ['ledger', 'lease_seconds', canary],
    ['networks.base', 'wallets', [canary]], ['networks.base', 'wallets', [`env:${canary}`]], ['networks.base', 'wallets', [`file:/nowhere/${canary}`]],
    ['networks.base', 'pay_to', canary], ['networks.base', 'asset', canary], ['networks.base', 'network', canary], ['networks.base', 'asset_name', canary],
    ['networks.base', 'rpc_urls', [`http://${canary}:${canary}@127.0.0.1:1/${canary}?key=${canary}`]], ['networks.base', 'rpc_urls', [canary]],
    ['networks.solana', 'pay_to', canary], ['networks.solana', 'asset', canary], ['networks.solana', 'rpc_urls', [`ftp://${canary}`]],
    ['server', 'listen', canary], ['server', 'public_url', canary], ['rates', 'eth_usd', canary], ['quote', 'markup', canary],
    ['gate', 'catalogue', canary],
  ]) {
    const program = await serve(sections => {
      sections[section] = { ...sections[section], [key]: value };
    });
    await new Promise(resolve => setTimeout(resolve, program.url ? 1_500 : 0));
    program.stop();
    assert.ok(program.out.length > 0);
    assert.ok(!program.out.includes('59c6995e'), `${section}.${key}: ${program.out}`);
  }
  for (const [name, value] of [['LEDGER__URL', canary], ['NETWORKS__BASE__WALLETS', `["${canary}"]`], ['NETWORKS__BASE__NETWORK', canary], ['GATE__RUNS_MAX', canary], [`X${canary}`, canary]]) {
    const program = await serve(undefined, { [`QUITTANCE__${name}`]: value });
    program.stop();
    assert.equal(program.url, undefined, name);
    assert.ok(!program.out.includes('59c6995e'), `${name}: ${program.out}`);
  }
  for (const env of [{ BASE_WALLET: canary }, { SOLANA_WALLET: canary }]) {
    const program = await serve(undefined, env);
    program.stop();
    assert.equal(program.url, undefined);
    assert.ok(!program.out.includes('59c6995e'), program.out);
  }
});

await test('what is risky is said once at the start', async () => {
  const program = await serve(sections => {
    only('networks.base')(sections);
    sections.server.listen = '0.0.0.0:0';
    sections['networks.base'].rpc_urls.push('http://rpc.invalid/');
  });
  program.stop();
  assert.match(program.out, /server\.listen: listens on every address/);
  assert.match(program.out, /networks\.base\.rpc_urls\[1\]: plain http to another machine/);
  assert.match(program.out, /rates\.eth_usd: is fixed on a mainnet/);
});

// ---- while it runs
await test('an empty wallet, a pause and a blacklisting close Base, and it opens again', async () => {
  const program = await serve(base({}));
  assert.ok(program.url, program.out);
  const ask = async path => (await json(`${program.url}${path}`, await payment())).body;
  assert.equal((await ask('/verify')).isValid, true);
  for (const [reason, breaks, mends] of [
    ['wallet_empty', () => fund(1n), () => fund(10n ** 18n)],
    ['token_paused', () => asOwner(net.base.usdc, 'pause'), () => asOwner(net.base.usdc, 'unpause')],
    ['pay_to_blacklisted', () => asOwner(net.base.usdc, 'blacklist', net.base.pay_to), () => asOwner(net.base.usdc, 'unBlacklist', net.base.pay_to)],
  ]) {
    await breaks();
    await until(reason, async () => (await closed(program, BASE)) === reason || await closed(program, BASE));
    // All who ask within half a second are answered from one look.
    let ready;
    await until(`${reason} at /readyz`, async () => {
      ready = await json(`${program.url}/readyz`);
      return ready.status === 503 && ready.body.reason.includes(reason) || `${ready.status}`;
    });
    assert.ok(Number(ready.retryAfter) > 0);
    assert.match(ready.body.reason, new RegExp(reason));
    const verified = await ask('/verify');
    assert.equal(verified.isValid, false, reason);
    assert.equal(verified.invalidReason, 'network_unavailable');
    const settled = await ask('/settle');
    assert.equal(settled.success, false, reason);
    assert.equal(settled.errorReason, 'network_unavailable');
    assert.equal(settled.transaction, '');
    const metrics = await (await fetch(`${program.url}/metrics`)).text();
    assert.match(metrics, new RegExp(`quittance_network_closed\\{network="eip155:8453",reason="${reason}"\\} 1`));
    await mends();
    await until(`${reason} mended`, async () => (await closed(program, BASE)) === undefined || await closed(program, BASE));
    assert.equal((await ask('/settle')).success, true, reason);
  }
  program.stop();
});

await test('a closed and a frozen payout account close Solana, and it opens again', async () => {
  const at = await payoutAccount();
  const program = await serve(solana({}));
  assert.ok(program.url, program.out);
  await until('open', async () => (await closed(program, SOLANA)) === undefined || await closed(program, SOLANA));
  const whole = (await rpc(net.solana.rpc_url, 'getAccountInfo', at, { encoding: 'base64', commitment: 'confirmed' })).value;
  const bytes = Buffer.from(whole.data[0], 'base64');
  const put = (data, lamports, owned) => rpc(net.solana.rpc_url, 'surfnet_setAccount', at, { lamports, data: data.toString('hex'), owner: owned, executable: false, rentEpoch: 0 });
  const TOKEN = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA';
  const frozen = Buffer.from(bytes);
  frozen[108] = 2;
  const foreign = Buffer.from(bytes);
  foreign.fill(7, 32, 64);
  for (const [reason, breaks] of [
    ['pay_to_frozen', () => put(frozen, whole.lamports, TOKEN)],
    ['pay_to_closed', () => put(foreign, whole.lamports, TOKEN)],
  ]) {
    await breaks();
    await until(reason, async () => (await closed(program, SOLANA)) === reason || await closed(program, SOLANA));
    await put(bytes, whole.lamports, TOKEN);
    await until(`${reason} mended`, async () => (await closed(program, SOLANA)) === undefined || await closed(program, SOLANA));
  }
  program.stop();
});

// Whoever may close the account is paid its rent each time: the second round of the day is not paid for.
await test('p3 harvest: a closed payout account comes back, and beyond the limit of the day Solana is closed', async () => {
  const at = await payoutAccount();
  const program = await serve(solana({ account_lamports_per_day: 2_500_000 }));
  assert.ok(program.url, program.out);
  const read = async () => (await rpc(net.solana.rpc_url, 'getAccountInfo', at, { encoding: 'base64', commitment: 'confirmed' })).value;
  const isOpen = async () => (await closed(program, SOLANA)) === undefined || await closed(program, SOLANA);
  await until('open', isOpen);
  const whole = await read();
  const put = (data, lamports, owner) => rpc(net.solana.rpc_url, 'surfnet_setAccount', at, { lamports, data, owner, executable: false, rentEpoch: 0 });
  const close = () => put('', 0, '11111111111111111111111111111111');
  await close();
  await until('it is there again', async () => (await read())?.owner === whole.owner || 'not yet');
  await until('open again', isOpen);
  await close();
  await until('accounts_spent', async () => (await closed(program, SOLANA)) === 'accounts_spent' || await closed(program, SOLANA));
  await put(Buffer.from(whole.data[0], 'base64').toString('hex'), whole.lamports, whole.owner);
  await until('mended', isOpen);
  program.stop();
});

await test('a gate says why its network is closed, takes nothing meanwhile, and takes the same payment afterwards', async () => {
  const at = await payoutAccount();
  const api = await gate(solana({}));
  assert.ok(api.url, api.out);
  const path = '/test/fail-once';
  const ask = async header => {
    const answer = await fetch(`${api.url}${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json', ...(header && { 'PAYMENT-SIGNATURE': header }) }, body: '{}' });
    return { status: answer.status, headers: answer.headers, body: await answer.json() };
  };
  const offers = async () => decode((await ask()).headers.get('payment-required'))?.accepts;
  await until('offered', async () => (await offers())?.length === 1 || 'not yet');
  const [offer] = await offers();
  const header = encode(await paySolana(net, signer(net.solana.payer_key), offer));
  const whole = (await rpc(net.solana.rpc_url, 'getAccountInfo', at, { encoding: 'base64', commitment: 'confirmed' })).value;
  const put = (data, lamports, owner) => rpc(net.solana.rpc_url, 'surfnet_setAccount', at, { lamports, data, owner, executable: false, rentEpoch: 0 });
  const frozen = Buffer.from(whole.data[0], 'base64');
  frozen[108] = 2;
  await put(frozen.toString('hex'), whole.lamports, whole.owner);
  await until('closed', async () => (await ask()).status === 503 || 'still offered');
  const unpaid = await ask();
  assert.deepEqual([unpaid.body.error, unpaid.body.closed], ['network_unavailable', { [SOLANA]: 'pay_to_frozen' }]);
  assert.match(unpaid.body.message, /pay_to_frozen/);
  assert.ok(Number(unpaid.headers.get('retry-after')) > 0);
  const paid = await ask(header);
  assert.deepEqual([paid.status, paid.body.error, paid.body.reason], [503, 'network_unavailable', 'pay_to_frozen'], JSON.stringify(paid.body));
  assert.deepEqual([paid.body.retry_action, paid.headers.get('x-should-retry')], ['retry_same_payment', 'false']);
  await put(Buffer.from(whole.data[0], 'base64').toString('hex'), whole.lamports, whole.owner);
  await until('offered again', async () => (await offers())?.length === 1 || 'not yet');
  // Its blockhash may be gone by now; then it says so, and a fresh one is taken.
  let answer = await ask(header);
  if (answer.status === 402) answer = await ask(encode(await paySolana(net, signer(net.solana.payer_key), (await offers())[0])));
  assert.equal(answer.status, 500, JSON.stringify(answer.body));
  assert.equal(decode(answer.headers.get('payment-response')).success, true, 'it is settled, and a credit');
  api.stop();
});

await test('a fee payer without money closes Solana', async () => {
  const program = await serve(solana({}));
  await until('open', async () => (await closed(program, SOLANA)) === undefined || await closed(program, SOLANA));
  const put = lamports => rpc(net.solana.rpc_url, 'surfnet_setAccount', net.solana.pay_to, { lamports, data: '', owner: '11111111111111111111111111111111', executable: false, rentEpoch: 0 });
  await put(900_000);
  await until('closed', async () => (await closed(program, SOLANA)) === 'wallet_empty' || await closed(program, SOLANA));
  await put(100_000_000_000);
  await until('open again', async () => (await closed(program, SOLANA)) === undefined || await closed(program, SOLANA));
  program.stop();
});

await test('an endpoint of another chain that comes late is left out until it answers rightly', async () => {
  let mood = 'down';
  const late = await node(net.base.rpc_url, call => (mood === 'down' ? 'down' : mood === 'other' && call.method === 'eth_chainId' ? '0x1' : undefined));
  const program = await serve(base({ rpc_urls: [late.url, net.base.rpc_url] }));
  assert.ok(program.url, program.out);
  late.seen.length = 0;
  mood = 'other';
  const gauge = async () => /quittance_endpoints_of_another_chain\{network="eip155:8453"\} (\d)/.exec(await (await fetch(`${program.url}/metrics`)).text())?.[1];
  await until('noticed', async () => (await gauge()) === '1' || 'not noticed');
  assert.equal((await json(`${program.url}/settle`, await payment())).body.success, true);
  assert.deepEqual([...new Set(late.seen)], ['eth_chainId'], 'it is asked for its name only');
  assert.match(program.out, /an endpoint of another chain is left out/);
  mood = 'right';
  await until('taken back', async () => (await gauge()) === '0' || 'not yet');
  await until('asked', async () => late.seen.includes('eth_getBlockByNumber') || 'not yet');
  program.stop();
  late.server.close();
});

await test('a whole chain that comes late as another one is not sold on', async () => {
  let mood = 'down';
  const late = await node(net.solana.rpc_url, call => (mood === 'down' ? 'down' : mood === 'other' && call.method === 'getGenesisHash' ? 'EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG' : undefined));
  const program = await serve(sections => { sections['networks.solana'].rpc_urls = [late.url]; });
  assert.ok(program.url, program.out);
  mood = 'other';
  late.seen.length = 0;
  await until('asked', async () => late.seen.length > 2 || 'not yet');
  assert.deepEqual([...new Set(late.seen)], ['getGenesisHash']);
  assert.equal(await closed(program, SOLANA), 'not_connected');
  mood = 'right';
  await until('sold', async () => (await closed(program, SOLANA)) === undefined || await closed(program, SOLANA));
  program.stop();
  late.server.close();
});

killAll();
await stack.stopAll();
finish();
