//! What inclusion costs at one moment, and what a transaction may cost then. Pure.

use serde::{Deserialize, Serialize};

use crate::config::L1_FEE_HEADROOM;

/// Size of a settlement of a key-signed payment, for which the L1 fee is asked.
pub(crate) const SETTLEMENT_BYTES: u64 = 480;

/// All fields of a transaction of ours but its input, with the signature.
pub(crate) const FIELDS_BYTES_MAX: u64 = 180;

/// What inclusion costs at one moment. Wei throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeSnapshot {
    /// Base fee of `block`.
    pub base_fee_wei: u128,
    /// `maxPriorityFeePerGas` to offer.
    pub priority_fee_wei: u128,
    /// `maxFeePerGas` to offer: what the base fee may rise to within
    /// [`FEE_HEADROOM_SECONDS`](crate::FEE_HEADROOM_SECONDS), and the tip, never above the
    /// configured cap.
    pub max_fee_per_gas_wei: u128,
    /// L1 data fee of one settlement of ordinary size; zero where the chain has no such fee.
    pub l1_fee_wei: u128,
    /// The block this was read from.
    pub block: u64,
    /// Its time, Unix seconds.
    pub block_time: u64,
    /// Our clock when it was read, Unix milliseconds.
    pub taken_at_ms: i64,
}

impl FeeSnapshot {
    /// The most that `gas` can cost in a transaction of `bytes` bytes: gas × fee cap + L1 fee with
    /// headroom, in whole multiples of an ordinary settlement (I10). `None` on overflow.
    pub fn cost_bound_wei(&self, gas: u64, bytes: u64) -> Option<u128> {
        let sizes = u128::from(bytes.div_ceil(SETTLEMENT_BYTES).max(1));
        let l1 = self.l1_fee_wei.checked_mul(L1_FEE_HEADROOM)?.checked_mul(sizes)?;
        u128::from(gas).checked_mul(self.max_fee_per_gas_wei)?.checked_add(l1)
    }
}
