#!/usr/bin/env bash
# Installing @x402/paywall does not change what an x402 server shows to a browser.
#
# Expected: the README of @x402/express (section "Paywall Configuration", Option 1) has one
#   install the optional package for a page with wallets and pass nothing but a paywallConfig;
#   without the package there is a basic page. In 2.27.0 that basic page itself tells the
#   developer to install the package.
# Happens: the basic page stays. @x402/core looks for the package at run time with
#   require() and for a function getPaywallHtml, inside a try with an empty catch. In an ES
#   module there is no require; in CommonJS the package loads, but exports no such function
#   (it has the builder createPaywall). Both failures are silent.
# Versions: @x402/core 2.27.0 and 2.12.0 with @x402/paywall 2.12.0.
# Matters: a seller who tests with curl sees a correct 402 and believes that browsers can
#   pay. Only a provider built with createPaywall() and passed as an argument is used.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

cat >check.mjs <<'JS'
import { x402HTTPResourceServer, x402ResourceServer } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
const network = "eip155:8453";
const facilitator = {
  getSupported: async () => ({ kinds: [{ x402Version: 2, scheme: "exact", network }], extensions: [], signers: {} }),
};
const routes = {
  "GET /x": {
    accepts: { scheme: "exact", network, payTo: `0x${"11".repeat(20)}`, price: "$0.01" },
    description: "one thing",
    mimeType: "application/json",
  },
};
const browser = {
  getHeader: () => undefined,
  getMethod: () => "GET",
  getPath: () => "/x",
  getUrl: () => "http://localhost/x",
  getAcceptHeader: () => "text/html",
  getUserAgent: () => "Mozilla/5.0",
};
const server = new x402HTTPResourceServer(new x402ResourceServer(facilitator).register(network, new ExactEvmScheme()), routes);
await server.initialize();
const page = async () => (await server.processHTTPRequest({ adapter: browser, path: "/x", method: "GET" }, { appName: "Shop" })).response;
const { status, isHtml, body } = await page();
const basic = body.length < 2000; // the real one carries a wallet interface of megabytes
const { createPaywall } = await import("@x402/paywall");
const { evmPaywall } = await import("@x402/paywall/evm");
server.registerPaywallProvider(createPaywall().withNetwork(evmPaywall).build());
const passed = (await page()).body;
console.log(`${process.argv[1].slice(-4)}: ${status}, page of ${body.length} bytes, the basic one: ${basic}; with a provider passed in: ${passed.length} bytes`);
if (status !== 402 || !isHtml || !basic || passed.length < 100_000) process.exit(1);
JS
# The same program for CommonJS.
{
  printf '(async () => {\n'
  sed -E 's/^import (.*) from (.*);$/const \1 = require(\2);/; s/await import/require/' check.mjs
  printf '})();\n'
} >check.cjs

for core in 2.27.0 2.12.0; do
  npm_packages "@x402/core@$core" "@x402/evm@$core"
  npm_bare @x402/paywall@2.12.0
  printf '@x402/core %s, @x402/paywall %s, exports: %s\n' "$core" \
    "$(node -p 'require("./node_modules/@x402/paywall/package.json").version')" \
    "$(node -p 'Object.keys(require("@x402/paywall")).join(" ")')"
  timeout 30 node check.mjs
  timeout 30 node check.cjs
done
