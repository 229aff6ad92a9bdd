#!/usr/bin/env bash
# The payment middleware of @openfacilitator/sdk answers a 402 that the x402 clients of neither
# protocol version can pay.
#
# Expected: its README (section "x402 Version Support") names both versions. Version 2 puts the
#   offer into the header PAYMENT-REQUIRED and the payment into PAYMENT-SIGNATURE
#   (specs/transports-v2/http.md); version 1 has x402Version 1 and maxAmountRequired in the body
#   and the payment in X-PAYMENT (specs/transports-v1/http.md).
# Happens: the middleware writes a body with x402Version 2 and version 2 fields, no header, and
#   reads X-PAYMENT alone. @x402/fetch finds no header and a body that is not version 1, and
#   throws; the version 1 schema does not know the network's name and misses four fields. A version 2
#   payment that is sent all the same, in its own header, is answered by the first 402 again.
# Versions: @openfacilitator/sdk 1.0.0, @x402/fetch and @x402/evm 2.27.0, x402 1.2.0.
# Matters: a client that wants to pay such sellers must read version 2 terms from the body and
#   send the version 2 payload in X-PAYMENT; a gate should put the offer in header and body.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @openfacilitator/sdk@1.0.0 express@5.2.1 @x402/core@2.27.0 @x402/fetch@2.27.0 @x402/evm@2.27.0 \
  viem@2.57.20 zod@3.25.76 @scure/base@1.2.6 @solana/kit@5.5.1 @solana/transaction-confirmation@5.5.1 \
  @solana-program/compute-budget@0.11.0 @solana-program/token@0.9.0 @solana-program/token-2022@0.6.1
npm_bare x402@1.2.0
cat >check.mjs <<'JS'
import sdk from "@openfacilitator/sdk";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { wrapFetchWithPayment, x402Client, x402HTTPClient } from "@x402/fetch";
import express from "express";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { PaymentRequirementsSchema } from "x402/types";

const offer = {
  scheme: "exact", network: "eip155:8453", amount: "1000", asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
  payTo: `0x${"11".repeat(20)}`, maxTimeoutSeconds: 60, extra: { name: "USD Coin", version: "2" },
};
const asked = [];
const facilitator = {
  verify: async (payment) => (asked.push(payment), { isValid: true }),
  settle: async () => ({ success: true, transaction: `0x${"33".repeat(32)}`, payer: `0x${"44".repeat(20)}`, network: offer.network }),
};
const shop = express();
shop.get("/x", sdk.createPaymentMiddleware({ facilitator, getRequirements: () => offer }), (_, answer) => answer.send("bought"));
const server = shop.listen(0, "127.0.0.1");
await new Promise((ready) => server.once("listening", ready));
const url = `http://127.0.0.1:${server.address().port}/x`;

const first = await fetch(url);
const body = await first.json();
const header = first.headers.get("payment-required");
console.log(`${first.status}, PAYMENT-REQUIRED ${header}, body ${JSON.stringify(body).slice(0, 90)}…`);

const buyer = new x402Client().register("eip155:*", new ExactEvmScheme(privateKeyToAccount(generatePrivateKey())));
const official = await wrapFetchWithPayment(fetch, buyer)(url).then(({ status }) => `answered ${status}`, ({ message }) => message);
console.log(`@x402/fetch: ${official}`);
const parsed = PaymentRequirementsSchema.safeParse(body.accepts[0]);
console.log(`x402 version 1 schema objects to: ${parsed.error?.issues.map(({ path }) => path.join()).join(" ")}`);

// The same buyer, told the offer by hand.
const payment = await buyer.createPaymentPayload({ ...body, resource: { url } });
const headers = new x402HTTPClient(buyer).encodePaymentSignatureHeader(payment);
const by_the_book = (await fetch(url, { headers })).status;
const verified = asked.length;
const as_it_reads = await fetch(url, { headers: { "X-PAYMENT": headers["PAYMENT-SIGNATURE"] } });
const got = `${as_it_reads.status} ${await as_it_reads.text()}`;
console.log(`a version 2 payment in PAYMENT-SIGNATURE: ${by_the_book}, looked at ${verified} times; the same in X-PAYMENT: ${got}`);
server.close();
const unpayable = header === null && official.includes("Invalid payment required response") && !parsed.success;
process.exit(unpayable && by_the_book === 402 && verified === 0 && got === "200 bought" ? 0 : 1);
JS
timeout 40 node check.mjs
