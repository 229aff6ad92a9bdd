#!/usr/bin/env bash
# The version 1 offer of @faremeter/middleware names networks in version 2's words: the official
# clients of version 1 refuse it.
#
# Expected: in version 1 a network is a word ("base", "solana"; specs/x402-specification-v1.md,
#   "PaymentRequirements", and NetworkSchema of npm x402). The middleware says supportedVersions
#   { x402v1: true, x402v2: true } for both, version 1 being its default, and is configured here
#   with "base".
# Happens: it turns "base" into "eip155:8453", asks POST /accepts of its facilitator with that, and
#   writes version 1's body from version 2's offer with the name as it is: the function that does
#   so takes a translation of names (adaptPaymentRequiredResponseV2ToV1), and is called without
#   one. x402-fetch checks every element with its schema and throws before it signs.
# Versions: @faremeter/middleware 0.22.0, x402-fetch and x402 1.2.0.
# Matters: a seller who turned on version 1 for its customers sells to none of them; @faremeter/fetch,
#   which takes either name, does not show it. A customer of version 1 who wants to buy there
#   must map CAIP-2 names back; a seller should turn on x402v2.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @faremeter/middleware@0.22.0 express@5.2.1 viem@2.57.20 zod@3.25.76 @scure/base@1.2.6 @solana/kit@5.5.1 \
  @solana/transaction-confirmation@5.5.1 @solana-program/compute-budget@0.11.0 @solana-program/token@0.9.0 \
  @solana-program/token-2022@0.6.1
for package in x402@1.2.0 x402-fetch@1.2.0; do npm_bare "$package"; done
cat >check.mjs <<'JS'
import { createServer } from "node:http";
import { createMiddleware } from "@faremeter/middleware/express";
import express from "express";
import { generatePrivateKey } from "viem/accounts";
import { createSigner, wrapFetchWithPayment } from "x402-fetch";

// A facilitator that completes what it is asked to complete, as it was named.
const asked = [];
const facilitator = createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  const { x402Version, resource, accepts } = JSON.parse(body);
  asked.push(...accepts.map(({ network }) => network));
  const whole = accepts.map((offer) => ({ ...offer, asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", maxTimeoutSeconds: 60, extra: { name: "USD Coin", version: "2" } }));
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ x402Version, resource, accepts: whole }));
});
await new Promise((ready) => facilitator.listen(0, "127.0.0.1", ready));

const accepts = [{ scheme: "exact", network: "base", maxAmountRequired: "1000", payTo: `0x${"11".repeat(20)}`, description: "A thing", mimeType: "text/plain" }];
const pay = await createMiddleware({ facilitatorURL: `http://127.0.0.1:${facilitator.address().port}`, accepts, supportedVersions: { x402v1: true, x402v2: true } });
const shop = express();
shop.get("/x", pay, (_, answer) => answer.send("bought"));
const server = shop.listen(0, "127.0.0.1");
await new Promise((ready) => server.once("listening", ready));
const url = `http://127.0.0.1:${server.address().port}/x`;

const offered = await (await fetch(url)).json();
const signed = [];
const watched = (input, init) => {
  if (new Headers(init?.headers).has("x-payment")) signed.push(input);
  return fetch(input, init);
};
const buy = wrapFetchWithPayment(watched, await createSigner("base", generatePrivateKey()));
const refused = await buy(url, {}).then(({ status }) => `answered ${status}`, ({ name, issues }) => `${name} at ${issues?.map(({ path }) => path.join(".")).join()}`);
console.log(`configured with "base"; the facilitator is asked about ${asked[0]}`);
console.log(`the body says x402Version ${offered.x402Version}, network ${offered.accepts[0].network}`);
console.log(`x402-fetch: ${refused}; payments signed: ${signed.length}`);
server.closeAllConnections();
server.close();
facilitator.closeAllConnections();
facilitator.close();
const as_described = offered.x402Version === 1 && offered.accepts[0].network === "eip155:8453" && refused.startsWith("ZodError at") && refused.includes("network");
process.exit(as_described && signed.length === 0 ? 0 : 1);
JS
timeout 40 node check.mjs
