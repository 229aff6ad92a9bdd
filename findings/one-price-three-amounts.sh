#!/usr/bin/env bash
# "$2.01" is three different amounts of USDC in four x402 packages, one of them no integer.
#
# Expected: 2010000 atomic units. The v1 specification (PaymentRequirements table) has
#   maxAmountRequired in atomic units; the READMEs promise it for round examples: "$0.10"
#   for x402-express, toAtomicUnits(0.05, 6) = '50000' for @dexterai/x402, 2.5 for x402-solana.
# Happens: x402 1.2.0 (behind x402-express, x402-hono, x402-next) multiplies the price as a
#   floating-point number and sends whatever comes out: 2009999.9999999998. Its own schema,
#   which the v1 clients run over every offer, then refuses the offer. toAtomicUnits of
#   @dexterai/x402 and x402-solana rounds down and asks one unit too little: 2009999.
#   Only the v2 packages work on the decimal string and get 2010000.
#   Small prices are hit too: 2.3 percent of those below a dollar with four decimals
#   ($0.0079) are refused by the v1 schema.
# Versions: x402 1.2.0, @dexterai/x402 2.0.0, x402-solana 2.0.4, @x402/evm 2.27.0.
# Matters: a v1 seller's page can be unpayable at one price and fine at the next. A gate that
#   compares amounts made by two of these packages for one price refuses good payments.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @x402/core@2.27.0 @x402/evm@2.27.0 viem@2.57.20 zod@3.25.76 @scure/base@1.2.6 @solana/kit@5.5.1 \
  @solana/transaction-confirmation@5.5.1 @solana-program/compute-budget@0.11.0 \
  @solana-program/token@0.9.0 @solana-program/token-2022@0.6.1
for package in x402@1.2.0 @dexterai/x402@2.0.0 x402-solana@2.0.4; do npm_bare "$package"; done

cat >check.mjs <<'JS'
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { toAtomicUnits as dexter } from "@dexterai/x402/utils";
import { toAtomicUnits as solana } from "./node_modules/x402-solana/dist/utils/index.mjs";
import { processPriceToAtomicAmount } from "x402/shared";
import { PaymentRequirementsSchema } from "x402/types";

const offer = (maxAmountRequired) => ({
  scheme: "exact", network: "base", maxAmountRequired, resource: "https://shop.example/x", description: "", mimeType: "",
  payTo: `0x${"11".repeat(20)}`, maxTimeoutSeconds: 60, asset: `0x${"22".repeat(20)}`,
});
const v2 = new ExactEvmScheme();
const seen = async (price) => {
  const v1 = processPriceToAtomicAmount(`$${price}`, "base").maxAmountRequired;
  return {
    v1,
    payable: PaymentRequirementsSchema.safeParse(offer(v1)).success,
    dexter: dexter(price, 6),
    solana: solana(price, 6),
    v2: (await v2.parsePrice(`$${price}`, "eip155:8453")).amount,
  };
};
for (const price of [0.008, 0.0079, 2.01, 8.2]) console.log(`$${price}`, JSON.stringify(await seen(price)));
let wrong = 0;
for (let price = 1; price < 10_000; price++) wrong += (await seen(price / 10_000)).payable ? 0 : 1;
console.log(`refused by the v1 schema: ${wrong} of 9999 prices from $0.0001 to $0.9999`);

const { v1, payable, dexter: d, solana: s, v2: right } = await seen(2.01);
const as_described = v1 === "2009999.9999999998" && !payable && d === "2009999" && s === d && right === "2010000" && wrong === 228;
process.exit(as_described ? 0 : 1);
JS
timeout 60 node check.mjs
