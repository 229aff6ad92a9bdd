#!/usr/bin/env bash
# An official server that loses its facilitator's answer to /settle tells its customer that the
# payment failed, with the JavaScript exception's message in the place of an error code.
#
# Expected: `errorReason` of the x402 specification (version 2, SettlementResponse) is an error
#   code, and a 402 with `success: false` says that the payment did not go through. Whoever does
#   not know says so: the server has sent the payment to be settled and heard nothing.
# Happens: when the connection is lost before the answer, in the middle of its body, or when a
#   proxy answers 502 in its place, the customer gets 402 with a receipt that says
#   `success: false` and `errorReason` "fetch failed", "terminated" or the facilitator client's
#   own sentence, although the facilitator has settled it; `transaction` is empty.
# Versions: @x402/express and @x402/core 2.27.0, express 5.2.1, @x402/fetch 2.27.0.
# Matters: "terminated" cannot be told from a code, so clients that repeat only what is undecided
#   take it for final and sign a second payment. A facilitator can only help by telling a success
#   again to whoever asks with the same payment.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages express@5.2.1 @x402/core@2.27.0 @x402/express@2.27.0 @x402/evm@2.27.0 @x402/fetch@2.27.0 viem@2.57.20
cat >check.mjs <<'JS'
import { createServer } from "node:http";
import { once } from "node:events";
import { HTTPFacilitatorClient, x402ResourceServer } from "@x402/core/server";
import { ExactEvmScheme as Buyer } from "@x402/evm/exact/client";
import { ExactEvmScheme as Seller } from "@x402/evm/exact/server";
import { paymentMiddleware } from "@x402/express";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import express from "express";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

const network = "eip155:8453";
const listen = async (server) => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
};
let lose = "";
let settled = 0;
const facilitator = createServer(async (request, response) => {
  for await (const _ of request);
  const json = (body) => response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  if (request.url === "/supported") return json({ kinds: [{ x402Version: 2, scheme: "exact", network }], extensions: [], signers: {} });
  if (request.url === "/verify") return json({ isValid: true });
  settled += 1; // From here on the money has moved.
  const body = JSON.stringify({ success: true, transaction: `0x${"33".repeat(32)}`, network });
  if (lose === "before") return request.socket.destroy();
  if (lose === "proxy") return response.writeHead(502, { "Content-Type": "text/html" }).end("<h1>502 Bad Gateway</h1>");
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": body.length });
  if (lose === "body") return response.write(body.slice(0, 10), () => setTimeout(() => request.socket.destroy(), 50));
  response.end(body);
});
const url = await listen(facilitator);
const app = express();
app.use(paymentMiddleware({
  "GET /x": { accepts: { scheme: "exact", network, payTo: `0x${"11".repeat(20)}`, price: "$0.01" }, description: "x", mimeType: "text/plain" },
}, new x402ResourceServer(new HTTPFacilitatorClient({ url })).register(network, new Seller())));
app.get("/x", (_, answer) => answer.send("the thing"));
const shop = await listen(createServer(app));
const buyer = new x402Client().register("eip155:*", new Buyer(privateKeyToAccount(generatePrivateKey())));
const buy = wrapFetchWithPayment(fetch, buyer);
const seen = {};
for (const way of ["", "before", "body", "proxy"]) {
  lose = way;
  const [before, answer] = [settled, await buy(`${shop}/x`)];
  const header = answer.headers.get("payment-response");
  const receipt = header && JSON.parse(Buffer.from(header, "base64").toString());
  seen[way] = { status: answer.status, success: receipt?.success, reason: receipt?.errorReason, transaction: receipt?.transaction };
  console.log(`answer lost: ${way || "not"}; settled ${settled - before} time(s); the customer gets`, JSON.stringify(seen[way]));
}
const refused = (way) => seen[way].status === 402 && seen[way].success === false && !seen[way].transaction;
const as_described = seen[""].status === 200 && seen[""].success === true && ["before", "body", "proxy"].every(refused)
  && seen.before.reason === "fetch failed" && seen.body.reason === "terminated" && / /.test(seen.proxy.reason);
process.exit(as_described ? 0 : 1);
JS
timeout 60 node check.mjs
