use quittance_protocol::SendOutcome;
use serde_json::json;

use super::*;

const HASH: &str = "0x88df016429689c079f3b2f6ad39fa052532c56795b733da78a91ebe340a716ec";

fn error(code: i64, message: &str) -> Result<serde_json::Value, RpcError> {
    Err(RpcError::JsonRpc { code, message: message.to_owned(), data: None })
}

/// Strings as the nodes' sources have them.
#[test]
fn what_nodes_say_about_a_send() {
    let refused = [
        // geth and op-geth
        "insufficient funds for gas * price + value: balance 0, tx cost 150000000000000, overshot 150000000000000",
        "insufficient funds for gas * price + value: address 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 have 0 want 21000",
        "intrinsic gas too low: gas 20000, minimum needed 21000",
        "max fee per gas less than block base fee: address 0x70997970C51812dc3A010C7d01b50e0d17dc79C8, maxFeePerGas: 1, baseFee: 7",
        "invalid sender",
        "exceeds block gas limit",
        "tx fee (1.50 ether) exceeds the configured cap (1.00 ether)",
        "oversized data: transaction size 131073, limit 131072",
        "insufficient gas for floor data gas cost: gas 90000, minimum needed 102000",
        "transaction gas limit too high (cap: 16777216, tx: 21000000)",
        "sender not an eoa: address 0x70997970C51812dc3A010C7d01b50e0d17dc79C8, len(code): 1",
        // reth
        "insufficient funds for gas * price + value: have 1 want 2",
        "transaction gas limit (21000000) is greater than the cap (16777216)",
        "max priority fee per gas higher than max fee per gas",
        // erigon
        "insufficient funds",
        "IntrinsicGas",
        "gas uint64 overflow",
        // nethermind
        "InsufficientFunds, Account balance: 0, cumulative cost: 21000",
        "FailedToResolveSender",
        "MaxTxSizeExceeded, tx size 131073, max tx size 131072",
        "NotSupportedTxType",
        "SenderIsContract",
        "GasLimitExceeded, Gas limit: 100, gas limit of rejected tx: 101",
        // anvil
        "Insufficient funds for gas * price + value",
        "intrinsic gas too low",
        "max fee per gas less than block base fee",
    ];
    for message in refused {
        let outcome = send(error(-32000, message), HASH);
        assert!(matches!(outcome, SendOutcome::Refused { .. }), "{message}: {outcome:?}");
    }
}

#[test]
fn what_nodes_say_about_a_send_that_proves_nothing() {
    let unknown = [
        "already known",
        "AlreadyKnown",
        "ALREADY_EXISTS: already known",
        "known transaction: 88df016429689c07",
        "transaction already imported",
        "existing tx with same hash",
        "nonce too low",
        "nonce too low: next nonce 5, tx nonce 4",
        "nonce too low: address 0x70997970C51812dc3A010C7d01b50e0d17dc79C8, tx: 4 state: 5",
        "OldNonce, Current nonce: 5, nonce of rejected tx: 4",
        "nonce too high",
        "replacement transaction underpriced",
        "replacement transaction underpriced: new tx gas fee cap 1 <= 2 queued",
        "could not replace existing tx",
        "transaction underpriced",
        "transaction underpriced: gas tip cap 0, minimum needed 1000000",
        "underpriced",
        "fee too low",
        "FeeTooLow, MaxFeePerGas too low",
        "txpool is full",
        "pending sub-pool is full",
        "baseFee sub-pool is full",
        "queued sub-pool is full",
        "replaced by transaction with higher tip",
        "mined",
        // geth's, op-geth's and reth's rules for accounts with a delegation, and for several pools
        "in-flight transaction limit reached for delegated accounts",
        "gapped-nonce tx from delegated accounts",
        "address already reserved",
        "account limit exceeded",
        "future transaction tries to replace pending",
        // nethermind
        "FeeTooLowToCompete, FeePerGas needs to be higher than 5 to be added to the TxPool. FeePerGas of rejected tx: 4.",
        "ReplacementNotAllowed",
        "NonceGap, Future nonce. Expected nonce: 5",
        "NotCurrentNonceForDelegation",
        // replicas and providers in front of a sequencer
        "failed to forward tx to sequencer, please try again. Error message: 'insufficient funds for gas * price + value'",
        "no backend is currently healthy to serve traffic",
        "exceeded project rate limit",
        "daily request count exceeded, request rate limited",
        "Your app has exceeded its compute units per second capacity.",
        "25/second request limit reached - reduce calls per second or upgrade your account",
        "spammer",
        "Internal error",
        "header not found",
        "request timed out",
        "upstream timeout: insufficient funds",
        "rate limit exceeded",
        "method not found",
        "",
    ];
    for message in unknown {
        let outcome = send(error(-32000, message), HASH);
        assert!(matches!(outcome, SendOutcome::Unknown { .. }), "{message}: {outcome:?}");
    }
}

#[test]
fn only_the_transactions_own_hash_is_an_acceptance() {
    assert_eq!(send(Ok(json!(HASH)), HASH), SendOutcome::Accepted);
    assert_eq!(send(Ok(json!(HASH.to_uppercase().replace("0X", "0x"))), HASH), SendOutcome::Accepted);
    for value in [json!(null), json!("0x"), json!(HASH.replace("88", "99")), json!({"hash": HASH})] {
        assert!(matches!(send(Ok(value.clone()), HASH), SendOutcome::Unknown { .. }), "{value}");
    }
}

#[test]
fn a_transport_failure_proves_nothing() {
    for failure in [
        RpcError::Timeout,
        RpcError::Transport("connection refused".into()),
        RpcError::Transport("insufficient funds".into()),
        RpcError::Http(502),
        RpcError::Http(400),
        RpcError::BadAnswer("JSON"),
    ] {
        assert!(matches!(send(Err(failure.clone()), HASH), SendOutcome::Unknown { .. }), "{failure:?}");
    }
}

#[test]
fn reasons_are_bounded_and_on_one_line() {
    let SendOutcome::Unknown { reason } = send(error(1, &"x\n".repeat(5_000)), HASH) else { panic!() };
    assert!(reason.len() < 400 && !reason.contains('\n'));
}

#[test]
fn what_a_failed_call_means() {
    for (words, expected) in [
        ("FiatTokenV2: invalid signature", EvmError::Signature),
        ("FiatTokenV2: authorization is used or canceled", EvmError::NonceAlreadyUsed),
        ("FiatTokenV2: authorization is expired", EvmError::Expired),
        ("FiatTokenV2: authorization is not yet valid", EvmError::NotYetValid),
        ("ERC20: transfer amount exceeds balance", EvmError::InsufficientBalance),
        ("Pausable: paused", EvmError::Simulation { reason: "Pausable: paused".into() }),
        (
            "Blacklistable: account is blacklisted",
            EvmError::Simulation { reason: "Blacklistable: account is blacklisted".into() },
        ),
    ] {
        assert_eq!(transfer_failure(words), expected);
    }
}

#[test]
fn a_nodes_own_trouble_is_not_the_payments() {
    let rpc = |code, message: &str, data| RpcError::JsonRpc { code, message: message.into(), data };
    for failure in [
        rpc(3, "execution reverted: FiatTokenV2: invalid signature", Some(json!("0x08c379a0"))),
        rpc(-32000, "execution reverted", None),
        rpc(-32000, "out of gas", None),
        rpc(-32003, "EVM error: OutOfGas", None),
        rpc(-32015, "VM execution error.", Some(json!("0x"))),
    ] {
        assert!(is_execution_failure(&failure), "{failure:?}");
    }
    for failure in [
        rpc(-32000, "header not found", None),
        rpc(-32005, "rate limited", None),
        rpc(-32603, "internal error", Some(json!("backend gone"))),
        RpcError::Timeout,
        RpcError::Http(503),
        RpcError::BadAnswer("JSON"),
    ] {
        assert!(!is_execution_failure(&failure), "{failure:?}");
    }
}

#[test]
fn what_our_wallet_or_our_gas_lacks_is_ours_and_a_reverts_words_never_are() {
    let rpc = |code, message: &str, data| RpcError::JsonRpc { code, message: message.into(), data };
    for failure in [
        rpc(-32000, "insufficient funds for gas * price + value: address 0xab have 1 want 2", None),
        rpc(-32003, "Insufficient funds for gas * price + value", None),
        rpc(-32000, "intrinsic gas too low: have 100, want 21000", None),
        rpc(-32000, "exceeds block gas limit", None),
    ] {
        assert!(is_ours(&failure), "{failure:?}");
    }
    for failure in [
        rpc(3, "execution reverted: insufficient funds for gas", None),
        rpc(-32000, "execution reverted: insufficient funds for gas", None),
        rpc(-32015, "insufficient funds", Some(json!("0x08c379a0"))),
        rpc(-32000, "out of gas", None),
        RpcError::Timeout,
    ] {
        assert!(!is_ours(&failure), "{failure:?}");
    }
}

#[test]
fn gas_that_ran_out_is_told_from_a_revert() {
    let rpc = |message: &str| RpcError::JsonRpc { code: -32000, message: message.into(), data: None };
    for words in ["out of gas", "EVM error: OutOfGas", "Out of gas: gas required exceeds allowance: 60000"] {
        assert!(is_out_of_gas(&rpc(words)), "{words}");
    }
    for words in ["execution reverted: out of gas", "header not found"] {
        assert!(!is_out_of_gas(&rpc(words)), "{words}");
    }
}
