#!/usr/bin/env bash
# Registering one more scheme for one network takes all the wildcard's schemes away there: a
# client (or server) that could do "exact" on Base cannot any longer once "upto" is added for
# Base.
#
# Expected: the READMEs of @x402/core ("Network Pattern Matching") and of PyPI x402 (same heading)
#   register "eip155:*" and then "eip155:8453", "Specific network takes precedence". A
#   registration is for a network and a scheme, so precedence is among handlers of one scheme.
# Happens: the look-up takes the first entry whose network fits, the exact name first, and asks
#   for the scheme only inside that one. The handler for eip155:* is never asked for Base again;
#   other networks still work. The client's error lists eip155:*, eip155:8453, exact and upto as
#   what is registered, and says that none complies with an exact offer on eip155:8453. The Python
#   client does the same; so does the server, whose register() is documented alike.
# Versions: @x402/core and @x402/evm 2.27.0, PyPI x402 2.25.0.
# Matters: adding usage-based payment to a working agent stops its ordinary payments on that
#   network, and no type or test with one scheme shows it. Register each scheme for the same set
#   of names, wildcards or networks, never some of each.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @x402/core@2.27.0 @x402/evm@2.27.0 viem@2.57.20
python_packages x402==2.25.0
cat >check.mjs <<'JS'
import { x402Client } from "@x402/core/client";
import { x402ResourceServer } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { ExactEvmScheme as ExactSeller } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { UptoEvmScheme as UptoSeller } from "@x402/evm/upto/server";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

const account = privateKeyToAccount(generatePrivateKey());
const payTo = `0x${"11".repeat(20)}`;
const tokens = { "eip155:8453": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "eip155:84532": "0x036CbD53842c5426634e7929541eC2318f3dCF7e" };
const terms = (network) => ({
  x402Version: 2, resource: { url: "https://shop.example/x" },
  accepts: [{ scheme: "exact", network, amount: "1000", asset: tokens[network], payTo, maxTimeoutSeconds: 60, extra: { name: "USD Coin", version: "2" } }],
});
const short = (error) => error.message.replace(/"paymentRequirements":.*?\}\}?\],/, "").slice(0, 230);
const pays = (client, network) => client.createPaymentPayload(terms(network)).then(({ accepted }) => `pays ${accepted.scheme}`, short);
const facilitator = {
  getSupported: async () => ({ kinds: ["exact", "upto"].map((scheme) => ({ x402Version: 2, scheme, network: "eip155:8453", extra: { facilitatorAddress: payTo } })), extensions: [], signers: {} }),
  verify: async () => ({ isValid: true }), settle: async () => ({ success: true }),
};
const offers = async (server) => {
  await server.initialize();
  return server.buildPaymentRequirements({ scheme: "exact", network: "eip155:8453", payTo, price: "$0.01" }).then((list) => `offers ${list.map(({ scheme }) => scheme).join() || "nothing"}`, short);
};

const seen = [];
for (const more of [false, true]) {
  const client = new x402Client().register("eip155:*", new ExactEvmScheme(account));
  const server = new x402ResourceServer(facilitator).register("eip155:*", new ExactSeller());
  if (more) {
    client.register("eip155:8453", new UptoEvmScheme(account));
    server.register("eip155:8453", new UptoSeller());
  }
  seen.push([await pays(client, "eip155:8453"), await pays(client, "eip155:84532"), await offers(server)]);
  console.log(`exact for eip155:*${more ? " and upto for eip155:8453" : ""}\n  client on Base: ${seen.at(-1)[0]}\n  client on Base Sepolia: ${seen.at(-1)[1]}\n  server on Base: ${seen.at(-1)[2]}`);
}
const [before, after] = seen;
const fine = before.join() === "pays exact,pays exact,offers exact";
const hidden = after[0].includes('"networks":["eip155:*","eip155:8453"],"schemes":["exact","upto"]') && after[1] === "pays exact" && after[2] !== "offers exact";
process.exit(fine && hidden ? 0 : 1);
JS
cat >check.py <<'PY'
import sys

from x402 import x402ClientSync
from x402.schemas import PaymentRequired


class Wallet:
    def __init__(self, scheme):
        self.scheme = scheme

    def create_payment_payload(self, requirements):
        return {"signature": "0x00"}


def pays(client, network):
    offer = {"scheme": "exact", "network": network, "amount": "1000", "asset": "0x" + "22" * 20, "payTo": "0x" + "11" * 20, "maxTimeoutSeconds": 60}
    try:
        return client.create_payment_payload(PaymentRequired.model_validate({"accepts": [offer]})).accepted.scheme
    except Exception as error:
        return type(error).__name__


client = x402ClientSync().register("eip155:*", Wallet("exact")).set_spend_controls(False)
before = pays(client, "eip155:8453")
client.register("eip155:8453", Wallet("upto"))
after = pays(client, "eip155:8453"), pays(client, "eip155:84532")
print(f"Python client on Base: pays {before}; with upto for eip155:8453: {after[0]}; on Base Sepolia: pays {after[1]}")
sys.exit(0 if (before, *after) == ("exact", "NoMatchingRequirementsError", "exact") else 1)
PY
timeout 40 node check.mjs
timeout 30 ./venv/bin/python check.py
