"""A shop on PyPI `x402`: `shop.py fastapi|flask FACILITATOR_URL PORT`, with what it sells as JSON on
standard input, `[{"path", "network", "payTo", "flow"}]`. It says `ready` when it listens; `GET /runs` counts
its handler by path.
"""

import json
import sys
from collections import Counter

from x402 import x402ResourceServer, x402ResourceServerSync
from x402.http import FacilitatorConfig, HTTPFacilitatorClient, HTTPFacilitatorClientSync
from x402.http.types import PaymentOption, RouteConfig
from x402.mechanisms.evm.exact import ExactEvmServerScheme
from x402.mechanisms.svm.exact import ExactSvmServerScheme

FRAMEWORK, FACILITATOR, PORT = sys.argv[1], FacilitatorConfig(url=sys.argv[2]), int(sys.argv[3])
SOLD = json.load(sys.stdin)
runs = Counter()


def option(one):
    extra = {"paymentFlow": "upfront"} if one["flow"] == "upfront" else None
    return PaymentOption(
        scheme="exact", network=one["network"], pay_to=one["payTo"], price="$0.05", max_timeout_seconds=120, extra=extra
    )


ROUTES = {
    f"GET {one['path']}": RouteConfig(accepts=[option(one)], description="A thing", mime_type="application/json")
    for one in SOLD
}


def registered(server):
    for one in SOLD:
        scheme = ExactEvmServerScheme() if one["network"].startswith("eip155:") else ExactSvmServerScheme()
        server.register(one["network"], scheme)
    return server


def thing(path):
    runs[path] += 1
    return {"thing": runs[path]}


def on_fastapi():
    import uvicorn
    from fastapi import FastAPI, Request
    from x402.http.middleware import fastapi_payment_middleware

    app = FastAPI()
    app.middleware("http")(fastapi_payment_middleware(ROUTES, registered(x402ResourceServer(HTTPFacilitatorClient(FACILITATOR)))))

    @app.get("/runs")
    async def counted():
        return runs

    async def sell(request: Request):
        return thing(request.url.path)

    for one in SOLD:
        app.get(one["path"])(sell)
    config = uvicorn.Config(app, host="127.0.0.1", port=PORT, log_level="warning")
    server = uvicorn.Server(config)
    startup = server.startup

    async def ready(sockets=None):
        await startup(sockets)
        print("ready", flush=True)

    server.startup = ready
    server.run()


def on_flask():
    from flask import Flask, request
    from werkzeug.serving import make_server
    from x402.http.middleware import flask_payment_middleware

    app = Flask("shop")
    flask_payment_middleware(app, ROUTES, registered(x402ResourceServerSync(HTTPFacilitatorClientSync(FACILITATOR))))
    app.get("/runs")(lambda: dict(runs))
    for at, one in enumerate(SOLD):
        app.add_url_rule(one["path"], f"thing-{at}", lambda: thing(request.path))
    server = make_server("127.0.0.1", PORT, app, threaded=True)
    print("ready", flush=True)
    server.serve_forever()


{"fastapi": on_fastapi, "flask": on_flask}[FRAMEWORK]()
