//! The crate's one error enum.

use quittance_protocol::ErrorCode;

use crate::failure::RpcError;

/// Why something about a payment or a chain cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvmError {
    // Configuration, at start
    /// A configuration value is unusable.
    #[error("configuration: {field} {problem}")]
    Config {
        /// The field of [`crate::EvmConfig`].
        field: &'static str,
        /// What is wrong and what is wanted.
        problem: &'static str,
    },
    /// The wallet key is not 32 bytes of 0x hex on the curve.
    #[error("the wallet key must be 0x and 64 hex digits of a secp256k1 key")]
    WalletKey,
    /// An endpoint serves another chain.
    #[error("rpc_urls[{endpoint}] serves chain {found}, network says {expected}; correct one of them")]
    ChainMismatch {
        /// Index into `rpc_urls`.
        endpoint: usize,
        /// Chain id of the configuration.
        expected: u64,
        /// Chain id of the node.
        found: u64,
    },
    /// The configured asset has no code.
    #[error("no contract at the configured asset; check network and asset")]
    AssetNotDeployed,
    /// The token's units are not what amounts are counted in.
    #[error(
        "the token has {} decimals, asset_decimals says {expected}; amounts would be worth another sum than is asked for",
        .found.map_or_else(|| "no".to_owned(), |found| found.to_string())
    )]
    Decimals {
        /// Decimals of the configuration.
        expected: u8,
        /// Decimals of the token, if it says so.
        found: Option<u8>,
    },
    /// The token names a currency that is not the US dollar.
    #[error("the token says that it is not of US dollars, and prices are; put a dollar token in asset")]
    Currency,
    /// `asset_name` and `asset_version` do not give the token's domain separator.
    #[error(
        "asset_name and asset_version do not give the token's EIP-712 domain; read name() and version() of the contract"
    )]
    DomainMismatch,

    // Local refusals, in the order of the checks
    /// Not version 2.
    #[error("x402Version must be 2")]
    Version,
    /// Not `exact`.
    #[error("scheme must be exact")]
    Scheme,
    /// Another network.
    #[error("payment is for another network")]
    Network,
    /// Another token.
    #[error("payment is in another asset")]
    Asset,
    /// `payload` is not an authorization with a signature.
    #[error("payload: {field} is not {wanted}")]
    Payload {
        /// Field of `payload`.
        field: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// `payTo` or `to` is not the configured recipient.
    #[error("recipient is not payTo")]
    Recipient,
    /// The payer is the recipient, the wallet, the token or nobody (the zero address).
    #[error("the payer is the recipient, the facilitator's wallet, the token or the zero address")]
    SelfPayment,
    /// `accepted.amount` differs from `authorization.value`.
    #[error("authorization.value is not the accepted amount")]
    ValueMismatch,
    /// Zero, or not an amount.
    #[error("the amount must be a positive integer of atomic units")]
    Value,
    /// `validAfter` lies in the future.
    #[error("authorization is not valid yet")]
    NotYetValid,
    /// `validBefore` has passed, or so nearly that a settlement would not make it.
    #[error("authorization has expired or is about to")]
    Expired,
    /// `validBefore` is further ahead than a claim may live.
    #[error(
        "validBefore is more than {max_seconds} s ahead; the server's maxTimeoutSeconds must stay below \
         that (authorization_seconds_max)"
    )]
    TooFarAhead {
        /// The most that is taken.
        max_seconds: u64,
    },
    /// Not hex, empty, or above the limit.
    #[error("signature cannot be read")]
    SignatureForm,
    /// The second of the two signatures anyone can make from one.
    #[error("signature has a high s")]
    SignatureHighS,
    /// An ERC-6492 wrapper; no factory is allowed.
    #[error("ERC-6492 signatures are not accepted")]
    SignatureErc6492,
    /// Signed by somebody else, or over something else.
    #[error("signature is not the payer's")]
    Signature,

    // What the chain says
    /// `authorizationState` is true.
    #[error("authorization nonce is already used or cancelled")]
    NonceAlreadyUsed,
    /// The payer holds less than the amount.
    #[error("payer's balance is below the amount")]
    InsufficientBalance,
    /// The token refuses the transfer for another reason (paused, denylisted, too much gas).
    #[error("the transfer does not simulate: {reason}")]
    Simulation {
        /// The node's or the token's words, for the journal only.
        reason: String,
    },

    /// Code at the payer's address decides what becomes of the signature, and `contract_payers` is off.
    #[error(
        "the payer's address has code (a contract wallet, or an EIP-7702 delegation): this facilitator \
         takes such payers only with contract_payers = true; pay from an address without code"
    )]
    ContractPayer,
    /// No fees were read yet, so the transaction cannot be run as it would be signed.
    #[error("no fees read yet")]
    NoFees,

    // Signing
    /// The fee cap is below what inclusion costs now (I8).
    #[error("base fee {base_fee_wei} wei is above the cap of {cap_wei} wei")]
    FeeAboveCap {
        /// What the chain asks.
        base_fee_wei: u128,
        /// What the configuration allows.
        cap_wei: u128,
    },
    /// The transaction could cost more than its bound (I10).
    #[error("settling could cost {cost_wei} wei, the bound is {bound_wei} wei")]
    CostAboveBound {
        /// Gas limit × fee cap + L1 estimate with headroom.
        cost_wei: u128,
        /// What the payment or the operator's budget allows.
        bound_wei: u128,
    },
    /// Money arithmetic left its range.
    #[error("fee arithmetic out of range")]
    Overflow,

    /// A node did not answer, or not usefully.
    #[error("rpc: {0}")]
    Rpc(#[from] RpcError),
}

impl EvmError {
    /// Whether the same call may succeed later without anyone changing anything.
    pub fn retry(&self) -> bool {
        matches!(self, Self::Rpc(_) | Self::NoFees | Self::FeeAboveCap { .. } | Self::CostAboveBound { .. })
    }

    /// The code an official client knows for this.
    pub fn wire_code(&self) -> ErrorCode {
        use ErrorCode as C;
        match self {
            Self::Version => C::InvalidX402Version,
            Self::Scheme => C::InvalidExactEvmScheme,
            Self::Network => C::InvalidExactEvmNetworkMismatch,
            Self::Asset => C::InvalidPaymentRequirements,
            Self::Payload { .. } => C::InvalidPayload,
            Self::Recipient | Self::SelfPayment => C::InvalidExactEvmRecipientMismatch,
            Self::ValueMismatch => C::InvalidExactEvmPayloadAuthorizationValueMismatch,
            Self::Value => C::InvalidExactEvmAuthorizationValue,
            Self::NotYetValid => C::InvalidExactEvmPayloadAuthorizationValidAfter,
            Self::Expired | Self::TooFarAhead { .. } => C::InvalidExactEvmPayloadAuthorizationValidBefore,
            Self::SignatureForm => C::InvalidExactEvmFailedToParseSignature,
            Self::SignatureErc6492 => C::Eip6492FactoryNotAllowed,
            Self::SignatureHighS | Self::Signature => C::InvalidExactEvmSignature,
            Self::NonceAlreadyUsed => C::InvalidExactEvmNonceAlreadyUsed,
            Self::InsufficientBalance => C::InvalidExactEvmInsufficientBalance,
            Self::Simulation { .. } => C::InvalidExactEvmTransactionSimulationFailed,
            Self::AssetNotDeployed => C::AssetNotDeployedContract,
            Self::ContractPayer => C::UnsupportedPayloadType,
            Self::Config { .. }
            | Self::WalletKey
            | Self::ChainMismatch { .. }
            | Self::Decimals { .. }
            | Self::Currency
            | Self::DomainMismatch
            | Self::NoFees
            | Self::FeeAboveCap { .. }
            | Self::CostAboveBound { .. }
            | Self::Overflow
            | Self::Rpc(_) => C::NetworkUnavailable,
        }
    }
}
