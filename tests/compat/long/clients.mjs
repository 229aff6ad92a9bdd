// Clients that take long to install; as in ../clients.mjs.
import { createThirdwebClient, defineChain } from 'thirdweb';
import { createWalletAdapter, privateKeyToAccount } from 'thirdweb/wallets';
import { wrapFetchWithPayment } from 'thirdweb/x402';

import { versionOf } from '../packages.mjs';

const post = body => ({ method: 'POST', headers: { 'Content-Type': 'application/json' }, body });

function thirdweb(who) {
  const client = createThirdwebClient({ clientId: 'nobody' });
  const chain = defineChain({ id: 8453, rpc: who.net.base.rpc_url });
  const adaptedAccount = privateKeyToAccount({ client, privateKey: who.base });
  const wallet = createWalletAdapter({ client, adaptedAccount, chain, onDisconnect: () => {}, switchChain: async () => {} });
  const pay = wrapFetchWithPayment(fetch, client, wallet);
  return async (url, body) => {
    const answer = await pay(url, post(body));
    return { status: answer.status, text: await answer.text() };
  };
}

export const CLIENTS = [
  {
    name: 'thirdweb', x402: 2, networks: ['base'], version: () => versionOf('thirdweb', 'compat/long'),
    cannot: { solana: 'signs for EVM networks only' },
    make: async who => thirdweb(who),
  },
];
