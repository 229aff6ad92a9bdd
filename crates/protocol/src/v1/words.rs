//! Answers in version 1's words. Its packages list the reasons that they know; one of ours
//! that has another spelling in that list is said in theirs, one that has no counterpart as
//! it is.

use serde_json::{Map, Value, json};

use crate::v1::names::name_of;
use crate::{ErrorCode, SettleResponse, VerifyResponse};

/// What version 1 calls a reason.
pub fn word_of(code: ErrorCode) -> &'static str {
    use ErrorCode as C;
    match code {
        C::InvalidExactEvmSignature | C::InvalidExactEvmFailedToParseSignature => {
            "invalid_exact_evm_payload_signature"
        }
        C::InvalidExactEvmRecipientMismatch => "invalid_exact_evm_payload_recipient_mismatch",
        C::InvalidExactEvmAuthorizationValue | C::InvalidExactEvmPayloadAuthorizationValueMismatch => {
            "invalid_exact_evm_payload_authorization_value"
        }
        C::InvalidExactEvmInsufficientBalance => C::InsufficientFunds.as_str(),
        C::InvalidExactEvmNetworkMismatch | C::InvalidExactSvmNetworkMismatch => C::InvalidNetwork.as_str(),
        C::InvalidExactEvmScheme | C::InvalidExactSvmUnsupportedScheme => C::UnsupportedScheme.as_str(),
        // A transaction that uses it once more fails.
        C::InvalidExactEvmNonceAlreadyUsed
        | C::InvalidExactSvmNonceAlreadyUsed
        | C::InvalidExactEvmTransactionFailed
        | C::InvalidExactEvmTransactionSimulationFailed
        | C::InvalidExactSvmTransactionFailed => C::InvalidTransactionState.as_str(),
        C::InvalidExactSvmPayloadAmountMismatch => "invalid_exact_svm_payload_transaction_amount_mismatch",
        C::InvalidExactSvmPayloadRecipientMismatch => {
            "invalid_exact_svm_payload_transaction_transfer_to_incorrect_ata"
        }
        C::InvalidExactSvmPayloadNoTransferInstruction => {
            "invalid_exact_svm_payload_transaction_not_a_transfer_instruction"
        }
        C::InvalidExactSvmTransactionSimulationFailed => {
            "invalid_exact_svm_payload_transaction_simulation_failed"
        }
        C::InvalidExactSvmPayloadTransactionInstructionsComputeLimitInstructionTooHigh => {
            C::InvalidExactSvmPayloadTransactionInstructionsComputeLimitInstruction.as_str()
        }
        C::InvalidExactSvmPayloadUnknownFourthInstruction
        | C::InvalidExactSvmPayloadUnknownFifthInstruction
        | C::InvalidExactSvmPayloadUnknownSixthInstruction
        | C::InvalidExactSvmPayloadUnknownSeventhInstruction
        | C::InvalidExactSvmPayloadUnknownOptionalInstruction => {
            "invalid_exact_svm_payload_transaction_instructions"
        }
        C::InvalidExactSvmFeePayerNotManagedByFacilitator
        | C::InvalidExactSvmInvalidFeePayer
        | C::InvalidExactSvmFeePayerMismatch
        | C::InvalidExactSvmPayloadMissingFeePayer
        | C::InvalidExactSvmPayloadTransactionCouldNotBeDecoded
        | C::InvalidExactSvmPayloadSignatureInvalid
        | C::InvalidExactSvmPayloadExcessiveSigners
        | C::InvalidExactSvmPayloadMintMismatch
        | C::InvalidExactSvmPayloadMemoMismatch
        | C::InvalidExactSvmPayloadMemoCount => C::InvalidExactSvmPayloadTransaction.as_str(),
        other => other.as_str(),
    }
}

/// The answer of `POST /settle`, and of the `X-PAYMENT-RESPONSE` header: `success`,
/// `errorReason`, `transaction`, `network`, `payer`, and beside them what version 2 says
/// more. `payer` is whom the payment names, where the answer names nobody.
pub fn receipt(answer: &SettleResponse, payer: Option<&str>) -> Value {
    let mut said = object(serde_json::to_value(answer).ok());
    if let Some(code) = answer.error_reason {
        said.insert("errorReason".to_owned(), json!(word_of(code)));
    }
    let network = name_of(&answer.network).unwrap_or(&answer.network);
    said.insert("network".to_owned(), json!(network));
    name_payer(&mut said, payer);
    Value::Object(said)
}

/// The answer of `POST /verify`: `isValid`, `invalidReason`, `payer`.
pub fn verified(answer: &VerifyResponse, payer: Option<&str>) -> Value {
    let mut said = object(serde_json::to_value(answer).ok());
    if let Some(code) = answer.invalid_reason {
        said.insert("invalidReason".to_owned(), json!(word_of(code)));
    }
    name_payer(&mut said, payer);
    Value::Object(said)
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn name_payer(said: &mut Map<String, Value>, payer: Option<&str>) {
    if let Some(payer) = payer
        && !said.contains_key("payer")
    {
        said.insert("payer".to_owned(), json!(payer));
    }
}
