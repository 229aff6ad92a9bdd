#!/usr/bin/env bash
# The official x402 client throws an offer marked "upfront" away before the caller's selector
# runs, if any other offer remains, and pays the other at 900 times the price.
#
# Expected: the README of @x402/core ("Client Configuration", "Payment requirements selector")
#   names three stages: spend controls, policies, then the caller's selector, which picks from
#   what the policies leave; by default the first. Its example of a selector prefers a network.
# Happens: between policies and selector there is a fourth stage. Offers whose
#   extra.paymentFlow is "upfront" or "escrow" are dropped when one without the field (or with
#   "authorization") is left, whatever network or price. A selector cannot prefer them, a
#   policy that sorts has no effect; only a policy that removes the others has.
# Versions: @x402/core and @x402/evm 2.27.0 (PyPI x402 2.25.0 is written the same way).
# Matters: a seller who settles first on one network and says so there alone sells nothing on
#   it. Mark all offers of a resource alike. A buyer must put "cheapest" into a policy that
#   filters, not into the selector that the README gives for it.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @x402/core@2.27.0 @x402/evm@2.27.0 viem@2.57.20
cat >check.mjs <<'JS'
import { x402Client } from "@x402/core/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

const offer = (network, asset, amount, paymentFlow) => ({
  scheme: "exact", network, asset, amount, payTo: `0x${"11".repeat(20)}`, maxTimeoutSeconds: 60,
  extra: { name: "USD Coin", version: "2", ...(paymentFlow && { paymentFlow }) },
});
const BASE = "eip155:8453";
const POLYGON = "eip155:137";
const account = privateKeyToAccount(generatePrivateKey());
const cheapest = (offers) => [...offers].sort((a, b) => (BigInt(a.amount) < BigInt(b.amount) ? -1 : 1));

async function buy(what, flows, policy = (offers) => offers) {
  const accepts = [
    offer(BASE, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "1000", flows[0]),
    offer(POLYGON, "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "900000", flows[1]),
  ];
  let shown;
  const client = new x402Client((_, offers) => ((shown = offers.map(({ network }) => network)), cheapest(offers)[0]))
    .register("eip155:*", new ExactEvmScheme(account))
    .registerPolicy((_, offers) => policy(offers));
  const { accepted } = await client.createPaymentPayload({ x402Version: 2, resource: { url: "https://shop.example/x" }, accepts });
  console.log(`${what}: the selector for the cheapest is shown ${shown.join(" and ")}; pays ${accepted.amount} on ${accepted.network}`);
  return accepted.network;
}
const paid = [
  await buy("both unmarked", [undefined, undefined]),
  await buy("cheap one upfront", ["upfront", undefined]),
  await buy("cheap one upfront, policy sorts", ["upfront", undefined], cheapest),
  await buy("cheap one upfront, policy filters", ["upfront", undefined], (offers) => cheapest(offers).slice(0, 1)),
  await buy("both upfront", ["upfront", "upfront"]),
];
process.exit(paid.join() === [BASE, POLYGON, POLYGON, BASE, BASE].join() ? 0 : 1);
JS
timeout 40 node check.mjs
