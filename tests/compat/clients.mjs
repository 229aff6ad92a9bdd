// Clients as they are published, each set up as its documentation has it. What they are given is a key, the
// node of a local chain, and nothing else: no package is patched, no limit of theirs is lifted.
import { createInterface } from 'node:readline';
import { join } from 'node:path';

import { wrapFetch as dexter } from '@dexterai/x402/client';
import { wrap as faremeter } from '@faremeter/fetch';
import { createPaymentHandler as faremeterEvm } from '@faremeter/payment-evm/exact';
import { createPaymentHandler as faremeterSolana } from '@faremeter/payment-solana/exact';
import { createKeyPairFromBytes, createKeyPairSignerFromBytes, getBase58Encoder, partiallySignTransaction } from '@solana/kit';
import { Keypair } from '@solana/web3.js';
import { wrapAxiosWithPayment, x402Client as x402AxiosClient } from '@x402/axios';
import { ExactEvmScheme } from '@x402/evm/exact/client';
import { wrapFetchWithPayment, x402Client } from '@x402/fetch';
import { ExactSvmScheme } from '@x402/svm/exact/client';
import axios from 'axios';
import { evm, Mppx } from 'mppx/client';
import { privateKeyToAccount } from 'viem/accounts';
import { base as chain } from 'viem/chains';
import { createX402Client as x402Solana } from 'x402-solana/client';

import * as stack from '../lib/stack.mjs';
import * as v1 from '../lib/version-1.mjs';
import { pinned, PYTHON, versionOf } from './packages.mjs';

const post = body => ({ method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
const bytes = text => Uint8Array.from(getBase58Encoder().encode(text));

/** Of a client that is a `fetch`. */
const asFetch = pay => async (url, body) => {
  const answer = await pay(url, post(body));
  return { status: answer.status, text: await answer.text() };
};

/** Of an axios instance, which throws for what is no success. */
const asAxios = client => async (url, body) => {
  const answer = await client.post(url, body, { headers: { 'Content-Type': 'application/json' } });
  return { status: answer.status, text: JSON.stringify(answer.data) };
};

async function official(Client, who, network) {
  if (network === 'base') return new Client().register('eip155:*', new ExactEvmScheme(privateKeyToAccount(who.base)));
  const signer = await createKeyPairSignerFromBytes(bytes(who.solana));
  return new Client().register('solana:*', new ExactSvmScheme(signer, { rpcUrl: who.net.solana.rpc_url }));
}

async function faremeterHandler(who, network) {
  if (network === 'base') {
    const account = privateKeyToAccount(who.base);
    return faremeterEvm({ chain: { id: chain.id, name: chain.name }, address: account.address, account });
  }
  const keys = await createKeyPairFromBytes(bytes(who.solana));
  const { address } = await createKeyPairSignerFromBytes(bytes(who.solana));
  const wallet = { network: stack.SOLANA, publicKey: address, partiallySignTransaction: made => partiallySignTransaction([keys], made) };
  return faremeterSolana(wallet, who.net.solana.mint, who.net.solana.rpc_url);
}

const dexterOptions = (who, network) => network === 'base'
  ? { evmPrivateKey: who.base, preferredNetwork: stack.BASE, rpcUrls: { [stack.BASE]: who.net.base.rpc_url } }
  : { walletPrivateKey: who.solana, rpcUrls: { [stack.SOLANA]: who.net.solana.rpc_url } };

function solanaWallet(who) {
  const keys = Keypair.fromSecretKey(bytes(who.solana));
  return { address: keys.publicKey.toBase58(), signTransaction: async made => (made.sign([keys]), made) };
}

/** The clients of version 1 take their keys from where the tests have them. */
const netOf = who => ({ base: { ...who.net.base, payer_key: who.base }, solana: { ...who.net.solana, payer_key: who.solana } });

/** The Python clients run in one process each: a line of JSON asks, a line answers. */
const processes = new Map();
function python(client, job) {
  if (!processes.has(client)) {
    const child = stack.start(PYTHON, [join(stack.ROOT, 'tests/compat/buy.py'), client], { stdio: ['pipe', 'pipe', 'pipe'] });
    const waiting = new Map();
    createInterface({ input: child.stdout }).on('line', line => {
      const { id, ...answer } = JSON.parse(line);
      waiting.get(id)(answer);
      waiting.delete(id);
    });
    child.once('exit', () => { for (const resolve of waiting.values()) resolve({ error: `ended: ${child.log.slice(-3).join(' ')}` }); });
    processes.set(client, { child, waiting, next: 0 });
  }
  const self = processes.get(client);
  const id = self.next++;
  return new Promise(resolve => {
    self.waiting.set(id, resolve);
    self.child.stdin.write(`${JSON.stringify({ id, ...job })}\n`);
  });
}

const asPython = client => (who, network) => async (url, body) => {
  const key = network === 'base' ? who.base : who.solana;
  const { error, ...answer } = await python(client, { network, key, rpc: who.net.solana.rpc_url, url, body });
  if (error) throw new Error(error);
  return answer;
};

const BOTH = ['base', 'solana'];

/**
 * `make(who, network)` resolves to `buy(url, body)`, which resolves to `{ status, text }` or throws what the
 * client throws; `who` is `{ base, solana, net }` with a key for each network. What a client cannot do on a
 * network by its own making stands under `cannot`.
 */
export const CLIENTS = [
  {
    name: '@x402/fetch', x402: 2, networks: BOTH, version: () => versionOf('@x402/fetch'),
    make: async (who, network) => asFetch(wrapFetchWithPayment(fetch, await official(x402Client, who, network))),
  },
  {
    name: '@x402/axios', x402: 2, networks: BOTH, version: () => versionOf('@x402/axios'),
    make: async (who, network) => asAxios(wrapAxiosWithPayment(axios.create(), await official(x402AxiosClient, who, network))),
  },
  { name: 'x402, httpx', x402: 2, networks: BOTH, version: () => pinned('x402'), make: asPython('httpx'), registry: 'PyPI' },
  { name: 'x402, requests', x402: 2, networks: BOTH, version: () => pinned('x402'), make: asPython('requests'), registry: 'PyPI' },
  {
    name: 'x402-fetch', x402: 1, networks: BOTH, version: () => versionOf('x402-fetch', 'clients-v1'),
    make: async (who, network) => asFetch(await v1.paying(netOf(who), network)),
  },
  {
    name: 'x402-axios', x402: 1, networks: BOTH, version: () => versionOf('x402-axios', 'clients-v1'),
    make: async (who, network) => (url, body) => v1.buyWithAxios(netOf(who), network, url, body),
  },
  {
    name: '@faremeter/fetch', x402: 2, networks: BOTH, version: () => versionOf('@faremeter/fetch'),
    make: async (who, network) => asFetch(faremeter(fetch, { handlers: [await faremeterHandler(who, network)] })),
  },
  {
    name: '@dexterai/x402', x402: 2, networks: BOTH, version: () => versionOf('@dexterai/x402'),
    make: async (who, network) => asFetch(dexter(fetch, dexterOptions(who, network))),
  },
  {
    name: 'mppx', x402: 2, networks: ['base'], version: () => versionOf('mppx'),
    cannot: { solana: 'signs EIP-3009 only' },
    make: async who => {
      const { fetch: pay } = Mppx.create({ methods: [evm.charge({ account: privateKeyToAccount(who.base) })], polyfill: false });
      return asFetch(pay);
    },
  },
  {
    name: 'x402-solana', x402: 2, networks: ['solana'], version: () => versionOf('x402-solana'),
    cannot: { base: 'signs for Solana only' },
    make: async who => {
      const client = x402Solana({ wallet: solanaWallet(who), network: 'solana', rpcUrl: who.net.solana.rpc_url });
      return asFetch((url, init) => client.fetch(url, init));
    },
  },
];
