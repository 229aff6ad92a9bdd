// Holds the shipped configuration, dashboard and alerts and the running program together: a real Prometheus scrapes a
// `quittance serve` that settles real payments with the shipped configuration,
// and every query of the dashboard and of the alerts is asked there.
//
// Needs `prometheus` and `promtool` (scripts/setup --with-prometheus).
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { client } from './clients/common.mjs';
import { rpc } from './lib/chain.mjs';
import { DEPLOY, dashboard, names, panels, rules, tool, used, yaml } from './lib/deploy.mjs';
import { BASE, ROOT, SOLANA, devnet, facilitator, freePort, json, say, stop, withStack } from './lib/stack.mjs';
import { finish, test } from './lib/tally.mjs';

const CONFIG = join(DEPLOY, 'quittance.toml');
const PROGRAM = join(process.env.CARGO_TARGET_DIR ?? join(process.env.HOME, '.cache/quittance/target'), 'debug/quittance');
const WAIT_MS = 60_000;

/** Polls until `look` gives something truthy; says what it waited for when it never does. */
async function until(what, look, ms = WAIT_MS) {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${ms / 1000} s for ${what}`);
    await new Promise(resolve => setTimeout(resolve, 250));
  }
}

// ---------------------------------------------------------------- configuration

/** Runs `quittance serve`, which is expected to give up; resolves to its words. */
async function gaveUp(net, env, config = CONFIG) {
  const started = facilitator(net, config, { env });
  return started.then(
    async ({ child }) => {
      await stop(child);
      throw new Error('it started');
    },
    error => error.message,
  );
}

/** What stands in for mainnet and for the secrets; everything else is as shipped. */
function overrides(folder, net, port) {
  return {
    QUITTANCE__SERVER__LISTEN: `127.0.0.1:${port}`,
    QUITTANCE__LEDGER__URL: `sqlite://${join(folder, 'operations.sqlite')}`,
    QUITTANCE__NETWORKS__BASE__RPC_URLS: JSON.stringify([net.base.rpc_url]),
    QUITTANCE__NETWORKS__BASE__WALLETS: '["env:BASE_WALLET"]',
    QUITTANCE__NETWORKS__BASE__PAY_TO: net.base.pay_to,
    QUITTANCE__NETWORKS__SOLANA__RPC_URLS: JSON.stringify([net.solana.rpc_url]),
    QUITTANCE__NETWORKS__SOLANA__WALLETS: '["env:SOLANA_WALLET"]',
    QUITTANCE__NETWORKS__SOLANA__PAY_TO: net.solana.pay_to,
    QUITTANCE__QUOTE__REFRESH_SECONDS: '1',
  };
}

/** Said of the first secret; its reference is not repeated, for it might hold the secret itself. */
const NO_SECRET = /networks\.base\.wallets\[0\]: the file that it names cannot be read/;

async function configuration(folder, net) {
  const own = overrides(folder, net, await freePort());
  const without = (...names) => Object.fromEntries(Object.entries(own).filter(([name]) => !names.includes(name)));

  await test('quittance.toml as it stands lacks nothing but the secrets', async () => {
    const { QUITTANCE__LEDGER__URL } = own;
    const words = await gaveUp(net, { QUITTANCE__LEDGER__URL });
    assert.match(words, NO_SECRET);
  });

  await test('quittance.toml pays nobody until pay_to is filled in', async () => {
    for (const family of ['BASE', 'SOLANA']) {
      const words = await gaveUp(net, without(`QUITTANCE__NETWORKS__${family}__PAY_TO`));
      assert.match(words, new RegExp(`networks\\.${family.toLowerCase()}: .*pay_to`), words);
    }
  });

  await test('quittance.toml shows every key, and every default it shows is accepted', async () => {
    const shipped = readFileSync(CONFIG, 'utf8');
    const crate = join(ROOT, 'crates/facilitator/src');
    const parts = readdirSync(crate, { recursive: true }).filter(name => name.endsWith('.rs'));
    const source = parts.map(name => readFileSync(join(crate, name), 'utf8')).join('\n');
    const structs = [...source.matchAll(/pub struct (\w+Config) \{(.*?)\n\}/gs)];
    assert.ok(structs.length >= 6, 'the structs are found');
    for (const [, name, body] of structs) {
      const keys = [...body.matchAll(/^ {4}pub (\w+):/gm)].map(match => match[1]);
      assert.ok(keys.length > 0, name);
      // What an operator names is a section; what is listed stands in braces.
      for (const key of keys) assert.match(shipped, new RegExp(`^(# +)?(${key} = |\\[[a-z_.]*${key}\\.)|[{,] ${key} = `, 'm'), `${name}.${key}`);
    }
    // Every commented default taken at its word; further indented lines are examples.
    const all = join(folder, 'all.toml');
    writeFileSync(all, shipped.replaceAll(/^# (?=[a-z_]+ = |\[gateway)/gm, ''));
    assert.notEqual(readFileSync(all, 'utf8'), shipped);
    const { QUITTANCE__LEDGER__URL } = own;
    assert.match(await gaveUp(net, { QUITTANCE__LEDGER__URL }, all), NO_SECRET);
    writeFileSync(all, shipped.replace(/^\[rates\]$/m, '[rates]\nbtc_usd = "1"'));
    assert.match(await gaveUp(net, { QUITTANCE__LEDGER__URL }, all), /btc_usd/, 'an unknown key would have been noticed');
  });
}

// ---------------------------------------------------------------- metrics


/** Metrics that only gates have: tests/gateway.mjs and tests/remote-facilitator.mjs look at them. */
const isOfTheGateway = expr => /quittance_(upstream|facilitator)_/.test(expr);

/** A query as Grafana sends it. */
const filled = expr => expr.replaceAll('$__rate_interval', '1m').replaceAll('$network', '.+');

async function startPrometheus(folder, target) {
  const home = join(folder, 'prometheus');
  mkdirSync(home);
  const config = yaml('prometheus/prometheus.yml');
  Object.assign(config.global, { scrape_interval: '1s', evaluation_interval: '1s' });
  config.rule_files = [join(DEPLOY, 'prometheus/alerts.yml')];
  config.scrape_configs[0].static_configs[0].targets = [target];
  // JSON is YAML.
  writeFileSync(join(home, 'prometheus.yml'), JSON.stringify(config));
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn('prometheus', [
    `--config.file=${join(home, 'prometheus.yml')}`, `--storage.tsdb.path=${join(home, 'data')}`,
    `--web.listen-address=${address}`, '--log.level=warn',
  ], { stdio: ['ignore', 'ignore', 'pipe'] });
  // An interrupted test must not leave it behind.
  process.once('exit', () => child.kill('SIGKILL'));
  const log = [];
  child.stderr.on('data', chunk => log.push(chunk));
  await Promise.race([
    once(child, 'spawn'),
    once(child, 'error').then(([error]) => { throw new Error(`prometheus: ${error.message}; scripts/setup --with-prometheus`); }),
  ]);
  const url = `http://${address}`;
  const ready = await until('Prometheus to be ready', async () => {
    if (child.exitCode !== null) throw new Error(`prometheus ended: ${Buffer.concat(log)}`);
    return (await fetch(`${url}/-/ready`).catch(() => null))?.ok;
  });
  assert.ok(ready);
  return { child, url };
}

/** One instant query; a query that Prometheus does not understand throws. */
async function ask(prometheus, query) {
  const answer = await fetch(`${prometheus.url}/api/v1/query?${new URLSearchParams({ query })}`);
  const { status, data, error } = await answer.json();
  assert.equal(status, 'success', `${query}: ${error}`);
  return data.result.map(({ metric, value }) => ({ ...metric, value: Number(value[1]) }));
}

/** Requirements as a foreign server would write them, from what the facilitator says of itself. */
async function requirements(program, net) {
  const { kinds } = await json(`${program.url}/supported`);
  const made = network => {
    const { extra } = kinds.find(kind => kind.network === network);
    const [asset, payTo] = network === BASE ? [net.base.usdc, net.base.pay_to] : [net.solana.mint, net.solana.pay_to];
    return { scheme: 'exact', network, asset, payTo, amount: '20000', maxTimeoutSeconds: 120, extra };
  };
  return { [BASE]: made(BASE), [SOLANA]: made(SOLANA) };
}

/** A payment signed by the official client. */
async function signed(net, accepted) {
  const buyer = await client({
    network: 'any', 'evm-key': net.base.payer_key, 'svm-key': net.solana.payer_key,
    'solana-rpc': net.solana.rpc_url, 'spend-controls': 'off',
  });
  const resource = { url: 'http://merchant.test/thing', description: '', mimeType: 'application/json' };
  return buyer.createPaymentPayload({ x402Version: 2, resource, accepts: [accepted] });
}

/** What the program says of itself, and to whom. */
async function status(folder, net, program, port) {
  await test('quittance status shows the payments and the last run of each background task', () => {
    const env = { ...process.env, ...overrides(folder, net, port) };
    const { books, program: own, error } = JSON.parse(tool(PROGRAM, ['status', '--config', CONFIG, '--json'], { env }));
    assert.equal(error, null);
    assert.equal(books.without_verdict, 0);
    const settled = books.payments.filter(({ state }) => state === 'settled').map(({ network }) => network);
    assert.deepEqual(settled.sort(), [BASE, SOLANA]);
    const tasks = own.upkeep.map(({ task, network }) => `${task} ${network}`.trim());
    for (const task of ['lease', 'leftovers', 'old_answers']) assert.ok(tasks.includes(task), `${task} in ${tasks}`);
    for (const task of ['accounts', 'endpoints', 'finality', 'heads', 'lane', 'payout', 'tariffs']) {
      for (const network of [BASE, SOLANA]) assert.ok(tasks.includes(`${task} ${network}`), `${task} in ${tasks}`);
    }
    for (const { task, panics, succeeded_at_ms: at, period_seconds: period } of own.upkeep.filter(run => run.task !== 'pruning')) {
      assert.equal(panics, 0, task);
      assert.ok(at > own.now_ms - (period * 3 + 60) * 1000, `${task} ended well at ${at}`);
    }
    assert.match(tool(PROGRAM, ['status', '--config', CONFIG], { env }), /background work\n.*ended well/);
  });
  await test('/status is for this host alone', async () => {
    assert.equal((await fetch(`${program.url}/status`)).status, 200);
    const proxied = await fetch(`${program.url}/status`, { headers: { 'X-Forwarded-For': '127.0.0.1' } });
    assert.equal(proxied.status, 404);
  });
}

/** The backup of docs/operations.md, taken while the program runs. */
async function backup(folder, net) {
  if (spawnSync('sqlite3', ['--version']).error) {
    say('     skipped: the backup of a running ledger, no sqlite3 here');
    return;
  }
  await test('a backup of the running ledger holds the settled payments', async () => {
    const env = overrides(folder, net, 0);
    const copy = join(folder, 'backup.sqlite');
    tool('sqlite3', [env.QUITTANCE__LEDGER__URL.slice('sqlite://'.length), `VACUUM INTO '${copy}'`]);
    env.QUITTANCE__LEDGER__URL = `sqlite://${copy}`;
    const listed = tool(PROGRAM, ['payments', 'list', '--config', CONFIG], { env: { ...process.env, ...env } });
    const found = listed.split('\n').filter(Boolean).map(line => JSON.parse(line));
    assert.deepEqual(found.map(({ network, state }) => [network, state]).sort(), [[BASE, 'settled'], [SOLANA, 'settled']]);
  });
}

const settle = (program, paymentPayload, paymentRequirements) => json(`${program.url}/settle`, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({ x402Version: 2, paymentPayload, paymentRequirements }),
});

async function payments(program, net) {
  const wanted = await requirements(program, net);
  await test('real payments settle on both networks', async () => {
    for (const network of [BASE, SOLANA]) {
      const answer = await settle(program, await signed(net, wanted[network]), wanted[network]);
      assert.equal(answer.success, true, JSON.stringify(answer));
      assert.ok(answer.transaction);
    }
  });
  await test('payments that are not what was asked for are refused', async () => {
    for (const network of [BASE, SOLANA]) {
      const payment = await signed(net, wanted[network]);
      const answer = await settle(program, payment, { ...wanted[network], amount: '30000' });
      assert.equal(answer.success, false);
      assert.match(answer.errorReason, /amount|value/, JSON.stringify(answer));
    }
  });
}

async function queries(program, prometheus) {
  await test('every metric is on the dashboard or in an alert, and no other is', async () => {
    // All who ask within half a second are shown the same.
    const exposed = await until('the last refusal to show', async () => {
      const shown = await (await fetch(`${program.url}/metrics`)).text();
      return shown.includes('quittance_refusals_total') && shown;
    });
    const families = [...exposed.matchAll(/^# TYPE (\S+) /gm)].map(match => match[1]);
    assert.deepEqual([...used()].filter(name => !isOfTheGateway(name)).sort(), families.filter(name => name.startsWith('quittance_')).sort());
    assert.deepEqual(families.filter(name => !name.startsWith('quittance_')), []);
  });

  await test('Prometheus sees the payments', async () => {
    const twoEach = async query => {
      const found = await ask(prometheus, query);
      return [BASE, SOLANA].every(network => found.some(series => series.network === network));
    };
    await until('settled payments', () => twoEach('increase(quittance_payments_total{state="settled"}[1m]) > 0'));
    // An increase needs two samples of a series that the first refusal created.
    await until('refusals', () => twoEach('count_over_time(quittance_refusals_total[1m]) >= 2'));
    await until('costs from receipts', () => twoEach('increase(quittance_spent_usdc_atomic_total{earned="true"}[1m]) > 0'));
    await until('no open payments', async () => (await ask(prometheus, 'sum(quittance_payments_open) == 0')).length === 1);
  });

  for (const { title, expr } of panels.filter(({ expr }) => !isOfTheGateway(expr))) {
    await test(`panel "${title}": ${expr}`, async () => {
      const found = await ask(prometheus, filled(expr));
      assert.ok(found.length > 0, 'no series');
      for (const { value, ...labels } of found) assert.ok(Number.isFinite(value), `${JSON.stringify(labels)}: ${value}`);
      if (expr.includes('$network')) {
        for (const network of [BASE, SOLANA]) assert.ok(found.some(series => series.network === network), `no ${network}`);
      }
      // What a legend names, a series has.
      const target = dashboard.panels.flatMap(panel => panel.targets).find(entry => entry.expr === expr);
      for (const [, label] of target.legendFormat.matchAll(/\{\{(\w+)\}\}/g)) assert.ok(found[0][label], `label ${label}`);
    });
  }

  await test('the dashboard offers the networks to choose from', async () => {
    for (const { query } of dashboard.templating.list) {
      const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(query.query);
      const found = await ask(prometheus, `group by (${label}) (${metric})`);
      assert.deepEqual(found.map(series => series[label]).sort(), [BASE, SOLANA]);
    }
  });

  for (const { alert, expr } of rules.filter(({ expr }) => !isOfTheGateway(expr))) {
    await test(`alert ${alert} is understood and quiet`, async () => {
      // Quiet is what a healthy program must be; that each can fire is shown by promtool.
      assert.deepEqual(await ask(prometheus, expr), []);
      const metrics = [...names(expr)];
      for (const metric of metrics) {
        const any = await ask(prometheus, `{__name__=~"${metric}(_count)?"}`);
        assert.ok(any.length > 0, `${metric}: quiet only because there is no such series`);
      }
    });
  }

  await test('Prometheus evaluates the alerts without errors', async () => {
    const loaded = await until('rule evaluations', async () => {
      const { data } = await json(`${prometheus.url}/api/v1/rules`);
      const all = data.groups.flatMap(group => group.rules);
      return all.every(rule => rule.health !== 'unknown') && all;
    });
    assert.deepEqual(loaded.map(({ name, health }) => [name, health]), rules.map(({ alert }) => [alert, 'ok']));
  });
}

/** Alerts that would fire if it went on like this: `["name network"]`. */
async function raised(prometheus) {
  const { data } = await json(`${prometheus.url}/api/v1/alerts`);
  return data.alerts.map(({ labels }) => `${labels.alertname} ${labels.network ?? ''}`.trim()).sort();
}

async function trouble(net, program, prometheus) {
  await test('a wallet that runs low is seen', async () => {
    const { signers } = await json(`${program.url}/supported`);
    await rpc(net.base.rpc_url, 'anvil_setBalance', signers['eip155:*'][0], `0x${(10n ** 15n).toString(16)}`);
    await until('the alert', async () => (await raised(prometheus)).length > 0);
    assert.deepEqual(await raised(prometheus), [`QuittanceWalletLow ${BASE}`]);
  });

  await test('networks without a tariff are seen once the last one is stale', async () => {
    await stop(net.child);
    const wanted = [`QuittanceNoTariff ${BASE}`, `QuittanceNoTariff ${SOLANA}`];
    await until('the alerts', async () => {
      const now = await raised(prometheus);
      return wanted.every(alert => now.includes(alert));
    });
    assert.equal((await fetch(`${program.url}/healthz`)).status, 200, 'alive without its chains');
    assert.equal((await fetch(`${program.url}/readyz`)).status, 503, 'not ready without its chains');
  });

  await test('a program that is gone is seen', async () => {
    await stop(program.child);
    await until('the alert', async () => (await raised(prometheus)).includes('QuittanceDown'));
  });
}

await withStack(async folder => {
  const net = await devnet();
  await configuration(folder, net);
  const port = await freePort();
  const program = await facilitator(net, CONFIG, { env: overrides(folder, net, port) });
  let prometheus;
  try {
    await test('with chains and secrets the shipped configuration becomes ready, its tariffs shown at once', async () => {
      await until('readiness', async () => (await fetch(`${program.url}/readyz`)).ok);
      const exposed = await (await fetch(`${program.url}/metrics`)).text();
      const tariffs = [...exposed.matchAll(/^quittance_tariff_usdc_atomic\{.*\} (\d+)$/gm)].map(match => Number(match[1]));
      assert.equal(tariffs.length, 2);
      assert.ok(tariffs.every(tariff => tariff > 0), `${tariffs}`);
    });
    prometheus = await startPrometheus(folder, `127.0.0.1:${port}`);
    // Counters must be seen at zero before they rise.
    await until('two scrapes', async () => {
      const seen = await ask(prometheus, 'count_over_time(quittance_payments_open[1m]) >= 2');
      return seen.length === 2;
    });
    await payments(program, net);
    await queries(program, prometheus);
    await status(folder, net, program, port);
    await backup(folder, net);
    await trouble(net, program, prometheus);
  } catch (error) {
    say(program.child.log.slice(-20).join('\n'));
    throw error;
  } finally {
    if (prometheus) await stop(prometheus.child);
  }
});

finish();
