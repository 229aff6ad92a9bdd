#!/usr/bin/env bash
# Two x402 clients send the paid request without the caller's headers when those were given
# as a Headers object; the unpaid request before it had them.
#
# Expected: the wrappers present themselves as fetch with payment, and fetch takes headers as a
#   Headers object, an array or a record (Fetch standard, HeadersInit). x402 version 2
#   (specs/transports-v2/http.md) has the client repeat the same request with one header more.
# Happens: they copy the caller's headers with an object spread, and a Headers object has no
#   own properties: nothing is copied. The body goes along, but no Content-Type (so fetch
#   writes text/plain) and no key, idempotency key or version header. With an array the names
#   become "0" and "1". @x402/fetch and @faremeter/fetch copy properly. Known upstream for
#   x402-fetch (x402 pull request 314, closed without a merge).
# Versions: x402-fetch 1.2.0 with x402 1.2.0, @dexterai/x402 2.0.0 (x402-solana 2.0.4 is written
#   the same way); @x402/fetch 2.27.0 for comparison.
# Matters: SDKs of AI providers hand Headers objects to their fetch. The price is quoted for
#   one request and paid for another; a server that answers 415 or 401 to the paid one has the
#   money. A gate should check what it can before it settles, and keep the payment as a credit.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @x402/core@2.27.0 @x402/fetch@2.27.0 @x402/evm@2.27.0 viem@2.57.20 zod@3.25.76 @scure/base@1.2.6 \
  @solana/kit@5.5.1 @solana/transaction-confirmation@5.5.1 @solana-program/compute-budget@0.11.0 \
  @solana-program/token@0.9.0 @solana-program/token-2022@0.6.1 @solana/web3.js@1.98.4 @solana/spl-token@0.4.14
for package in x402@1.2.0 x402-fetch@1.2.0 @dexterai/x402@2.0.0; do npm_bare "$package"; done

cat >check.mjs <<'JS'
import { createServer } from "node:http";
import { createX402Client } from "@dexterai/x402/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { wrapFetchWithPayment as official, x402Client } from "@x402/fetch";
import { createWalletClient, http, publicActions } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { base } from "viem/chains";
import { wrapFetchWithPayment as version1 } from "x402-fetch";

const payTo = `0x${"11".repeat(20)}`;
const asset = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const terms = { scheme: "exact", asset, payTo, maxTimeoutSeconds: 60, extra: { name: "USD Coin", version: "2", decimals: 6 } };
let paid;
const shop = createServer((request, response) => {
  const { "payment-signature": v2, "x-payment": v1, ...headers } = request.headers;
  if (v2 || v1) {
    paid = headers;
    return response.end("bought");
  }
  const resource = `http://${headers.host}/x`;
  const offer2 = { x402Version: 2, resource: { url: resource }, accepts: [{ ...terms, network: "eip155:8453", amount: "1000" }] };
  const offer1 = { x402Version: 1, accepts: [{ ...terms, network: "base", maxAmountRequired: "1000", resource, description: "", mimeType: "" }] };
  response.writeHead(402, { "content-type": "application/json", "payment-required": btoa(JSON.stringify(offer2)) });
  response.end(JSON.stringify(offer1));
});
await new Promise((ready) => shop.listen(0, "127.0.0.1", ready));
const nowhere = `http://127.0.0.1:${shop.address().port}/no-node`;

const account = privateKeyToAccount(generatePrivateKey());
const wallet = createWalletClient({ account, chain: base, transport: http(nowhere) }).extend(publicActions);
const buyer = new x402Client().register("eip155:*", new ExactEvmScheme(account));
const evm = { address: account.address, signTypedData: (data) => account.signTypedData(data) };
const clients = {
  "@x402/fetch": official(fetch, buyer),
  "x402-fetch": version1(fetch, wallet),
  "@dexterai/x402": createX402Client({ wallets: { evm }, rpcUrls: { "eip155:8453": nowhere } }).fetch,
};
const wanted = { "content-type": "application/json", "idempotency-key": "order-7" };
const kept = {};
for (const [name, buy] of Object.entries(clients)) {
  for (const headers of [wanted, new Headers(wanted)]) {
    paid = undefined;
    await buy(`http://127.0.0.1:${shop.address().port}/x`, { method: "POST", headers, body: "{}" });
    const got = Object.keys(wanted).map((header) => paid[header]);
    const kind = headers.constructor.name;
    console.log(`${name}, headers as ${kind}: the paid request has ${JSON.stringify(got)}`);
    kept[`${name} ${kind}`] = JSON.stringify(got) === JSON.stringify(Object.values(wanted));
  }
}
shop.close();
const lost = Object.keys(kept).filter((key) => !kept[key]).join();
process.exit(lost === "x402-fetch Headers,@dexterai/x402 Headers" ? 0 : 1);
JS
timeout 60 node check.mjs
