#!/usr/bin/env bash
# A version 1 seller's image cannot be bought with axios: asking for bytes makes both x402
# wrappers blind to the offer.
#
# Expected: the responseType of a request says how its answer is to be handed over; the README of
#   x402-axios wraps any instance. In version 1 the offer is JSON in the body of the 402
#   (specs/transports-v1/http.md), whatever the resource itself is.
# Happens: axios applies responseType to every status, so the wrappers get the offer as a Buffer
#   or (responseType "text") a string, and read it as an object. x402-axios fails with "Cannot
#   read properties of undefined (reading 'map')", @x402/axios, which supports version 1 too, with
#   "Invalid payment required response"; neither shows the 402. With no responseType both pay, and
#   the image arrives as broken text. Version 2's header is not touched by it.
# Versions: x402-axios 0.7.2 with x402 1.2.0, @x402/axios 2.11.0, axios 1.13.2.
# Matters: pictures, audio and files are what responseType is for, and x402-axios is downloaded
#   more than its successor. A seller should put the version 2 header beside the version 1 body;
#   it saves @x402/axios. Buyers with x402-axios must ask once without responseType and sign by
#   hand.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @x402/axios@2.11.0 axios@1.13.2 @x402/evm@2.27.0 @x402/core@2.27.0 viem@2.57.20 zod@3.25.76 @scure/base@1.2.6 \
  @solana/kit@5.5.1 @solana/transaction-confirmation@5.5.1 @solana-program/compute-budget@0.11.0 \
  @solana-program/token@0.9.0 @solana-program/token-2022@0.6.1
for package in x402@1.2.0 x402-axios@0.7.2; do npm_bare "$package"; done
cat >check.mjs <<'JS'
import { createServer } from "node:http";
import { wrapAxiosWithPayment, x402Client } from "@x402/axios";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/client";
import axios from "axios";
import { createWalletClient, http, publicActions } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { base } from "viem/chains";
import { withPaymentInterceptor } from "x402-axios";

const terms = {
  scheme: "exact", asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", payTo: `0x${"11".repeat(20)}`,
  maxTimeoutSeconds: 60, extra: { name: "USD Coin", version: "2" },
};
const png = Buffer.from("89504e470d0a1a0a", "hex");
const shop = createServer(({ headers, url }, response) => {
  if (headers["x-payment"] || headers["payment-signature"]) return response.end(png);
  const resource = `http://${headers.host}${url}`;
  const version1 = { x402Version: 1, accepts: [{ ...terms, network: "base", maxAmountRequired: "1000", resource, description: "", mimeType: "image/png" }] };
  const version2 = { x402Version: 2, resource: { url: resource }, accepts: [{ ...terms, network: "eip155:8453", amount: "1000" }] };
  response.writeHead(402, { "content-type": "application/json", ...(url === "/both" && { "payment-required": btoa(JSON.stringify(version2)) }) });
  response.end(JSON.stringify(version1));
});
await new Promise((ready) => shop.listen(0, "127.0.0.1", ready));
const origin = `http://127.0.0.1:${shop.address().port}`;

const account = privateKeyToAccount(generatePrivateKey());
const wallet = createWalletClient({ account, chain: base, transport: http(`${origin}/no-node`) }).extend(publicActions);
const buyer = new x402Client().register("eip155:*", new ExactEvmScheme(account)).registerV1("base", new ExactEvmSchemeV1(account));
const clients = { "x402-axios": withPaymentInterceptor(axios.create(), wallet), "@x402/axios": wrapAxiosWithPayment(axios.create(), buyer) };
const seen = {};
for (const [name, client] of Object.entries(clients)) {
  for (const [path, responseType] of [["/v1", undefined], ["/v1", "arraybuffer"], ["/v1", "text"], ["/both", "arraybuffer"]]) {
    const got = await client.get(origin + path, { responseType }).then(({ data }) => (png.equals(Buffer.from(data)) ? "the image" : "a broken image"), ({ message }) => message);
    seen[`${name} ${path} ${responseType}`] = got;
    console.log(`${name}, ${path === "/v1" ? "offer in the body" : "header beside it"}, responseType ${responseType}: ${got}`);
  }
}
shop.close();
const blind1 = "Cannot read properties of undefined (reading 'map')";
const blind2 = "Failed to parse payment requirements: Invalid payment required response";
const expected = ["a broken image", blind1, blind1, blind1, "a broken image", blind2, blind2, "the image"];
process.exit(JSON.stringify(Object.values(seen)) === JSON.stringify(expected) ? 0 : 1);
JS
timeout 40 node check.mjs
