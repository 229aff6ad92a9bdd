//! A facilitator that keeps its payments in memory and fails on command, for the tests of
//! gates and of their mounts.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "only tests are built with it"
)]

mod double;
mod pricer;

use std::sync::Arc;

pub use double::{Double, Entry, MemoryObjects, STUCK, answer_limits, grant, receipt};
pub use pricer::TestPricer;
use quittance_protocol::{PAYMENT_SIGNATURE, encode_header};
use quittance_quote::Pricer;
use serde_json::{Value, json};

use crate::{Gate, GateBuilder, Limits};

/// A gate over a facilitator in memory, with small limits.
pub fn gate(double: &Arc<Double>) -> GateBuilder {
    gate_of(double, Arc::new(TestPricer)).public_url("https://api.test/")
}

/// The same that sells something else, and has no URL of its own.
pub fn gate_of(double: &Arc<Double>, pricer: Arc<dyn Pricer>) -> GateBuilder {
    Gate::over(double.clone(), pricer).limits(limits())
}

/// Small ones.
pub fn limits() -> Limits {
    Limits { body_bytes_max: 1_000, answer_body_bytes_max: 1_000, ..Limits::default() }
}

/// The payment every test sends.
pub fn payment() -> Value {
    json!({
        "x402Version": 2,
        "accepted": {"scheme": "exact", "network": "eip155:8453", "asset": "0xa", "payTo": "0xb",
            "amount": "12000", "maxTimeoutSeconds": 120},
        "payload": {"authorization": {}, "signature": "0x"},
        "extensions": {"payment-identifier": {"info": {"id": "pay_0123456789abcdef"}}},
    })
}

/// A payment of its own.
pub fn another(number: usize) -> Value {
    let mut other = payment();
    other["payload"]["signature"] = json!(format!("0x{number}"));
    other
}

/// The header line that carries it.
pub fn signed(value: &Value) -> (&'static str, String) {
    (PAYMENT_SIGNATURE, encode_header(value).unwrap())
}
