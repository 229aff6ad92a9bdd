#!/usr/bin/env bash
# A client with the official hook for Sign-In-With-X signs in once and is served with @x402/fetch;
# with @x402/axios the call fails, or is paid for again, and no error says why.
#
# Expected: x402HTTPClient.onPaymentRequired and createSIWxClientHook are for any transport; both
#   wrappers take an x402HTTPClient by their declarations. The declaration of the hook: "Return
#   headers to try before payment". Whoever has bought signs in and does not pay twice.
# Happens: with the extensions of its own release (2.11.0), @x402/axios copies the headers into a
#   plain object and then calls its set(): "hookConfig.headers.set is not a function" is what the
#   caller gets, also if it has never bought and would pay. With today's extensions (2.27.0),
#   which npm installs beside it, the hook wants the request's address; axios and its core do not
#   hand it over, the hook swallows that error, and the call is paid.
# Versions: @x402/axios 2.11.0 (its core is pinned to 2.11), @x402/extensions 2.11.0 and 2.27.0,
#   @x402/fetch 2.27.0 for comparison.
# Matters: sellers who offer sign-in see axios customers pay for every visit, or lose them with a
#   TypeError. Do the sign-in by hand there: it is one header, SIGN-IN-WITH-X.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

old() { mkdir -p old && cp package.json old/ && cd old && npm_packages "$@"; }
npm_packages @x402/axios@2.11.0 axios@1.13.2 @x402/core@2.27.0 @x402/evm@2.27.0 @x402/extensions@2.27.0 @x402/fetch@2.27.0 viem@2.57.20
(old @x402/extensions@2.11.0 @x402/core@2.11.0 viem@2.57.20)
cat >check.mjs <<'JS'
import { createServer } from "node:http";
import { wrapAxiosWithPayment, x402HTTPClient as AxiosHTTPClient, x402Client as AxiosClient } from "@x402/axios";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { createSIWxClientHook as today } from "@x402/extensions/sign-in-with-x";
import { wrapFetchWithPayment, x402Client, x402HTTPClient } from "@x402/fetch";
import axios from "axios";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { createSIWxClientHook as itsOwn } from "./old/node_modules/@x402/extensions/dist/esm/sign-in-with-x/index.mjs";

const asked = [];
const shop = createServer((request, response) => {
  const { headers } = request;
  const how = headers["sign-in-with-x"] ? "signed in" : headers["payment-signature"] ? "paid" : "without";
  asked.push(how);
  if (how !== "without") return response.end("yours");
  const url = `http://${headers.host}/x`;
  const info = { domain: headers.host, uri: url, version: "1", nonce: "a1b2c3d4e5f67890a1b2c3d4e5f67890", issuedAt: new Date().toISOString(), resources: [url] };
  const offer = {
    scheme: "exact", network: "eip155:8453", amount: "1000", asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    payTo: `0x${"11".repeat(20)}`, maxTimeoutSeconds: 60, extra: { name: "USD Coin", version: "2" },
  };
  const extensions = { "sign-in-with-x": { info, supportedChains: [{ chainId: "eip155:8453", type: "eip191" }], schema: {} } };
  response.writeHead(402, { "payment-required": btoa(JSON.stringify({ x402Version: 2, resource: { url }, accepts: [offer], extensions })) });
  response.end();
});
await new Promise((ready) => shop.listen(0, "127.0.0.1", ready));
const url = `http://127.0.0.1:${shop.address().port}/x`;

const account = privateKeyToAccount(generatePrivateKey());
const buyer = (Client, HTTPClient, hook) => {
  const client = new Client().register("eip155:*", new ExactEvmScheme(account));
  const http = new HTTPClient(client);
  return hook ? http.onPaymentRequired(hook(account)) : http;
};
const seen = {};
const tried = async (name, call) => {
  asked.length = 0;
  const got = await call().then(() => "served", (error) => error.message);
  seen[name] = `${asked.join(", ")}: ${got}`;
  console.log(`${name}: ${seen[name]}`);
};
const withAxios = (hook) => wrapAxiosWithPayment(axios.create(), buyer(AxiosClient, AxiosHTTPClient, hook)).get(url);
const withFetch = (hook) => wrapFetchWithPayment(fetch, buyer(x402Client, x402HTTPClient, hook))(url);
await tried("fetch, hook of 2.27.0", () => withFetch(today));
await tried("fetch, no hook", () => withFetch());
await tried("axios, hook of 2.27.0", () => withAxios(today));
await tried("axios, hook of 2.11.0", () => withAxios(itsOwn));
shop.close();
const expected = {
  "fetch, hook of 2.27.0": "without, signed in: served",
  "fetch, no hook": "without, paid: served",
  "axios, hook of 2.27.0": "without, paid: served",
  "axios, hook of 2.11.0": "without: hookConfig.headers.set is not a function",
};
process.exit(JSON.stringify(seen) === JSON.stringify(expected) ? 0 : 1);
JS
timeout 40 node check.mjs
