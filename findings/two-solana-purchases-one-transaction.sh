#!/usr/bin/env bash
# Two purchases that x402-solana makes at the same price in one blockhash are one transaction;
# the chain can take it once.
#
# Expected: two purchases are two payments. The exact scheme for Solana (specs/schemes/exact/
#   scheme_exact_svm.md, on the Memo instruction) obliges clients to add a memo with a random
#   nonce for exactly this, and @x402/svm does.
# Happens: x402-solana 2.0.4 builds compute budget and TransferChecked, nothing else. Payer,
#   price, recipient and blockhash alike, the bytes are alike, and Ed25519 is deterministic:
#   the same signature. The second purchase is the first one's transaction, not a new one.
#   The client throws nothing and cannot tell.
# Versions: x402-solana 2.0.4, @x402/svm 2.27.0.
# Matters: an agent that asks for two images at once pays for one, and the other call is refused
#   as a duplicate (or one transaction looks like two sales in the books). Such customers look
#   exactly like replays: say "already used" with a hint to sign again, and use another
#   feePayer or price where you can (x402-solana ignores extra.memo).
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages x402-solana@2.0.4 @solana/web3.js@1.98.4 @x402/core@2.27.0 @x402/svm@2.27.0 @solana/kit@5.5.1
cat >check.mjs <<'JS'
import { createServer } from "node:http";
import { createKeyPairSignerFromBytes } from "@solana/kit";
import { Keypair, VersionedTransaction } from "@solana/web3.js";
import { ExactSvmScheme } from "@x402/svm/exact/client";
import { createX402Client } from "x402-solana/client";
import { MINT, node } from "./solana.mjs";

const network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const offer = {
  scheme: "exact", network, amount: "10000", asset: MINT, payTo: Keypair.generate().publicKey.toBase58(),
  maxTimeoutSeconds: 60, extra: { feePayer: Keypair.generate().publicKey.toBase58() },
};
const chain = await node();
const paid = [];
const shop = createServer((request, response) => {
  const payment = request.headers["payment-signature"];
  if (payment) {
    paid.push({ path: request.url, transaction: JSON.parse(atob(payment)).payload.transaction });
    return response.end("bought");
  }
  const terms = { x402Version: 2, error: "payment required", resource: { url: request.url }, accepts: [offer] };
  response.writeHead(402, { "PAYMENT-REQUIRED": btoa(JSON.stringify(terms)) }).end("{}");
});
await new Promise((ready) => shop.listen(0, "127.0.0.1", ready));
const url = (what) => `http://127.0.0.1:${shop.address().port}/${what}`;

const payer = Keypair.generate();
const wallet = { address: payer.publicKey.toBase58(), signTransaction: async (transaction) => (transaction.sign([payer]), transaction) };
const client = createX402Client({ wallet, network: "solana", rpcUrl: chain.url });
const answers = await Promise.all(["cat", "dog"].map(async (what) => (await client.fetch(url(what))).text()));
const official = new ExactSvmScheme(await createKeyPairSignerFromBytes(payer.secretKey), { rpcUrl: chain.url });
const others = await Promise.all([1, 2].map(async () => (await official.createPaymentPayload(2, offer)).payload.transaction));
chain.close();
shop.close();

const signature = (transaction) => {
  const { signatures, message } = VersionedTransaction.deserialize(Buffer.from(transaction, "base64"));
  return { by_payer: Buffer.from(signatures[1]).toString("hex").slice(0, 16), instructions: message.compiledInstructions.length };
};
for (const { path, transaction } of paid) console.log(`x402-solana, ${path}:`, JSON.stringify(signature(transaction)));
for (const transaction of others) console.log("@x402/svm:", JSON.stringify(signature(transaction)));
const twins = paid.length === 2 && paid[0].transaction === paid[1].transaction && paid[0].path !== paid[1].path;
console.log(`the two of x402-solana are the same bytes: ${twins}; those of @x402/svm: ${others[0] === others[1]}`);
process.exit(twins && answers.join() === "bought,bought" && others[0] !== others[1] ? 0 : 1);
JS
timeout 60 node check.mjs
