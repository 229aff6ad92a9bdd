//! `/llms.txt`: an agent that has never heard of x402 can pay from this alone.
//!
//! The first fenced block is the document of `/v1/x402`; every other number is
//! taken from the same snapshot or from the gate's limits.

use std::fmt::{Display, Write as _};

use quittance_facilitator::NetworkInfo;
use quittance_protocol::v1::{X_PAYMENT, X_PAYMENT_RESPONSE};
use quittance_protocol::{Family, PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE};
use quittance_quote::Pricing;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Shown, ShownExample, Snapshot};
use crate::Limits;

/// Text that grows; writing to a `String` cannot fail.
#[derive(Default)]
struct Page(String);

impl Page {
    fn text(&mut self, text: impl Display) {
        let _ = writeln!(self.0, "{text}\n");
    }

    fn json(&mut self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string_pretty(value) {
            let _ = writeln!(self.0, "```json\n{text}\n```\n");
        }
    }
}

pub(super) fn write(snapshot: &Snapshot, limits: &Limits) -> String {
    let mut page = Page::default();
    page.text("# Pay per request with x402");
    page.text(
        "> Every paid endpoint here can be bought per call with USDC, without account, key or sign-up. \
         You need a wallet with USDC; you need no native coin, because settlement is paid for you.",
    );
    page.text(
        "x402 is HTTP status 402 put to use: you send the request, the answer 402 says what it costs and \
         where, you sign a transfer of exactly that amount, and send the same request again with the \
         signature in a header. The payment is settled on chain before your request is served.",
    );
    page.text("## Networks, endpoints and prices");
    page.text(format!(
        "This block is machine-readable, and is also served at `/v1/x402`. Amounts are strings of atomic \
         units: USDC has 6 decimals, so \"1000000\" is one dollar. `service` is the endpoint's price, `gas` \
         the surcharge for settling on that network; it moves, and only the offer in a 402 is binding. \
         Paths are relative to {}.",
        if snapshot.base_url.is_empty() { "this server" } else { &snapshot.base_url },
    ));
    page.json(snapshot);
    flow(&mut page, snapshot);
    signing(&mut page, snapshot);
    answers(&mut page);
    endpoints(&mut page, snapshot);
    bounds(&mut page, limits);
    page.0
}

fn flow(page: &mut Page, snapshot: &Snapshot) {
    page.text("## The flow");
    page.text(format!(
        "1. Send the request without payment. A request that could not be served is 400 here, before any \
         price; its message, and `choices` where there are any, say what to change. Asking is free.\n\
         2. The answer is 402. Its header `{PAYMENT_REQUIRED}` is base64 of a JSON object. Choose one element of `accepts`, whose `network` you hold USDC on. Check `amount` against \
         what you are ready to spend.\n\
         3. Sign (below), and build the payment object. `accepted` is the chosen element, whole and unchanged.\n\
         4. Send the same method, URL and body again, byte for byte, with the header `{PAYMENT_SIGNATURE}`: \
         base64 (standard alphabet, padded) of the payment object's JSON.\n\
         5. 200 brings the answer, and the receipt in `{PAYMENT_RESPONSE}` (base64 of JSON: `success`, \
         `transaction`, `network`, `payer`).",
    ));
    page.text(format!(
        "That is x402 version 2. Clients of version 1 pay here, too: the body of the 402 is their offer \
         (`\"x402Version\": 1`, networks called `base` or `solana`, `maxAmountRequired`), the header `{X_PAYMENT}` takes \
         their payment, base64 of `{{\"x402Version\": 1, \"scheme\": \"exact\", \"network\": \"<name>\", \"payload\": <the same>}}`, \
         and `{X_PAYMENT_RESPONSE}` brings the receipt. One signature is one payment, whichever version it is sent in.",
    ));
    if let (Some(offer), Some((shown, example))) = (&snapshot.offer, snapshot.examples().next()) {
        page.text(format!(
            "What a 402 of `{} {}` says for the example body further down (decoded header):",
            shown.method, example.path,
        ));
        page.json(offer);
    }
    page.text("The payment object; `payload` differs by network:");
    page.json(&json!({
        "x402Version": snapshot.x402_version,
        "resource": "<`resource` of the 402>",
        "accepted": "<the chosen element of `accepts`>",
        "payload": "<see below>",
        "extensions": { "payment-identifier": { "info": { "required": false, "id": "pay_<32 random hex digits>" } } },
    }));
    page.text(
        "Always send a `payment-identifier`: 16 to 128 random letters, digits, `_` or `-`, new for each \
         payment, kept secret (or the `id` that the 402 suggests). Once a payment is on chain its signature is public; the identifier proves that \
         the payment is yours, so that you, and nobody else, can fetch a lost answer by repeating the request.",
    );
    page.text(
        "With JavaScript `@x402/fetch` does all of this: `wrapFetchWithPayment(fetch, client)` with \
         `@x402/evm` or `@x402/svm` registered. The official clients refuse more than $1 a payment unless they \
         are told otherwise: `client.setSpendControls({ maxAmountPerPayment: \"$5\" })` in JavaScript, \
         `client.set_spend_controls({\"max_amount_per_payment\": \"$5\"})` in Python; `x402-fetch` of version 1 more \
         than $0.10, its third argument (in atomic units). By hand:",
    );
}

fn signing(page: &mut Page, snapshot: &Snapshot) {
    for network in &snapshot.networks {
        match network.network.family() {
            Family::Eip155(chain_id) => evm(page, network, chain_id),
            Family::Solana => solana(page, network),
        }
    }
}

fn evm(page: &mut Page, network: &NetworkInfo, chain_id: u64) {
    page.text(format!("## Signing on {} (EIP-3009, EIP-712)", network.network));
    page.text(
        "Sign this typed data with the payer's key. `to` is `payTo` and `value` is `amount` of the offer; \
         `validAfter` is ten minutes ago, `validBefore` is now plus the offer's `maxTimeoutSeconds` (Unix \
         seconds); `nonce` is 32 random bytes, new for each payment. Nothing is sent to the chain by you.",
    );
    let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    page.json(&json!({
        "domain": {
            "name": network.extra.get("name"),
            "version": network.extra.get("version"),
            "chainId": chain_id,
            "verifyingContract": network.asset,
        },
        "primaryType": "TransferWithAuthorization",
        "types": {
            // Wallets behind eth_signTypedData_v4 sign an empty domain without it.
            "EIP712Domain": [
                field("name", "string"), field("version", "string"), field("chainId", "uint256"),
                field("verifyingContract", "address"),
            ],
            "TransferWithAuthorization": [
                field("from", "address"), field("to", "address"), field("value", "uint256"),
                field("validAfter", "uint256"), field("validBefore", "uint256"), field("nonce", "bytes32"),
            ],
        },
        "message": {
            "from": "<payer>", "to": network.pay_to, "value": "<amount>",
            "validAfter": "<seconds>", "validBefore": "<seconds>", "nonce": "0x<64 hex digits>",
        },
    }));
    page.text("`payload`, with every number as a decimal string and the signature as 65 bytes of hex:");
    page.json(&json!({
        "signature": "0x<130 hex digits>",
        "authorization": {
            "from": "<payer>", "to": network.pay_to, "value": "<amount>",
            "validAfter": "<seconds>", "validBefore": "<seconds>", "nonce": "0x<64 hex digits>",
        },
    }));
}

fn solana(page: &mut Page, network: &NetworkInfo) {
    page.text(format!("## Signing on {}", network.network));
    let fee_payer = network.extra.get("feePayer").and_then(Value::as_str).unwrap_or("extra.feePayer");
    page.text(format!(
        "Build a version 0 transaction without lookup tables, fee payer `{fee_payer}` (`extra.feePayer` of \
         the offer), the offer's `extra.recentBlockhash` (or a recent one of your own), and exactly these instructions in this order:\n\n\
         1. ComputeBudget SetComputeUnitLimit, 20000 units.\n\
         2. ComputeBudget SetComputeUnitPrice, 1 micro-lamport.\n\
         3. Token Program TransferChecked: from your associated token account of mint `{}` to the associated \
         token account of `{}` (`payTo`), authority you, exactly `amount`, 6 decimals.\n\
         4. Memo Program (`MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr`): 16 random bytes as hex, so that two \
         payments of one amount differ.\n\n\
         Sign as the authority only and leave the fee payer's signature empty (zeros); do not send it. A \
         signature over a blockhash is good for some thirty seconds, whatever `maxTimeoutSeconds` says, so \
         ask, sign and pay in one go.",
        network.asset, network.pay_to,
    ));
    page.text("`payload`:");
    page.json(&json!({ "transaction": "<base64 of the serialized transaction>" }));
}

fn answers(page: &mut Page) {
    page.text("## What answers mean");
    page.text(
        "Every answer of the gate that is not the service's own has JSON with `error` (a code), `message`, \
         and where a payment is concerned `retry_action` and `retry_after_seconds`:\n\n\
         - `pay`: nothing was taken. Sign a new payment for the offer in this answer.\n\
         - `retry_same_payment`: do not sign again. Send the same request with the same \
         payment header after `retry_after_seconds` (also in `Retry-After`).\n\
         - `do_not_retry`: this payment can buy nothing more here; with `retry_after_seconds`, and no other of \
         yours before that.",
    );
    page.text(
        "| status | `error` | meaning | do |\n|---|---|---|---|\n\
         | 400 | the service's own | the request has no price; nothing was charged | change the request |\n\
         | 402 | `Payment required` | no payment came | `pay` |\n\
         | 402 | `invalid_payload` | the payment, its `payment-identifier` or an `Idempotency-Key` cannot be read | mend it, then `pay` |\n\
         | 402 | `duplicate_settlement` | the authorization, or the same Solana transaction, bought something else | `pay` |\n\
         | 402 | any other code, e.g. `invalid_exact_evm_signature` | the payment was refused, nothing was taken; an amount that is not the price means that the offer is out of date | `pay` |\n\
         | 503 | `insufficient_funds` | payments of yours that are under way need the money; nothing was taken | `retry_same_payment`, or add funds first |\n\
         | 503 | `invalid_transaction_state` | too many of your transactions failed at our cost; none is taken before `Retry-After` | `do_not_retry`; pay from another address |\n\
         | 429 | `too_many_requests` | too many payments of yours, or from your address, were not good; this one was not looked at | `retry_same_payment` |\n\
         | 404 | `unknown_endpoint` | not listed here, or the path is not written canonically | use a listed path |\n\
         | 405 | `method_not_allowed` | listed, but not by this method | use one that `Allow` names |\n\
         | 409 | `request_mismatch`, `credit_exhausted`, `replay_window_closed`, `refund_owed` | the payment, or the name you gave it, bought another request; its runs failed, or ended with their process, too often, and the operator refunds it; its answer is no longer kept for who shows no identifier; or another server of this payee settled it, and the operator owes it back | `do_not_retry` |\n\
         | 410 | `answer_not_kept` | the answer was delivered, or too long, and is not kept any more | `do_not_retry` |\n\
         | 413, 414, 415, 408 | `body_too_large`, `url_too_long`, `encoded_body`, `body_too_slow` | see the limits | change the request |\n\
         | 500, 504 | `handler_failed`, `handler_too_slow`, or the service's own | the service failed after you paid; the payment is a credit for the same request, and runs that the operator interrupted do not count | `retry_same_payment` |\n\
         | 503 | `answer_unreachable`, a code that ends in `_authorization_valid_after` | the kept answer cannot be read now; or the authorization is valid in a moment | `retry_same_payment` |\n\
         | 503 | `settlement_pending` | the outcome on chain is not known yet | `retry_same_payment` |\n\
         | 503 | `network_unavailable`, `too_many_in_flight` | payments cannot be taken or looked up now; without `retry_action` nothing was sent that could be repeated | wait for `Retry-After`, then `retry_same_payment` if you had sent one |",
    );
    page.text(
        "One call, one payment: an answer with `x-should-retry: false` is not to be repeated with another \
         payment. If you sign anew all the same, for the same request from the same address on the same \
         network, while your payment is pending or a credit, the new signature is not used and you get what \
         the first one bought. To buy the same thing twice, send an `Idempotency-Key` (1 to 255 characters) or \
         a `payment-identifier` of your own with each purchase; one of them names one purchase.",
    );
    page.text(
        "`Payment-State` says where a settled payment stands: `delivered` (repeat it and get the same answer), \
         `credited` (repeat it and the service runs again, for nothing), `refundable` (the service answered \
         4xx after payment), `delivered_in_part` (it was too long to be kept, and its reader left early), `running`. If a connection breaks, repeat the same request with the same payment.",
    );
}

fn endpoints(page: &mut Page, snapshot: &Snapshot) {
    page.text("## Endpoints");
    for shown in &snapshot.endpoints {
        let price = match shown.pricing {
            Pricing::Free => "free".to_owned(),
            Pricing::Paid => format!("paid: {}", shown.summary),
        };
        page.text(format!("### {} {}\n\n{}. {price}.", shown.method, shown.path, shown.description));
        if shown.accounts {
            page.text(
                "Customers with an account at this service may send their credentials instead of paying.",
            );
        }
        if let Some(example) = &shown.example {
            show_example(page, snapshot, shown, example);
        }
    }
}

fn show_example(page: &mut Page, snapshot: &Snapshot, shown: &Shown, example: &ShownExample) {
    let mut costs = format!("{} USDC", example.service.to_usdc());
    for offer in &example.offers {
        let _ = write!(costs, "; with settlement on {} {} USDC", offer.network, total_usdc(&offer.amount));
    }
    let url = format!("{}{}", snapshot.base_url, example.path);
    match &example.body {
        Some(body) => {
            page.text(format!("Example, {costs}:"));
            page.json(body);
            page.text(format!(
                "`curl -i -X {} '{url}' -H 'Content-Type: application/json' --data @body.json` shows its 402.",
                shown.method
            ));
        }
        None => page.text(format!("Example, {costs}: `curl -i -X {} '{url}'` shows its 402.", shown.method)),
    }
}

fn total_usdc(atomic: &str) -> String {
    atomic.parse().map_or_else(|_| atomic.to_owned(), |n| quittance_protocol::Amount::new(n).to_usdc())
}

fn bounds(page: &mut Page, limits: &Limits) {
    page.text("## Limits");
    page.text(format!(
        "- Request body: {} bytes, sent within {} seconds, without Content-Encoding.\n\
         - Path and query: {} bytes.\n\
         - `{PAYMENT_SIGNATURE}` or `{X_PAYMENT}` header: {} bytes, exactly one payment.\n\
         - One request may run for {} seconds, its answer included.\n\
         - Answers up to {} bytes are kept, and given again to the same payment.",
        limits.body_bytes_max,
        limits.body_read_ms / 1_000,
        limits.url_bytes_max,
        quittance_protocol::HEADER_BYTES_MAX,
        limits.run_seconds_max,
        limits.answer_body_bytes_max,
    ));
}
