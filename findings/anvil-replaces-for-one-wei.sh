#!/usr/bin/env bash
# On anvil one wei more replaces a pending transaction; on geth and its family it takes 10 %.
#
# Expected: the rule that fee bumping code is written for: geth's --txpool.pricebump (10 by
#   default, percent, of both the fee cap and the tip); reth and op-geth have the same default.
#   anvil's documentation names no rule, and its error is geth's own text, "replacement
#   transaction underpriced", with code -32003.
# Happens: anvil compares the fee cap alone and wants it higher by one wei. A tip that is
#   doubled under the same cap is refused; the old tip under a cap of one wei more replaces the
#   transaction, and the old hash is unknown at once.
# Versions: anvil 1.7.1, viem 2.57.20 (to sign).
# Matters: a wallet that bumps by 1 or 5 percent passes every test on anvil and is stuck on a
#   real chain, with a message that it has seen and handled in tests only for equal fees.
#   Test the bump's size in your own code, not against anvil.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @foundry-rs/anvil-linux-amd64@1.7.1 viem@2.57.20
cat >check.mjs <<'JS'
import { account, anvil } from "./chain.mjs";

const chain = await anvil("--no-mining");
const wallet = await chain.wallet();
const CAP = 10_000_000_000n;
const TIP = 1_000_000_000n;
async function send(what, maxFeePerGas, maxPriorityFeePerGas) {
  const to = account().address;
  const raw = await wallet.signTransaction({ type: "eip1559", to, gas: 21_000n, nonce: 0, maxFeePerGas, maxPriorityFeePerGas });
  const answer = await chain.rpc("eth_sendRawTransaction", raw).then((hash) => ({ hash }), ({ code, message }) => ({ code, message }));
  console.log(`${what}: ${answer.hash ? "accepted" : `${answer.code} ${answer.message}`}`);
  return answer;
}
const first = await send("first", CAP, TIP);
const same = await send("cap and tip the same", CAP, TIP);
const tip = await send("cap the same, tip doubled", CAP, TIP * 2n);
const wei = await send("cap 1 wei more, tip the same", CAP + 1n, TIP);
const old = await chain.rpc("eth_getTransactionByHash", first.hash);
await chain.rpc("evm_mine");
const receipt = await chain.rpc("eth_getTransactionReceipt", wei.hash);
console.log(`the first hash is ${old ? "known" : "unknown"}; the second one was mined: ${receipt?.status}`);
const refused = [same, tip].every((answer) => answer.code === -32003 && answer.message === "replacement transaction underpriced");
process.exit(refused && wei.hash && old === null && receipt?.status === "0x1" ? 0 : 1);
JS
timeout 40 node check.mjs
