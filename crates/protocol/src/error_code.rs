//! One enum of x402 error codes, in the reference implementation's spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $code:literal,)*) => {
        /// An error code as official clients and servers know it.
        ///
        /// Source: error constants of the reference packages `@x402/core`,
        /// `@x402/evm` and `@x402/svm`; the last group is ours.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* #[doc = concat!("`", $code, "`")] $variant,)*
        }

        impl ErrorCode {
            /// Every code, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
        }

        impl FromStr for ErrorCode {
            type Err = UnknownCode;

            fn from_str(text: &str) -> Result<Self, UnknownCode> {
                match text {
                    $($code => Ok(Self::$variant),)*
                    _ => Err(UnknownCode),
                }
            }
        }
    };
}

/// The text is no code of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown x402 error code")]
pub struct UnknownCode;

codes! {
    // Core
    InsufficientFunds => "insufficient_funds",
    InvalidNetwork => "invalid_network",
    InvalidPayload => "invalid_payload",
    InvalidPaymentRequirements => "invalid_payment_requirements",
    InvalidScheme => "invalid_scheme",
    UnsupportedScheme => "unsupported_scheme",
    InvalidX402Version => "invalid_x402_version",
    InvalidTransactionState => "invalid_transaction_state",
    UnexpectedVerifyError => "unexpected_verify_error",
    UnexpectedSettleError => "unexpected_settle_error",
    SettlementPending => "settlement_pending",
    DuplicateSettlement => "duplicate_settlement",
    // Base, EIP-3009
    InvalidExactEvmScheme => "invalid_exact_evm_scheme",
    InvalidExactEvmNetworkMismatch => "invalid_exact_evm_network_mismatch",
    InvalidExactEvmMissingEip712Domain => "invalid_exact_evm_missing_eip712_domain",
    InvalidExactEvmRecipientMismatch => "invalid_exact_evm_recipient_mismatch",
    InvalidExactEvmSignature => "invalid_exact_evm_signature",
    InvalidExactEvmAuthorizationValue => "invalid_exact_evm_authorization_value",
    InvalidExactEvmTransactionFailed => "invalid_exact_evm_transaction_failed",
    InvalidExactEvmTransferEventMismatch => "invalid_exact_evm_transfer_event_mismatch",
    InvalidExactEvmTokenNameMismatch => "invalid_exact_evm_token_name_mismatch",
    InvalidExactEvmTokenVersionMismatch => "invalid_exact_evm_token_version_mismatch",
    InvalidExactEvmEip3009NotSupported => "invalid_exact_evm_eip3009_not_supported",
    InvalidExactEvmNonceAlreadyUsed => "invalid_exact_evm_nonce_already_used",
    InvalidExactEvmInsufficientBalance => "invalid_exact_evm_insufficient_balance",
    InvalidExactEvmTransactionSimulationFailed => "invalid_exact_evm_transaction_simulation_failed",
    InvalidExactEvmFailedToParseSignature => "invalid_exact_evm_failed_to_parse_signature",
    InvalidExactEvmPayloadAuthorizationValidBefore => "invalid_exact_evm_payload_authorization_valid_before",
    InvalidExactEvmPayloadAuthorizationValidAfter => "invalid_exact_evm_payload_authorization_valid_after",
    InvalidExactEvmPayloadAuthorizationValueMismatch => "invalid_exact_evm_payload_authorization_value_mismatch",
    InvalidExactEvmPayloadUndeployedSmartWallet => "invalid_exact_evm_payload_undeployed_smart_wallet",
    AssetNotDeployedContract => "asset_not_deployed_contract",
    UnsupportedPayloadType => "unsupported_payload_type",
    Eip6492FactoryNotAllowed => "eip6492_factory_not_allowed",
    SmartWalletDeploymentFailed => "smart_wallet_deployment_failed",
    // Base, Permit2
    Permit2DeadlineExpired => "permit2_deadline_expired",
    Permit2NotYetValid => "permit2_not_yet_valid",
    Permit2AmountMismatch => "permit2_amount_mismatch",
    Permit2TokenMismatch => "permit2_token_mismatch",
    Permit2AllowanceRequired => "permit2_allowance_required",
    Permit2SimulationFailed => "permit2_simulation_failed",
    Permit2InsufficientBalance => "permit2_insufficient_balance",
    Permit2ProxyNotDeployed => "permit2_proxy_not_deployed",
    // Solana
    InvalidExactSvmNonceAlreadyUsed => "invalid_exact_svm_nonce_already_used",
    InvalidExactSvmUnsupportedScheme => "invalid_exact_svm_unsupported_scheme",
    InvalidExactSvmNetworkMismatch => "invalid_exact_svm_network_mismatch",
    InvalidExactSvmFeePayerNotManagedByFacilitator => "invalid_exact_svm_fee_payer_not_managed_by_facilitator",
    InvalidExactSvmInvalidFeePayer => "invalid_exact_svm_invalid_fee_payer",
    InvalidExactSvmFeePayerMismatch => "invalid_exact_svm_fee_payer_mismatch",
    InvalidExactSvmTransactionSimulationFailed => "invalid_exact_svm_transaction_simulation_failed",
    InvalidExactSvmTransactionFailed => "invalid_exact_svm_transaction_failed",
    InvalidExactSvmPayloadMissingFeePayer => "invalid_exact_svm_payload_missing_fee_payer",
    InvalidExactSvmPayloadTransaction => "invalid_exact_svm_payload_transaction",
    InvalidExactSvmPayloadTransactionCouldNotBeDecoded => "invalid_exact_svm_payload_transaction_could_not_be_decoded",
    InvalidExactSvmPayloadSignatureInvalid => "invalid_exact_svm_payload_signature_invalid",
    InvalidExactSvmPayloadExcessiveSigners => "invalid_exact_svm_payload_excessive_signers",
    InvalidExactSvmPayloadTransactionInstructionsLength => "invalid_exact_svm_payload_transaction_instructions_length",
    InvalidExactSvmPayloadUnknownFourthInstruction => "invalid_exact_svm_payload_unknown_fourth_instruction",
    InvalidExactSvmPayloadUnknownFifthInstruction => "invalid_exact_svm_payload_unknown_fifth_instruction",
    InvalidExactSvmPayloadUnknownSixthInstruction => "invalid_exact_svm_payload_unknown_sixth_instruction",
    InvalidExactSvmPayloadUnknownSeventhInstruction => "invalid_exact_svm_payload_unknown_seventh_instruction",
    InvalidExactSvmPayloadUnknownOptionalInstruction => "invalid_exact_svm_payload_unknown_optional_instruction",
    InvalidExactSvmPayloadNoTransferInstruction => "invalid_exact_svm_payload_no_transfer_instruction",
    InvalidExactSvmPayloadTransactionFeePayerTransferringFunds => "invalid_exact_svm_payload_transaction_fee_payer_transferring_funds",
    InvalidExactSvmPayloadMintMismatch => "invalid_exact_svm_payload_mint_mismatch",
    InvalidExactSvmPayloadRecipientMismatch => "invalid_exact_svm_payload_recipient_mismatch",
    InvalidExactSvmPayloadAmountMismatch => "invalid_exact_svm_payload_amount_mismatch",
    InvalidExactSvmPayloadMemoMismatch => "invalid_exact_svm_payload_memo_mismatch",
    InvalidExactSvmPayloadMemoCount => "invalid_exact_svm_payload_memo_count",
    InvalidExactSvmPayloadTransactionInstructionsComputeLimitInstruction => "invalid_exact_svm_payload_transaction_instructions_compute_limit_instruction",
    InvalidExactSvmPayloadTransactionInstructionsComputeLimitInstructionTooHigh => "invalid_exact_svm_payload_transaction_instructions_compute_limit_instruction_too_high",
    InvalidExactSvmPayloadTransactionInstructionsComputePriceInstruction => "invalid_exact_svm_payload_transaction_instructions_compute_price_instruction",
    InvalidExactSvmPayloadTransactionInstructionsComputePriceInstructionTooHigh => "invalid_exact_svm_payload_transaction_instructions_compute_price_instruction_too_high",
    // Ours: outcomes the reference has no word for
    /// Nothing was paid yet. The reference words this as free text; ours is a code so that agents can branch on it.
    PaymentRequired => "payment_required",
    /// This payment was claimed for another request (HTTP 409).
    RequestMismatch => "request_mismatch",
    /// The handler failed as often as the operator allows for one payment.
    CreditExhausted => "credit_exhausted",
    /// The payment's deadline passed on chain without it landing.
    PaymentExpired => "payment_expired",
    /// This network cannot quote or settle now; try later or use another.
    NetworkUnavailable => "network_unavailable",
    /// Another ledger landed the payment at a payout address that both use: it is settled, nothing
    /// runs for it here, and the operator owes it back.
    RefundOwed => "refund_owed",
    /// The answer was delivered and its replay window has closed.
    ReplayWindowClosed => "replay_window_closed",
    /// The request body is above the configured limit.
    BodyTooLarge => "body_too_large",
    /// Too many payments of this payer, or from this address, that the chain would not take: nothing
    /// is known of this one yet.
    TooManyRequests => "too_many_requests",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_parse_back() {
        let mut seen = std::collections::HashSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.as_str()), "{code} stands twice");
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
    }
}
