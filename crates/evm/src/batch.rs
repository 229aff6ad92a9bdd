//! One transaction that settles several payments: `aggregate3` of Multicall3, each item allowed to fail
//! alone. Pure.
//!
//! Its gas limit is the sum of what the items may use, never a node's estimate: behind Circle's proxy an
//! estimate ends at the gas with which the last transfer inside runs dry, because that is no failure of
//! the call around it. `aggregate3` gives each item all the gas there is, so nothing of a stranger's runs
//! in a batch: an item is a key's payment whose payer had no code when the batch was rehearsed, and what
//! it uses is the token's own.

use alloy::primitives::{Address, B256, b256, keccak256};
use alloy::sol_types::SolCall;

use crate::abi::IMulticall3;
use crate::fee_snapshot::FIELDS_BYTES_MAX;
use crate::payment::{EvmPayment, SignatureKind};
use crate::rehearsal;
use crate::simulate::intrinsic_gas;

/// What stands at Multicall3's address where it is Multicall3: it keeps nothing, pays nobody, and runs
/// each item with the gas that there is.
const MULTICALL3_CODE_HASH: B256 = b256!("d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891");

/// Most payments in one transaction, whatever its gas: its bytes stay below the 128 KiB that nodes take
/// (geth, op-geth, reth: 131,072), and its rehearsal below the 49,152 of EIP-3860.
pub(crate) const ITEMS_MAX: usize = 200;

/// What only the first item meets cold: the token's code and its implementation's, what it reads of
/// itself, the recipient.
const SHARED_GAS: u64 = 45_000;
/// For Multicall3's own work on an item, its memory and its result.
const ITEM_GAS: u64 = 3_000;
/// A call passes on all but a sixty-fourth of the gas that is left (EIP-150).
const PASSED_ON: u64 = 63;
/// Of the calldata of one item, if no byte of the transfer is zero (EIP-2028).
const CALLDATA_ITEM_GAS: u64 = 5_800;
/// Of the calldata around the items.
const CALLDATA_GAS: u64 = 2_000;
/// Floor of a transaction's gas by its calldata (EIP-7623): for a zero byte, and for any other.
const FLOOR_ZERO_GAS: u64 = 10;
const FLOOR_BYTE_GAS: u64 = 40;
const BASE_GAS: u64 = 21_000;

/// Whether code is Multicall3's.
pub(crate) fn is_multicall3(code: &[u8]) -> bool {
    keccak256(code) == MULTICALL3_CODE_HASH
}

/// What the items of a batch may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchGas {
    /// One transfer. Alone it pays the transaction's own gas and all cold storage from the same sum,
    /// so beside others it has that much headroom.
    pub(crate) each: u64,
    /// The whole transaction, and its rehearsal: nodes hold both to it.
    pub(crate) transaction_max: u64,
}

impl BatchGas {
    /// What the items and what they share may use, beside the calldata.
    fn run(self, items: u64) -> u64 {
        let passed = self.each.saturating_add(self.each.div_ceil(PASSED_ON));
        items.saturating_mul(passed.saturating_add(ITEM_GAS)).saturating_add(SHARED_GAS)
    }

    /// Gas limit of the transaction with this input for so many items.
    pub(crate) fn limit(self, items: usize, input: &[u8]) -> u64 {
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        self.run(items).saturating_add(intrinsic_gas(input)).max(floor_gas(input))
    }

    /// Most items in one transaction; fewer than two: there are no batches.
    pub(crate) fn items_max(self) -> usize {
        let fits = |items: &usize| {
            let count = u64::try_from(*items).unwrap_or(u64::MAX);
            let calldata = count.saturating_mul(CALLDATA_ITEM_GAS).saturating_add(CALLDATA_GAS);
            let limit = self.run(count).saturating_add(calldata).saturating_add(BASE_GAS);
            rehearsal::gas_max(*items, limit) <= self.transaction_max
        };
        (1..=ITEMS_MAX).take_while(fits).last().unwrap_or(0)
    }
}

/// What a transaction pays at least for its calldata.
fn floor_gas(input: &[u8]) -> u64 {
    input.iter().fold(BASE_GAS, |gas, byte| {
        gas.saturating_add(if *byte == 0 { FLOOR_ZERO_GAS } else { FLOOR_BYTE_GAS })
    })
}

/// Whether a payment may share a transaction, as far as it says itself: what a contract vouches for runs
/// that contract.
pub(crate) fn may_share(payment: &EvmPayment) -> bool {
    payment.signature_kind() == SignatureKind::Ecdsa
}

/// Call data of the batch.
pub(crate) fn input(payments: &[&EvmPayment]) -> Vec<u8> {
    let call = |payment: &&EvmPayment| IMulticall3::Call3 {
        target: payment.token,
        allowFailure: true,
        callData: payment.transfer_call().into(),
    };
    IMulticall3::aggregate3Call { calls: payments.iter().map(call).collect() }.abi_encode()
}

/// At least as many bytes as the signed batch has.
pub(crate) fn bytes(input: &[u8]) -> u64 {
    u64::try_from(input.len()).unwrap_or(u64::MAX).saturating_add(FIELDS_BYTES_MAX)
}

/// The batch as it is run: to whom, with what, and at most with how much gas.
pub(crate) struct BatchCall {
    pub(crate) to: Address,
    pub(crate) input: Vec<u8>,
    pub(crate) gas_limit: u64,
}

impl BatchCall {
    /// `None` for none, more than fit, or one that shares with nobody.
    pub(crate) fn new(to: Address, payments: &[&EvmPayment], gas: BatchGas) -> Option<Self> {
        let count = payments.len();
        let fits = count > 0 && count <= gas.items_max();
        if !fits || !payments.iter().all(|payment| may_share(payment)) {
            return None;
        }
        let input = input(payments);
        let gas_limit = gas.limit(count, &input);
        (gas_limit <= gas.transaction_max).then_some(Self { to, input, gas_limit })
    }
}

#[cfg(test)]
mod tests;
