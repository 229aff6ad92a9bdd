// The main job: official clients and `quittance pay` buy an image, a video and
// a chat completion on both chains; then the receipts are checked against the
// chains. scripts/demo installs and builds, then runs this.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import * as stack from './lib/stack.mjs';
import * as chain from './lib/chain.mjs';

const started = Number(process.env.QUITTANCE_DEMO_STARTED_MS ?? Date.now());
const asJson = process.argv.includes('--json');
const hold = process.argv.includes('--hold');
const seconds = () => Number(((Date.now() - started) / 1000).toFixed(1));
const { say } = stack;

const IMAGE = '{"requests":[{"type":"image","model":"gen","prompt":"A lighthouse in fog","aspect_ratio":"1:1","output_format":"png"}]}';

await stack.withStack(async folder => {
  say('starting Base and Solana');
  const net = await stack.devnet('--payers', '1');
  // The facilitator settles to the devnet's own addresses, the API to others: each ledger has a payout address and fee payers to itself.
  const config = stack.configure(folder, net, { name: 'api', port: await stack.freePort(), more: stack.apiTerms(net) });
  say('starting the sample API with its gate');
  const api = await stack.sampleApi(net, config, { env: stack.apiWallets(net) });
  say('starting the facilitator for foreign servers');
  const program = await stack.facilitatorBeside(folder, net);
  const setup = seconds();

  const before = await balances(net);
  const bought = [];
  let firstReceipt;
  for (const network of ['base', 'solana']) {
    for (const what of ['image', 'video', 'chat']) {
      say(`buying: ${what} on ${network} with @x402/fetch`);
      const receipt = await stack.officialBuy(net, api.url, network, what);
      firstReceipt ??= seconds();
      bought.push({ what, ...receipt });
    }
    say(`buying: image on ${network} with quittance pay`);
    bought.push(await buyOurselves(net, api, network));
  }
  const after = await balances(net);
  const payments = await rows(api, config, bought);
  const report = { payments, seconds: { setup, first_receipt: firstReceipt, total: seconds() } };

  say('checking every row against the two chains');
  await checkReceipts(net, report);
  if (asJson) console.log(JSON.stringify(report));
  else print(report, bought, before, after, hold ? console.error : console.log);
  if (hold) {
    const { base, solana } = net;
    console.log(JSON.stringify({
      api_url: api.url,
      facilitator_url: program.url,
      devnet: { base, solana },
      api: { base_pay_to: base.api_pay_to, solana_pay_to: solana.api_pay_to },
    }));
    say('holding; Ctrl-C ends it');
    await once(net.child, 'exit');
  }
});

async function buyOurselves(net, api, network) {
  const path = '/v1/generation-requests?wait=true';
  const answer = await stack.quittancePay(net, `${api.url}${path}`, network, IMAGE);
  const { payment, receipt } = answer;
  return {
    what: 'image',
    client: 'quittance pay',
    network: payment.network,
    resource: 'POST /v1/generation-requests',
    amount: payment.amount,
    service: atomic(payment.service_usdc),
    gas: atomic(payment.gas_usdc),
    transaction: receipt.transaction,
    payer: receipt.payer,
    pay_to: payment.pay_to,
  };
}

function atomic(usdc) {
  return BigInt(usdc.replace('.', '')).toString();
}

/** What the ledger and the host say about each purchase. */
async function rows(api, config, bought) {
  const books = await stack.books(config);
  const { by_payment: runs } = await stack.json(`${api.url}/test/handler-runs`);
  return bought.map(row => {
    const booked = books.find(payment => payment.transaction === row.transaction);
    if (!booked) throw new Error(`${row.transaction} is not in the ledger`);
    const { client, network, resource, amount, service, gas, transaction, payer, pay_to } = row;
    if (pay_to !== booked.pay_to) throw new Error(`${transaction} went to ${pay_to}, the ledger says ${booked.pay_to}`);
    return {
      client, network, resource, amount, service, gas, transaction, payer, pay_to,
      state: booked.state, handler_runs: runs[booked.id] ?? 0,
    };
  });
}

async function balances(net) {
  const { privateKeyToAccount } = await stack.clients('viem/accounts');
  const { base, solana } = net;
  const payer = privateKeyToAccount(base.payer_key).address;
  const { createKeyPairSignerFromBytes, getBase58Encoder } = await stack.clients('@solana/kit');
  const signer = await createKeyPairSignerFromBytes(Uint8Array.from(getBase58Encoder().encode(solana.payer_key)));
  return {
    'Base payer': await chain.baseBalance(base.rpc_url, base.usdc, payer),
    'Base payTo': await chain.baseBalance(base.rpc_url, base.usdc, base.api_pay_to),
    'Solana payer': await chain.solanaBalance(solana.rpc_url, solana.mint, signer.address),
    'Solana payTo': await chain.solanaBalance(solana.rpc_url, solana.mint, solana.api_pay_to),
  };
}

async function checkReceipts(net, report) {
  const checker = spawn(
    process.execPath,
    [
      join(stack.ROOT, 'tests/check-receipts.mjs'),
      '--base-rpc', net.base.rpc_url, '--usdc', net.base.usdc,
      '--solana-rpc', net.solana.rpc_url, '--mint', net.solana.mint,
    ],
    { stdio: ['pipe', 2, 2] },
  );
  checker.stdin.end(JSON.stringify(report));
  const [code] = await once(checker, 'exit');
  if (code !== 0) throw new Error('a receipt does not agree with the chain');
}

function usdc(units) {
  return `${BigInt(units) / 1_000_000n}.${(BigInt(units) % 1_000_000n).toString().padStart(6, '0')}`;
}

/** With --hold, standard output holds nothing but the line with the URLs. */
function print(report, bought, before, after, write) {
  const head = ['bought', 'client', 'network', 'price', '= service', '+ gas', 'transaction', 'state', 'runs'];
  const lines = report.payments.map((row, index) => [
    bought[index].what,
    row.client,
    row.network.startsWith('eip155') ? 'Base' : 'Solana',
    usdc(row.amount), usdc(row.service), usdc(row.gas),
    `${row.transaction.slice(0, 14)}…`,
    row.state,
    String(row.handler_runs),
  ]);
  table(write, [head, ...lines]);
  write('');
  table(write, [
    ['USDC', 'before', 'after', 'change'],
    ...Object.keys(before).map(name => {
      const change = BigInt(after[name]) - BigInt(before[name]);
      const sign = change < 0n ? '-' : '+';
      return [name, usdc(before[name]), usdc(after[name]), `${sign}${usdc(change < 0n ? -change : change)}`];
    }),
  ]);
  const { setup, first_receipt, total } = report.seconds;
  write(`\nready after ${setup} s, first receipt after ${first_receipt} s, done after ${total} s`);
}

function table(write, lines) {
  const widths = lines[0].map((_, column) => Math.max(...lines.map(line => line[column].length)));
  for (const line of lines) write(line.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd());
}
