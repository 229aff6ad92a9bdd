//! What can go wrong, one variant per cause.

use quittance_protocol::ErrorCode;

use crate::rpc::RpcFailure;
use crate::token::MintFault;

/// Why bytes are not a transaction we can read in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedTransaction {
    /// Not padded standard base64.
    #[error("not padded standard base64")]
    Base64,
    /// Above [`crate::TRANSACTION_BYTES_MAX`].
    #[error("{bytes} bytes; a transaction has at most 1232")]
    TooLarge {
        /// Size that was sent.
        bytes: usize,
    },
    /// Above [`crate::TRANSACTION_V1_BYTES_MAX`].
    #[error("{bytes} bytes; a transaction of version 1 has at most 4096")]
    TooLargeV1 {
        /// Size that was sent.
        bytes: usize,
    },
    /// The budget in the header of version 1 names what is not known.
    #[error("the budget in the header names what is not known")]
    Budget,
    /// Ends in the middle of a field.
    #[error("truncated")]
    Truncated,
    /// Bytes after the end.
    #[error("bytes after the end")]
    TrailingBytes,
    /// A length that is not in its shortest form or exceeds 16 bits.
    #[error("a length is not in its shortest form")]
    Length,
    /// Of a version that is not known, or not taken on this network (`transaction_v1`).
    #[error(
        "a transaction of version {version}, which is not accepted; send a legacy or version 0 transaction"
    )]
    Version {
        /// What it says it is.
        version: u8,
    },
    /// The header's counts do not describe the account keys or signatures.
    #[error("the message header contradicts the account keys or signatures")]
    Header,
    /// An account key stands twice.
    #[error("an account key stands twice")]
    DuplicateKey,
    /// An instruction names an account that does not exist, or the fee payer as program.
    #[error("an instruction index is out of range")]
    IndexOutOfRange,
    /// Address lookups cannot be judged without reading the chain.
    #[error("address lookup tables are not accepted; list all accounts in the message")]
    LookupTable,
}

/// Everything this crate can refuse or fail at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SolanaError {
    // Configuration
    /// The key is neither base58 of 64 bytes nor a JSON array of 64 numbers, or its halves disagree.
    #[error("the key must be base58 of 64 bytes or a JSON array of 64 numbers, as solana-keygen writes it")]
    BadKey,
    /// A configured or offered address is not base58 of 32 bytes.
    #[error("{field} is not a Solana address; write base58 of 32 bytes")]
    BadAddress {
        /// Which setting. Its value may be a key, pasted by mistake.
        field: &'static str,
    },
    /// The configured network is not a Solana cluster.
    #[error("{network} is not a Solana network")]
    NotSolana {
        /// CAIP-2 identifier that was configured.
        network: String,
    },
    /// No RPC endpoint is configured.
    #[error("configure at least one Solana RPC URL")]
    NoEndpoint,
    /// An RPC URL cannot be used.
    #[error("RPC URL number {at} cannot be used; write an http or https URL")]
    BadUrl {
        /// Position in `rpc_urls`; the URL itself may hold a key.
        at: usize,
    },
    /// An endpoint serves another cluster.
    #[error(
        "rpc_urls[{endpoint}] serves the cluster of genesis {found}, which is not the configured network; correct one of them"
    )]
    ClusterMismatch {
        /// Position in `rpc_urls`.
        endpoint: usize,
        /// Genesis hash of the node.
        found: String,
    },
    /// The mint does not exist on that cluster.
    #[error("there is no mint at asset on this cluster; check network and asset")]
    MintMissing,
    /// The account is no mint of a token program.
    #[error("asset is not a mint of SPL Token or Token-2022")]
    NotAMint,
    /// It is one of the other token program.
    #[error(
        "asset is a mint of {found}; set token_program to \"token\" for Tokenkeg… and to \"token_2022\" for Tokenz…"
    )]
    AssetProgram {
        /// The program that owns it.
        found: String,
    },
    /// An extension of the mint decides what arrives, whether it does, or who may move it.
    #[error("asset is a token whose {extension} {problem}")]
    MintExtension {
        /// By the program's name.
        extension: &'static str,
        /// What it does.
        problem: &'static str,
    },
    /// The token's units are not what amounts are counted in.
    #[error(
        "the token has {found} decimals, asset_decimals says {expected}; amounts would be worth another sum than is asked for"
    )]
    Decimals {
        /// Decimals of the configuration.
        expected: u8,
        /// Decimals of the mint.
        found: u8,
    },
    /// Nobody could take a payment out again.
    #[error("pay_to {problem}{}", .owner.as_ref().map_or_else(String::new, |owner| format!(": {owner}")))]
    Recipient {
        /// What stands there, and what to put.
        problem: &'static str,
        /// The owner of the token account that was given.
        owner: Option<String>,
    },
    /// `ensure_token_account` sent its transaction but saw no confirmation in time.
    #[error("creation of the token account was sent as {transaction} but is not confirmed yet")]
    TokenAccountUnconfirmed {
        /// Signature of the creation.
        transaction: String,
    },
    /// The creation of our token account failed on chain.
    #[error("creation of the token account failed on chain: {reason}")]
    TokenAccountFailed {
        /// The runtime's error.
        reason: String,
    },

    /// Something else than our token account stands at its address.
    #[error("{account} is not a token account of the configured owner; was its authority changed?")]
    TokenAccountForeign {
        /// Base58 address.
        account: String,
    },

    // The payment as offered
    /// `accepted.scheme` is not `exact`.
    #[error("scheme is not exact")]
    Scheme,
    /// `accepted.network` is not ours.
    #[error("the payment is for another network")]
    NetworkMismatch,
    /// `accepted.asset` or the transferred mint (or its decimals) is not ours.
    #[error("the payment is in another token")]
    MintMismatch,
    /// `accepted.payTo` or the destination account is not ours.
    #[error("the payment goes to another recipient")]
    RecipientMismatch,
    /// The transferred amount is not `accepted.amount`.
    #[error("the transferred amount is not the accepted amount")]
    AmountMismatch,
    /// `accepted.extra.feePayer` is not our wallet.
    #[error("extra.feePayer is not a wallet of this facilitator")]
    FeePayerNotManaged,
    /// `payload` has no `transaction` text.
    #[error("payload.transaction is missing")]
    PayloadShape,

    // The transaction
    /// The bytes are no transaction we read.
    #[error("the transaction could not be decoded: {0}")]
    Malformed(#[from] MalformedTransaction),
    /// More than fee payer and payer must sign.
    #[error("{count} signatures are required; at most 2 are accepted")]
    ExcessiveSigners {
        /// Required signatures.
        count: usize,
    },
    /// Account 0 is not our wallet.
    #[error("the transaction's fee payer is not the offered one")]
    FeePayerMismatch,
    /// The payer's signature is missing or does not verify.
    #[error("the token owner's signature is missing or does not match the message")]
    SignatureInvalid,
    /// None, or more than the whitelist has room for.
    #[error("{count} instructions; 1 to {max} are accepted", max = crate::INSTRUCTIONS_MAX)]
    InstructionCount {
        /// Instructions found.
        count: usize,
    },
    /// A compute budget instruction that is malformed, repeated or not on the list.
    #[error(
        "compute budget: only one unit limit, one unit price and one limit of loaded account data above zero are accepted"
    )]
    ComputeLimit,
    /// The budget of a version 1 transaction, which stands in its header.
    #[error("the budget in the header of a version 1 transaction {problem}")]
    HeaderBudget {
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// Unit limit above the configured cap.
    #[error("compute unit limit {units} is above {max}")]
    ComputeLimitTooHigh {
        /// Requested units.
        units: u32,
        /// Configured cap.
        max: u32,
    },
    /// A unit price that is malformed or repeated.
    #[error("compute budget: the unit price is malformed or repeated")]
    ComputePrice,
    /// The unit price, or the fee it leads to, is above the configured caps.
    #[error("compute unit price {price} µlamports leads to a priority fee of {fee} lamports, above the cap")]
    ComputePriceTooHigh {
        /// Micro-lamports per unit.
        price: u64,
        /// Resulting priority fee in lamports.
        fee: u64,
    },
    /// No single-owner `TransferChecked` of the SPL token program.
    #[error("there is no TransferChecked of the SPL token program")]
    NoTransfer,
    /// The transfer is one of the other token program.
    #[error(
        "instruction {index} is a TransferChecked of another token program; the offered token's mint belongs to \
         {program}: transfer with that program, between its associated token accounts"
    )]
    OtherTokenProgram {
        /// Position in the message, from 0.
        index: usize,
        /// What owns the mint.
        program: String,
    },
    /// The authority of the transfer, or its source, is ours.
    #[error("the transfer would move the facilitator's own funds")]
    FeePayerTransferring,
    /// An instruction the whitelist does not know.
    #[error("instruction {index} is not accepted")]
    UnknownInstruction {
        /// Position in the message, from 0.
        index: usize,
    },
    /// The fee payer, or another key of ours, is given to an instruction that must not have it.
    #[error("instruction {index} names an account of the facilitator")]
    FeePayerExposed {
        /// Position in the message, from 0.
        index: usize,
    },
    /// Creation of an account that is not ours, after the transfer, or twice.
    #[error("instruction {index} may only create the offered recipient's token account, before the transfer")]
    TokenAccountCreation {
        /// Position in the message, from 0.
        index: usize,
    },
    /// More than one memo, or none where one is demanded.
    #[error("the number of memos is not accepted")]
    MemoCount,
    /// A memo that is too long, not UTF-8, names foreign accounts or is not the demanded one.
    #[error("the memo is not accepted")]
    MemoMismatch,
    /// `payload.payer` is not the owner that signed.
    #[error("payload.payer is not the token owner that signed")]
    PayerMismatch,
    /// The token account is missing and the paid offer did not charge its rent.
    #[error("the paid offer does not include the rent of the token account; ask for a fresh offer")]
    RentNotCharged,
    /// The cost bound does not fit what may be spent (invariant I10).
    #[error("co-signing could cost {bound} lamports; {allowed} are allowed")]
    CostAboveBound {
        /// Upper bound in lamports.
        bound: u64,
        /// Allowance in lamports.
        allowed: u64,
    },

    // The chain's judgement
    /// The node does not know the payer's blockhash.
    #[error(
        "the blockhash is unknown or too old; rebuild the transaction with a fresh finalized blockhash and sign it again"
    )]
    BlockhashNotFound,
    /// The payer's blockhash ends too soon for the transaction to land.
    #[error(
        "the blockhash is valid for {left} blocks more, which is too short to settle; rebuild the transaction with a fresh blockhash and sign it again"
    )]
    BlockhashEnding {
        /// Blocks that may still use it.
        left: u64,
    },
    /// The chain has this transaction already.
    #[error("this transaction has already been processed")]
    AlreadyProcessed,
    /// The payer's token account does not hold the amount.
    #[error("the payer's token balance is too low")]
    InsufficientFunds,
    /// Our wallet cannot pay fees or rent.
    #[error("the fee payer's balance is too low to settle now")]
    WalletCannotPay,
    /// It keeps no transaction history, or none that reaches back far enough.
    #[error("endpoint {endpoint} keeps no transaction history that reaches back to the payment")]
    NoHistory {
        /// Index into `rpc_urls`.
        endpoint: usize,
    },
    /// The simulation failed for another reason.
    #[error("the simulation failed: {reason}")]
    SimulationFailed {
        /// The runtime's error, as the node words it.
        reason: String,
    },

    // Nodes
    /// An endpoint failed; nothing is known about the payment.
    #[error("Solana RPC: {0}")]
    Rpc(#[from] RpcFailure),
    /// An endpoint's answer contradicts itself or the payment; it proves nothing.
    #[error("the endpoint's evidence for {transaction} contradicts the payment")]
    EvidenceMismatch {
        /// Signature that was looked up.
        transaction: String,
    },
}

impl From<MintFault> for SolanaError {
    fn from(MintFault { extension, problem, .. }: MintFault) -> Self {
        Self::MintExtension { extension, problem }
    }
}

impl SolanaError {
    /// Whether the very same payment may succeed later without the payer doing anything.
    pub fn retry(&self) -> bool {
        matches!(
            self,
            Self::Rpc(_)
                | Self::WalletCannotPay
                | Self::NoHistory { .. }
                | Self::EvidenceMismatch { .. }
                | Self::TokenAccountUnconfirmed { .. }
        )
    }

    /// The code official clients and servers know for this.
    pub fn wire_code(&self) -> ErrorCode {
        use ErrorCode as C;
        match self {
            Self::Scheme => C::InvalidExactSvmUnsupportedScheme,
            Self::NetworkMismatch => C::InvalidExactSvmNetworkMismatch,
            Self::MintMismatch => C::InvalidExactSvmPayloadMintMismatch,
            Self::RecipientMismatch => C::InvalidExactSvmPayloadRecipientMismatch,
            Self::AmountMismatch | Self::RentNotCharged => C::InvalidExactSvmPayloadAmountMismatch,
            Self::FeePayerNotManaged => C::InvalidExactSvmFeePayerNotManagedByFacilitator,
            Self::PayloadShape => C::InvalidExactSvmPayloadTransaction,
            Self::Malformed(_) => C::InvalidExactSvmPayloadTransactionCouldNotBeDecoded,
            Self::ExcessiveSigners { .. } => C::InvalidExactSvmPayloadExcessiveSigners,
            Self::FeePayerMismatch => C::InvalidExactSvmFeePayerMismatch,
            Self::SignatureInvalid => C::InvalidExactSvmPayloadSignatureInvalid,
            Self::InstructionCount { .. } => C::InvalidExactSvmPayloadTransactionInstructionsLength,
            Self::ComputeLimit | Self::HeaderBudget { .. } => {
                C::InvalidExactSvmPayloadTransactionInstructionsComputeLimitInstruction
            }
            Self::ComputeLimitTooHigh { .. } => {
                C::InvalidExactSvmPayloadTransactionInstructionsComputeLimitInstructionTooHigh
            }
            Self::ComputePrice => C::InvalidExactSvmPayloadTransactionInstructionsComputePriceInstruction,
            Self::ComputePriceTooHigh { .. } => {
                C::InvalidExactSvmPayloadTransactionInstructionsComputePriceInstructionTooHigh
            }
            Self::NoTransfer | Self::OtherTokenProgram { .. } => {
                C::InvalidExactSvmPayloadNoTransferInstruction
            }
            Self::FeePayerTransferring => C::InvalidExactSvmPayloadTransactionFeePayerTransferringFunds,
            Self::UnknownInstruction { index } | Self::TokenAccountCreation { index } => {
                unknown_instruction(*index)
            }
            Self::FeePayerExposed { .. } => C::InvalidExactSvmInvalidFeePayer,
            Self::MemoCount => C::InvalidExactSvmPayloadMemoCount,
            Self::MemoMismatch => C::InvalidExactSvmPayloadMemoMismatch,
            Self::PayerMismatch => C::InvalidPayload,
            Self::BlockhashNotFound | Self::BlockhashEnding { .. } | Self::SimulationFailed { .. } => {
                C::InvalidExactSvmTransactionSimulationFailed
            }
            Self::AlreadyProcessed => C::InvalidExactSvmNonceAlreadyUsed,
            Self::InsufficientFunds => C::InsufficientFunds,
            _ => C::NetworkUnavailable,
        }
    }
}

/// The reference numbers the instructions after its three fixed ones.
fn unknown_instruction(index: usize) -> ErrorCode {
    match index {
        3 => ErrorCode::InvalidExactSvmPayloadUnknownFourthInstruction,
        4 => ErrorCode::InvalidExactSvmPayloadUnknownFifthInstruction,
        5 => ErrorCode::InvalidExactSvmPayloadUnknownSixthInstruction,
        6 => ErrorCode::InvalidExactSvmPayloadUnknownSeventhInstruction,
        _ => ErrorCode::InvalidExactSvmPayloadUnknownOptionalInstruction,
    }
}
