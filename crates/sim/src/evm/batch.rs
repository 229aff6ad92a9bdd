//! Transactions for several payments, as the chain crate makes them.

use async_trait::async_trait;
use quittance_facilitator::chain::{Batch, BatchItem, ChainFault, Rehearsal, SignRefused};
use quittance_protocol::SignedBytes;
use serde_json::json;

use super::{FakeBase, bound_of, cap_within, fee_cap, number_of, unbounded};
use crate::base::{Act, Tx};
use crate::canary::Canary;
use crate::nodes::encode;
use crate::plan::Net;
use crate::stats::Fault;
use crate::world::World;

impl FakeBase {
    /// The lowest that one of them would have alone.
    fn batch_cap(&self, canary: Option<Canary>, items: &[BatchItem]) -> Result<(u64, u64), SignRefused> {
        let later = |reason: &str| SignRefused::later(reason);
        let base_fee = self.fee().ok_or_else(|| later("no fees read yet"))?;
        let caps = items.iter().map(|item| fee_cap(canary, base_fee, item.charged_native));
        let caps: Option<Vec<u64>> = caps.collect();
        let lowest = caps.and_then(|caps| caps.into_iter().min());
        let cap = lowest.ok_or_else(|| later("the base fee is above what one was charged"))?;
        Ok((cap, base_fee))
    }
}

#[async_trait]
impl Batch for FakeBase {
    fn items_max(&self) -> usize {
        self.link.world.with(|w| w.plan.batch_size_max)
    }

    fn batch_bound(&self, items: &[BatchItem]) -> Result<u128, SignRefused> {
        let canary = self.link.world.with(|w| w.plan.canary);
        self.batch_cap(canary, items).map(|(cap, _)| bound_of(cap, items.len()))
    }

    async fn rehearse(&self, items: &[BatchItem], _wallet: &str) -> Result<Vec<Rehearsal>, ChainFault> {
        let keys: Vec<Option<usize>> = items.iter().map(|item| number_of(&item.payment)).collect();
        let shown = |w: &mut World, at: usize| -> Vec<Rehearsal> {
            keys.iter().map(|key| w.rehearse(*key, at)).collect()
        };
        self.link.rpc(Net::Base, 69, None, shown).await
    }

    fn sign_batch(
        &self,
        items: &[BatchItem],
        wallet: &str,
        nonce: u64,
        reserved_native: u128,
    ) -> Result<SignedBytes, SignRefused> {
        let later = |reason: &str| SignRefused::later(reason);
        let wallet = Self::wallet(wallet).map_err(|fault| SignRefused::never(fault.0))?;
        let keys: Option<Vec<usize>> = items.iter().map(|item| number_of(&item.payment)).collect();
        let keys = keys.ok_or_else(|| later("no such payment"))?;
        let canary = self.link.world.with(|w| w.plan.canary);
        let (cap, base_fee) = self.batch_cap(canary, items)?;
        let affordable = cap_within(reserved_native, items.len());
        let blind = unbounded(canary) || canary == Some(Canary::BatchBeyondReservation);
        let cap = if blind { cap } else { cap.min(affordable) };
        if cap <= base_fee {
            return Err(later("the base fee is above what was reserved"));
        }
        self.link.world.with(|w| {
            if keys.iter().any(|key| w.facts.get(*key).is_none_or(|fact| fact.unsignable)) {
                return Err(SignRefused::never("no function takes one of them"));
            }
            if keys.iter().any(|key| w.holds_signature(*key) || w.holds_back(*key)) {
                return Err(later("fees are too high for now"));
            }
            let id = w.next_tx;
            w.next_tx = id.saturating_add(1);
            let key = w.named(&keys);
            w.base.batches.insert(id, keys.clone());
            w.report.count(Fault::Batched);
            let nonce = Some(nonce);
            let tx = Tx { id, key, act: Act::Pay, nonce, wallet, fee_cap: cap, wrapped: false };
            w.base.as_sent.insert(id, tx);
            if canary == Some(Canary::SendBeforeRecord) {
                w.node_takes(&self.link.world, tx);
            }
            let detail = json!({ "nonce": nonce, "fee_cap": cap, "wallet": wallet, "payments": keys.len() });
            Ok(SignedBytes { raw: encode(tx), transaction: format!("0x{id}"), detail })
        })
    }
}

impl World {
    /// Under which of a transaction's payments it is spoken of: the one that a seed aims at.
    pub(crate) fn named(&self, keys: &[usize]) -> usize {
        let aimed = keys.iter().find(|key| **key == 0);
        aimed.or(keys.first()).copied().unwrap_or(0)
    }

    fn rehearse(&mut self, key: Option<usize>, endpoint: usize) -> Rehearsal {
        let has_code = key.and_then(|key| self.facts.get(key)).is_some_and(|fact| fact.terms.never);
        match self.check_base(key, endpoint) {
            _ if has_code => Rehearsal::HasCode,
            Ok(_) => Rehearsal::Moves,
            Err(_) => {
                self.report.count(Fault::LeftOut);
                Rehearsal::Fails
            }
        }
    }
}
