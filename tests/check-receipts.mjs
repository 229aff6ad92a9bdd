// Recomputes every row of the demo's table from the two chains, over plain
// JSON-RPC. Uses nothing of the product: it is a second opinion.
//
//   scripts/demo --json | node tests/check-receipts.mjs --base-rpc URL --usdc ADDRESS --solana-rpc URL --mint ADDRESS
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { baseTransfer, solanaTransfer } from './lib/chain.mjs';

const text = { type: 'string' };
const { values } = parseArgs({ options: { 'base-rpc': text, usdc: text, 'solana-rpc': text, mint: text } });

let input = '';
for await (const chunk of process.stdin) input += chunk;
const { payments } = JSON.parse(input);

const lower = address => (address.startsWith('0x') ? address.toLowerCase() : address);
const seen = new Set();
for (const row of payments) {
  const onBase = row.network.startsWith('eip155:');
  const moved = onBase
    ? await baseTransfer(values['base-rpc'], values.usdc, row.transaction)
    : await solanaTransfer(values['solana-rpc'], values.mint, row.transaction);
  assert.equal(moved.amount, row.amount, `${row.transaction}: amount`);
  assert.equal(lower(moved.payer), lower(row.payer), `${row.transaction}: payer`);
  assert.equal(lower(moved.pay_to), lower(row.pay_to), `${row.transaction}: recipient`);
  assert.notEqual(lower(moved.fee_payer), lower(row.payer), `${row.transaction}: the payer paid the gas`);
  assert.equal(BigInt(row.service) + BigInt(row.gas), BigInt(row.amount), `${row.transaction}: service + gas`);
  assert.equal(row.state, 'settled', `${row.transaction}: state`);
  assert.equal(row.handler_runs, 1, `${row.transaction}: handler runs`);
  assert.ok(!seen.has(row.transaction), `${row.transaction} stands twice`);
  seen.add(row.transaction);
}
assert.ok(payments.length > 0, 'there is nothing to check');
process.stderr.write(`${payments.length} receipts agree with the chains\n`);
