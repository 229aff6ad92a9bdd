#!/usr/bin/env bash
# @faremeter/fetch signs three payments for one purchase when an official x402 server tells it
# that the first one is still pending; all three can be collected.
#
# Expected: one call, one payment: in specs/transports-v2/http.md a 402 is followed by one
#   request with a payment, whose outcome is in PAYMENT-RESPONSE. The README of
#   @faremeter/fetch lists retries with backoff without saying what is done again.
# Happens: @x402/express answers 402 when settlement fails, and "settlement_pending" (sent, not
#   yet confirmed) counts as failure; the transaction's hash is in PAYMENT-RESPONSE. The client
#   takes any 402 after a payment for "not paid", does not look at that header, asks for new
#   terms and signs a fresh authorization with a fresh nonce, twice (retryCount defaults to 2).
#   Every authorization stays good until its validBefore. The seller's handler runs each time.
# Versions: @faremeter/fetch and @faremeter/payment-evm 0.22.0, @x402/express 2.27.0.
# Matters: a slow block costs this customer three times the price and gets an error. A gate
#   must not answer 402 while an outcome is unknown (503 with Retry-After stops this client),
#   and should answer a repeated purchase from the payment that is under way.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @faremeter/fetch@0.22.0 @faremeter/payment-evm@0.22.0 express@5.2.1 \
  @x402/core@2.27.0 @x402/express@2.27.0 @x402/evm@2.27.0 viem@2.57.20
cat >check.mjs <<'JS'
import { wrap } from "@faremeter/fetch";
import { createPaymentHandler } from "@faremeter/payment-evm/exact";
import { x402ResourceServer } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware } from "@x402/express";
import express from "express";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { base } from "viem/chains";

const network = "eip155:8453";
const hash = `0x${"33".repeat(32)}`;
const settles = [];
// A facilitator that has sent every transaction and sees none confirmed yet.
const facilitator = {
  getSupported: async () => ({ kinds: [{ x402Version: 2, scheme: "exact", network }], extensions: [], signers: {} }),
  verify: async (payment) => ({ isValid: true, payer: payment.payload.authorization.from }),
  settle: async ({ payload }) => {
    settles.push(payload.authorization);
    return { success: false, errorReason: "settlement_pending", transaction: hash, network, payer: payload.authorization.from };
  },
};
let runs = 0;
const shop = express();
const price = { scheme: "exact", network, payTo: `0x${"11".repeat(20)}`, price: "$0.01", maxTimeoutSeconds: 600 };
const seller = new x402ResourceServer(facilitator).register(network, new ExactEvmScheme());
shop.use(paymentMiddleware({ "GET /x": { accepts: price, description: "one thing", mimeType: "text/plain" } }, seller));
shop.get("/x", (_, answer) => answer.send(`run ${++runs}`));
const server = shop.listen(0, "127.0.0.1");
await new Promise((ready) => server.once("listening", ready));

const account = privateKeyToAccount(generatePrivateKey());
const wallet = { chain: { id: base.id, name: base.name }, address: account.address, account };
const seen = [];
const watched = async (input, init) => {
  const answer = await fetch(input, init);
  if (new Headers(init?.headers).has("payment-signature")) {
    const receipt = JSON.parse(atob(answer.headers.get("payment-response")));
    seen.push(`${answer.status} ${receipt.errorReason}${receipt.transaction === hash ? " with the hash" : ""}`);
  }
  return answer;
};
const buy = wrap(watched, { handlers: [createPaymentHandler(wallet)] });
const end = await buy(`http://127.0.0.1:${server.address().port}/x`).then(({ status }) => `${status}`, ({ message }) => message);
const nonces = new Set(settles.map(({ nonce }) => nonce));
const left = Math.min(...settles.map(({ validBefore }) => validBefore - Date.now() / 1000));
console.log(`paid requests were answered: ${seen.join("; ")}`);
console.log(`one call signed ${nonces.size} authorizations, the first ends in ${Math.round(left)} s; handler runs ${runs}; the caller gets: ${end}`);
server.close();
const as_described = seen.length === 3 && seen.every((line) => line === "402 settlement_pending with the hash");
process.exit(as_described && nonces.size === 3 && runs === 3 && left > 500 ? 0 : 1);
JS
timeout 60 node check.mjs
