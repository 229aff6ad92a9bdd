#!/usr/bin/env bash
# An endpoint that follows the hint of @agentcash/discovery is listed without its price.
#
# Expected: the specification that comes with the package (docs/SPECIFICATION.md, section 7)
#   has rules for the price and only recommends protocols (SHOULD), so a price alone should be
#   read. Without protocols the package warns and hints: add them, e.g. ['x402'], strings.
# Happens: the structured form is taken whole or not at all, and for it protocols must be there
#   and be objects, [{ "x402": {} }]; the fallback for older documents knows strings, but no
#   structured price. So both the price alone and the hinted form are listed as "paid" with
#   neither price nor protocol. Both draw the same two hints: to add protocols as strings, and
#   to add the price that is there.
# Versions: @agentcash/discovery 1.7.5.
# Matters: this package is what agents' directories read sellers with; an endpoint without a
#   price is skipped or ranked last. Test /openapi.json with it and look at the listing, not
#   at the warnings.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @agentcash/discovery@1.7.5
cat >check.mjs <<'JS'
import { createServer } from "node:http";
import { checkL2ForOpenAPI, discoverOriginSchema, getOpenAPI, getWarningsForL2 } from "@agentcash/discovery";

const price = { mode: "fixed", currency: "USD", amount: "0.02" };
let info;
const server = createServer((request, response) => {
  response.setHeader("content-type", "application/json");
  const operation = { summary: "Search", security: [], "x-payment-info": info, responses: { 200: { description: "OK" }, 402: { description: "Payment Required" } } };
  response.end(JSON.stringify({ openapi: "3.1.0", info: { title: "Shop", version: "1" }, paths: { "/search": { post: operation } } }));
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const target = `http://127.0.0.1:${server.address().port}`;
const forms = { "none": undefined, "as hinted": ["x402"], "as objects": [{ x402: {} }] };
const listed = {};
for (const [name, protocols] of Object.entries(forms)) {
  info = { price, protocols };
  const [endpoint] = (await discoverOriginSchema({ target })).endpoints;
  const openApi = (await getOpenAPI(target))._unsafeUnwrap();
  const hints = getWarningsForL2(checkL2ForOpenAPI(openApi)).map(({ hint }) => hint).filter((hint) => hint?.includes("x-payment-info"));
  console.log(`protocols ${name}: ${endpoint.authMode}, price ${endpoint.price}, protocols ${endpoint.protocols}; hints: ${hints.join(" / ") || "none"}`);
  listed[name] = [endpoint.authMode, endpoint.price ?? "-", hints.some((hint) => hint.includes("['x402']"))].join();
}
server.close();
const expected = { none: "paid,-,true", "as hinted": "paid,-,true", "as objects": "paid,0.02 USD,false" };
process.exit(JSON.stringify(listed) === JSON.stringify(expected) ? 0 : 1);
JS
timeout 40 node check.mjs
