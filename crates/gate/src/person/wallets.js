// What a browser wallet signs: an EIP-3009 authorization, or a Solana transaction. No library: the page may load none.
const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const P = 2n ** 255n - 19n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;

const utf8 = text => new TextEncoder().encode(text);
const number = (value, bytes) => Array.from({ length: bytes }, (_, at) => Number((BigInt(value) >> BigInt(8 * at)) & 255n));
const random = bytes => [...crypto.getRandomValues(new Uint8Array(bytes))].map(one => one.toString(16).padStart(2, '0')).join('');

/** Base58 of 32 bytes: an address or a blockhash. */
function key(text) {
  let value = 0n;
  for (const letter of String(text)) {
    const digit = ALPHABET.indexOf(letter);
    if (digit < 0 || value >= 2n ** 256n) throw new Error('the offer names no Solana address where one belongs');
    value = value * 58n + BigInt(digit);
  }
  return number(value, 32).reverse();
}

function power(base, exponent) {
  let result = 1n;
  for (let left = exponent, square = base % P; left > 0n; left >>= 1n, square = square * square % P) {
    if (left & 1n) result = result * square % P;
  }
  return result;
}

/** Whether 32 bytes are a point of ed25519: then they may be somebody's key, and no program's address. */
function isOnCurve(bytes) {
  const y = bytes.reduceRight((sum, byte, at) => sum * 256n + BigInt(at === 31 ? byte & 127 : byte), 0n);
  const square = y * y % P;
  return power((square - 1n + P) * (D * square + 1n) % P, (P - 1n) / 2n) !== P - 1n;
}

const TOKEN = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA';
const TOKEN_2022 = 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb';
const ASSOCIATED = key('ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL');
const COMPUTE = key('ComputeBudget111111111111111111111111111111');
const MEMO = key('MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr');
const UNITS_MAX = 40_000;

async function tokenAccount(owner, mint, program) {
  for (let bump = 255; bump >= 0; bump -= 1) {
    const seeds = [...owner, ...program, ...mint, bump, ...ASSOCIATED, ...utf8('ProgramDerivedAddress')];
    const hash = [...new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.from(seeds)))];
    if (!isOnCurve(hash)) return hash;
  }
  throw new Error('this address has no token account');
}

/** The transaction that pays `offer` from `payer`: version 0, the seller's fee payer first, nobody's signature on it yet. */
async function transfer(offer, payer) {
  if (!crypto.subtle) throw new Error('a Solana payment can be signed on a page that came over https only');
  const { feePayer, recentBlockhash, memo, tokenProgram = TOKEN } = offer.extra ?? {};
  // Nothing else is called with the payer's signature.
  if (![TOKEN, TOKEN_2022].includes(tokenProgram)) throw new Error('this offer names a token program that is none');
  if (!feePayer || !recentBlockhash) throw new Error('this offer has no blockhash now; try again in a moment');
  const [mint, program] = [key(offer.asset), key(tokenProgram)];
  const [source, destination] = await Promise.all([payer, key(offer.payTo)].map(owner => tokenAccount(owner, mint, program)));
  const keys = [key(feePayer), payer, source, destination, mint, program, COMPUTE, MEMO];
  // Long texts have a length of two bytes.
  const length = bytes => (bytes < 128 ? [bytes] : [bytes & 127 | 128, bytes >> 7]);
  const call = (program, accounts, data) => [program, accounts.length, ...accounts, ...length(data.length), ...data];
  const message = [
    0x80, 2, 1, 4, keys.length, ...keys.flat(), ...key(recentBlockhash), 4,
    ...call(6, [], [2, ...number(UNITS_MAX, 4)]),
    ...call(6, [], [3, ...number(1, 8)]),
    ...call(5, [2, 4, 3, 1], [12, ...number(offer.amount, 8), 6]),
    ...call(7, [], utf8(memo ?? random(16))),
    0,
  ];
  return Uint8Array.from([2, ...Array(128).fill(0), ...message]);
}

const base64 = bytes => btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));

const CLUSTERS = {
  'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp': 'solana:mainnet',
  'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1': 'solana:devnet',
  'solana:4uhcVJyU9pJkvQyS88uRDiswHScsCQQS': 'solana:testnet',
};

async function signOnSolana(wallet, offer) {
  const { accounts } = await wallet.features['standard:connect'].connect();
  const account = [...accounts, ...wallet.accounts].find(one => !one.features || one.features.includes('solana:signTransaction'));
  if (!account) throw new Error(`${wallet.name} shows no account that signs`);
  const transaction = await transfer(offer, [...account.publicKey]);
  const chain = CLUSTERS[offer.network] ?? 'solana:localnet';
  const [signed] = await wallet.features['solana:signTransaction'].signTransaction({ account, transaction, chain });
  return { transaction: base64(signed.signedTransaction) };
}

async function signOnEvm(wallet, offer, now) {
  const [from] = await wallet.request({ method: 'eth_requestAccounts' });
  const chainId = Number(offer.network.split(':')[1]);
  try {
    await wallet.request({ method: 'wallet_switchEthereumChain', params: [{ chainId: `0x${chainId.toString(16)}` }] });
  } catch (error) {
    // Many wallets sign for any chain; those that do not say so when they are asked to.
    if (error.code === 4001) throw error;
  }
  const authorization = {
    from, to: offer.payTo, value: offer.amount, validAfter: String(now - 600),
    validBefore: String(now + offer.maxTimeoutSeconds), nonce: `0x${random(32)}`,
  };
  const fields = text => text.split(',').map(one => ({ type: one.split(' ')[0], name: one.split(' ')[1] }));
  const typed = {
    domain: { name: offer.extra.name, version: offer.extra.version, chainId, verifyingContract: offer.asset },
    primaryType: 'TransferWithAuthorization',
    types: {
      EIP712Domain: fields('string name,string version,uint256 chainId,address verifyingContract'),
      TransferWithAuthorization: fields('address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce'),
    },
    message: authorization,
  };
  const signature = await wallet.request({ method: 'eth_signTypedData_v4', params: [from, JSON.stringify(typed)] });
  return { signature, authorization };
}

/** The wallets of this browser, as they make themselves known: `{ name, pays(network), sign(offer, now) }`. */
const wallets = [];

function found(wallet, changed) {
  if (wallets.some(one => one.is === wallet.is)) return;
  wallets.push(wallet);
  changed();
}

const evm = (provider, name) => ({ is: provider, name, pays: network => network.startsWith('eip155:'), sign: (offer, now) => signOnEvm(provider, offer, now) });

function register(changed, ...all) {
  for (const wallet of all) {
    if (!wallet?.features?.['solana:signTransaction'] || !wallet.features['standard:connect']) continue;
    found({ is: wallet, name: String(wallet.name), pays: network => network.startsWith('solana:'), sign: offer => signOnSolana(wallet, offer) }, changed);
  }
}

function lookForWallets(changed) {
  addEventListener('eip6963:announceProvider', ({ detail }) => {
    // The one that was injected may have been seen before it said its name.
    const known = wallets.find(one => one.is === detail.provider);
    if (known) known.name = String(detail.info.name);
    else found(evm(detail.provider, String(detail.info.name)), changed);
    changed();
  });
  dispatchEvent(new Event('eip6963:requestProvider'));
  const api = { register: (...all) => register(changed, ...all) };
  addEventListener('wallet-standard:register-wallet', ({ detail }) => detail(api));
  dispatchEvent(new CustomEvent('wallet-standard:app-ready', { detail: api }));
  const injected = () => {
    const isNamed = wallets.some(one => one.pays('eip155:1'));
    if (window.ethereum?.request && !isNamed) found(evm(window.ethereum, 'the browser wallet'), changed);
  };
  addEventListener('ethereum#initialized', injected, { once: true });
  setTimeout(injected, 100);
}
