#!/usr/bin/env bash
# A call with a streamed body cannot be bought with either Python client of x402: requests pays
# and sends nothing, httpx pays with a request that servers answer with 400.
#
# Expected: both clients are documented as an automatic retry with a payment, so the paid request
#   is the first one again. The httpx transport has a comment that it buffers streaming bodies "so
#   retries preserve them", the repair of x402 issue 2847. An iterator is an ordinary body for
#   both libraries ("Chunk-Encoded Requests" in the manual of requests, "Streaming requests" in
#   httpx's).
# Happens: the adapter for requests copies the prepared request, whose iterator is used up: the
#   paid request has an empty body, is a good one, and is served. The httpx transport keeps the
#   body, but also all the headers: Transfer-Encoding: chunked of the first request stands beside
#   the Content-Length of the buffered one. RFC 9112 (6.2) forbids senders that, and Node refuses
#   it with 400 before any handler runs. Bytes are fine in both.
# Versions: PyPI x402 2.25.0 with requests 2.32.5 and httpx 0.28.1; Node.js 20 as the server.
# Matters: an upload is paid for and the seller's model sees an empty one. A gate should check the
#   body against the schema before it settles, and quote the price for the body that came with the
#   payment, not for the one before.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

python_packages x402==2.25.0 httpx==0.28.1 requests==2.32.5
cat >shop.mjs <<'JS'
import { createServer } from "node:http";

const offer = { scheme: "exact", network: "eip155:8453", amount: "1000", asset: `0x${"22".repeat(20)}`, payTo: `0x${"11".repeat(20)}`, maxTimeoutSeconds: 60 };
const shop = createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  const paid = "payment-signature" in request.headers;
  const terms = { x402Version: 2, resource: { url: "http://shop.example/x" }, accepts: [offer] };
  response.writeHead(paid ? 200 : 402, paid ? {} : { "payment-required": btoa(JSON.stringify(terms)) });
  response.end(`sold for the body "${body}"`);
});
shop.on("clientError", ({ reason }, socket) => {
  if (reason) console.log(reason);
  socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
});
shop.listen(0, "127.0.0.1", () => console.log(shop.address().port));
process.stdin.on("end", () => process.exit()).resume();
JS
cat >check.py <<'PY'
import asyncio
import subprocess
import sys

from x402 import x402Client, x402ClientSync
from x402.http.clients.httpx import PaymentError, x402HttpxClient
from x402.http.clients.requests import x402_requests

shop = subprocess.Popen(["node", "shop.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
url = f"http://127.0.0.1:{shop.stdout.readline().strip()}/x"


class Wallet:
    scheme = "exact"

    def create_payment_payload(self, requirements):
        return {"signature": "0x00"}


def parts():
    yield b"two "
    yield b"parts"


async def async_parts():
    for part in parts():
        yield part


async def with_httpx(body):
    async with x402HttpxClient(x402Client().register("eip155:*", Wallet()).set_spend_controls(False)) as client:
        try:
            answer = await client.post(url, content=body)
        except PaymentError:  # The connection closed before the 400 could be read.
            return "400"
        return f"{answer.status_code} {answer.text}".strip()


def with_requests(body):
    client = x402ClientSync().register("eip155:*", Wallet()).set_spend_controls(False)
    answer = x402_requests(client).post(url, data=body)
    return f"{answer.status_code} {answer.text}".strip()


seen = {
    "requests, bytes": with_requests(b"two parts"),
    "requests, iterator": with_requests(parts()),
    "httpx, bytes": asyncio.run(with_httpx(b"two parts")),
    "httpx, iterator": asyncio.run(with_httpx(async_parts())),
}
shop.stdin.close()
refused = set(shop.stdout.read().splitlines())
for name, outcome in seen.items():
    print(f"{name}: {outcome}")
print(f"the server's reason for 400: {' '.join(refused)}")
good = '200 sold for the body "two parts"'
sys.exit(0 if list(seen.values()) == [good, '200 sold for the body ""', good, "400"] and refused == {"Content-Length can't be present with Transfer-Encoding"} else 1)
PY
env -u HTTP_PROXY -u http_proxy -u ALL_PROXY -u all_proxy timeout 40 ./venv/bin/python check.py
