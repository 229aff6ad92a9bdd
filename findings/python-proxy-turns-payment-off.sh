#!/usr/bin/env bash
# With a proxy the Python x402 client pays for nothing: the 402 comes back as if the plain httpx
# client had been used.
#
# Expected: x402HttpxClient, and wrapHttpxWithPayment alike, take "Additional arguments for
#   httpx.AsyncClient" (their docstrings) and pay for what answers 402; httpx's proxy is one of
#   them.
# Happens: payment sits in the transport. httpx gives a proxied client a second transport of its
#   own, mounted for all addresses, which wins over the one that pays; no error, no log. Other
#   arguments are ignored the other way round, as httpx uses them only for a transport it makes
#   itself: limits does nothing (nor do verify, cert, http2 and the proxies of the environment).
#   Known for retrying transports (httpx-retry issue 12), not told by x402.
# Versions: PyPI x402 2.25.0, httpx 0.28.1.
# Matters: agents in companies and sandboxes reach the network by a proxy; there every paid call
#   is "402" with a funded wallet. Give the proxy to the inner transport:
#   x402AsyncTransport(client, httpx.AsyncHTTPTransport(proxy=...)).
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

python_packages x402==2.25.0 httpx==0.28.1
cat >check.py <<'PY'
import asyncio
import base64
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from x402 import x402Client
from x402.http.clients.httpx import x402AsyncTransport, x402HttpxClient

offer = {"scheme": "exact", "network": "eip155:8453", "amount": "1000", "asset": "0x" + "22" * 20, "payTo": "0x" + "11" * 20, "maxTimeoutSeconds": 60}
terms = base64.b64encode(json.dumps({"x402Version": 2, "resource": {"url": "http://shop.example/x"}, "accepts": [offer]}).encode()).decode()


class Shop(BaseHTTPRequestHandler):
    """Also its own proxy: it answers for whatever host it is asked for."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        global at_once
        with lock:
            running.append(self)
            at_once = max(at_once, len(running))
        time.sleep(0.2)
        running.remove(self)
        asked.append("proxied" if self.path.startswith("http://") else "direct")
        paid = "payment-signature" in self.headers
        self.send_response(200 if paid else 402)
        if not paid:
            self.send_header("PAYMENT-REQUIRED", terms)
        self.send_header("content-length", "0")
        self.end_headers()


class Wallet:
    scheme = "exact"

    def create_payment_payload(self, requirements):
        return {"signature": "0x00"}


asked, running, at_once, lock = [], [], 0, threading.Lock()
shop = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
threading.Thread(target=shop.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{shop.server_port}"


def wallet():
    return x402Client().register("eip155:*", Wallet()).set_spend_controls(False)


async def buy(client):
    asked.clear()
    async with client:
        return f"{(await client.get(url + '/x')).status_code}, {' '.join(asked)}"


async def main():
    seen = {
        "no proxy": await buy(x402HttpxClient(wallet())),
        "proxy": await buy(x402HttpxClient(wallet(), proxy=url)),
        "proxy in the inner transport": await buy(httpx.AsyncClient(transport=x402AsyncTransport(wallet(), httpx.AsyncHTTPTransport(proxy=url)))),
    }
    for name, make in {"httpx": httpx.AsyncClient, "x402HttpxClient": lambda **more: x402HttpxClient(wallet(), **more)}.items():
        global at_once
        at_once = 0
        async with make(limits=httpx.Limits(max_connections=1)) as client:
            await asyncio.gather(*(client.get(url + "/x") for _ in range(4)))
        seen[f"{name}, four calls over one connection at most"] = "one at a time" if at_once == 1 else "several at a time"
    return seen


seen = asyncio.run(main())
for name, outcome in seen.items():
    print(f"{name}: {outcome}")
expected = ["200, direct direct", "402, proxied", "200, proxied proxied", "one at a time", "several at a time"]
sys.exit(0 if list(seen.values()) == expected else 1)
PY
env -u HTTP_PROXY -u http_proxy -u ALL_PROXY -u all_proxy timeout 40 ./venv/bin/python check.py
