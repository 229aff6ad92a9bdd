#!/usr/bin/env bash
# One request without a payment ends the process of an x402-express shop on Solana while its
# facilitator is away.
#
# Expected: a facilitator that cannot be reached costs sales, not the shop. The middleware has a
#   try around what it asks the facilitator of a payment, and on Base an unpaid request asks
#   nothing at all.
# Happens: for a Solana price every request, unpaid ones too, first asks GET /supported for the fee
#   payer, outside of any try. The middleware is an async function; Express 4, which the package
#   depends on (^4.18.2), does not look at the promise that it returns, so the failure is an
#   unhandled rejection, which ends Node.js by default since version 15. Nobody gets an answer,
#   nor does anybody else who was being served.
# Versions: x402-express and x402 1.2.0, express 4.21.2; Node.js 20.
# Matters: whoever sells on Solana with it is up only while the facilitator is, and a stranger
#   needs no payment to find out. Express 5 answers 500 instead; with 4, add a handler for
#   "unhandledRejection" or run the shop under something that starts it again.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages express@4.21.2 viem@2.57.20 zod@3.25.76 @scure/base@1.2.6 @solana/kit@5.5.1 \
  @solana/transaction-confirmation@5.5.1 @solana-program/compute-budget@0.11.0 @solana-program/token@0.9.0 \
  @solana-program/token-2022@0.6.1
for package in x402@1.2.0 x402-express@1.2.0; do npm_bare "$package"; done
cat >shop.mjs <<'JS'
import express from "express";
import { paymentMiddleware } from "x402-express";

const [network, payTo] = process.argv.slice(2);
const shop = express();
shop.use(paymentMiddleware(payTo, { "GET /x": { price: "$0.01", network } }, { url: "http://127.0.0.1:1" }));
shop.get("/x", (_, answer) => answer.send("bought"));
shop.get("/free", (_, answer) => answer.send("free"));
const server = shop.listen(0, "127.0.0.1", () => console.log(server.address().port));
JS
cat >check.mjs <<'JS'
import { spawn } from "node:child_process";
import { once } from "node:events";

async function unpaid(network, payTo) {
  const shop = spawn(process.execPath, ["shop.mjs", network, payTo], { stdio: ["ignore", "pipe", "pipe"] });
  const port = Number(String(await once(shop.stdout, "data")));
  const said = [];
  shop.stderr.on("data", (text) => said.push(String(text)));
  const ended = once(shop, "exit").then(([code]) => `the process ended with ${code}`);
  const get = (path) => fetch(`http://127.0.0.1:${port}${path}`).then(({ status }) => String(status), ({ cause }) => `no answer (${cause?.code ?? "closed"})`);
  const paid = await get("/x");
  const end = await Promise.race([ended, new Promise((done) => setTimeout(done, 2000, "the shop is up"))]);
  const free = await get("/free");
  shop.kill();
  console.log(`${network}, unpaid: ${paid}; then ${end}${said.join("").includes("ECONNREFUSED") ? " (ECONNREFUSED, unhandled)" : ""}; a free page: ${free}`);
  return [paid, end, free].join();
}
const base = await unpaid("base", `0x${"11".repeat(20)}`);
const solana = await unpaid("solana", "2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4");
process.exit(base === "402,the shop is up,200" && /^no answer .*,the process ended with 1,no answer/.test(solana) ? 0 : 1);
JS
timeout 40 node check.mjs
