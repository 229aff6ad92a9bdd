#!/usr/bin/env bash
# One offer with "extra": null makes the Python x402 client blind to all the others; the
# TypeScript client pays the good one beside it.
#
# Expected: extra is optional (x402 specification version 2, table of PaymentRequirements). The
#   schema in @x402/core allows null for it, and a comment there expects explicit nulls from
#   other implementations. At the least, one odd offer should not spoil a payable one.
# Happens: PyPI x402 2.25.0 takes an absent extra for {}, but refuses null, and validates the
#   list as a whole: decoding PAYMENT-REQUIRED raises and nothing is paid. null for error,
#   extensions or the resource's description is fine in both.
# Versions: PyPI x402 2.25.0, @x402/core and @x402/evm 2.27.0.
# Matters: a gate in Rust (serde's Option), Java or C# writes such nulls by default, passes
#   every test with the TypeScript client and cannot be paid from Python. Leave absent
#   fields out, everywhere in the offer.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @x402/core@2.27.0 @x402/evm@2.27.0 viem@2.57.20
python_packages x402==2.25.0
cat >offers.mjs <<'JS'
import { writeFileSync } from "node:fs";
import { x402Client } from "@x402/core/client";
import { decodePaymentRequiredHeader } from "@x402/core/http";
import { isPaymentRequired } from "@x402/core/schemas";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

const base = {
  scheme: "exact", network: "eip155:8453", amount: "1000", asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
  payTo: `0x${"11".repeat(20)}`, maxTimeoutSeconds: 60, extra: { name: "USD Coin", version: "2" },
};
const other = { ...base, scheme: "other", network: "example:1" };
delete other.extra;
const variants = { absent: other, empty: { ...other, extra: {} }, null: { ...other, extra: null } };
const headers = {};
for (const [name, second] of Object.entries(variants)) {
  const terms = { x402Version: 2, error: null, resource: { url: "https://shop.example/x", description: null }, accepts: [base, second], extensions: null };
  headers[name] = btoa(JSON.stringify(terms));
  const client = new x402Client().register("eip155:*", new ExactEvmScheme(privateKeyToAccount(generatePrivateKey())));
  const { accepted, payload } = await client.createPaymentPayload(decodePaymentRequiredHeader(headers[name]));
  console.log(`TypeScript, second offer's extra ${name}: schema ${isPaymentRequired(terms)}, pays ${accepted.network}`);
  if (!isPaymentRequired(terms) || accepted.network !== base.network || !payload.signature) process.exit(1);
}
writeFileSync("headers.json", JSON.stringify(headers));
JS
cat >offers.py <<'PY'
import json
import sys

from x402.http.utils import decode_payment_required_header

seen = {}
for name, header in json.load(open("headers.json")).items():
    try:
        offers = decode_payment_required_header(header).accepts
        seen[name] = f"{len(offers)} offers, the second one's extra {offers[1].extra}"
    except ValueError as error:
        seen[name] = " ".join(str(error).split()[:13])
    print(f"Python, second offer's extra {name}: {seen[name]}")
readable = [name for name, text in seen.items() if text.startswith("2 offers")]
sys.exit(0 if readable == ["absent", "empty"] and "accepts.1.extra" in seen["null"] else 1)
PY
timeout 30 node offers.mjs
timeout 30 ./venv/bin/python offers.py
