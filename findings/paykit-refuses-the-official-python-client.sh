#!/usr/bin/env bash
# Nobody can buy from a solana-pay-kit server with the official Python x402 client: its payment is
# refused for an amount that is right.
#
# Expected: version 2 of x402 has one amount in PaymentRequirements, "amount"
#   (x402-specification-v2.md, table of PaymentRequirements); maxAmountRequired is version 1. The
#   README of solana-pay-kit promises x402's exact scheme, client and server.
# Happens: its offers carry maxAmountRequired (and protocol) beside amount, and the server demands
#   maxAmountRequired back in accepted. PyPI x402 knows the specified fields only and drops others
#   when it reads the offer. The answer is 402 with charge_request_mismatch "(amount)", although
#   amount and transaction are as asked, and comes before the transaction is looked at. With the
#   field put back by hand the same payment is taken and sent to the chain. @x402/core 2.27.0
#   echoes offers whole.
# Versions: PyPI solana-pay-kit 0.10.0 and x402 2.25.0, flask 3.1.3. (Both install together only
#   without x402's svm extra, so pay-kit's own client builds the transaction here.)
# Matters: put nothing into accepts that the specification does not list but under extra, and
#   compare of the echo only what it lists: typed clients (pydantic, serde, Go) drop the rest.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

python_packages solana-pay-kit==0.10.0 x402==2.25.0 flask==3.1.3
cat >check.py <<'PY'
import asyncio
import base64
import json
import logging
import sys
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

warnings.simplefilter("ignore")
logging.disable()
from flask import Flask
from solana_pay_kit import Operator, Protocol, Signer, configure, usd
from solana_pay_kit._paycore.rpc import SolanaRpc
from solana_pay_kit.flask import require_payment
from solana_pay_kit.protocols.x402.client.exact.payment import build_payment
from x402 import x402ClientSync
from x402.http.utils import decode_payment_required_header, encode_payment_signature_header

asked = []


class Node(BaseHTTPRequestHandler):
    """Knows one blockhash and takes no transaction."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked.append(call["method"])
        value = {"blockhash": "EkSnNWid2cvwEVnVx9aBqawnmiCNiDgp3gUdkDPTKN1N", "lastValidBlockHeight": 1000}
        known = {"result": {"context": {"slot": 100}, "value": value}}
        answer = known if call["method"] == "getLatestBlockhash" else {"error": {"code": -32601, "message": "Method not found"}}
        body = json.dumps({"jsonrpc": "2.0", "id": call["id"], **answer}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


node = ThreadingHTTPServer(("127.0.0.1", 0), Node)
threading.Thread(target=node.serve_forever, daemon=True).start()
rpc_url = f"http://127.0.0.1:{node.server_port}"

configure(network="solana_mainnet", accept=(Protocol.X402,), operator=Operator(signer=Signer.generate()), rpc_url=rpc_url, preflight=False)
app = Flask("shop")
app.add_url_rule("/report", "report", require_payment(usd("0.10"))(lambda: "report"))
shop = app.test_client()
terms = shop.get("/report").headers["payment-required"]
(offer,) = json.loads(base64.b64decode(terms))["accepts"]


class Wallet:
    scheme = "exact"

    def create_payment_payload(self, requirements):
        return asyncio.run(build_payment(Signer.generate(), SolanaRpc(rpc_url), offer))["payload"]


client = x402ClientSync().register("solana:*", Wallet())
client.set_spend_controls(False)
payment = client.create_payment_payload(decode_payment_required_header(terms))


def pay(envelope):
    asked.clear()
    answer = shop.get("/report", headers={"PAYMENT-SIGNATURE": base64.b64encode(envelope).decode()})
    return f"{answer.status_code} {answer.json.get('error')}; asked of the node: {', '.join(asked) or 'nothing'}"


header = encode_payment_signature_header(payment)
envelope = json.loads(base64.b64decode(header))
dropped = sorted(set(offer) - set(envelope["accepted"]))
by_the_book = pay(base64.b64decode(header))
envelope["accepted"]["maxAmountRequired"] = offer["maxAmountRequired"]
by_hand = pay(json.dumps(envelope).encode())
print(f"offered: {sorted(offer)}; not echoed by PyPI x402: {dropped}")
print(f"its payment: {by_the_book}\nthe same with maxAmountRequired: {by_hand}")
refused = "charge_request_mismatch (amount); asked of the node: nothing" in by_the_book
sys.exit(0 if dropped == ["maxAmountRequired", "protocol"] and refused and by_hand.endswith("sendTransaction") else 1)
PY
env -u HTTP_PROXY -u http_proxy -u ALL_PROXY -u all_proxy timeout 40 ./venv/bin/python check.py
