"""The Python clients of x402: `buy.py httpx` or `buy.py requests`.

Each line on standard input is a purchase, `{"id", "network", "key", "rpc", "url", "body"}`; its outcome is a
line on standard output, `{"id", "status", "text"}` or `{"id", "error"}`. Purchases run beside each other.
"""

import asyncio
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from eth_account import Account
from solders.keypair import Keypair
from x402 import x402Client, x402ClientSync
from x402.http.clients.httpx import x402HttpxClient
from x402.http.clients.requests import x402_requests
from x402.mechanisms.evm.exact import register_exact_evm_client
from x402.mechanisms.evm.signers import EthAccountSigner
from x402.mechanisms.svm.exact import register_exact_svm_client
from x402.mechanisms.svm.signers import KeypairSigner

TIMEOUT_SECONDS = 60
HEADERS = {"Content-Type": "application/json"}


def paying(client, job):
    """The client with the one key of this purchase."""
    if job["network"] == "base":
        return register_exact_evm_client(client, EthAccountSigner(Account.from_key(job["key"])))
    signer = KeypairSigner(Keypair.from_base58_string(job["key"]))
    return register_exact_svm_client(client, signer, rpc_url=job["rpc"])


async def with_httpx(job):
    async with x402HttpxClient(paying(x402Client(), job), timeout=TIMEOUT_SECONDS) as client:
        answer = await client.post(job["url"], content=job["body"], headers=HEADERS)
        return {"status": answer.status_code, "text": answer.text}


def with_requests(job):
    with x402_requests(paying(x402ClientSync(), job)) as client:
        answer = client.post(job["url"], data=job["body"], headers=HEADERS, timeout=TIMEOUT_SECONDS)
        return {"status": answer.status_code, "text": answer.text}


def main():
    buy = {"httpx": lambda job: asyncio.run(with_httpx(job)), "requests": with_requests}[sys.argv[1]]
    lock = threading.Lock()

    def run(job):
        try:
            outcome = buy(job)
        except Exception as error:
            outcome = {"error": f"{type(error).__name__}: {error}"}
        with lock:
            print(json.dumps({"id": job["id"], **outcome}), flush=True)

    with ThreadPoolExecutor(8) as pool:
        for line in sys.stdin:
            pool.submit(run, json.loads(line))


main()
