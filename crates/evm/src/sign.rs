//! Fees, cost bounds and signing. Pure: nonce and fees come from the caller.

use crate::batch::BatchCall;
use crate::chain::EvmChain;
use crate::error::EvmError;
use crate::fee_snapshot::{FIELDS_BYTES_MAX, FeeSnapshot};
use crate::payment::EvmPayment;
use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, Signature, TxKind, U256};

/// A signed settlement; nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTransaction {
    /// EIP-2718 bytes for `eth_sendRawTransaction`.
    pub raw: Vec<u8>,
    /// Transaction hash, 0x hex.
    pub transaction: String,
    /// The wallet nonce it uses.
    pub nonce: u64,
    /// Gas limit.
    pub gas_limit: u64,
    /// Fee cap.
    pub max_fee_per_gas_wei: u128,
    /// The most it can cost.
    pub cost_bound_wei: u128,
}

/// At least as many bytes as the signed settlement has: its input, and every
/// other field at its longest.
fn settlement_bytes(payment: &EvmPayment) -> u64 {
    u64::try_from(payment.transfer_call().len()).unwrap_or(u64::MAX).saturating_add(FIELDS_BYTES_MAX)
}

/// What a transaction of ours does.
struct Call {
    to: Address,
    input: Vec<u8>,
    gas_limit: u64,
}

impl EvmChain {
    /// The most that [`Self::sign_settlement`] may sign for with these fees, in wei: never below what
    /// it says of the signed transaction. No I/O.
    pub fn settlement_bound_wei(&self, payment: &EvmPayment, fees: &FeeSnapshot) -> Option<u128> {
        fees.cost_bound_wei(self.config().settle_gas_limit, settlement_bytes(payment))
    }

    /// The fee cap at which the settlement costs no more than `bound_wei`. No I/O.
    pub fn fee_cap_within(&self, payment: &EvmPayment, fees: &FeeSnapshot, bound_wei: u128) -> Option<u128> {
        let l1_wei = fees.cost_bound_wei(0, settlement_bytes(payment))?;
        bound_wei.checked_sub(l1_wei)?.checked_div(u128::from(self.config().settle_gas_limit))
    }

    /// Signs the settlement of one payment with a wallet of ours, at the given nonce of it.
    ///
    /// The same arguments give the same bytes. Fails with [`EvmError::FeeAboveCap`] while the base
    /// fee is above the cap (I8) and with [`EvmError::CostAboveBound`] when the transaction could
    /// cost more than `cost_bound_wei` (I10); then nothing has been signed.
    pub fn sign_settlement(
        &self,
        payment: &EvmPayment,
        (wallet, nonce): (&str, u64),
        fees: &FeeSnapshot,
        cost_bound_wei: u128,
    ) -> Result<SignedTransaction, EvmError> {
        let (to, input) = (payment.token, payment.transfer_call());
        let settlement = Call { to, input, gas_limit: self.config().settle_gas_limit };
        self.sign_call(settlement, (wallet, nonce), fees, cost_bound_wei)
    }

    /// The same of a transaction that settles several payments.
    pub(crate) fn sign_batch(
        &self,
        batch: BatchCall,
        wallet: (&str, u64),
        fees: &FeeSnapshot,
        cost_bound_wei: u128,
    ) -> Result<SignedTransaction, EvmError> {
        let BatchCall { to, input, gas_limit } = batch;
        self.sign_call(Call { to, input, gas_limit }, wallet, fees, cost_bound_wei)
    }

    fn sign_call(
        &self,
        Call { to, input, gas_limit }: Call,
        (wallet, nonce): (&str, u64),
        fees: &FeeSnapshot,
        cost_bound_wei: u128,
    ) -> Result<SignedTransaction, EvmError> {
        let problem = "is none of ours";
        let key = self.key_of(wallet).ok_or(EvmError::Config { field: "wallet", problem })?;
        let config = self.config();
        let cap_wei = config.max_fee_per_gas_wei;
        let max_fee = fees.max_fee_per_gas_wei;
        if max_fee > cap_wei || fees.base_fee_wei > max_fee {
            return Err(EvmError::FeeAboveCap { base_fee_wei: fees.base_fee_wei, cap_wei });
        }
        let transaction = TxEip1559 {
            chain_id: self.terms().chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: max_fee,
            max_priority_fee_per_gas: fees.priority_fee_wei.min(max_fee),
            to: TxKind::Call(to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: input.into(),
        };
        // The signature adds at most 67 bytes.
        let bytes =
            u64::try_from(transaction.encoded_for_signing().len()).unwrap_or(u64::MAX).saturating_add(67);
        let cost_wei = fees.cost_bound_wei(gas_limit, bytes).ok_or(EvmError::Overflow)?;
        if cost_wei > cost_bound_wei {
            return Err(EvmError::CostAboveBound { cost_wei, bound_wei: cost_bound_wei });
        }
        let signature = key.sign(transaction.signature_hash());
        let signature = Signature::new(
            U256::from_be_bytes(signature.r.0),
            U256::from_be_bytes(signature.s.0),
            signature.y_odd,
        );
        let signed = transaction.into_signed(signature);
        Ok(SignedTransaction {
            transaction: format!("{:#x}", signed.hash()),
            raw: signed.encoded_2718(),
            nonce,
            gas_limit,
            max_fee_per_gas_wei: max_fee,
            cost_bound_wei: cost_wei,
        })
    }
}

#[cfg(test)]
mod tests;
