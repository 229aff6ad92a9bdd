#!/usr/bin/env bash
# The official server middlewares hold a streamed answer back until its end, also when the
# payment was settled before the handler ran.
#
# Expected: the payment flow "upfront" settles first and serves then (declared with
#   extra.paymentFlow), so nothing is left to wait for and server-sent events can flow. The
#   READMEs of @x402/express and @x402/hono say nothing of streams.
# Happens: both collect the whole answer in memory, headers included, and let go of it when
#   the handler has ended, in either flow; in "upfront" the second settlement that they wait
#   for is only an echo of the first. In express write() answers true meanwhile, so a handler
#   that heeds back-pressure sees none. A stream without an end is never answered.
# Versions: @x402/express and @x402/hono 2.27.0, express 5.2.1, hono 4.10.7, @x402/fetch 2.27.0.
# Matters: a chat completion sold with stream: true arrives in one piece after its last token,
#   past the client's time-out for the first byte; an agent then pays again. Whoever sells
#   streams needs a gate that settles first and passes bytes through.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages express@5.2.1 hono@4.10.7 @hono/node-server@1.19.6 @x402/core@2.27.0 @x402/express@2.27.0 \
  @x402/hono@2.27.0 @x402/evm@2.27.0 @x402/fetch@2.27.0 viem@2.57.20
cat >check.mjs <<'JS'
import { serve } from "@hono/node-server";
import { x402ResourceServer } from "@x402/core/server";
import { ExactEvmScheme as Buyer } from "@x402/evm/exact/client";
import { ExactEvmScheme as Seller } from "@x402/evm/exact/server";
import { paymentMiddleware as forExpress } from "@x402/express";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { paymentMiddleware as forHono } from "@x402/hono";
import express from "express";
import { Hono } from "hono";
import { stream } from "hono/streaming";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

const network = "eip155:8453";
const PIECES = 4;
const sleep = () => new Promise((done) => setTimeout(done, 300));
let settled;
const facilitator = {
  getSupported: async () => ({ kinds: [{ x402Version: 2, scheme: "exact", network }], extensions: [], signers: {} }),
  verify: async () => ({ isValid: true }),
  settle: async () => ((settled = Date.now()), { success: true, transaction: `0x${"33".repeat(32)}`, network }),
};
const seller = () => new x402ResourceServer(facilitator).register(network, new Seller());
const routes = (paymentFlow) => ({
  "GET /x": {
    accepts: { scheme: "exact", network, payTo: `0x${"11".repeat(20)}`, price: "$0.01", extra: { paymentFlow } },
    description: "four events",
    mimeType: "text/event-stream",
  },
});
const open = {};
open.express = async (flow) => {
  const app = express();
  app.use(forExpress(routes(flow), seller()));
  app.get("/x", async (_, answer) => {
    for (let i = 0; i < PIECES; i++) (answer.write(`data: ${i}\n\n`), await sleep());
    answer.end();
  });
  const server = app.listen(0, "127.0.0.1");
  return new Promise((ready) => server.once("listening", () => ready(server)));
};
open.hono = async (flow) => {
  const app = new Hono();
  app.use(forHono(routes(flow), seller()));
  app.get("/x", (c) => stream(c, async (out) => {
    for (let i = 0; i < PIECES; i++) (await out.write(`data: ${i}\n\n`), await sleep());
  }));
  return new Promise((ready) => { const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, () => ready(server)); });
};
const buyer = new x402Client().register("eip155:*", new Buyer(privateKeyToAccount(generatePrivateKey())));
const buy = wrapFetchWithPayment(fetch, buyer);
let as_described = true;
for (const flow of ["authorization", "upfront"]) {
  for (const [name, start] of Object.entries(open)) {
    const server = await start(flow);
    const begun = Date.now();
    const answer = await buy(`http://127.0.0.1:${server.address().port}/x`);
    const head = Date.now() - begun;
    const pieces = [];
    for await (const piece of answer.body) pieces.push(piece.length);
    console.log(`${flow}, ${name}: ${answer.status}, settled at ${settled - begun} ms, head at ${head} ms, ${pieces.length} piece(s)`);
    as_described &&= answer.status === 200 && head >= PIECES * 300 - 50 && pieces.length === 1;
    if (flow === "upfront") as_described &&= settled - begun < 600;
    server.close();
  }
}
process.exit(as_described ? 0 : 1);
JS
timeout 60 node check.mjs
