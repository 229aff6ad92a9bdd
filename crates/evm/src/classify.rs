//! The one table that reads nodes' and tokens' words. Nothing else branches on message text.

use quittance_protocol::SendOutcome;

use crate::error::EvmError;
use crate::failure::RpcError;
use crate::text::bounded;

impl RpcError {
    /// Whether another endpoint might do better: the fault is the endpoint's, not the question's. Only
    /// a call that was run and failed is the question's: providers use every code for their limits.
    pub fn is_endpoint_fault(&self) -> bool {
        !is_execution_failure(self)
    }

    /// Whether nothing was heard of the question itself: whoever asks another way hears the same.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        matches!(
            self,
            Self::Transport(_) | Self::Timeout | Self::Limited(_) | Self::Paused | Self::WrongChain { .. }
        )
    }
}

/// Words that mean the node has, had or may have the bytes, or something at their nonce. They are
/// looked up first: several contain a refusal's words ("replacement transaction underpriced").
const UNKNOWN: &[&str] = &[
    "already known",
    "alreadyknown",
    "already imported",
    "already in",
    "already exists",
    "known transaction",
    "existing tx",
    "nonce too low",
    "oldnonce",
    "nonce is too low",
    "nonce too high",
    "nonce gap",
    "noncegap",
    "replacement",
    "replace existing",
    "replaced",
    "mined",
    // A replica of an OP-stack chain that repeats what it heard of the sequencer, or heard nothing.
    "failed to forward",
    "timeout",
    "timed out",
];

/// Words with which a node proves that it validated these very bytes and did not take them (I3).
const REFUSED: &[&str] = &[
    // geth, op-geth, reth: "insufficient funds for gas * price + value: …"; erigon: "insufficient
    // funds"; nethermind: "InsufficientFunds, …"; anvil: "Insufficient funds for gas * price + value".
    "insufficient funds",
    "insufficientfunds",
    // geth, reth, anvil: "intrinsic gas too low…"; erigon: "IntrinsicGas".
    "intrinsic gas too low",
    "intrinsicgas",
    // geth, op-geth, reth since Prague (EIP-7623): "insufficient gas for floor data gas cost: gas …, minimum
    // needed …".
    "insufficient gas for floor data gas cost",
    // The most gas of a transaction (EIP-7825). geth: "transaction gas limit too high (cap: …, tx: …)";
    // reth, anvil: "transaction gas limit (…) is greater than the cap (…)".
    "transaction gas limit too high",
    "is greater than the cap",
    "gas uint64 overflow",
    // geth, anvil: "max fee per gas less than block base fee…".
    "max fee per gas less than block base fee",
    "max priority fee per gas higher than max fee per gas",
    // geth, erigon: "invalid sender"; nethermind: "FailedToResolveSender".
    "invalid sender",
    "failedtoresolvesender",
    // geth, reth: "exceeds block gas limit"; nethermind: "GasLimitExceeded, …".
    "exceeds block gas limit",
    "gaslimitexceeded",
    // geth: "invalid chain id for signer…", "transaction type not supported".
    "invalid chain id",
    "transaction type not supported",
    "notsupportedtxtype",
    // geth, reth: "sender not an eoa: …"; nethermind: "SenderIsContract".
    "sender not an eoa",
    "senderiscontract",
    // geth: "oversized data: transaction size …"; erigon: "oversized data"; nethermind:
    // "MaxTxSizeExceeded, …".
    "oversized data",
    "maxtxsizeexceeded",
    // geth, reth: "tx fee (… ether) exceeds the configured cap (… ether)".
    "exceeds the configured cap",
];

/// What an answer to `eth_sendRawTransaction` proves about the bytes with hash `transaction`.
pub(crate) fn send(answer: Result<serde_json::Value, RpcError>, transaction: &str) -> SendOutcome {
    match answer {
        Ok(value) => match value.as_str() {
            Some(hash) if hash.eq_ignore_ascii_case(transaction) => SendOutcome::Accepted,
            _ => unknown("the node answered with something else than the transaction's hash"),
        },
        Err(RpcError::JsonRpc { code, message, .. }) => {
            let words = message.to_ascii_lowercase();
            let says = |list: &[&str]| list.iter().any(|phrase| words.contains(phrase));
            if !says(UNKNOWN) && says(REFUSED) {
                SendOutcome::Refused { reason: bounded(&message) }
            } else {
                SendOutcome::Unknown { reason: bounded(&format!("{code}: {message}")) }
            }
        }
        // A connection error may come after the bytes have left; a gateway's 5xx may come after it
        // passed them on.
        Err(other) => unknown(&other.to_string()),
    }
}

fn unknown(reason: &str) -> SendOutcome {
    SendOutcome::Unknown { reason: bounded(reason) }
}

/// Whether an `eth_call` error is the call's own failure rather than the node's.
pub(crate) fn is_execution_failure(error: &RpcError) -> bool {
    let RpcError::JsonRpc { code, message, data } = error else { return false };
    let words = message.to_ascii_lowercase();
    // Code 3 is geth's "execution reverted"; the words are those of geth, reth, erigon, nethermind
    // and anvil for reverts and exhausted gas.
    *code == 3
        || data.as_ref().is_some_and(|d| d.as_str().is_some_and(|t| t.starts_with("0x")))
        || [
            "revert",
            "out of gas",
            "outofgas",
            "out-of-gas",
            "gas exhausted",
            "intrinsic gas",
            "invalid opcode",
        ]
        .iter()
        .any(|phrase| words.contains(phrase))
}

/// Whether an `eth_call` was refused for our own wallet, or for the gas that we gave it, before anything
/// of the payer's ran. A revert is never that: its words may be the payer's.
pub(crate) fn is_ours(error: &RpcError) -> bool {
    let RpcError::JsonRpc { code, message, data: None } = error else { return false };
    let words = message.to_ascii_lowercase();
    // "insufficient funds for gas * price + value" and "intrinsic gas too low" of geth, reth, erigon and
    // anvil; "exceeds block gas limit" of those that bound a call's gas.
    let phrases =
        ["insufficient funds", "insufficientfunds", "intrinsic gas", "intrinsicgas", "block gas limit"];
    *code != 3 && !words.contains("revert") && phrases.iter().any(|phrase| words.contains(phrase))
}

/// Whether an `eth_call` ran out of gas, and nobody reverted.
pub(crate) fn is_out_of_gas(error: &RpcError) -> bool {
    let RpcError::JsonRpc { message, .. } = error else { return false };
    let words = message.to_ascii_lowercase();
    ["out of gas", "outofgas", "out-of-gas", "gas exhausted"].iter().any(|phrase| words.contains(phrase))
        && !words.contains("revert")
}

/// Whether a refusal of `eth_getLogs` may be about how many blocks were asked for. Providers word it in
/// as many ways as there are providers, so everything may be, except what certainly is not: an unknown
/// method, a provider that was asked too much, an endpoint that is closed or out of order.
pub(crate) fn may_be_a_range(error: &RpcError) -> bool {
    match error {
        RpcError::JsonRpc { code, .. } => *code != -32601,
        RpcError::Http(status) => matches!(status, 400 | 413 | 422 | 500),
        // Too long to be read, cut off in the middle, or no list at all.
        RpcError::BadAnswer(_) => true,
        RpcError::Transport(_)
        | RpcError::Timeout
        | RpcError::Limited(_)
        | RpcError::WrongChain { .. }
        | RpcError::Paused => false,
    }
}

/// What the words of a reverted transfer mean (Circle's FiatToken v2.2 and its libraries).
pub(crate) fn transfer_failure(words: &str) -> EvmError {
    const TABLE: &[(&str, EvmError)] = &[
        ("invalid signature", EvmError::Signature),
        ("authorization is used or canceled", EvmError::NonceAlreadyUsed),
        ("authorization is expired", EvmError::Expired),
        ("authorization is not yet valid", EvmError::NotYetValid),
        ("transfer amount exceeds balance", EvmError::InsufficientBalance),
    ];
    let lower = words.to_ascii_lowercase();
    TABLE
        .iter()
        .find(|(phrase, _)| lower.contains(phrase))
        .map(|(_, error)| error.clone())
        .unwrap_or_else(|| EvmError::Simulation { reason: bounded(words) })
}

#[cfg(test)]
mod tests;
