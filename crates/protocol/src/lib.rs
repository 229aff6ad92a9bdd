#![doc = include_str!("../README.md")]

mod amount;
mod attempt;
mod block_time;
mod dialect;
mod dollars;
mod endpoint;
mod episode;
mod error_code;
mod evidence;
mod exact;
mod header;
mod json;
mod key;
mod network;
mod offer_receipt;
mod secret;
mod shape;
mod terms;
pub mod v1;
mod v2;
mod words;

pub use amount::{Amount, AmountError, ParseAmountError, USDC_DECIMALS};
pub use attempt::{DurableAttempt, SendOutcome, SignedBytes};
pub use block_time::{BLOCK_MS_ASSUMED, BlockTime, blocks_in, look_pause_ms};
pub use dialect::{Dialect, NotAsked, Said};
pub use dollars::is_known_dollar;
pub use endpoint::{EndpointReport, EndpointState, MethodCount};
pub use episode::Episode;
pub use error_code::ErrorCode;
pub use evidence::{Deadline, Evidence, Landing, Standing};
pub use exact::{EvmAuthorization, EvmExactPayload, NumberText, SvmExactPayload};
pub use header::{
    HEADER_BYTES_MAX, HEADER_JSON_DEPTH_MAX, HeaderError, PAYMENT_REQUIRED, PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE, decode_header, encode_header, encode_header_json, parse_json_strict,
};
pub use json::{Json, JsonObject};
pub use key::{
    BodyDigest, Fingerprint, IdentifierHash, OFFERED_IDENTIFIER, PaymentId, PaymentKey, RequestId,
};
pub use network::{Family, Network, NetworkError};
pub use offer_receipt::{
    EIP712_FORMAT, OFFER_RECEIPT, OFFER_RECEIPT_VERSION, OfferPayload, ReceiptPayload, Signed, SignedOffer,
    SignedReceipt, signed_url,
};
pub use secret::Secret;
pub use shape::read_shape;
pub use terms::{SellerTerms, Term};
pub use v2::{
    Breakdown, MalformedIdentifier, PaymentPayload, PaymentRequired, PaymentRequirements, ResourceInfo,
    ResourceRef, RetryAction, SettleRequest, SettleResponse, SupportedKind, SupportedResponse, VerifyRequest,
    VerifyResponse, X402_VERSION,
};
pub use words::{WORDS_CHARS_MAX, Words, foreign_words, log_line, plain_words, without_keys};

/// Seconds since the Unix epoch.
///
/// Every chain deadline (`validAfter`, `validBefore`, block timestamps) is in
/// this unit; wall-clock readings are injected, never taken in a pure crate.
pub type UnixSeconds = u64;
