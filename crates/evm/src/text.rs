//! Hex and quantities as strangers and nodes write them.

use alloy::primitives::{Address, B256, hex};
use quittance_protocol::plain_words;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::failure::RpcError;

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

fn quantity_of(text: &str) -> Option<u128> {
    u128::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn data_of(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x")?).ok()
}

/// A JSON-RPC quantity, `0x1b4`, and no other way to write a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity(pub(crate) u128);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        quantity_of(&text).map(Self).ok_or_else(|| D::Error::custom("not a quantity"))
    }
}

/// JSON-RPC bytes, `0x…`, and no other way to write bytes.
#[derive(Clone, Debug)]
pub(crate) struct Data(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        data_of(&text).map(Self).ok_or_else(|| D::Error::custom("not bytes"))
    }
}

pub(crate) fn deserialize_quantity64<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let Quantity(number) = Quantity::deserialize(from)?;
    u64::try_from(number).map_err(|_| D::Error::custom("not a quantity of 64 bits"))
}

/// `null` is zero.
pub(crate) fn deserialize_quantity_or_zero<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
    Ok(Option::<Quantity>::deserialize(from)?.map_or(0, |Quantity(number)| number))
}

/// A JSON-RPC quantity, `0x1b4`.
pub(crate) fn quantity(value: &Value) -> Result<u128, RpcError> {
    value.as_str().and_then(quantity_of).ok_or(RpcError::BadAnswer("quantity"))
}

/// A JSON-RPC quantity of 64 bits.
pub(crate) fn quantity64(value: &Value) -> Result<u64, RpcError> {
    u64::try_from(quantity(value)?).map_err(|_| RpcError::BadAnswer("quantity"))
}

/// JSON-RPC bytes, `0x…`.
pub(crate) fn data(value: &Value) -> Result<Vec<u8>, RpcError> {
    value.as_str().and_then(data_of).ok_or(RpcError::BadAnswer("data"))
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
