#!/usr/bin/env bash
# @agentcash/discovery understands no OpenAPI document whose server has a path: the listing or
# the check of an endpoint, or both, miss it.
#
# Expected: in OpenAPI (3.1, "Server Object" and "Paths Object") a path is appended to its
#   server's url, which may be relative and is then resolved against where the document was
#   served. FastAPI behind a prefix writes servers: [{ "url": "/v1" }].
# Happens: the listing prepends the path of an absolute url; a relative one is parsed without a
#   base, fails, and counts as no path, so that /search is listed for /v1/search, with its
#   price and no warning. The check of an address compares it with the bare keys of paths and
#   finds /v1/search in neither document. Only whole paths as keys work for both.
# Versions: @agentcash/discovery 1.7.5.
# Matters: agents are sent to an address that answers 404, or told that a paid endpoint is
#   unknown. Write the whole path into every key of paths in /openapi.json.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

npm_packages @agentcash/discovery@1.7.5
cat >check.mjs <<'JS'
import { createServer } from "node:http";
import { checkEndpointSchema, discoverOriginSchema } from "@agentcash/discovery";

let document;
const operation = {
  summary: "Search",
  security: [],
  "x-payment-info": { price: { mode: "fixed", currency: "USD", amount: "0.02" }, protocols: [{ x402: {} }] },
  responses: { 200: { description: "OK" }, 402: { description: "Payment Required" } },
};
const server = createServer((request, response) => {
  const known = { "/openapi.json": 200, "/v1/search": 402 }[request.url];
  response.writeHead(known ?? 404, { "content-type": "application/json" });
  response.end(JSON.stringify(known === 200 ? document : {}));
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const target = `http://127.0.0.1:${server.address().port}`;
const forms = {
  "absolute server": [`${target}/v1`, "/search"],
  "relative server": ["/v1", "/search"],
  "whole path": [target, "/v1/search"],
};
const seen = {};
for (const [name, [url, path]] of Object.entries(forms)) {
  document = { openapi: "3.1.0", info: { title: "Shop", version: "1" }, servers: [{ url }], paths: { [path]: { post: operation } } };
  const [endpoint] = (await discoverOriginSchema({ target })).endpoints;
  const { status } = await fetch(target + endpoint.path, { method: endpoint.method });
  const { found } = await checkEndpointSchema({ url: `${target}/v1/search` });
  console.log(`${name}: listed as ${endpoint.method} ${endpoint.path} for ${endpoint.price}, which answers ${status}; check of /v1/search finds it: ${found}`);
  seen[name] = `${status} ${found}`;
}
server.close();
const expected = { "absolute server": "402 false", "relative server": "404 false", "whole path": "402 true" };
process.exit(JSON.stringify(seen) === JSON.stringify(expected) ? 0 : 1);
JS
timeout 40 node check.mjs
