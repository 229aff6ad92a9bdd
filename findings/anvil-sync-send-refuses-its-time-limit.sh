#!/usr/bin/env bash
# On anvil 1.7.1 eth_sendRawTransactionSync refuses the time limit that EIP-7966 gives it, and
# when its own 30 seconds are over the answer does not say which transaction is on its way.
#
# Expected: EIP-7966, "Parameters": an optional second one, the longest wait in milliseconds;
#   "Returns": code 4 on a time-out, in its example with the transaction's hash in data. viem
#   sends the parameter when a timeout is given, and goes on polling by the hash in data.
# Happens: with a second parameter the call fails with -32602 and nothing is sent; viem turns
#   that into InvalidParamsRpcError, which reads like a fault of the transaction. Without it
#   the call waits 30 s and fails with -32603, no data. The bytes meanwhile sit in the pool
#   and are mined later.
#   Known upstream: foundry pull request 15424 (parameter) and issue 16035 (error), fixed after
#   this release.
# Versions: anvil 1.7.1, viem 2.57.20.
# Matters: a settling facilitator must know the hash before it sends (it is the hash of its own
#   bytes) and treat every error of this call but a proven refusal as "may still land".
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @foundry-rs/anvil-linux-amd64@1.7.1 viem@2.57.20
cat >check.mjs <<'JS'
import { keccak256 } from "viem";
import { account, anvil } from "./chain.mjs";

const chain = await anvil("--no-mining");
const wallet = await chain.wallet();
const known = async (raw) => (await chain.rpc("eth_getTransactionByHash", keccak256(raw))) !== null;
const fees = { type: "eip1559", maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n };
const raw = await wallet.signTransaction({ ...fees, to: account().address, gas: 21_000n, nonce: 0 });
const method = "eth_sendRawTransactionSync";

const limited = await chain.rpc(method, raw, 2000).catch((error) => error);
console.log(`with a limit of 2000: ${limited.code} ${limited.message}; known to the node: ${await known(raw)}`);
const viem = await wallet.sendRawTransactionSync({ serializedTransaction: raw, timeout: 2000 }).catch((error) => error);
console.log(`viem with timeout 2000: ${viem.name}; known to the node: ${await known(raw)}`);
const refused = limited.code === -32602 && viem.name === "InvalidParamsRpcError" && !(await known(raw));

const start = Date.now();
const late = await chain.rpc(method, raw).catch((error) => error);
const waited = Math.round((Date.now() - start) / 1000);
const pending = await known(raw);
console.log(`without: after ${waited} s ${late.code} ${late.message}, data ${late.data}; known to the node: ${pending}`);
await chain.rpc("evm_mine");
const receipt = await chain.rpc("eth_getTransactionReceipt", keccak256(raw));
console.log(`after the next block: receipt ${receipt?.status}`);
const silent = late.code === -32603 && late.data === undefined && !late.message.includes(keccak256(raw));
process.exit(refused && silent && pending && receipt?.status === "0x1" ? 0 : 1);
JS
timeout 80 node check.mjs
