//! What `simulateTransaction` says about a payment.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{Amount, plain_words};
use serde_json::Value;

use crate::SolanaError;
use crate::instructions as layout;
use crate::payment::Inspected;
use crate::rpc::RpcFailure;

/// Token program: the source holds less than the amount. System program: the
/// funder holds less than the rent. Both call it error 1.
const ERROR_INSUFFICIENT: u64 = 1;
/// JSON-RPC "invalid params": the node could not even read the transaction.
const INVALID_PARAMS: i64 = -32602;

const METHOD: &str = "simulateTransaction";

/// Slot the simulation ran in and the compute units it used.
pub(crate) fn judge(answer: &Value, inspected: &Inspected) -> Result<(u64, u64), SolanaError> {
    let malformed = || SolanaError::from(RpcFailure::Malformed { method: METHOD });
    let slot = answer.pointer("/context/slot").and_then(Value::as_u64).ok_or_else(malformed)?;
    let error = answer.pointer("/value/err").ok_or_else(malformed)?;
    if error.is_null() {
        let units = answer.pointer("/value/unitsConsumed").and_then(Value::as_u64).unwrap_or(0);
        return Ok((slot, units));
    }
    Err(judge_error(error, inspected))
}

/// What the token account held before the transfer, in atomic units: nodes show
/// it as the simulation left it. `None` from a node that does not.
pub(crate) fn balance(answer: &Value, amount: Amount) -> Option<u64> {
    let text = answer.pointer("/value/accounts/0/data/0").and_then(Value::as_str)?;
    let left = layout::held(&STANDARD.decode(text).ok()?)?.amount;
    Some(left.saturating_add(amount.atomic()))
}

/// A node that refuses to read the bytes has judged them too.
pub(crate) fn judge_failure(failure: RpcFailure) -> SolanaError {
    match failure {
        RpcFailure::Node { code: INVALID_PARAMS, message } => {
            SolanaError::SimulationFailed { reason: message }
        }
        other => SolanaError::Rpc(other),
    }
}

fn judge_error(error: &Value, inspected: &Inspected) -> SolanaError {
    match error.as_str() {
        Some("BlockhashNotFound") => return SolanaError::BlockhashNotFound,
        Some("AlreadyProcessed") => return SolanaError::AlreadyProcessed,
        // All three speak of the fee payer, which is ours.
        Some("AccountNotFound" | "InsufficientFundsForFee" | "InvalidAccountForFee") => {
            return SolanaError::WalletCannotPay;
        }
        _ => {}
    }
    if error.pointer("/InsufficientFundsForRent/account_index").and_then(Value::as_u64) == Some(0) {
        return SolanaError::WalletCannotPay;
    }
    let position = error.pointer("/InstructionError/0").and_then(Value::as_u64);
    let custom = error.pointer("/InstructionError/1/Custom").and_then(Value::as_u64);
    let position = position.and_then(|position| usize::try_from(position).ok());
    if custom == Some(ERROR_INSUFFICIENT) && position.is_some() {
        if position == Some(inspected.transfer_instruction) {
            return SolanaError::InsufficientFunds;
        }
        if position == inspected.creation_instruction {
            return SolanaError::WalletCannotPay;
        }
    }
    SolanaError::SimulationFailed { reason: plain_words(&error.to_string()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inspected() -> Inspected {
        Inspected {
            network: quittance_protocol::Network::SOLANA.parse().unwrap(),
            payer: String::new(),
            amount: Amount::new(1),
            creates_token_account: true,
            creation_instruction: Some(2),
            transfer_instruction: 3,
            priority_fee_lamports: 0,
            pay_to: None,
            mint: None,
        }
    }

    #[test]
    fn runtime_errors_are_named() {
        let other = |value: &Value| SolanaError::SimulationFailed { reason: value.to_string() };
        let foreign_rent = json!({"InsufficientFundsForRent": {"account_index": 3}});
        let missing_source = json!({"InstructionError": [3, "InvalidAccountData"]});
        let assertion = json!({"InstructionError": [4, {"Custom": 1}]});
        let frozen = json!({"InstructionError": [3, {"Custom": 17}]});
        for (error, expected) in [
            (json!("BlockhashNotFound"), SolanaError::BlockhashNotFound),
            (json!("AlreadyProcessed"), SolanaError::AlreadyProcessed),
            (json!("AccountNotFound"), SolanaError::WalletCannotPay),
            (json!("InsufficientFundsForFee"), SolanaError::WalletCannotPay),
            (json!({"InsufficientFundsForRent": {"account_index": 0}}), SolanaError::WalletCannotPay),
            (json!({"InstructionError": [3, {"Custom": 1}]}), SolanaError::InsufficientFunds),
            (json!({"InstructionError": [2, {"Custom": 1}]}), SolanaError::WalletCannotPay),
            (foreign_rent.clone(), other(&foreign_rent)),
            (missing_source.clone(), other(&missing_source)),
            (assertion.clone(), other(&assertion)),
            (frozen.clone(), other(&frozen)),
        ] {
            let answer = json!({"context": {"slot": 9}, "value": {"err": error, "logs": []}});
            assert_eq!(judge(&answer, &inspected()), Err(expected), "{answer}");
        }
    }

    #[test]
    fn the_balance_is_what_was_there_before_the_transfer() {
        let mut data = vec![0; 165];
        data[64..72].copy_from_slice(&41_u64.to_le_bytes());
        let shown = |accounts: Value| json!({"value": {"err": null, "accounts": accounts}});
        let account = |data: &[u8]| json!({"data": [STANDARD.encode(data), "base64"], "owner": "token"});
        for (answer, expected) in [
            (shown(json!([account(&data)])), Some(42)),
            (shown(json!([account(&data[..70])])), None),
            (shown(json!([null])), None),
            (shown(Value::Null), None),
            (json!({"value": {"err": null}}), None),
        ] {
            assert_eq!(balance(&answer, Amount::new(1)), expected, "{answer}");
        }
    }

    #[test]
    fn an_answer_without_err_proves_nothing() {
        for answer in
            [json!(null), json!({"context": {"slot": 1}, "value": {}}), json!({"value": {"err": null}})]
        {
            assert!(matches!(judge(&answer, &inspected()), Err(SolanaError::Rpc(_))), "{answer}");
        }
        let fine = json!({"context": {"slot": 7}, "value": {"err": null, "unitsConsumed": 6200}});
        assert_eq!(judge(&fine, &inspected()), Ok((7, 6200)));
    }
}
