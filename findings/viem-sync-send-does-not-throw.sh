#!/usr/bin/env bash
# viem's sendRawTransactionSync and sendTransactionSync hand back a reverted receipt as if all
# were well, although their types say that they throw by default.
#
# Expected: the parameter throwOnReceiptRevert of both is documented in viem's published type
#   declarations with "@default true".
# Happens: the parameter has no default. Left out, a reverted transaction resolves with
#   status "reverted"; only an explicit true throws. (waitForTransactionReceipt, which it
#   replaces, never throws for a revert and promises nothing else.)
# Versions: viem 2.57.20, anvil 1.7.1.
# Matters: eth_sendRawTransactionSync (EIP-7966) is how one settles on chains with blocks of a
#   fifth of a second. Code that trusts the declaration takes a reverted payment for a settled
#   one. Look at status, and at the token's logs, whatever the call is said to do.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @foundry-rs/anvil-linux-amd64@1.7.1 viem@2.57.20
types=node_modules/viem/_types/actions/wallet
for call in sendRawTransactionSync sendTransactionSync; do
  printf '%s, declared: %s\n' "$call" "$(grep -h -B1 'throwOnReceiptRevert?:' "$types/$call.d.ts" | head -1 | xargs)"
  grep -h -B1 'throwOnReceiptRevert?:' "$types/$call.d.ts" | grep -q '@default true'
done

cat >check.mjs <<'JS'
import { anvil } from "./chain.mjs";

const chain = await anvil();
const wallet = await chain.wallet();
// Code that reverts with 32 bytes, whatever it is asked.
const bytecode = "0x600a600c600039600a6000f3602a60005260206000fd";
const { contractAddress: to } = await chain.mined(await wallet.deployContract({ abi: [], bytecode }));
let nonce = 1;
const transaction = () => ({ to, gas: 100_000n, nonce: nonce++, type: "eip1559", maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n });
const calls = {
  sendRawTransactionSync: async (more) =>
    wallet.sendRawTransactionSync({ serializedTransaction: await wallet.signTransaction(transaction()), ...more }),
  sendTransactionSync: (more) => wallet.sendTransactionSync({ ...transaction(), ...more }),
};
let as_described = true;
for (const [name, call] of Object.entries(calls)) {
  for (const more of [{}, { throwOnReceiptRevert: true }]) {
    const seen = await call(more).then(({ status }) => `returned, ${status}`, ({ name }) => `threw ${name}`);
    console.log(`${name}(${JSON.stringify(more)}): ${seen}`);
    as_described &&= more.throwOnReceiptRevert ? seen.startsWith("threw Transaction") : seen === "returned, reverted";
  }
}
process.exit(as_described ? 0 : 1);
JS
timeout 40 node check.mjs
