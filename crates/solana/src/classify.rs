//! The one place where a node's words decide something (invariant I3).

use quittance_protocol::SendOutcome;
use serde_json::Value;

use crate::rpc::RpcFailure;

/// JSON-RPC "invalid params": Agave answers it when the bytes do not decode or sanitize.
const INVALID_PARAMS: i64 = -32602;
/// Agave: a signature does not verify.
const SIGNATURE_VERIFICATION_FAILURE: i64 = -32003;

/// Beginnings of messages with which a node rejects the bytes themselves.
/// Bytes that do not decode, sanitize or verify can land nowhere.
const REFUSED_INVALID_PARAMS: &[&str] = &[
    "invalid transaction: ",
    "failed to deserialize ",
    "invalid base64 encoding: ",
    "base64 encoded ",
    "decoded solana_transaction::versioned::VersionedTransaction too large: ",
];

/// What one endpoint's answer to `sendTransaction` proves about `transaction`.
///
/// A failed preflight says that this node did not pass them on just now: another
/// endpoint, or an earlier send, may have. "Already processed" or an unhealthy node
/// say nothing against the bytes either: all of these are `Unknown`.
pub(crate) fn classify_send(answer: &Result<Value, RpcFailure>, transaction: &str) -> SendOutcome {
    match answer {
        Ok(value) if value.as_str() == Some(transaction) => SendOutcome::Accepted,
        Ok(_) => SendOutcome::Unknown { reason: "the node answered with another signature".to_owned() },
        Err(failure) if is_refusal(failure) => SendOutcome::Refused { reason: failure.to_string() },
        Err(failure) => SendOutcome::Unknown { reason: failure.to_string() },
    }
}

/// Errors that a node finds only by running a transaction, so that it did not pass it
/// on, and could not have before: what had landed would be "already processed", and an
/// unknown blockhash is not run at all.
const FOUND_BY_RUNNING: &[&str] =
    &["InstructionError", "InsufficientFundsForFee", "InsufficientFundsForRent"];

/// Whether this answer proves that the node ran the bytes and did not pass them on.
/// Less than a refusal: the same bytes may land later, if they are sent again.
pub(crate) fn was_withheld(answer: &Result<Value, RpcFailure>) -> bool {
    matches!(answer, Err(RpcFailure::Preflight { failed, .. }) if FOUND_BY_RUNNING.contains(&failed.as_str()))
}

fn is_refusal(failure: &RpcFailure) -> bool {
    match failure {
        RpcFailure::Node { code: SIGNATURE_VERIFICATION_FAILURE, .. } => true,
        RpcFailure::Node { code: INVALID_PARAMS, message } => {
            REFUSED_INVALID_PARAMS.iter().any(|start| message.starts_with(start))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq)]
    enum Kind {
        Accepted,
        Refused,
        Unknown,
    }

    fn kind(outcome: &SendOutcome) -> Kind {
        match outcome {
            SendOutcome::Accepted => Kind::Accepted,
            SendOutcome::Refused { .. } => Kind::Refused,
            SendOutcome::Unknown { .. } => Kind::Unknown,
        }
    }

    fn node(code: i64, message: &str) -> Result<Value, RpcFailure> {
        Err(RpcFailure::Node { code, message: message.to_owned() })
    }

    /// I3: the table, with the words of real nodes (Agave, surfpool).
    #[test]
    fn i3_only_a_recognised_refusal_is_a_refusal() {
        let table = [
            (Ok(json!("sig")), Kind::Accepted),
            (Ok(json!("other")), Kind::Unknown),
            (Ok(Value::Null), Kind::Unknown),
            (
                node(
                    -32602,
                    "invalid transaction: Transaction failed to sanitize accounts offsets correctly",
                ),
                Kind::Refused,
            ),
            (
                node(
                    -32602,
                    "failed to deserialize solana_transaction::versioned::VersionedTransaction: io error: unexpected end of file",
                ),
                Kind::Refused,
            ),
            (
                node(
                    -32602,
                    "base64 encoded solana_transaction::versioned::VersionedTransaction too large: 1724 bytes (max: encoded/raw 1644/1232)",
                ),
                Kind::Refused,
            ),
            (node(-32602, "invalid base64 encoding: InvalidPadding"), Kind::Refused),
            (node(-32602, "Invalid params: missing field"), Kind::Unknown),
            (node(-32003, "Transaction signature verification failure"), Kind::Refused),
            (
                node(-32002, "Transaction simulation failed: This transaction has already been processed"),
                Kind::Unknown,
            ),
            (node(-32002, "Transaction simulation failed: Blockhash not found"), Kind::Unknown),
            (node(-32002, "Failed to process transaction: receiving on a closed channel"), Kind::Unknown),
            (node(-32005, "Node is behind by 42 slots"), Kind::Unknown),
            (node(-32005, "Node is unhealthy"), Kind::Unknown),
            (node(-32016, "Minimum context slot has not been reached"), Kind::Unknown),
            (node(-32601, "Method not found"), Kind::Unknown),
            (node(-32603, "Internal error"), Kind::Unknown),
            (node(429, "Too many requests for a specific RPC call"), Kind::Unknown),
            (node(-32000, "invalid transaction: in another code"), Kind::Unknown),
            (Err(RpcFailure::Timeout), Kind::Unknown),
            (Err(RpcFailure::Http { status: 502 }), Kind::Unknown),
            (Err(RpcFailure::Transport { reason: "connection refused".into() }), Kind::Unknown),
            (Err(RpcFailure::Malformed { method: "sendTransaction" }), Kind::Unknown),
        ];
        for (answer, expected) in table {
            assert_eq!(kind(&classify_send(&answer, "sig")), expected, "{answer:?}");
        }
    }

    /// P3: only what a node found by running the bytes shows that it kept them.
    #[test]
    fn p3_only_an_error_found_by_running_the_bytes_proves_that_they_were_kept() {
        let failed =
            |failed: &str| Err(RpcFailure::Preflight { message: String::new(), failed: failed.to_owned() });
        for kept in ["InstructionError", "InsufficientFundsForRent", "InsufficientFundsForFee"] {
            assert!(was_withheld(&failed(kept)), "{kept}");
            assert_eq!(kind(&classify_send(&failed(kept), "sig")), Kind::Unknown, "I3: never a refusal");
        }
        for open in ["AlreadyProcessed", "BlockhashNotFound", "AccountInUse", ""] {
            assert!(!was_withheld(&failed(open)), "{open}");
        }
        let words =
            "Transaction simulation failed: Error processing Instruction 2: custom program error: 0x1";
        assert!(!was_withheld(&node(-32002, words)), "words alone prove nothing");
        assert!(!was_withheld(&Ok(json!("sig"))) && !was_withheld(&Err(RpcFailure::Timeout)));
    }
}
