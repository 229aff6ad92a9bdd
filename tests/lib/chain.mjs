// Reads the two chains over plain JSON-RPC. Shares nothing with the program,
// so that what it says about a payment is a second opinion.
export async function rpc(url, method, ...params) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
  const { result, error } = await answer.json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

// keccak256 of Transfer(address,address,uint256) and AuthorizationUsed(address,bytes32).
const TRANSFER = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef';
const AUTHORIZATION_USED = '0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5';

const topic = address => `0x${address.slice(2).toLowerCase().padStart(64, '0')}`;
const address = word => `0x${word.slice(26)}`;

/** What a Base transaction moved, from its own logs. */
export async function baseTransfer(url, token, hash) {
  const receipt = await rpc(url, 'eth_getTransactionReceipt', hash);
  if (!receipt) throw new Error(`no receipt of ${hash}`);
  const ours = receipt.logs.filter(log => log.address.toLowerCase() === token.toLowerCase());
  const transfers = ours.filter(log => log.topics[0] === TRANSFER);
  const used = ours.filter(log => log.topics[0] === AUTHORIZATION_USED);
  if (receipt.status !== '0x1' || transfers.length !== 1 || used.length !== 1) {
    throw new Error(`${hash}: status ${receipt.status}, ${transfers.length} transfers, ${used.length} authorizations`);
  }
  const [log] = transfers;
  return {
    payer: address(log.topics[1]),
    pay_to: address(log.topics[2]),
    amount: BigInt(log.data).toString(),
    fee_payer: receipt.from,
    cost: (BigInt(receipt.gasUsed) * BigInt(receipt.effectiveGasPrice)).toString(),
  };
}

/** Every transfer of the token to `payTo` on Base. */
export async function baseTransfersTo(url, token, payTo) {
  const logs = await rpc(url, 'eth_getLogs', {
    address: token, fromBlock: '0x0', toBlock: 'latest', topics: [TRANSFER, null, topic(payTo)],
  });
  return logs.map(log => ({ transaction: log.transactionHash, amount: BigInt(log.data).toString() }));
}

export async function baseBalance(url, token, owner) {
  const data = `0x70a08231${topic(owner).slice(2)}`;
  return BigInt(await rpc(url, 'eth_call', { to: token, data }, 'latest')).toString();
}

/** What a Solana transaction moved, from its own token balances. */
export async function solanaTransfer(url, mint, signature) {
  const found = await rpc(url, 'getTransaction', signature, {
    commitment: 'confirmed', maxSupportedTransactionVersion: 0, encoding: 'json',
  });
  if (!found) throw new Error(`no transaction ${signature}`);
  if (found.meta.err) throw new Error(`${signature} failed: ${JSON.stringify(found.meta.err)}`);
  const changes = new Map();
  const add = (balances, sign) => {
    for (const balance of balances.filter(entry => entry.mint === mint)) {
      const amount = BigInt(balance.uiTokenAmount.amount) * sign;
      changes.set(balance.owner, (changes.get(balance.owner) ?? 0n) + amount);
    }
  };
  add(found.meta.preTokenBalances, -1n);
  add(found.meta.postTokenBalances, 1n);
  const moved = [...changes].filter(([, change]) => change !== 0n);
  const gained = moved.filter(([, change]) => change > 0n);
  const lost = moved.filter(([, change]) => change < 0n);
  if (gained.length !== 1 || lost.length !== 1) throw new Error(`${signature} is not one transfer`);
  return {
    payer: lost[0][0],
    pay_to: gained[0][0],
    amount: gained[0][1].toString(),
    fee_payer: found.transaction.message.accountKeys[0],
    cost: String(found.meta.fee),
  };
}

export async function solanaBalance(url, mint, owner) {
  const { value } = await rpc(url, 'getTokenAccountsByOwner', owner, { mint }, { encoding: 'jsonParsed', commitment: 'confirmed' });
  return value
    .reduce((sum, entry) => sum + BigInt(entry.account.data.parsed.info.tokenAmount.amount), 0n)
    .toString();
}

/** Successful transactions that the owner's token account took part in. */
export async function solanaTransfersTo(url, mint, owner) {
  const { value } = await rpc(url, 'getTokenAccountsByOwner', owner, { mint }, { encoding: 'jsonParsed', commitment: 'confirmed' });
  const account = value[0]?.pubkey;
  if (!account) return [];
  const signatures = await rpc(url, 'getSignaturesForAddress', account, { limit: 1000, commitment: 'confirmed' });
  return signatures.filter(entry => entry.err === null).map(entry => ({ transaction: entry.signature }));
}
