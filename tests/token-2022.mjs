// A token of Token-2022: the official client pays in a real mint of it (with a hook and a pause
// that are not used), we settle, and what the mint may become closes the network.
//
//   node tests/token-2022.mjs
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import * as official from './lib/official.mjs';
import * as solana from './lib/solana-payment.mjs';
import * as stack from './lib/stack.mjs';
import { until } from './lib/buyer.mjs';
import { rpc } from './lib/chain.mjs';
import { finish, test } from './lib/tally.mjs';

const kit = await stack.clients('@solana/kit');
const bytes = text => Buffer.from(kit.getBase58Encoder().encode(text));
const u32 = value => { const out = Buffer.alloc(4); out.writeUInt32LE(value); return out; };
const u64 = value => { const out = Buffer.alloc(8); out.writeBigUInt64LE(BigInt(value)); return out; };
const { TOKEN_2022 } = solana;
const NOBODY = Buffer.alloc(32);
const AMOUNT = '50000';

// ---- the program's instructions
const of = (program, accounts, ...pieces) => ({ program, accounts, data: Buffer.concat(pieces.map(one => (typeof one === 'number' ? Buffer.of(one) : one))) });
const created = (funder, account, lamports, space) => of(solana.SYSTEM, [[funder, 'sw'], [account, 'sw']], u32(0), u64(lamports), u64(space), bytes(TOKEN_2022));
const hook = (mint, authority) => of(TOKEN_2022, [[mint, 'w']], 36, 0, bytes(authority), NOBODY);
const pausable = (mint, authority) => of(TOKEN_2022, [[mint, 'w']], 44, 0, bytes(authority));
const delegate = (mint, authority) => of(TOKEN_2022, [[mint, 'w']], 35, bytes(authority));
const initialized = (mint, authority) => of(TOKEN_2022, [[mint, 'w']], 20, 6, bytes(authority), 0);
const pause = (mint, authority, paused) => of(TOKEN_2022, [[mint, 'w'], [authority, 's']], 44, paused ? 1 : 2);
const hooked = (mint, authority, program) => of(TOKEN_2022, [[mint, 'w'], [authority, 's']], 36, 1, program);
const issued = (mint, account, authority, amount) => of(TOKEN_2022, [[mint, 'w'], [account, 'w'], [authority, 's']], 7, u64(amount));
const opened = (funder, account, owner, mint) => {
  const one = solana.create(funder, account, owner, mint);
  return { ...one, accounts: [...one.accounts.slice(0, 5), [TOKEN_2022, '']] };
};

await stack.withStack(async folder => {
  const net = await stack.devnet();
  const url = net.solana.rpc_url;
  const issuer = solana.stranger();
  await rpc(url, 'surfnet_setAccount', issuer.address, { lamports: 10_000_000_000, data: '', owner: solana.SYSTEM, executable: false, rentEpoch: 0 });

  async function send(instructions, ...signers) {
    const message = solana.compile(issuer.address, instructions, await solana.blockhash(url));
    const raw = solana.wire(message, [issuer, ...signers]).toString('base64');
    const signature = await rpc(url, 'sendTransaction', raw, { encoding: 'base64', preflightCommitment: 'confirmed' });
    await until(`${signature} to land`, async () => {
      const [status] = (await rpc(url, 'getSignatureStatuses', [signature])).value;
      assert.equal(status?.err ?? null, null, JSON.stringify(status));
      return ['confirmed', 'finalized'].includes(status?.confirmationStatus);
    });
  }

  /** A new mint; each extension is `[bytes, instruction]`. */
  async function mintWith(...extensions) {
    const mint = solana.stranger();
    const space = 166 + extensions.reduce((sum, [length]) => sum + 4 + length, 0);
    const lamports = await rpc(url, 'getMinimumBalanceForRentExemption', space);
    await send([
      created(issuer.address, mint.address, lamports, space),
      ...extensions.map(([, make]) => make(mint.address, issuer.address)),
      initialized(mint.address, issuer.address),
    ], mint);
    return mint.address;
  }

  const mint = await mintWith([64, hook], [33, pausable]);
  const trusting = await mintWith([32, delegate]);
  const here = { ...net, solana: { ...net.solana, mint } };
  const payer = solana.signer(net.solana.payer_key).address;
  const purse = await solana.tokenAccount(payer, mint, TOKEN_2022);
  await send([opened(issuer.address, purse, payer, mint), issued(mint, purse, issuer.address, 1_000_000)]);

  let count = 0;
  function configured(more) {
    count += 1;
    const sections = {
      server: { listen: '127.0.0.1:0', workers: 1, shutdown_seconds: 1 },
      ledger: { url: `sqlite://${join(folder, `${count}.sqlite`)}` },
      'networks.solana': {
        network: stack.SOLANA, rpc_urls: [url], asset: mint, dollar: true, pay_to: net.solana.pay_to, wallets: ['env:SOLANA_WALLET'],
        token_program: 'token_2022', ...more,
      },
      rates: { sol_usd: '150.00' },
      quote: { refresh_seconds: 1 },
    };
    const lines = values => Object.entries(values).filter(([, value]) => value !== undefined).map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join('\n');
    const path = join(folder, `${count}.toml`);
    writeFileSync(path, Object.entries(sections).map(([title, values]) => `[${title}]\n${lines(values)}\n`).join('\n'));
    return path;
  }

  /** Runs the program; resolves when it listens or ends. */
  function run(command, more) {
    const child = spawn(join(stack.BIN, 'quittance'), [command, '--config', configured(more)], { env: { ...process.env, SOLANA_WALLET: net.solana.wallet_key, NO_COLOR: '1' } });
    process.on('exit', () => child.kill('SIGKILL'));
    const program = { child, out: '', stop: () => child.kill('SIGKILL') };
    return new Promise(resolve => {
      const take = chunk => {
        program.out += chunk;
        const listens = /listening on (http:\/\/[0-9.]+:\d+)\s/.exec(program.out);
        if (listens && !program.url) { [, program.url] = listens; resolve(program); }
      };
      child.stdout.on('data', take);
      child.stderr.on('data', take);
      child.on('exit', code => { program.code = code; resolve(program); });
    });
  }

  await test('a mint of the other program, or one whose issuer may move everything, does not start', async () => {
    const plain = await run('serve', { token_program: undefined });
    assert.match(plain.out, /token_program/);
    assert.equal(plain.code, 1, plain.out);
    const unsafe = await run('serve', { asset: trusting });
    assert.match(unsafe.out, /PermanentDelegate.*permanent_delegate = true/s);
    assert.equal(unsafe.code, 1, unsafe.out);
    assert.match((await run('doctor', { asset: trusting })).out, /token_extension/);
  });

  const program = await run('serve', {});
  assert.ok(program.url, program.out);
  // 503 while nothing is offered.
  const closed = async () => (await (await fetch(`${program.url}/readyz`)).json()).closed?.[stack.SOLANA];
  await until('open', async () => (await closed()) === undefined);
  const paid = await solana.tokenAccount(net.solana.pay_to, mint, TOKEN_2022);
  const held = async () => (await rpc(url, 'getTokenAccountBalance', paid, { commitment: 'confirmed' })).value.amount;

  await test('the official client pays in it, and what arrives is what was asked for', async () => {
    const { kinds } = await stack.json(`${program.url}/supported`);
    assert.equal(kinds.find(one => one.network === stack.SOLANA).extra.tokenProgram, TOKEN_2022);
    const offer = await official.terms(here, 'solana', program.url, { solana: net.solana.pay_to }, AMOUNT);
    const payment = await official.pay(here, 'solana', offer);
    const verified = await official.ask(program.url, 'verify', payment);
    assert.equal(verified.isValid, true, JSON.stringify(verified));
    const settled = await official.ask(program.url, 'settle', payment);
    assert.equal(settled.success, true, JSON.stringify(settled));
    assert.equal(await held(), AMOUNT);
  });

  await test('a transfer of the other token program is refused by its place and its rule', async () => {
    const offer = await official.terms(here, 'solana', program.url, { solana: net.solana.pay_to }, AMOUNT);
    const refused = await official.ask(program.url, 'verify', await solana.paySolana(here, solana.signer(net.solana.payer_key), offer));
    assert.equal(refused.invalidReason, 'invalid_exact_svm_payload_no_transfer_instruction', JSON.stringify(refused));
    assert.match(JSON.stringify(refused), /instruction 2 is a TransferChecked of another token program/);
  });

  await test('a pause and a hook close the network, and it opens again', async () => {
    for (const [reason, breaks, mends] of [
      ['token_paused', pause(mint, issuer.address, true), pause(mint, issuer.address, false)],
      ['token_changed', hooked(mint, issuer.address, bytes(solana.MEMO)), hooked(mint, issuer.address, NOBODY)],
    ]) {
      await send([breaks]);
      await until(reason, async () => (await closed()) === reason);
      await send([mends]);
      await until(`${reason} mended`, async () => (await closed()) === undefined);
    }
  });
  program.stop();
});
finish();
