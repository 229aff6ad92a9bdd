//! Several payments in one transaction: what it may cost, what each would do in it, and its bytes.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use quittance_chain::{Batch, BatchItem, ChainFault, Rehearsal, SignRefused};
use quittance_protocol::SignedBytes;
use tokio::time::Instant;

use super::sign::{refused, signed_bytes};
use super::{EvmPorts, fault, ours};
use crate::batch::{BatchCall, bytes, may_share};
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::fee_snapshot::FeeSnapshot;
use crate::payment::EvmPayment;
use crate::rehearsal::{self, Account, Seen};
use crate::simulate::run_optional;
use crate::text;

/// A batch whose items go through Multicall3, with what it may cost per gas.
struct Priced {
    batch: BatchCall,
    fees: FeeSnapshot,
}

impl Priced {
    /// The L1 fee with headroom, as far as any cost bound reckons with it.
    fn l1_bound_wei(&self) -> Option<u128> {
        self.fees.cost_bound_wei(0, bytes(&self.batch.input))
    }

    fn bound_wei(&self) -> Option<u128> {
        self.fees.cost_bound_wei(self.batch.gas_limit, bytes(&self.batch.input))
    }
}

/// Most calls for one batch: the first may find code at some payers, the second at those that got it since.
const REHEARSALS_MAX: usize = 3;

/// How long no batch is made after one that no node would rehearse.
const ALONE_FOR: Duration = Duration::from_secs(60);

const OUT_OF_RANGE: &str = "fees out of range";

impl EvmPorts {
    /// A node that does not run rehearsals is not asked for one before each payment.
    fn goes_alone(&self) -> bool {
        let until = *self.alone_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn note_refusal(&self) {
        let until = Instant::now().checked_add(ALONE_FOR);
        *self.alone_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn batch_of(&self, payments: &[&EvmPayment]) -> Option<BatchCall> {
        BatchCall::new(self.chain.terms().multicall, payments, self.chain.batch_gas())
    }

    /// The batch at the lowest fee cap that one of its items would have: alone, and with its share of
    /// this transaction's L1 fee (I10). What an item uses beside others is less than it is expected to
    /// use alone.
    fn priced(&self, items: &[BatchItem]) -> Result<Priced, SignRefused> {
        let payments = payments(items).map_err(SignRefused::never)?;
        let never = || SignRefused::never("these payments do not share a transaction");
        let batch = self.batch_of(&payments).ok_or_else(never)?;
        let fees = self.chain.fees().ok_or_else(|| SignRefused::later("no fees read yet"))?;
        let mut priced = Priced { batch, fees };
        let count = u128::try_from(items.len()).unwrap_or(u128::MAX).max(1);
        let l1 = priced.l1_bound_wei().ok_or_else(|| SignRefused::later(OUT_OF_RANGE))?.div_ceil(count);
        let expected = u128::from(self.chain.config().settle_gas_expected.max(1));
        for item in items {
            let alone = self.fees_within(item.charged_native)?.max_fee_per_gas_wei;
            let shared = item.charged_native.saturating_sub(l1) / expected;
            priced.fees.max_fee_per_gas_wei = priced.fees.max_fee_per_gas_wei.min(alone).min(shared);
        }
        if priced.fees.max_fee_per_gas_wei <= priced.fees.base_fee_wei {
            return Err(SignRefused::later("the base fee is above what was charged"));
        }
        Ok(priced)
    }

    /// One call: nothing was run where a payer has code.
    async fn run_once(
        &self,
        payments: &[&EvmPayment],
        fees: &FeeSnapshot,
        wallet: &str,
    ) -> Result<Seen, EvmError> {
        let problem = "is none of ours";
        let unusable = || EvmError::Config { field: "wallet", problem };
        let wallet = text::address(wallet).filter(|one| self.chain.is_ours(*one)).ok_or_else(unusable)?;
        let problem = "holds payments that do not share a transaction";
        let unusable = || EvmError::Config { field: "batch", problem };
        let batch = self.batch_of(payments).ok_or_else(unusable)?;
        let call = rehearsal::call(batch.to, payments, &batch.input, batch.gas_limit).ok_or_else(unusable)?;
        let call = &call;
        self.chain
            .read(|rpc| async move {
                let answer = run_optional(rpc, wallet, call.gas, &call.code, Some(fees.into())).await?;
                let seen = rehearsal::read(&answer, payments.len());
                Ok(seen.ok_or(RpcError::BadAnswer("code that is not deployed"))?)
            })
            .await
    }

    /// What those at these places would do; `said` of the others is not touched.
    async fn rehearse_some(
        &self,
        (payments, places): (&[&EvmPayment], &[usize]),
        fees: &FeeSnapshot,
        wallet: &str,
        said: &mut [Rehearsal],
    ) -> Result<Vec<usize>, ChainFault> {
        let chosen: Vec<&EvmPayment> = places.iter().filter_map(|at| payments.get(*at).copied()).collect();
        let verdicts: Vec<Option<Rehearsal>> = match self.run_once(&chosen, fees, wallet).await {
            Ok(Seen::Code(accounts)) => accounts.into_iter().map(of_account).collect(),
            Ok(Seen::Ran(moved)) => moved.into_iter().map(of_run).collect(),
            Ok(Seen::Failed) => {
                self.note_refusal();
                return Err(ChainFault("the node did not run the whole batch".to_owned()));
            }
            Err(error) => {
                // Who is away, or wants to be left alone, says nothing about such calls.
                if !matches!(&error, EvmError::Rpc(error) if error.is_of_the_connection()) {
                    self.note_refusal();
                }
                return Err(fault(error));
            }
        };
        let mut open = Vec::new();
        for (at, verdict) in places.iter().zip(verdicts) {
            match (verdict, said.get_mut(*at)) {
                (Some(verdict), Some(place)) => *place = verdict,
                _ => open.push(*at),
            }
        }
        Ok(open)
    }
}

fn of_account(account: Account) -> Option<Rehearsal> {
    match account {
        Account::Plain => None,
        Account::PayerHasCode => Some(Rehearsal::HasCode),
        Account::TokenHasNone => Some(Rehearsal::Fails),
    }
}

fn of_run(moved: bool) -> Option<Rehearsal> {
    Some(if moved { Rehearsal::Moves } else { Rehearsal::Fails })
}

fn payments(items: &[BatchItem]) -> Result<Vec<&EvmPayment>, &'static str> {
    items.iter().map(|item| ours(&item.payment)).collect()
}

#[async_trait]
impl Batch for EvmPorts {
    fn items_max(&self) -> usize {
        if self.goes_alone() { 0 } else { self.chain.batch_gas().items_max() }
    }

    fn batch_bound(&self, items: &[BatchItem]) -> Result<u128, SignRefused> {
        self.priced(items)?.bound_wei().ok_or_else(|| SignRefused::later(OUT_OF_RANGE))
    }

    async fn rehearse(&self, items: &[BatchItem], wallet: &str) -> Result<Vec<Rehearsal>, ChainFault> {
        let payments = payments(items).map_err(|why| ChainFault(why.to_owned()))?;
        // What a contract vouches for is never run beside others.
        let mut said = vec![Rehearsal::HasCode; payments.len()];
        let plain = |at: &usize| payments.get(*at).is_some_and(|payment| may_share(payment));
        let mut open: Vec<usize> = (0..payments.len()).filter(plain).collect();
        let chosen: Vec<BatchItem> = open.iter().filter_map(|at| items.get(*at).cloned()).collect();
        for _ in 0..REHEARSALS_MAX {
            if open.is_empty() {
                return Ok(said);
            }
            let fees = self.priced(&chosen).map_err(|refused| ChainFault(refused.reason))?.fees;
            open = self.rehearse_some((&payments, &open), &fees, wallet, &mut said).await?;
        }
        match open.is_empty() {
            true => Ok(said),
            false => Err(ChainFault("payers got code while their batch was rehearsed".to_owned())),
        }
    }

    fn sign_batch(
        &self,
        items: &[BatchItem],
        wallet: &str,
        nonce: u64,
        reserved_native: u128,
    ) -> Result<SignedBytes, SignRefused> {
        if items.len() < 2 {
            return Err(SignRefused::never("a payment that shares with nobody goes alone"));
        }
        let mut priced = self.priced(items)?;
        // Fees may have risen since the reservation was made.
        let l1 = priced.l1_bound_wei().ok_or_else(|| SignRefused::later(OUT_OF_RANGE))?;
        let for_gas = reserved_native.saturating_sub(l1);
        let reserved = for_gas / u128::from(priced.batch.gas_limit.max(1));
        priced.fees.max_fee_per_gas_wei = priced.fees.max_fee_per_gas_wei.min(reserved);
        if priced.fees.max_fee_per_gas_wei <= priced.fees.base_fee_wei {
            return Err(SignRefused::later("the base fee is above what was reserved"));
        }
        let signed = self.chain.sign_batch(priced.batch, (wallet, nonce), &priced.fees, reserved_native);
        signed.map(signed_bytes).map_err(|error| refused(&error))
    }
}
