#!/usr/bin/env bash
# A handler behind the Python x402 middleware for FastAPI sets two cookies; the paying customer
# gets one. On a free route both arrive.
#
# Expected: the middleware adds PAYMENT-RESPONSE and Cache-Control to what the handler answers.
#   Set-Cookie is the header that cannot be folded (RFC 9110, 5.3): each cookie is a line of its
#   own, and starlette and FastAPI keep them so.
# Happens: when a payment is settled, and only then, the answer is built anew from
#   dict(response.headers), which has one value for each name. Of several Set-Cookie the first is
#   left, and so with Link or Vary. The middleware for Flask in the same package keeps them.
# Versions: PyPI x402 2.25.0, fastapi 0.121.3, flask 3.1.3.
# Matters: a shop that sets a session and a CSRF cookie on the bought page has customers who are
#   logged in and cannot post, but only those who paid; tests with a bypassed gate see nothing.
#   Whoever repeats an answer must keep the list of headers, not a dictionary.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

python_packages x402==2.25.0 fastapi==0.121.3 httpx==0.28.1 flask==3.1.3
cat >check.py <<'PY'
import base64
import json
import sys

import fastapi
import flask
from fastapi.testclient import TestClient
from x402 import x402ResourceServer, x402ResourceServerSync
from x402.http.middleware import fastapi as for_fastapi
from x402.http.middleware import flask as for_flask
from x402.schemas import AssetAmount, SettleResponse, SupportedKind, SupportedResponse, VerifyResponse

NETWORK, PAYER = "eip155:8453", "0x" + "44" * 20
verdict = VerifyResponse(is_valid=True, payer=PAYER)
receipt = SettleResponse(success=True, transaction="0x" + "33" * 32, network=NETWORK, payer=PAYER)


class Facilitator:
    def get_supported(self):
        return SupportedResponse(kinds=[SupportedKind(x402_version=2, scheme="exact", network=NETWORK)], extensions=[], signers={})

    async def verify(self, *_, **__):
        return verdict

    async def settle(self, *_, **__):
        return receipt


class SyncFacilitator(Facilitator):
    def verify(self, *_, **__):
        return verdict

    def settle(self, *_, **__):
        return receipt


class Scheme:
    scheme = "exact"
    default_asset_transfer_method = "eip3009"
    payment_flows = {"eip3009": {"supported": ("authorization",), "default": "authorization"}}

    def parse_price(self, price, network):
        return AssetAmount(amount="1000", asset="0x" + "22" * 20, extra={})

    def enhance_payment_requirements(self, requirements, kind, extensions):
        return requirements


accepts = {"scheme": "exact", "payTo": "0x" + "11" * 20, "price": "$0.001", "network": NETWORK}
routes = {"GET /bought": {"accepts": accepts}}
cookies = ["session=a; Path=/", "csrf=b; Path=/"]

api = fastapi.FastAPI()
api.middleware("http")(for_fastapi.payment_middleware(routes, x402ResourceServer(Facilitator()).register(NETWORK, Scheme())))


@api.get("/bought")
@api.get("/free")
def page(response: fastapi.Response):
    for cookie in cookies:
        response.headers.append("set-cookie", cookie)


app = flask.Flask("shop")
for_flask.payment_middleware(app, routes, x402ResourceServerSync(SyncFacilitator()).register(NETWORK, Scheme()))


@app.get("/bought")
@app.get("/free")
def flask_page():
    response = flask.Response("")
    for cookie in cookies:
        response.headers.add("set-cookie", cookie)
    return response


seen = {}
for name, client, listed in (("FastAPI", TestClient(api), "get_list"), ("Flask", app.test_client(), "getlist")):
    terms = json.loads(base64.b64decode(client.get("/bought").headers["payment-required"]))
    envelope = {"x402Version": 2, "accepted": terms["accepts"][0], "payload": {"signature": "0x00"}, "resource": terms["resource"]}
    payment = {"PAYMENT-SIGNATURE": base64.b64encode(json.dumps(envelope).encode()).decode()}
    for path, headers in (("/free", {}), ("/bought", payment)):
        answer = client.get(path, headers=headers)
        seen[name + path] = getattr(answer.headers, listed)("set-cookie")
        paid = "payment-response" in answer.headers
        print(f"{name}{path}: {answer.status_code}{', paid' if paid else ''}, cookies {seen[name + path]}")
        if answer.status_code != 200 or paid != (path == "/bought"):
            sys.exit(1)
expected = {"FastAPI/free": cookies, "FastAPI/bought": cookies[:1], "Flask/free": cookies, "Flask/bought": cookies}
sys.exit(0 if seen == expected else 1)
PY
timeout 40 ./venv/bin/python check.py
