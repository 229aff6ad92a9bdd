#!/usr/bin/env bash
# @openfacilitator/sdk names the main network's fee payer when asked for devnet's.
#
# Expected: getFeePayer(network) gives the fee payer of that network (its own declaration),
#   taken from the facilitator's GET /supported, where every kind carries its own network
#   (x402 specification version 2, section on /supported).
# Happens: a kind counts as a match when either name contains the other, and the first match
#   wins. Facilitators that serve both protocol versions list "solana" too, and that is part of
#   "solana-devnet" and of every "solana:…" name. So all Solana networks get the fee payer of
#   whichever kind is listed first. getFeePayerMap() of the same answer is right.
# Versions: @openfacilitator/sdk 1.0.0.
# Matters: an offer for devnet then carries extra.feePayer of another network. Where the two
#   keys differ every client signs a transaction that the facilitator refuses as foreign. A
#   facilitator can soften it: one fee payer for all, or the version 2 kinds listed first.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @openfacilitator/sdk@1.0.0
cat >check.mjs <<'JS'
import { createServer } from "node:http";
import sdk from "@openfacilitator/sdk";

const MAINNET = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
const DEVNET = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";
const payers = { solana: "main v1", "solana-devnet": "dev v1", [MAINNET]: "main v2", [DEVNET]: "dev v2" };
const kinds = Object.entries(payers).map(([network, feePayer]) => ({
  x402Version: network.includes(":") ? 2 : 1, scheme: "exact", network, extra: { feePayer },
}));
const server = createServer((_, answer) => answer.end(JSON.stringify({ kinds, extensions: [], signers: {} })));
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const client = new sdk.OpenFacilitator({ url: `http://127.0.0.1:${server.address().port}` });

const seen = {};
for (const network of Object.keys(payers)) {
  seen[network] = await client.getFeePayer(network);
  console.log(`${network}: offered "${payers[network]}", getFeePayer says "${seen[network]}"`);
}
const map = await client.getFeePayerMap();
server.close();
const all_the_first = Object.values(seen).every((payer) => payer === "main v1");
process.exit(all_the_first && JSON.stringify(map) === JSON.stringify(payers) ? 0 : 1);
JS
printf '@openfacilitator/sdk %s\n' "$(node -p 'require("./node_modules/@openfacilitator/sdk/package.json").version')"
timeout 30 node check.mjs
