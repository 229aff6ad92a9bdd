//! What parsers are given first.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::Random;
use crate::runtime::Worlds;

/// Pieces that mean something to a parser.
pub(crate) const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "\"",
    "\\u0000",
    "\\ud800",
    "\\\"",
    ":",
    ",",
    "null",
    "true",
    "-0",
    "1e999",
    "18446744073709551616",
    "0x",
    "==",
    "\"amount\":",
    "\"accepted\":",
    "\"extensions\":",
    "\"x402Version\":",
    "\"payload\":",
    "\"transaction\":",
    "\"signature\":",
    "\"authorization\":",
    "\u{81}",
    "solana:",
    "eip155:",
    "\u{feff}",
    "\u{0}",
];

/// Payments of both chains, as v2 and v1 clients write them.
pub(crate) fn payments() -> Vec<Value> {
    let mut all: Vec<Value> = transactions().iter().map(|raw| of_solana(raw)).collect();
    let evm = json!({
        "x402Version": 2,
        "accepted": {
            "scheme": "exact", "network": "eip155:8453", "amount": "11500", "maxTimeoutSeconds": 120,
            "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
            "payTo": "0x0000000000000000000000000000000000000001",
            "extra": {"name": "USD Coin", "version": "2"},
        },
        "payload": {
            "signature": format!("0x{}", "1b".repeat(65)),
            "authorization": {
                "from": "0x0000000000000000000000000000000000000002",
                "to": "0x0000000000000000000000000000000000000001",
                "value": "11500", "validAfter": "0", "validBefore": "1800000000",
                "nonce": format!("0x{}", "07".repeat(32)),
            },
        },
        "extensions": {"payment-identifier": {"info": {"required": false, "id": "pay_0123456789abcdef"}}},
    });
    all.push(json!({
        "x402Version": 1, "scheme": "exact", "network": "base", "payload": evm["payload"],
    }));
    all.push(evm);
    all
}

/// One of Solana's, around these bytes.
pub(crate) fn of_solana(raw: &[u8]) -> Value {
    json!({
        "x402Version": 2,
        "accepted": {
            "scheme": "exact", "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "amount": "11500",
            "asset": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "maxTimeoutSeconds": 120,
            "payTo": "7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE", "extra": {},
        },
        "payload": {"transaction": STANDARD.encode(raw)},
    })
}

/// What a foreign server asks, in both versions.
pub(crate) fn bodies() -> Vec<Value> {
    let asked = |payment: &Value| {
        let requirements = payment.get("accepted").cloned().unwrap_or_else(|| {
            json!({
                "scheme": "exact", "network": "base", "maxAmountRequired": "1", "payTo": "0x1",
                "asset": "0x2", "maxTimeoutSeconds": 60, "resource": "https://a.example/", "description": "",
                "mimeType": "",
            })
        });
        json!({
            "x402Version": payment["x402Version"], "paymentPayload": payment,
            "paymentRequirements": requirements,
        })
    };
    payments().iter().map(asked).collect()
}

/// JSON whose tree is far larger than its text.
pub(crate) fn wide() -> Vec<Vec<u8>> {
    ["[[],[],[],[],[],[]]", "[0,0,0,0,0,0,0,0]", "{\"a\":{},\"b\":[],\"c\":\"\"}", "[\"\",\"\",\"\"]"]
        .map(|text| text.as_bytes().to_vec())
        .into()
}

/// Transactions of every version, made by honest clients.
pub(crate) fn transactions() -> Vec<Vec<u8>> {
    let worlds = Worlds::first();
    let mut random = Random::new(7);
    (0..24).filter_map(|_| worlds.honest(&mut random)).collect()
}
