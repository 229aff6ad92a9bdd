#!/usr/bin/env bash
# PyPI x402 refuses a sign-in storage that has the four methods of its own SIWxStorage protocol,
# with the complaint that one of them is missing.
#
# Expected: SIWxStorage (x402.extensions.sign_in_with_x.storage) has has_paid, record_payment,
#   has_used_nonce and record_nonce; the specification of sign-in-with-x ("Verification Logic",
#   step 2) wants servers to track used nonces.
# Happens: create_siwx_request_hook, and the server extension built on it, looks for an attribute
#   called has_record_nonce, which nothing documents, and raises ValueError: "SIWxStorage nonce
#   tracking requires both has_used_nonce and record_nonce to be implemented". With any method of
#   that name added, never called, the same storage is accepted and its record_nonce used. The
#   storage that comes with the package tracks no nonces and is accepted.
# Versions: PyPI x402 2.25.0. The TypeScript package (@x402/extensions 2.27.0) asks for the right
#   name.
# Matters: the obvious way out of the error is to delete has_used_nonce, and with it the single
#   use of a signature. Add the stray method to your storage until this is repaired.
set -euo pipefail
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib/lib.sh"

python_packages x402==2.25.0 jsonschema==4.26.0 idna==3.10
cat >check.py <<'PY'
import inspect
import sys

from x402.extensions.sign_in_with_x.hooks import CreateSIWxRequestHookOptions, create_siwx_request_hook
from x402.extensions.sign_in_with_x.storage import InMemorySIWxStorage, SIWxStorage


class Full(InMemorySIWxStorage):
    def __init__(self):
        super().__init__()
        self.used = set()

    def has_used_nonce(self, nonce):
        return nonce in self.used

    def record_nonce(self, nonce):
        self.used.add(nonce)


class Stray(Full):
    def has_record_nonce(self):
        raise AssertionError("never called")


def accepted(storage):
    try:
        create_siwx_request_hook(CreateSIWxRequestHookOptions(storage=storage, origin="https://shop.example"))
        return "accepted"
    except ValueError as error:
        return str(error)


wanted = [name for name, member in inspect.getmembers(SIWxStorage, inspect.isfunction) if not name.startswith("_")]
missing = [name for name in wanted if not callable(getattr(Full(), name, None))]
seen = {cls.__name__: accepted(cls()) for cls in (InMemorySIWxStorage, Full, Stray)}
print(f"the protocol's methods: {wanted}; missing in Full: {missing}")
for name, outcome in seen.items():
    print(f"{name}: {outcome}")
refused = "requires both has_used_nonce and record_nonce" in seen["Full"]
sys.exit(0 if not missing and refused and seen["InMemorySIWxStorage"] == seen["Stray"] == "accepted" else 1)
PY
timeout 30 ./venv/bin/python check.py
