// The benchmarks. Measures, prints tables, asserts nothing about time; fails
// only when an answer was wrong. Called by scripts/bench.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { beside, besideTable } from './beside.mjs';
import { crowd, crowdTable } from './crowd.mjs';
import { ledger, ledgerTable } from './ledger.mjs';
import { offers, offersTable } from './offers.mjs';
import {
  BASE, DELAY_MS, SOLANA, callsTable, finish, gate, latencyTable, paidTable, prepare, requirements, settle, startFacilitator, startGate,
  verify, verifyTable,
} from './payments.mjs';
import { PROFILE, devnet, say, stopAll } from './programs.mjs';

const SECTIONS = ['offers', 'verify', 'settle', 'gate', 'ledger', 'crowd'];
/** Connections and payments. */
const SIZES = {
  quick: {
    settle: { base: [[1, 2], [16, 32]], solana: [[16, 32]] },
    gate: { base: [[16, 32]], solana: [] },
  },
  full: {
    settle: { base: [[1, 10], [16, 1_000], [64, 960], [512, 2_560]], solana: [[1, 20], [16, 480]] },
    gate: { base: [[1, 10], [16, 1_000], [64, 960]], solana: [[16, 480]] },
  },
};

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false }, json: { type: 'string' }, only: { type: 'string' }, kind: { type: 'string' }, side: { type: 'string' }, rounds: { type: 'string', default: '5' },
    'base-block-time': { type: 'string', default: '0.2' }, beside: { type: 'string' },
  },
});
const wanted = values.beside ? [] : values.only ? values.only.split(',') : SECTIONS.filter(name => !(values.quick && ['ledger', 'crowd'].includes(name)));
const unknown = wanted.filter(name => !SECTIONS.includes(name));
if (unknown.length > 0) {
  say(`--only takes ${SECTIONS.join(', ')}; not ${unknown.join(', ')}`);
  process.exit(2);
}
const blockSeconds = Number(values['base-block-time']);
const has = name => wanted.includes(name);
const sizes = values.quick ? SIZES.quick : SIZES.full;
const load = () => loadavg().map(one => Number(one.toFixed(2)));
const print = text => process.stdout.write(`${text}\n`);

/** Anything but the wished answer makes the figures worthless. */
function check(title, runs, good) {
  for (const run of runs) {
    const all = Object.values(run.outcomes).reduce((sum, count) => sum + count, 0);
    if (run.outcomes[good] !== all || all === 0) throw new Error(`${title}: ${JSON.stringify(run.outcomes)}`);
  }
}

async function facilitatorPart(folder, net, report) {
  const setup = await prepare(folder, net, 'facilitator');
  const running = await startFacilitator(setup);
  if (has('verify')) {
    say('verify');
    report.verify = [];
    for (const network of [BASE, SOLANA]) report.verify.push(...await verify(setup, running, network, values));
    print(verifyTable(report.verify));
    check('/verify', report.verify, 'valid');
  }
  if (has('settle')) {
    say('settle');
    report.settle = [...await settle(setup, running, BASE, sizes.settle.base), ...await settle(setup, running, SOLANA, sizes.settle.solana)];
    print(paidTable('/settle', report.settle));
    check('/settle', report.settle, 'settled');
  }
  await finish(setup, running);
}

async function gatePart(folder, net, report) {
  say('gate');
  const setup = await prepare(folder, net, 'gate');
  const running = await startGate(setup);
  report.gate = [...await gate(setup, running, BASE, sizes.gate.base), ...await gate(setup, running, SOLANA, sizes.gate.solana)];
  print(paidTable('Paid request through the gate', report.gate));
  check('gate', report.gate, 'settled');
  await finish(setup, running);
}

async function crowdPart(folder, net, report) {
  say('crowd');
  report.crowd = [];
  const strangers = { only: values.kind, times: Number(values.rounds) };
  if (values.side !== 'gate') {
    const serve = await prepare(folder, net, 'crowd-settle');
    const program = await startFacilitator(serve);
    report.crowd.push(...await crowd(serve, program, 'settle', { ...strangers, terms: await requirements(program.url, net, BASE) }));
    await finish(serve, program);
  }
  if (values.side !== 'serve') {
    const shop = await prepare(folder, net, 'crowd-gate');
    const api = await startGate(shop);
    report.crowd.push(...await crowd(shop, api, 'gate', strangers));
    await finish(shop, api);
  }
  print(crowdTable(report.crowd));
  check('customers beside a crowd', report.crowd, 'settled');
}

async function measure(folder) {
  const machine = { cpus: cpus().length, memory_gib: Math.round(totalmem() / 2 ** 30), profile: PROFILE, quick: values.quick, load_before: load() };
  const report = { machine, block_seconds: blockSeconds, rpc_delay_ms: DELAY_MS };
  print(`${machine.cpus} cores, ${machine.memory_gib} GiB, everything on it together; ${PROFILE} build; blocks of ${blockSeconds} s on Base; load average before ${machine.load_before.join(' ')}\n`);
  if (has('ledger')) {
    say('ledger');
    report.ledger = await ledger();
    print(ledgerTable(report.ledger));
  }
  if (values.beside || wanted.some(name => name !== 'ledger')) {
    say('starting the devnet');
    const net = await devnet('--base-block-time', String(blockSeconds), '--payers', '64');
    net.blockSeconds = blockSeconds;
    if (values.beside) {
      report.beside = await beside(folder, net, values);
      print(besideTable(report.beside));
    }
    if (has('offers')) {
      say('offers');
      report.offers = await offers(folder, net, values);
      print(offersTable(report.offers));
    }
    if (has('verify') || has('settle')) await facilitatorPart(folder, net, report);
    if (has('gate')) await gatePart(folder, net, report);
    if (has('crowd')) await crowdPart(folder, net, report);
  }
  const paid = [['/settle', report.settle], ['gate', report.gate]].filter(([, runs]) => runs);
  if (paid.length > 0) print(latencyTable(paid));
  const named = [['/verify', report.verify], ...paid].filter(([, runs]) => runs).flatMap(([title, runs]) => runs.map(run => [title, run]));
  if (named.length > 0) print(callsTable(named));
  machine.load_after = load();
  print(`load average after ${machine.load_after.join(' ')}`);
  return report;
}

const folder = mkdtempSync(join(tmpdir(), 'quittance-bench-'));
const end = async code => {
  await stopAll();
  rmSync(folder, { recursive: true, force: true });
  process.exit(code);
};
process.once('SIGINT', () => end(130));
process.once('SIGTERM', () => end(143));
try {
  const report = await measure(folder);
  if (values.json) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
} catch (error) {
  say(`bench: ${error.stack}`);
  await end(1);
}
await end(0);
