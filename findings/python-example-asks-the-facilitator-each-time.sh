#!/usr/bin/env bash
# Written as its documentation shows it, the Python middleware for FastAPI asks the facilitator
# what it supports before every request, those for free pages too.
#
# Expected: sync_facilitator_on_start, the argument behind it, is documented as "Fetch facilitator
#   support when the middleware is created"; so once per process. The example in the docstring of
#   fastapi_payment_middleware (and in the README beside it in the repository) is the place to
#   copy from.
# Happens: the example creates the middleware inside the function that FastAPI calls for each
#   request: every request starts with GET /supported, and as the call is a synchronous one in an
#   async function, nothing else is served meanwhile. Created once, outside, it asks once.
# Versions: PyPI x402 2.25.0, fastapi 0.121.3, httpx 0.28.1.
# Matters: a seller's free pages get as slow, and as often unavailable, as a facilitator somewhere
#   else; a facilitator sees one GET /supported for every page view of such sellers, so it must
#   answer that from memory and not count it against their limits. Sellers:
#   app.middleware("http")(fastapi_payment_middleware(routes, server)), or PaymentMiddlewareASGI.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

python_packages x402==2.25.0 fastapi==0.121.3 httpx==0.28.1
cat >check.py <<'PY'
import inspect
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fastapi import FastAPI
from fastapi.testclient import TestClient
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware import fastapi_payment_middleware
from x402.schemas import AssetAmount

NETWORK = "eip155:8453"
asked = []


class Facilitator(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        asked.append(self.path)
        body = json.dumps({"kinds": [{"x402Version": 2, "scheme": "exact", "network": NETWORK}], "extensions": [], "signers": {}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Scheme:
    scheme = "exact"
    default_asset_transfer_method = "eip3009"
    payment_flows = {"eip3009": {"supported": ("authorization",), "default": "authorization"}}

    def parse_price(self, price, network):
        return AssetAmount(amount="1000", asset="0x" + "22" * 20, extra={})

    def enhance_payment_requirements(self, requirements, kind, extensions):
        return requirements


facilitator = ThreadingHTTPServer(("127.0.0.1", 0), Facilitator)
threading.Thread(target=facilitator.serve_forever, daemon=True).start()
routes = {"GET /paid": {"accepts": {"scheme": "exact", "payTo": "0x" + "11" * 20, "price": "$0.001", "network": NETWORK}}}


def resource_server():
    client = HTTPFacilitatorClient(FacilitatorConfig(url=f"http://127.0.0.1:{facilitator.server_port}"))
    return x402ResourceServer(client).register(NETWORK, Scheme())


def as_documented(app, server):
    @app.middleware("http")
    async def x402_middleware(request, call_next):
        return await fastapi_payment_middleware(routes, server)(request, call_next)


def created_once(app, server):
    app.middleware("http")(fastapi_payment_middleware(routes, server))


seen = {}
for way in (as_documented, created_once):
    asked.clear()
    app = FastAPI()
    way(app, resource_server())
    app.get("/free")(lambda: "free")
    client = TestClient(app)
    statuses = [client.get(path).status_code for path in ["/free"] * 5 + ["/paid"] * 5]
    seen[way.__name__] = statuses == [200] * 5 + [402] * 5, asked.count("/supported"), len(asked)
    print(f"{way.__name__}: 5 requests for a free page and 5 for a paid one, {len(asked)} to the facilitator: {sorted(set(asked))}")
example = "return await fastapi_payment_middleware(routes, server)(request, call_next)" in (inspect.getdoc(fastapi_payment_middleware) or "")
print(f"the docstring has the first way: {example}")
sys.exit(0 if example and seen == {"as_documented": (True, 10, 10), "created_once": (True, 1, 1)} else 1)
PY
env -u HTTP_PROXY -u http_proxy -u ALL_PROXY -u all_proxy timeout 40 ./venv/bin/python check.py
