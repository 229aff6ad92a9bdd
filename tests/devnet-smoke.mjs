// Starts ./scripts/devnet and proves that both chains are what they claim to
// be: the JSON line, the tokens, one real payment on each, and that nothing
// stays behind.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { finish, test } from './lib/tally.mjs';

const tests = dirname(fileURLToPath(import.meta.url));
const clients = createRequire(join(tests, 'clients/package.json'));

const step = text => process.stderr.write(`devnet-smoke: ${text}\n`);

async function startDevnet(...options) {
  const child = spawn(join(tests, '../scripts/devnet'), ['--exit-with-parent', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([text]) => text),
    once(child, 'exit').then(([code]) => assert.fail(`the devnet ended with ${code} before it was ready`)),
  ]);
  return { child, ready: JSON.parse(line) };
}

async function stopDevnet({ child, ready }) {
  if (child.exitCode === null) {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  assert.equal(child.exitCode, 0, 'the devnet ends with 0 when asked to');
  for (const chain of Object.values(ready)) {
    await assert.rejects(fetch(chain.rpc_url, { method: 'POST' }), `nothing answers at ${chain.rpc_url} any more`);
  }
}

function checkShape(ready) {
  assert.deepEqual(Object.keys(ready), ['base', 'solana']);
  const { base, solana } = ready;
  for (const key of [base.payer_key, base.wallet_key, ...base.payers]) assert.match(key, /^0x[0-9a-f]{64}$/);
  for (const address of [base.usdc, base.pay_to]) assert.match(address, /^0x[0-9a-fA-F]{40}$/);
  assert.equal(base.payers.length, 2);
  assert.equal(solana.payers.length, 2);
  for (const chain of [base, solana]) {
    const port = Number(new URL(chain.rpc_url).port);
    assert.ok(port >= 20000 && port <= 32000, `port ${port}`);
  }
}

async function checkBase(base) {
  const viem = clients('viem');
  const { privateKeyToAccount } = clients('viem/accounts');
  const { base: chain } = clients('viem/chains');
  const payer = privateKeyToAccount(base.payer_key);
  const wallet = privateKeyToAccount(base.wallet_key);
  const transport = viem.http(base.rpc_url);
  const client = viem.createPublicClient({ chain, transport, pollingInterval: 50, cacheTime: 0 });
  const abi = viem.parseAbi([
    'function name() view returns (string)',
    'function version() view returns (string)',
    'function decimals() view returns (uint8)',
    'function DOMAIN_SEPARATOR() view returns (bytes32)',
    'function balanceOf(address) view returns (uint256)',
    'function authorizationState(address, bytes32) view returns (bool)',
    'function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature)',
  ]);
  const token = { address: base.usdc, abi };
  const read = (functionName, ...args) => client.readContract({ ...token, functionName, args });

  assert.equal(base.usdc, '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913');
  assert.equal(base.pay_to, wallet.address);
  assert.equal(await client.getChainId(), 8453);
  assert.equal(await read('name'), 'USD Coin');
  assert.equal(await read('version'), '2');
  assert.equal(await read('decimals'), 6);
  const domain = { name: 'USD Coin', version: '2', chainId: 8453, verifyingContract: base.usdc };
  assert.equal(await read('DOMAIN_SEPARATOR'), viem.domainSeparator({ domain }));
  assert.equal(await read('balanceOf', payer.address), 100_000_000_000n);
  for (const key of base.payers) {
    assert.equal(await read('balanceOf', privateKeyToAccount(key).address), 100_000_000_000n);
  }
  assert.equal(await client.getBalance({ address: payer.address }), 0n);
  assert.equal(await client.getBalance({ address: wallet.address }), viem.parseEther('100'));
  const skew = Number((await client.getBlock()).timestamp) - Date.now() / 1000;
  assert.ok(Math.abs(skew) < 4, `block time is ${skew} s off`);
  const [viaMulticall] = await client.multicall({ contracts: [{ ...token, functionName: 'decimals' }], allowFailure: false });
  assert.equal(viaMulticall, 6);

  step('a real transferWithAuthorization');
  const now = Math.floor(Date.now() / 1000);
  const authorization = {
    from: payer.address,
    to: wallet.address,
    value: 12_345n,
    validAfter: 0n,
    validBefore: BigInt(now + 600),
    nonce: viem.keccak256(viem.toHex(`smoke ${now}`)),
  };
  const signature = await payer.signTypedData({
    domain,
    primaryType: 'TransferWithAuthorization',
    types: {
      TransferWithAuthorization: [
        { name: 'from', type: 'address' },
        { name: 'to', type: 'address' },
        { name: 'value', type: 'uint256' },
        { name: 'validAfter', type: 'uint256' },
        { name: 'validBefore', type: 'uint256' },
        { name: 'nonce', type: 'bytes32' },
      ],
    },
    message: authorization,
  });
  const call = { ...token, functionName: 'transferWithAuthorization' };
  const forged = { ...authorization, value: 12_346n };
  await assert.rejects(
    client.simulateContract({ ...call, account: wallet, args: [...Object.values(forged), signature] }),
    /invalid signature/,
  );
  const sender = viem.createWalletClient({ account: wallet, chain, transport });
  const hash = await sender.writeContract({ ...call, args: [...Object.values(authorization), signature] });
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, 'success');
  assert.equal(await read('balanceOf', wallet.address), 12_345n);
  assert.equal(await read('authorizationState', payer.address, authorization.nonce), true);
  step(`landed with ${receipt.gasUsed} gas`);
}

async function checkSolana(solana) {
  const kit = clients('@solana/kit');
  const token = clients('@solana-program/token');
  const rpc = kit.createSolanaRpc(solana.rpc_url);
  const bytes = key => kit.getBase58Encoder().encode(key);
  for (const key of [solana.payer_key, solana.wallet_key, ...solana.payers]) assert.equal(bytes(key).length, 64);
  const payer = await kit.createKeyPairSignerFromBytes(bytes(solana.payer_key));
  const wallet = await kit.createKeyPairSignerFromBytes(bytes(solana.wallet_key));
  const mint = kit.address(solana.mint);
  const tokenProgram = token.TOKEN_PROGRAM_ADDRESS;
  const accountOf = async owner => (await token.findAssociatedTokenPda({ mint, owner, tokenProgram }))[0];
  const source = await accountOf(payer.address);
  const destination = await accountOf(wallet.address);

  assert.equal(solana.mint, 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v');
  assert.equal(solana.pay_to, wallet.address);
  const { data: minted } = await token.fetchMint(rpc, mint);
  assert.equal(minted.decimals, 6);
  assert.equal(minted.supply, 30_000_000_000n);
  const balance = async account => (await rpc.getTokenAccountBalance(account).send()).value.amount;
  assert.equal(await balance(source), '10000000000');
  for (const key of solana.payers) {
    const owner = (await kit.createKeyPairSignerFromBytes(bytes(key))).address;
    assert.equal(await balance(await accountOf(owner)), '10000000000');
  }
  assert.equal((await rpc.getBalance(wallet.address).send()).value, 100_000_000_000n);
  assert.equal((await rpc.getAccountInfo(destination, { encoding: 'base64' }).send()).value, null);

  const build = async blockhash => {
    const instructions = [
      await token.getCreateAssociatedTokenIdempotentInstructionAsync({ payer: wallet, mint, owner: wallet.address }),
      token.getTransferCheckedInstruction({ source, mint, destination, authority: payer, amount: 12_345n, decimals: 6 }),
    ];
    const message = kit.pipe(
      kit.createTransactionMessage({ version: 0 }),
      m => kit.setTransactionMessageFeePayerSigner(wallet, m),
      m => kit.setTransactionMessageLifetimeUsingBlockhash(blockhash, m),
      m => kit.appendTransactionMessageInstructions(instructions, m),
    );
    return kit.signTransactionMessageWithSigners(message);
  };

  step('an unknown blockhash is refused');
  const unknown = kit.getBase58Decoder().decode(new Uint8Array(32).fill(7));
  const stale = kit.getBase64EncodedWireTransaction(await build({ blockhash: unknown, lastValidBlockHeight: 0n }));
  const simulated = await rpc
    .simulateTransaction(stale, { encoding: 'base64', sigVerify: true, replaceRecentBlockhash: false })
    .send();
  assert.equal(simulated.value.err, 'BlockhashNotFound');
  await assert.rejects(rpc.sendTransaction(stale, { encoding: 'base64' }).send());

  step('a real TransferChecked');
  const { value: latest } = await rpc.getLatestBlockhash({ commitment: 'confirmed' }).send();
  const transaction = await build(latest);
  const wire = kit.getBase64EncodedWireTransaction(transaction);
  const signature = await rpc.sendTransaction(wire, { encoding: 'base64', preflightCommitment: 'confirmed' }).send();
  assert.equal(signature, kit.getSignatureFromTransaction(transaction));
  const deadline = Date.now() + 10_000;
  for (;;) {
    const [status] = (await rpc.getSignatureStatuses([signature]).send()).value;
    if (status) {
      assert.equal(status.err, null);
      break;
    }
    assert.ok(Date.now() < deadline, 'confirmed within ten seconds');
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  assert.equal(await balance(destination), '12345');
  assert.equal(await balance(source), '9999987655');
}

async function main() {
  const devnet = await startDevnet('--payers', '2');
  try {
    await test('the JSON line has the shape that other tools read', () => checkShape(devnet.ready));
    await test('Base is what it claims to be', () => checkBase(devnet.ready.base));
    await test('Solana is what it claims to be', () => checkSolana(devnet.ready.solana));
  } finally {
    await test('nothing stays behind', () => stopDevnet(devnet));
  }
}

await main();
finish();
