//! Replacements as the chain crate makes them: its rules, not its bytes.

use async_trait::async_trait;
use quittance_facilitator::chain::{ChainFault, Replace, ReplacementBound, SignRefused, Successor, Verified};
use quittance_protocol::{DurableAttempt, SignedBytes};
use serde_json::json;

use super::{FakeBase, bound_of, number_of};
use crate::base::{Act, FEE_CAP, FEE_UNIT_WEI, GAS, NOTHING_GAS, Tx};
use crate::canary::Canary;
use crate::nodes::{decode, encode};
use crate::plan::Net;
use crate::world::World;

/// After its end a payment counts as alive for so long: a reorganisation may put an earlier block there.
const ENDED_MARGIN_MS: u64 = 4_000;

fn later(reason: &str) -> SignRefused {
    SignRefused::later(reason)
}

impl FakeBase {
    /// The old transaction, and what replaces it may pay for gas.
    fn replacing(&self, replaced: &dyn DurableAttempt) -> Result<(Tx, u64), SignRefused> {
        let old = decode(replaced.raw_bytes()).ok_or_else(|| SignRefused::never("no transaction of ours"))?;
        let base_fee = self.fee().ok_or_else(|| later("no fees read yet"))?;
        let least = old.fee_cap.saturating_mul(11).div_ceil(10);
        let most = match self.link.world.with(|w| w.plan.canary) {
            Some(Canary::ReplacedBeyondCap) => u64::MAX,
            _ => FEE_CAP,
        };
        let cap = base_fee.saturating_mul(2).saturating_add(1).max(least).min(most);
        match cap >= least && cap > base_fee {
            true => Ok((old, cap)),
            false => Err(later("no fee under the cap replaces it")),
        }
    }
}

/// The most that a transaction that does nothing can cost.
pub(crate) fn nothing_bound(cap: u64) -> u128 {
    u128::from(cap).saturating_mul(FEE_UNIT_WEI).saturating_mul(u128::from(NOTHING_GAS))
}

/// The most that a replacement of a transaction for so many payments can cost.
fn bound_by(by: Successor, old: &Tx, cap: u64, payments: usize) -> u128 {
    match (by, old.act) {
        (Successor::Same, Act::Pay) => bound_of(cap, payments),
        _ => nothing_bound(cap),
    }
}

#[async_trait]
impl Replace for FakeBase {
    fn replacement_bound(
        &self,
        replaced: &dyn DurableAttempt,
        by: Successor,
        charged_native: u128,
    ) -> Result<ReplacementBound, SignRefused> {
        let (old, cap) = self.replacing(replaced)?;
        let payments = self.link.world.with(|w| w.base.keys_of(old).len());
        let native = bound_by(by, &old, cap, payments);
        if by == Successor::Nothing {
            return Ok(ReplacementBound { native, charged_native: 0 });
        }
        let expected = u128::from(GAS).saturating_mul(u128::try_from(payments).unwrap_or(1));
        let affordable = charged_native / FEE_UNIT_WEI / expected;
        let own = cap.min(u64::try_from(affordable).unwrap_or(u64::MAX));
        Ok(ReplacementBound { native, charged_native: bound_of(own, payments).min(native) })
    }

    fn sign_replacement(
        &self,
        replaced: &dyn DurableAttempt,
        wallet: &str,
        by: Successor,
        bound_native: u128,
    ) -> Result<SignedBytes, SignRefused> {
        let (old, cap) = self.replacing(replaced)?;
        let wallet = Self::wallet(wallet).map_err(|fault| SignRefused::never(fault.0))?;
        let keys = self.link.world.with(|w| w.base.keys_of(old));
        if wallet != old.wallet || bound_by(by, &old, cap, keys.len()) > bound_native {
            return Err(later("it could cost more than is reserved"));
        }
        let act = if by == Successor::Same { old.act } else { Act::Empty };
        Ok(self.link.world.with(|w| {
            let id = w.next_tx;
            w.next_tx = id.saturating_add(1);
            let tx = Tx { id, act, fee_cap: cap, ..old };
            let nothing = act == Act::Empty;
            if !nothing && keys.len() > 1 {
                w.base.batches.insert(id, keys);
                w.base.as_sent.insert(id, tx);
            }
            let detail = json!({ "nonce": tx.nonce, "fee_cap": cap, "wallet": wallet, "nothing": nothing });
            SignedBytes { raw: encode(tx), transaction: format!("0x{id}"), detail }
        }))
    }

    async fn living(&self, payments: &[Verified]) -> Result<Vec<bool>, ChainFault> {
        let keys: Vec<Option<usize>> = payments.iter().map(number_of).collect();
        let living =
            |w: &mut World, at| keys.iter().map(|key| key.is_none_or(|key| w.lives_base(key, at))).collect();
        self.link.rpc(Net::Base, 69, None, living).await
    }

    async fn used_finally(&self, wallet: &str) -> Result<u64, ChainFault> {
        let wallet = Self::wallet(wallet)?;
        self.link
            .rpc(Net::Base, 59, None, |w, at| {
                let head = w.base.head().saturating_sub(w.lag(Net::Base, at));
                w.base.nonces_used(wallet, w.base.finalized(head))
            })
            .await
    }
}

impl World {
    /// Whether a payment can still land, as this endpoint sees it; where there are two, they must
    /// agree that it cannot.
    fn lives_base(&mut self, key: usize, at: usize) -> bool {
        if self.lives_at(key, at) {
            return true;
        }
        match self.another(at) {
            _ if self.plan.endpoints < 2 => false,
            Some(other) => self.lives_at(key, other),
            None => true,
        }
    }

    fn lives_at(&mut self, key: usize, at: usize) -> bool {
        let head = self.base.head().saturating_sub(self.lag(Net::Base, at));
        let Some(fact) = self.facts.get(key) else { return true };
        let ended = self.base.time_ms(head) >= fact.terms.valid_before_ms.saturating_add(ENDED_MARGIN_MS);
        let used = self.base.used(key, head).is_some() && !self.lies(at);
        !ended && !used
    }
}
