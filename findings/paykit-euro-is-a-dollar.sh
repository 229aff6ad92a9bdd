#!/usr/bin/env bash
# A price of one euro, of one pound and of one dollar are the same offer from solana-pay-kit:
# 1,000,000 units of USDC.
#
# Expected: the README tells the currency ("Fiat unit a price is quoted in (USD, EUR, GBP)") from
#   the settlement ("On-chain asset that actually transfers"), and eur() and gbp() are exported
#   beside usd(); gates refuse to mix currencies. So a price in euros is converted, settled in a
#   euro token, or refused at boot like other configuration errors.
# Happens: the number goes on the chain as it is, in the first configured stablecoin, and all of
#   those are dollars. Neither protocol (x402, MPP) says in its offer what the price was quoted
#   in, and nothing fails at boot. eur("1.00", Stablecoin.USDC) is the same.
# Versions: PyPI solana-pay-kit 0.10.0, flask 3.1.3. (npm @solana/pay-kit 0.5.0 is written the
#   same way.)
# Matters: a seller who prices in pounds gets a dollar for each, on every call, and the books show
#   the right digits. Quote dollars for dollar tokens and convert before.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

python_packages solana-pay-kit==0.10.0 flask==3.1.3
cat >check.py <<'PY'
import base64
import json
import logging
import sys
import warnings

warnings.simplefilter("ignore")
logging.disable()
from flask import Flask
from solana_pay_kit import MppConfig, Operator, Protocol, Signer, Stablecoin, configure, eur, gbp, usd
from solana_pay_kit.flask import require_payment

configure(
    network="solana_mainnet", accept=(Protocol.MPP, Protocol.X402), operator=Operator(signer=Signer.generate()),
    mpp=MppConfig(challenge_binding_secret="not a secret, only long enough for it"), rpc_url="http://127.0.0.1:9", preflight=False,
)
prices = {"usd": usd("1.00"), "eur": eur("1.00"), "gbp": gbp("1.00"), "eur, USDC named": eur("1.00", Stablecoin.USDC)}
shop = Flask("shop")


def decoded(text):
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


for path, price in enumerate(prices.values()):
    shop.add_url_rule(f"/{path}", str(path), require_payment(price)(lambda: "report"))
seen = {}
for path, name in enumerate(prices):
    headers = shop.test_client().get(f"/{path}").headers
    (x402,) = decoded(headers["payment-required"])["accepts"]
    mpp = decoded(headers["www-authenticate"].split('request="')[1].split('"')[0])
    told = any(word in json.dumps([x402, mpp]) for word in ("EUR", "GBP"))
    seen[name] = x402["amount"], x402["asset"], mpp["amount"], mpp["currency"], told
    print(f"{name}: x402 {x402['amount']} of {x402['asset']}, MPP {mpp['amount']} of {mpp['currency']}, currency told: {told}")
usdc = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
as_described = set(seen.values()) == {("1000000", usdc, "1000000", seen["usd"][3], False)} and seen["usd"][3] in ("USDC", usdc)
sys.exit(0 if as_described else 1)
PY
timeout 40 ./venv/bin/python check.py
