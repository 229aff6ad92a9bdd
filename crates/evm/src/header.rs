//! A block header, as far as it is read.

use alloy::primitives::B256;
use quittance_protocol::UnixSeconds;
use serde::Deserialize;

use crate::text;

/// What is used of a block header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Block {
    #[serde(deserialize_with = "text::deserialize_quantity64")]
    pub(crate) number: u64,
    pub(crate) hash: B256,
    #[serde(rename = "parentHash")]
    pub(crate) parent: B256,
    #[serde(deserialize_with = "text::deserialize_quantity64")]
    pub(crate) timestamp: UnixSeconds,
    #[serde(rename = "baseFeePerGas", default, deserialize_with = "text::deserialize_quantity_or_zero")]
    pub(crate) base_fee_wei: u128,
}
