//! Hex and quantities as strangers and nodes write them.

use alloy::primitives::{Address, B256, hex};
use quittance_protocol::plain_words;
use serde_json::Value;

use crate::rpc::RpcError;

/// `0x` and exactly `N` bytes of hex in either case; nothing else.
pub(crate) fn fixed_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.strip_prefix("0x")?;
    if digits.len() != N.checked_mul(2)? {
        return None;
    }
    let mut out = [0_u8; N];
    hex::decode_to_slice(digits.as_bytes(), &mut out).ok()?;
    Some(out)
}

/// An address; the checksum case is not asked for, because clients differ.
pub(crate) fn address(text: &str) -> Option<Address> {
    fixed_bytes::<20>(text).map(Address::from)
}

/// A 32-byte word.
pub(crate) fn word(text: &str) -> Option<B256> {
    fixed_bytes::<32>(text).map(B256::from)
}

/// A JSON-RPC quantity, `0x1b4`.
pub(crate) fn quantity(value: &Value) -> Result<u128, RpcError> {
    let digits = value.as_str().and_then(|t| t.strip_prefix("0x")).ok_or(RpcError::BadAnswer("quantity"))?;
    u128::from_str_radix(digits, 16).map_err(|_| RpcError::BadAnswer("quantity"))
}

/// A JSON-RPC quantity of 64 bits.
pub(crate) fn quantity64(value: &Value) -> Result<u64, RpcError> {
    u64::try_from(quantity(value)?).map_err(|_| RpcError::BadAnswer("quantity"))
}

/// JSON-RPC bytes, `0x…`.
pub(crate) fn data(value: &Value) -> Result<Vec<u8>, RpcError> {
    let digits = value.as_str().and_then(|t| t.strip_prefix("0x")).ok_or(RpcError::BadAnswer("data"))?;
    hex::decode(digits).map_err(|_| RpcError::BadAnswer("data"))
}

/// A JSON-RPC quantity from a number.
pub(crate) fn to_quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// Words that came out of an answer's bytes (a token's revert reason), bounded and on one line. A
/// node's own words lose the URL as well, where they come in ([`crate::HttpRpc`]).
pub(crate) fn bounded(text: &str) -> String {
    plain_words(text)
}
