// P1 and P2 with real processes: copies of one paid request, released by a
// barrier onto a gate with two workers, before and after a SIGKILL.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import * as stack from './lib/stack.mjs';
import * as chain from './lib/chain.mjs';
import { finish, test } from './lib/tally.mjs';

const COPIES = 50;
const DEADLINE_MS = 60_000;

/** Opens every connection first, then releases all requests in one turn of the event loop. */
async function releaseCopies(api, signed, copies = COPIES) {
  const { hostname, port } = new URL(api.url);
  const { request, header } = signed;
  const { pathname, search } = new URL(request.url);
  const bytes = [
    `POST ${pathname}${search} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(request.body)}`,
    `PAYMENT-SIGNATURE: ${header}`,
    'Connection: close',
    '',
    request.body,
  ].join('\r\n');
  const sockets = await Promise.all(
    Array.from({ length: copies }, async () => {
      const socket = connect({ host: hostname, port: Number(port), noDelay: true });
      await once(socket, 'connect');
      return socket;
    }),
  );
  const answers = sockets.map(answerOf);
  for (const socket of sockets) socket.write(bytes);
  return Promise.all(answers);
}

/** Status, receipt and body; a connection that dies says nothing. */
async function answerOf(socket) {
  const chunks = [];
  socket.on('data', chunk => chunks.push(chunk));
  await new Promise(resolve => socket.once('close', resolve).on('error', () => resolve()));
  const text = Buffer.concat(chunks).toString('latin1');
  if (!text.startsWith('HTTP/1.1 ')) return { status: 0 };
  const [head] = text.split('\r\n\r\n', 1);
  const receipt = /^payment-response: *(\S+)/im.exec(head)?.[1];
  return {
    status: Number(text.slice(9, 12)),
    receipt: receipt && JSON.parse(Buffer.from(receipt, 'base64')),
    body: text.slice(head.length + 4),
  };
}

/** Every copy got the one answer, or was told to ask again. */
function assertOneAnswer(answers) {
  const finals = answers.filter(answer => answer.status === 200);
  const pending = answers.filter(answer => answer.receipt?.errorReason === 'settlement_pending');
  assert.equal(finals.length + pending.length, answers.length, `statuses: ${answers.map(a => a.status).join(' ')}`);
  assert.ok(pending.every(answer => answer.status === 503 && answer.receipt.success === false));
  assert.equal(new Set(finals.map(answer => answer.body)).size <= 1, true, 'the bodies differ');
  assert.equal(new Set(finals.map(answer => answer.receipt.transaction)).size <= 1, true, 'the receipts differ');
  return finals;
}

async function transfers(net, network) {
  const found = network === 'base'
    ? await chain.baseTransfersTo(net.base.rpc_url, net.base.usdc, net.base.pay_to)
    : await chain.solanaTransfersTo(net.solana.rpc_url, net.solana.mint, net.solana.pay_to);
  return found.map(transfer => transfer.transaction);
}

async function until(what, condition) {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < deadline, `waited too long for ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

const runs = async api => (await stack.json(`${api.url}/test/handler-runs`)).by_payment;
const total = counts => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** A payment whose settlement is cut off by SIGKILL once it is on record. */
async function killedWhileSettling(net, config, network, first) {
  let api = first;
  const signed = await stack.officialSign(net, api.url, network, '--what', 'image');
  const known = new Set((await stack.books(config)).map(payment => payment.id));
  const answers = releaseCopies(api, signed, 10);
  const booked = await until('the payment on record', async () =>
    (await stack.books(config)).find(payment => !known.has(payment.id) && payment.transaction),
  );
  await stack.stop(api.child, 'SIGKILL');
  await answers;
  api = await stack.sampleApi(net, config);
  const again = await until('a final answer after the restart', async () => {
    const finals = assertOneAnswer(await releaseCopies(api, signed));
    return finals.length > 0 && finals;
  });
  assert.equal(again[0].receipt.transaction, booked.transaction, 'the transaction signed before the kill settled');
  const landed = (await transfers(net, network)).filter(transaction => transaction === booked.transaction);
  assert.equal(landed.length, 1);
  assert.equal((await runs(api))[booked.id], 1, 'the handler ran once');
  return api;
}

/** A foreign server's copies: each `success: true` would run a handler of its own. */
async function settleCopies(net, api, program, network) {
  const { header } = await stack.officialSign(net, api.url, network, '--what', 'image');
  const paymentPayload = JSON.parse(Buffer.from(header, 'base64'));
  const body = JSON.stringify({ x402Version: 2, paymentPayload, paymentRequirements: paymentPayload.accepted });
  const post = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body };
  const verified = await stack.json(`${program.url}/verify`, post);
  assert.equal(verified.isValid, true, JSON.stringify(verified));
  const answers = await Promise.all(Array.from({ length: COPIES }, () => stack.json(`${program.url}/settle`, post)));
  const granted = answers.filter(answer => answer.success);
  assert.equal(granted.length, 1, 'one success');
  const [{ transaction }] = granted;
  for (const answer of answers.filter(other => !other.success)) {
    assert.ok(['duplicate_settlement', 'settlement_pending'].includes(answer.errorReason), answer.errorReason);
    assert.equal(answer.transaction, transaction, 'every copy is told the one transaction');
  }
  const late = await stack.json(`${program.url}/verify`, post);
  assert.deepEqual([late.isValid, late.invalidReason], [false, 'duplicate_settlement']);
  assert.equal((await transfers(net, network)).filter(landed => landed === transaction).length, 1);
}

await stack.withStack(async folder => {
  const net = await stack.devnet('--payers', '1');
  const config = stack.configure(folder, net, { port: await stack.freePort() });
  let api = await stack.sampleApi(net, config);
  let settled = 0;

  for (const network of ['base', 'solana']) {
    const earlier = await transfers(net, network);
    const signed = await stack.officialSign(net, api.url, network, '--what', 'image');
    let before;
    await test(`${COPIES} copies at once on ${network}: one answer, one run`, async () => {
      const ran = total(await runs(api));
      before = assertOneAnswer(await releaseCopies(api, signed));
      if (before.length === 0) {
        before = await until('a final answer', async () => {
          const finals = assertOneAnswer(await releaseCopies(api, signed, 1));
          return finals.length > 0 && finals;
        });
      }
      assert.equal(total(await runs(api)) - ran, 1, 'handler runs');
    });
    await test(`SIGKILL, restart, ${COPIES} more copies on ${network}: the same answer`, async () => {
      await stack.stop(api.child, 'SIGKILL');
      api = await stack.sampleApi(net, config);
      const after = assertOneAnswer(await releaseCopies(api, signed));
      assert.equal(after.length, COPIES, 'a delivered answer is replayed to every copy');
      assert.equal(after[0].body, before[0].body, 'the answer survived the kill');
      assert.equal(after[0].receipt.transaction, before[0].receipt.transaction);
      assert.equal(total(await runs(api)), 0, 'no handler ran again');
    });
    await test(`one transfer on ${network}`, async () => {
      const landed = (await transfers(net, network)).filter(transaction => !earlier.includes(transaction));
      assert.deepEqual(landed, [before[0].receipt.transaction]);
      settled += 1;
    });
    await test(`SIGKILL while settling on ${network}: the same transaction, one run`, async () => {
      api = await killedWhileSettling(net, config, network, api);
      settled += 1;
    });
  }
  await test('the ledger holds these payments and no other', async () => {
    const payments = await stack.books(config);
    assert.deepEqual(payments.map(payment => payment.state), Array(settled).fill('settled'));
  });
  const program = await stack.facilitatorBeside(folder, net);
  for (const network of ['base', 'solana']) {
    await test(`${COPIES} copies of one /settle on ${network}: one success`, () => settleCopies(net, api, program, network));
  }
  await test('SIGTERM ends both programs with 0', async () => {
    for (const { child } of [program, api]) {
      await stack.stop(child);
      assert.equal(child.exitCode, 0, child.log.slice(-5).join('\n'));
    }
  });
});
finish();
