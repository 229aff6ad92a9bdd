// `quittance doctor` finds each misconfiguration of a table, by its code and nothing beside it, and
// stays quiet on a good configuration: on SQLite, on PostgreSQL, before the first start and beside the
// running program. Endpoints are the devnet's own, behind proxies with a provider's limits.
//
//   node tests/doctor.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { join } from 'node:path';

import { rpc } from './lib/chain.mjs';
import { withCluster } from './lib/cluster.mjs';
import { BASE, BIN, ROOT, SOLANA, clients, devnet, facilitator, freePort, proxy, start, stop, withStack } from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { finish, row, test } from './lib/tally.mjs';
import { faultyProxy } from './lib/world.mjs';

const [{ getAddress }, { privateKeyToAccount, generatePrivateKey }] = await Promise.all(['viem', 'viem/accounts'].map(clients));
const kit = await clients('@solana/kit');

const TOKEN_PROGRAM = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA';
/** Nobody listens there: TEST-NET-1 is routed nowhere, and port 9 of loopback is closed. */
const NOWHERE = 'http://127.0.0.1:9';
/** Somebody with a key that is in no configuration. */
const PAY_TO = privateKeyToAccount(generatePrivateKey()).address;
/** Older than this is behind; and how long an endpoint has stood still when it is looked at. */
const HEAD_AGE_SECONDS = 6;
const FROZEN_SECONDS = 2 * HEAD_AGE_SECONDS;
/** The devnet's Solana counts its time by the slots it makes, so that a busy machine makes it late. */
const SOLANA_AGE_SECONDS = 3_600;
/** Answers of a busy machine are not slow. */
const PATIENCE_MS = 20_000;

/** A document of exchange rates, an API with a list of its endpoints, and a proxy with small headers. */
async function listening(handler, options = {}) {
  const server = createServer(options, handler);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, port: server.address().port, close: () => server.close() };
}

const rates = () => listening((asked, answer) => {
  const [, price, age] = asked.url.split('/');
  answer.writeHead(200, { 'Content-Type': 'application/json' });
  answer.end(JSON.stringify({ price, at: Math.floor(Date.now() / 1000) - Number(age) }));
});

/** TOML of plain objects: tables, lists of tables, values. */
function toml(value, path = '') {
  const plain = [], tables = [];
  for (const [key, one] of Object.entries(value)) {
    const name = path ? `${path}.${key}` : key;
    if (Array.isArray(one) && one.length > 0 && one.every(item => item !== null && typeof item === 'object')) {
      for (const item of one) tables.push(`[[${name}]]\n${toml(item, name)}`);
    } else if (one !== null && typeof one === 'object' && !Array.isArray(one)) {
      tables.push(`[${name}]\n${toml(one, name)}`);
    } else if (one !== undefined) {
      plain.push(`${key} = ${JSON.stringify(one)}`);
    }
  }
  return [...plain, ...tables].join('\n');
}

const source = (pair, name, url) => ({ kind: 'http', pair, name, url, pointer: '/price', time_pointer: '/at' });

function good(here) {
  const { net, folder, port, rates, proxies } = here;
  return {
    server: { listen: `127.0.0.1:${port}` },
    ledger: { url: `sqlite://${join(folder, 'doctor.sqlite')}` },
    networks: {
      base: {
        network: BASE, rpc_urls: [proxies.base.url, net.base.rpc_url], asset: getAddress(net.base.usdc),
        pay_to: PAY_TO, wallets: ['env:BASE_WALLET'], dollar: true, rpc_timeout_ms: PATIENCE_MS,
      },
      solana: {
        network: SOLANA, rpc_urls: [proxies.solana.url, net.solana.rpc_url], asset: net.solana.mint,
        pay_to: net.solana.pay_to, wallets: ['env:SOLANA_WALLET'], dollar: true, rpc_timeout_ms: PATIENCE_MS,
        head_age_seconds_max: SOLANA_AGE_SECONDS,
      },
    },
    rates: {
      sources_min: 2,
      sources: ['eth_usd', 'sol_usd'].flatMap(pair => {
        const price = pair === 'eth_usd' ? 2500 : 150;
        return ['one', 'two'].map(name => source(pair, `${name}-${pair.slice(0, 3)}`, `${rates.url}/${price}/0`));
      }),
    },
    gate: { catalogue: join(ROOT, 'catalogs/imgnai.toml') },
  };
}

let runs = 0;
/** Runs the program; resolves to its exit code and document. */
async function doctor(here, config, env = {}, args = []) {
  const path = join(here.folder, `case-${++runs}.toml`);
  writeFileSync(path, typeof config === 'string' ? config : toml(config));
  const child = start(join(BIN, 'quittance'), ['doctor', '--config', path, '--json', ...args], {
    env: { ...process.env, BASE_WALLET: here.net.base.wallet_key, SOLANA_WALLET: here.net.solana.wallet_key, ...env },
  });
  const out = [];
  child.stdout.on('data', chunk => out.push(chunk));
  const [code] = await once(child, 'close');
  const text = Buffer.concat(out).toString();
  for (const secret of [here.net.base.wallet_key.slice(2), here.net.solana.wallet_key]) assert.ok(!text.includes(secret), 'a key is shown');
  return { code, ...JSON.parse(text) };
}

const bad = report => report.findings.filter(({ severity }) => severity === 'error' || severity === 'warning');
const codes = report => [...new Set(bad(report).map(({ code }) => code))].sort();
const shown = report => JSON.stringify(bad(report), null, 1);

function assertGood(report, without = []) {
  assert.deepEqual(codes(report), [], shown(report));
  assert.equal(report.code, 0);
  for (const check of ['configuration', 'keys', 'endpoints', 'methods', 'heads', 'token', 'pay_to', 'wallets', 'rates', 'disk'].filter(one => !without.includes(one))) {
    assert.ok(report.findings.some(({ severity, code }) => severity === 'ok' && code === check), `${check} was looked at`);
  }
}

/** Only the first endpoint of a network, so that no other makes up for it. */
const alone = (config, network, url) => { config.networks[network].rpc_urls = [url]; };

/**
 * Name, the code that must be found, and how the good configuration is spoilt. `also`: what follows
 * from it; `severity` where another endpoint or wallet makes up for it.
 */
const MISCONFIGURATIONS = [
  ['a file that is no TOML', 'config_unreadable', () => ({ text: 'listen = ' })],
  ['a misspelt key', 'config_unknown_key', config => { config.quote = { markupp: '1.5' }; }],
  ['a markup below one', 'config_value', config => { config.quote = { markup: '0.5' }; }],
  ['a number where a text belongs', 'config_value', config => { config.networks.base.pay_to = 7; }],
  ['an asset that nobody calls a dollar', 'config_value', config => {
    Object.assign(config.networks.base, { asset: PAY_TO, pay_to: config.networks.base.asset, dollar: undefined });
  }, { also: ['token_missing', 'pay_to_unusable'] }],
  ['a wallet variable that is not set', 'secret_unresolved', config => { config.networks.base.wallets = ['env:NO_SUCH_WALLET']; }],
  ['a key that everybody on the machine can read', 'secret_file_open', (config, here) => {
    const path = join(here.folder, 'open_key');
    writeFileSync(path, here.net.base.wallet_key);
    chmodSync(path, 0o644);
    config.networks.base.wallets = [`file:${path}`];
  }],
  ['half a key', 'wallet_key_unusable', (_config, here) => ({ env: { BASE_WALLET: here.net.base.wallet_key.slice(0, 40) } })],
  ['one key under two names', 'wallet_twice', (config, here) => {
    config.networks.base.wallets = ['env:BASE_WALLET', 'env:BASE_TWO'];
    return { env: { BASE_TWO: here.net.base.wallet_key } };
  }],
  ['an endpoint of another chain', 'endpoint_wrong_chain', (config, here) => {
    config.networks.base.rpc_urls = [here.net.base.rpc_url, here.other.url];
  }],
  ['an endpoint that is closed', 'endpoint_silent', config => { config.networks.base.rpc_urls[1] = NOWHERE; }],
  ['no endpoint that answers', 'network_unreachable', config => { alone(config, 'solana', NOWHERE); }, { also: ['endpoint_silent', 'endpoint_single'] }],
  ['one endpoint alone', 'endpoint_single', (config, here) => { alone(config, 'base', here.net.base.rpc_url); }],
  ['an endpoint that stands still', 'endpoint_behind', (config, here) => {
    config.networks.base.rpc_urls = [here.net.base.rpc_url, here.frozen.url];
    config.networks.base.head_age_seconds_max = HEAD_AGE_SECONDS;
  }, { also: ['finalized_refused'] }],
  ['an endpoint that is slow', 'endpoint_slow', (config, here) => {
    config.networks.base.rpc_urls[0] = here.slow.url;
    config.networks.base.rpc_timeout_ms = 2_100;
  }],
  ['an endpoint over plain http', 'plain_http', (config, here) => {
    config.networks.base.rpc_urls = [here.net.base.rpc_url, 'http://192.0.2.1:8545'];
    config.networks.base.rpc_timeout_ms = 8_000;
  }, { also: ['endpoint_silent'] }],
  ['logs of ten blocks', 'logs_narrow', async (_config, here) => { await here.proxies.base.profile({ log_blocks_max: 10, log_refusal: { error: { code: -32600, message: 'up to a {max} block range' } } }); }],
  ...[
    ['no logs at all', 'logs_refused', 'base', 'eth_getLogs'],
    ['no receipts', 'receipts_refused', 'base', 'eth_getTransactionReceipt'],
    ['no finalized block', 'finalized_refused', 'base', 'eth_getBlockByNumber', 'finalized'],
    ['no transactions on Base', 'send_refused', 'base', 'eth_sendRawTransaction'],
    ['no transactions on Solana', 'send_refused', 'solana', 'sendTransaction'],
    ['no simulation', 'simulation_refused', 'solana', 'simulateTransaction'],
    ['no search of the history', 'history_refused', 'solana', 'getSignatureStatuses', 'searchTransactionHistory'],
    ['no list of signatures', 'signatures_refused', 'solana', 'getSignaturesForAddress'],
  ].map(([name, code, network, method, containing]) => [name, code, async (config, here) => {
    const refused = { [method]: { status: 403, error: { code: -32600, message: 'this method is not in your plan' }, ...(containing && { containing }) } };
    await here.proxies[network].profile({ refused });
    alone(config, network, here.proxies[network].url);
  }, { also: ['endpoint_single'] }]),
  ['a method that only the other endpoint takes', 'receipts_refused', async (_config, here) => {
    await here.proxies.base.profile({ refused: { eth_getTransactionReceipt: { status: 403, error: { code: -32600, message: 'not in your plan' } } } });
  }, { severity: 'warning' }],
  ['an asset that is not deployed', 'token_missing', config => { config.networks.base.asset = `0x${'11'.repeat(20)}`; }, { also: ['address_without_checksum'] }],
  ['a mint that is none', 'token_missing', async config => { config.networks.solana.asset = (await kit.generateKeyPairSigner()).address; }],
  ['decimals of another token', 'token_decimals', config => { config.networks.base.asset_decimals = 18; }, { also: ['config_value'] }],
  ['the domain of another token', 'token_domain', config => { config.networks.base.asset_version = '9'; }],
  ['the token itself as recipient', 'pay_to_unusable', config => { config.networks.base.pay_to = config.networks.base.asset; }],
  ['the zero address as recipient', 'pay_to_unusable', config => { config.networks.base.pay_to = `0x${'00'.repeat(20)}`; }, { also: ['address_without_checksum'] }],
  ['the mint as recipient', 'pay_to_unusable', config => { config.networks.solana.pay_to = config.networks.solana.asset; }],
  ['a hot wallet as recipient', 'pay_to_is_wallet', (config, here) => { config.networks.base.pay_to = privateKeyToAccount(here.net.base.wallet_key).address; }],
  ['an address without its checksum', 'address_without_checksum', config => { config.networks.base.pay_to = config.networks.base.pay_to.toLowerCase(); }],
  ['a token account that payers would have to create', 'token_account_by_payers', async config => {
    const { address } = await kit.generateKeyPairSigner();
    Object.assign(config.networks.solana, { pay_to: address, token_account: 'in_payment' });
  }],
  ['a frozen token account', 'token_account_frozen', async (config, here) => {
    config.networks.solana.pay_to = (await account(here, bytes => { bytes[108] = 2; })).owner;
  }],
  ['a token account that was given away', 'token_account_foreign', async (config, here) => {
    config.networks.solana.pay_to = (await account(here, bytes => bytes.fill(7, 32, 64))).owner;
  }],
  ['an empty wallet', 'wallet_empty', () => ({ env: { BASE_WALLET: generatePrivateKey() } })],
  ['an empty wallet beside one that pays', 'wallet_empty', config => {
    config.networks.base.wallets.push('env:BASE_TWO');
    return { env: { BASE_TWO: generatePrivateKey() } };
  }, { severity: 'warning' }],
  ['a wallet that runs low', 'wallet_low', async (config, here) => {
    const key = generatePrivateKey();
    await rpc(here.net.base.rpc_url, 'anvil_setBalance', privateKeyToAccount(key).address, `0x${(10n ** 16n).toString(16)}`);
    config.networks.base.wallet_low_settlements = 100_000;
    return { env: { BASE_WALLET: key } };
  }],
  ['a fee cap that no block fits', 'fee_cap_below_base_fee', config => { config.networks.base.max_fee_per_gas_wei = 1; }],
  ['a ceiling below what settling costs', 'surcharge_above_ceiling', config => { config.quote = { gas_ceiling_usdc: '0.000001' }; }],
  ['a rate written down for a mainnet', 'rate_fixed', config => {
    config.rates = { eth_usd: '2500', sol_usd: '150' };
  }],
  ['a source of rates that is closed', 'rate_source_silent', config => {
    config.rates.sources.push(source('eth_usd', 'closed', `${NOWHERE}/1/0`));
  }],
  ['a source of rates that is old', 'rate_source_stale', (config, here) => {
    config.rates.sources.push(source('eth_usd', 'old', `${here.rates.url}/2500/3600`));
  }],
  ['sources of rates that disagree', 'rate_missing', (config, here) => {
    config.rates.sources[0].url = `${here.rates.url}/9000/0`;
  }],
  ['a ledger whose database is not there', 'ledger_unreachable', config => { config.ledger.url = 'postgres://quittance@127.0.0.1:9/none'; }],
  ['a ledger whose folder is not there', 'ledger_folder', (config, here) => { config.ledger.url = `sqlite://${join(here.folder, 'no/such/folder.sqlite')}`; }],
  ['a catalogue with a misspelt key', 'catalogue_unreadable', (config, here) => { config.gate.catalogue = written(here, 'broken.toml', 'nam = "x"'); }],
  ['an upstream that is closed', 'upstream_unreachable', (config, here) => {
    gatewayOf(config, here, NOWHERE);
  }],
  ['an upstream without a catalogue', 'catalogue_missing', (config, here) => {
    gatewayOf(config, here, here.api.url);
    delete config.gateway.upstreams.api.catalogue;
    delete config.gate;
  }],
  ['a path that the host does not have', 'route_unknown', (config, here) => {
    gatewayOf(config, here, here.api.url, ['/v1/paint', '/v1/no-such-thing']);
  }],
  ['an upstream that takes shorter bodies than are sold', 'upstream_body_limit', (config, here) => {
    gatewayOf(config, here, here.narrow.url);
    config.gate = { ...config.gate, body_bytes_max: 200_000 };
  }],
  ['a gateway without its public name', 'public_url_missing', (config, here) => {
    gatewayOf(config, here, here.api.url);
    delete config.server.public_url;
  }],
  ['a public name over plain http', 'public_url_plain', config => {
    Object.assign(config.server, { public_url: 'http://api.example.com', trusted_proxies: ['127.0.0.1'] });
  }],
  ['a public name that is private', 'public_url_private', config => {
    Object.assign(config.server, { public_url: 'https://10.0.0.7', trusted_proxies: ['127.0.0.1'] });
  }],
  ['a proxy that is not trusted', 'proxy_untrusted', config => { config.server.public_url = 'https://api.example.com'; }],
  ['a port that is taken', 'listen_taken', (config, here) => { config.server.listen = `127.0.0.1:${here.rates.port}`; }],
  ['an address of another machine', 'listen_unavailable', config => { config.server.listen = '192.0.2.1:4402'; }],
  ['every address of the machine', 'listens_everywhere', config => { config.server.listen = config.server.listen.replace('127.0.0.1', '0.0.0.0'); }],
];

function written(here, name, text) {
  const path = join(here.folder, name);
  writeFileSync(path, text);
  return path;
}

const catalogueOf = paths => ['[catalogue]\nname = "one"\nunit = "usd"\nusd_per_unit = "1"\n', ...paths.map(path => `
[[endpoints]]
method = "POST"
path = "${path}"
description = "One thing"
[endpoints.price]
kind = "call"
units = "0.01"
`)].join('\n');

/** The same configuration as a gateway before an API. */
function gatewayOf(config, here, url, paths = ['/v1/paint']) {
  const catalogue = written(here, `catalogue-${paths.length}.toml`, catalogueOf(paths));
  config.gateway = { upstreams: { api: { url, catalogue } } };
  config.server.public_url = `http://${config.server.listen}`;
}

/** A new owner's token account, changed behind everybody's back. */
async function account(here, change) {
  const owner = (await kit.generateKeyPairSigner()).address;
  const { rpc_url: url, mint } = here.net.solana;
  await rpc(url, 'surfnet_setTokenAccount', owner, mint, { amount: 1 });
  const encode = text => kit.getAddressEncoder().encode(text);
  const [at] = await kit.getProgramDerivedAddress({
    programAddress: 'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL', seeds: [owner, TOKEN_PROGRAM, mint].map(encode),
  });
  const { value } = await rpc(url, 'getAccountInfo', at, { encoding: 'base64', commitment: 'confirmed' });
  const bytes = Buffer.from(value.data[0], 'base64');
  change(bytes);
  await rpc(url, 'surfnet_setAccount', at, { lamports: value.lamports, data: bytes.toString('hex'), owner: TOKEN_PROGRAM, executable: false, rentEpoch: 0 });
  return { owner };
}

async function misconfigured(here, [name, code, spoil, { also = [], severity } = {}]) {
  await row(name, async () => {
    const config = good(here);
    const { env, text } = await spoil(config, here) ?? {};
    const report = await doctor(here, text ?? config, env);
    await Promise.all(Object.values(here.proxies).map(one => one.unlimited()));
    const found = report.findings.find(one => one.code === code && ['error', 'warning'].includes(one.severity));
    assert.ok(found, `${code} in ${shown(report)}`);
    assert.ok(found.todo.length > 10 && found.seen.length > 3, JSON.stringify(found));
    if (severity) assert.equal(found.severity, severity, shown(report));
    assert.deepEqual(codes(report), [...new Set([code, ...also])].sort(), shown(report));
    assert.equal(report.code, report.errors > 0 ? 2 : 1);
  });
}

/** The program as it runs, behind a proxy with headers of eight KiB. */
async function beside(here) {
  const config = good(here);
  const path = written(here, 'running.toml', toml(config));
  const program = await facilitator(here.net, path);
  await test('beside the running program a good configuration is quiet, and its metrics are seen', async () => {
    await until('an offer', async () => (await fetch(`${program.url}/readyz`)).ok);
    const report = await doctor(here, config);
    assertGood(report);
    assert.ok(report.findings.some(({ severity, code }) => severity === 'ok' && code === 'metrics'), JSON.stringify(report.findings));
  });
  for (const [size, wanted] of [[32 * 1024, []], [8 * 1024, ['proxy_header_limit']]]) {
    await test(`a proxy with headers of ${size} bytes`, async () => {
      const front = await listening((asked, answer) => {
        const on = request(program.url + asked.url, { headers: asked.headers }, got => { answer.writeHead(got.statusCode); got.pipe(answer); });
        on.on('error', () => answer.destroy());
        on.end();
      }, { maxHeaderSize: size });
      const report = await doctor(here, { ...config, server: { ...config.server, public_url: front.url } });
      assert.deepEqual(codes(report), wanted, shown(report));
      front.close();
    });
  }
  await test('a public name that nobody answers at', async () => {
    const report = await doctor(here, { ...config, server: { ...config.server, public_url: NOWHERE } });
    assert.deepEqual(codes(report), ['public_url_unreachable'], shown(report));
  });
  await stop(program.child);
}

/** The databases. */
async function databases(here) {
  await withCluster(async cluster => {
    const config = good(here);
    config.ledger.url = cluster.create('doctor');
    await test('a good configuration on PostgreSQL is quiet before the first start and after it', async () => {
      assertGood(await doctor(here, config), ['disk']);
      const program = await facilitator(here.net, written(here, 'postgres.toml', toml(config)));
      await stop(program.child);
      assertGood(await doctor(here, config), ['disk']);
    });
    await row('a ledger that a newer version wrote', async () => {
      cluster.sql('doctor', "INSERT INTO _sqlx_migrations SELECT 9999, description, installed_on, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1");
      assert.deepEqual(codes(await doctor(here, config)), ['ledger_newer']);
      cluster.sql('doctor', 'DELETE FROM _sqlx_migrations WHERE version = 9999');
    });
    await row('a ledger whose tables were changed', async () => {
      cluster.sql('doctor', "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 3");
      assert.deepEqual(codes(await doctor(here, config)), ['ledger_changed']);
    });
  });
  await withCluster(async cluster => {
    await row('a database that does not wait for its disk', async () => {
      const config = good(here);
      config.ledger.url = cluster.create('unsafe');
      assert.deepEqual(codes(await doctor(here, config)), ['ledger_unsafe']);
    });
  }, ['-c fsync=off']);
  await withCluster(async cluster => {
    await row('a database with too few connections', async () => {
      const config = good(here);
      config.ledger.url = cluster.create('crowded');
      assert.deepEqual(codes(await doctor(here, config)), ['ledger_connections']);
    });
  }, ['-c max_connections=10']);
}

/** A node of another chain: only its name is asked. */
const otherChain = () => listening((asked, answer) => {
  const chunks = [];
  asked.on('data', chunk => chunks.push(chunk)).on('end', () => {
    const { id } = JSON.parse(Buffer.concat(chunks));
    answer.writeHead(200, { 'Content-Type': 'application/json' });
    answer.end(JSON.stringify({ jsonrpc: '2.0', id, result: '0x1' }));
  });
});

/** A host that lists its one endpoint, and takes bodies up to a length. */
const openapi = (most = Number.POSITIVE_INFINITY) => listening((asked, answer) => {
  let bytes = 0;
  asked.on('data', chunk => { bytes += chunk.length; }).on('end', () => {
    answer.writeHead(asked.url === '/openapi.json' ? 200 : bytes > most ? 413 : 404, { 'Content-Type': 'application/json' });
    answer.end(JSON.stringify({ openapi: '3.1.0', paths: { '/v1/paint': { post: { summary: 'Paints' } } } }));
  });
});

/** The head that a node shows, Unix seconds. */
const headOf = async url => Number((await rpc(url, 'eth_getBlockByNumber', 'latest', false)).timestamp);

await withStack(async folder => {
  const net = await devnet();
  const proxies = { base: await faultyProxy(net.base.rpc_url), solana: await faultyProxy(net.solana.rpc_url) };
  const here = {
    net, folder, proxies, port: await freePort(), rates: await rates(), other: await otherChain(), api: await openapi(), narrow: await openapi(100_000),
    frozen: await faultyProxy(net.base.rpc_url), slow: await proxy(net.base.rpc_url, '--delay-ms', '1100'),
  };
  await here.frozen.freeze();
  await test('a good configuration is quiet before the first start, and leaves no trace', async () => {
    const sentBefore = await Promise.all(Object.values(proxies).map(one => one.sent()));
    const report = await doctor(here, good(here));
    assertGood(report);
    assert.deepEqual(await Promise.all(Object.values(proxies).map(one => one.sent())), sentBefore, 'nothing was sent');
    const counts = await proxies.base.counts();
    assert.ok(JSON.stringify(counts).includes('eth_getLogs'), 'endpoints are asked through the proxies');
  });
  await beside(here);
  await until('a head that stands still', async () => await headOf(net.base.rpc_url) - await headOf(here.frozen.url) > FROZEN_SECONDS);
  for (const one of MISCONFIGURATIONS) await misconfigured(here, one);
  await databases(here);
  for (const server of [here.rates, here.other, here.api, here.narrow]) server.close();
});
finish();
