// This build beside another one, in turns on the same chains: each runs alone, the first turn of
// a round goes to each by turns, and what is shown is the median of the rounds.
import { BASE, CHAT, SOLANA, finish, measured, prepare, requirements, startFacilitator, startGate } from './payments.mjs';
import { say } from './programs.mjs';
import { fixed, median, table } from './report.mjs';

/** What is measured: plan, network, connections, operations; the first run of each program is not counted. */
const FULL = [
  ['verify', BASE, 64, 6_000], ['verify', SOLANA, 64, 3_000],
  ['settle', BASE, 1, 10], ['settle', BASE, 16, 640], ['settle', BASE, 64, 960], ['settle', SOLANA, 16, 240],
  ['gate', BASE, 16, 480], ['gate', SOLANA, 16, 240],
];
const QUICK = [['verify', BASE, 16, 100], ['settle', BASE, 16, 32]];
const GOOD = { verify: 'valid', settle: 'settled', gate: 'settled' };
/** name, how it is read from a run, digits. */
const FIGURES = [
  ['per second', run => run.per_second, 1],
  ['p50 ms', run => run.latency_us.p50 / 1000, 2],
  ['p95 ms', run => run.latency_us.p95 / 1000, 2],
  ['program ms each', run => (run.shares.program * run.wall_ms) / run.done, 3],
  ['RPC calls each', run => run.rpc.total, 2],
  ['RSS MiB', run => run.memory.rss_mib, 0],
];

async function turn(folder, net, name, other, sizes) {
  const found = [];
  for (const [place, start, kinds] of [['facilitator', startFacilitator, ['verify', 'settle']], ['gate', startGate, ['gate']]]) {
    const wanted = sizes.filter(([kind]) => kinds.includes(kind));
    if (wanted.length === 0) continue;
    const setup = await prepare(folder, net, `${name}-${place}`);
    const running = await start(setup, other);
    const [[kind, network]] = wanted;
    await one(setup, running, [kind, network, 16, 64]);
    for (const size of wanted) found.push(await one(setup, running, size));
    await finish(setup, running);
  }
  return found;
}

async function one(setup, running, [mode, network, connections, count]) {
  const plan = mode === 'gate'
    ? { url: `${running.url}/v1/chat/completions`, body: CHAT }
    : { url: `${running.url}/${mode}`, requirements: await requirements(running.url, setup.net, network) };
  const run = await measured(setup, running, network, { mode, connections, count, seconds: 600, ...plan });
  if (run.outcomes[GOOD[mode]] !== count) throw new Error(`${mode} on ${network}: ${JSON.stringify(run.outcomes)}`);
  return { mode, ...run };
}

/** One row per size, with each figure of both builds and their ratio. */
export async function beside(folder, net, { beside: other, rounds, quick }) {
  const sizes = quick ? QUICK : FULL;
  const builds = { this: undefined, other };
  const runs = { this: [], other: [] };
  for (let round = 0; round < Number(rounds); round += 1) {
    for (const name of round % 2 ? ['other', 'this'] : ['this', 'other']) {
      say(`round ${round + 1}: ${name} build`);
      runs[name].push(await turn(folder, net, `${name}-${round}`, builds[name], sizes));
    }
  }
  return sizes.map(([mode, network, connections], index) => ({
    mode, network, connections,
    figures: FIGURES.map(([name, read, digits]) => {
      const [ours, theirs] = ['this', 'other'].map(build => runs[build].map(round => read(round[index])));
      return {
        name, digits, this: median(ours), other: median(theirs), ratio: median(ours) / median(theirs),
        spread: { this: [Math.min(...ours), Math.max(...ours)], other: [Math.min(...theirs), Math.max(...theirs)] },
      };
    }),
  }));
}

export function besideTable(rows) {
  const head = ['this build / the other', ...FIGURES.map(([name]) => name)];
  return table('Beside the other build: medians of this one, of the other, and their ratio', head, rows.map(row => [
    `${row.mode}, ${row.network.startsWith('eip155') ? 'base' : 'solana'}, ${row.connections}`,
    ...row.figures.map(({ digits, ratio, ...figure }) => `${fixed(figure.this, digits)} / ${fixed(figure.other, digits)} = ${fixed(ratio)}`),
  ]));
}
