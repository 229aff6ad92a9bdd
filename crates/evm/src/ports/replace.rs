//! Replacements at a wallet's nonce.

use async_trait::async_trait;
use quittance_chain::{ChainFault, Replace, ReplacementBound, SignRefused, Successor, Verified};
use quittance_protocol::{DurableAttempt, SignedBytes};

use super::sign::signed_bytes;
use super::{EvmPorts, fault, ours};
use crate::error::EvmError;
use crate::replace::Replaced;

fn refused(error: EvmError) -> SignRefused {
    SignRefused { retry: error.retry(), reason: error.to_string() }
}

impl EvmPorts {
    /// What a transaction with this gas limit is expected to use: as much of it as a lone settlement
    /// uses of its own.
    fn expected_gas(&self, gas_limit: u64) -> u128 {
        let config = self.chain.config();
        let scaled = u128::from(gas_limit).saturating_mul(u128::from(config.settle_gas_expected));
        scaled.div_ceil(u128::from(config.settle_gas_limit.max(1))).max(1)
    }
}

#[async_trait]
impl Replace for EvmPorts {
    fn replacement_bound(
        &self,
        replaced: &dyn DurableAttempt,
        by: Successor,
        charged_native: u128,
    ) -> Result<ReplacementBound, SignRefused> {
        let old = Replaced::read(replaced.raw_bytes()).map_err(refused)?;
        let fees = self.chain.replacing_fees(&old).map_err(refused)?;
        let out_of_range = || SignRefused::later("fees out of range");
        let what = match by {
            Successor::Same => old,
            // Any wallet's no-op costs the same.
            Successor::Nothing => {
                let key = self.chain.any_key().ok_or_else(|| SignRefused::never("no wallet"))?;
                old.emptied(key)
            }
        };
        let (native, data) = what.bound_wei(&fees).ok_or_else(out_of_range)?;
        if by == Successor::Nothing {
            return Ok(ReplacementBound { native, charged_native: 0 });
        }
        // I10: the fee at which the expected gas costs what was charged.
        let for_gas = charged_native.saturating_sub(data);
        let cap = (for_gas / self.expected_gas(what.gas_limit())).min(fees.cap_wei());
        let gas = u128::from(what.gas_limit()).saturating_mul(cap);
        let charged_native = if cap == 0 { 0 } else { gas.saturating_add(data).min(native) };
        Ok(ReplacementBound { native, charged_native })
    }

    fn sign_replacement(
        &self,
        replaced: &dyn DurableAttempt,
        wallet: &str,
        by: Successor,
        bound_native: u128,
    ) -> Result<SignedBytes, SignRefused> {
        let old = Replaced::read(replaced.raw_bytes()).map_err(refused)?;
        let key = self.chain.key_of(wallet).ok_or_else(|| SignRefused::never("a wallet that is not ours"))?;
        let fees = self.chain.replacing_fees(&old).map_err(refused)?;
        let what = match by {
            Successor::Same => old,
            Successor::Nothing => old.emptied(key),
        };
        let signed = self.chain.sign_again(what, key, &fees, bound_native).map_err(refused)?;
        Ok(signed_bytes(signed))
    }

    async fn living(&self, payments: &[Verified]) -> Result<Vec<bool>, ChainFault> {
        let ours: Result<Vec<_>, _> = payments.iter().map(ours).collect();
        let ours = ours.map_err(|why| ChainFault(why.to_owned()))?;
        self.chain.living(&ours).await.map_err(fault)
    }

    async fn used_finally(&self, wallet: &str) -> Result<u64, ChainFault> {
        self.chain.nonces_final(wallet).await.map_err(fault)
    }
}

#[cfg(test)]
mod tests;
