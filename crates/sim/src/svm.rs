//! Solana as a process sees it.

use std::sync::Arc;

use async_trait::async_trait;
use quittance_facilitator::Rejection;
use quittance_facilitator::chain::{
    Broadcast, Chain, ChainFault, ChainView, CheckError, CostAllowed, CostSnapshot, Costs, Decode, Facts,
    GasCoin, Heights, Identity, Landed, Ports, Sent, Sign, SignRefused, Unreadable, Use, Verified, Verify,
    Watch, Watched,
};
use quittance_protocol::{
    Amount, Deadline, DurableAttempt, ErrorCode, Evidence, Landing, Network, PaymentKey, PaymentPayload,
    SignedBytes, Standing, UnixSeconds,
};
use serde_json::{Map, Value, json};

use crate::base::{Act, Tx};
use crate::canary::Canary;
use crate::evm::{amount, identity, local, number_of, rejected, revived};
use crate::nodes::{encode, send, solana_tx};
use crate::plan::Net;
use crate::settings::{number_of_wallet, roles};
use crate::solana::{BLOCKHASH_SLOTS, FINALIZED_SLOTS, STATUS_CACHE_SLOTS, slot};
use crate::world::World;
use crate::world::link::Link;

/// What a settlement costs.
pub(crate) const LAMPORTS: u128 = 5_000;

/// A chain of one life of one process.
pub(crate) struct FakeSolana {
    pub(crate) link: Arc<Link>,
    pub(crate) network: Network,
    /// What this life's configuration says.
    pub(crate) pay_to: &'static str,
}

impl FakeSolana {
    /// As the process gets it.
    pub(crate) fn into_chain(self) -> Chain {
        let plan = self.link.world.with(|w| w.plan.clone());
        let (wallets, retired_wallets) = roles(&plan, Net::Solana, self.link.has_moved);
        let facts = Facts {
            network: self.network.clone(),
            coin: GasCoin { name: "SOL".to_owned(), decimals: 9, pair: "sol_usd".to_owned() },
            wallets,
            retired_wallets,
            offer_wallet: (plan.wallets > 1).then_some("feePayer"),
            offer_extra: Map::new(),
            takes_nonce: false,
            amount_mismatch: ErrorCode::InvalidExactSvmPayloadAmountMismatch,
            network_mismatch: ErrorCode::InvalidExactSvmNetworkMismatch,
        };
        let chain = Arc::new(self);
        let ports = Ports::of(&chain);
        Chain::connected(facts, chain, ports)
    }
}

impl Decode for FakeSolana {
    fn identify(&self, payload: &PaymentPayload) -> Option<Identity> {
        identity(&self.link, Net::Solana, payload)
    }

    fn amount(&self, payload: &Value) -> Option<Amount> {
        amount(&self.link, Net::Solana, payload)
    }

    fn revive(&self, form: &Value) -> Result<Verified, Unreadable> {
        revived(&self.link, Net::Solana, form)
    }
}

#[async_trait]
impl Verify for FakeSolana {
    fn check_local(&self, payload: &PaymentPayload) -> Result<Verified, Rejection> {
        local(&self.link, Net::Solana, self.pay_to, payload)
    }

    fn check_window(&self, _payment: &Verified, _now: UnixSeconds) -> Result<(), Rejection> {
        Ok(())
    }

    async fn check_chain(&self, payment: &Verified) -> Result<ChainView, CheckError> {
        let key = number_of(payment);
        let process = self.link.process;
        let checked = |w: &mut World, at| {
            let view = w.check_solana(key, at);
            w.note_view(process, key, view.as_ref().ok());
            view
        };
        match self.link.rpc(Net::Solana, 70, key, checked).await {
            Err(fault) => Err(CheckError::Unreachable(fault.0)),
            Ok(Err(rejection)) => Err(CheckError::Rejected(rejection)),
            Ok(Ok(view)) => Ok(view),
        }
    }

    async fn find_use(&self, _payment: &Verified) -> Option<Use> {
        None
    }

    async fn deadline(&self, payment: &Verified, _view: &ChainView) -> Result<Deadline, CheckError> {
        let key = number_of(payment);
        let found = self
            .link
            .rpc(Net::Solana, 71, key, |w, _| {
                let own = key.and_then(|key| w.facts.get(key)).map(|fact| fact.last_valid_slot)?;
                match w.plan.canary {
                    Some(Canary::HoldOutlives) => w.last_valid_slot().checked_add(BLOCKHASH_SLOTS),
                    _ => Some(own),
                }
            })
            .await;
        match found {
            Ok(Some(height)) => Ok(Deadline::BlockHeight(height)),
            Ok(None) => Err(CheckError::Unreachable("no such payment".to_owned())),
            Err(fault) => Err(CheckError::Unreachable(fault.0)),
        }
    }
}

impl Sign for FakeSolana {
    fn cost_bound(&self, _payment: &Verified, _allowed: u128) -> Result<u128, SignRefused> {
        Ok(LAMPORTS)
    }

    fn sign(
        &self,
        payment: &Verified,
        wallet: &str,
        _nonce: Option<u64>,
        allowed: CostAllowed,
    ) -> Result<SignedBytes, SignRefused> {
        let refused = |retry, reason: &str| Err(SignRefused { retry, reason: reason.to_owned() });
        let CostAllowed { charged_native: allowed, reserved_native: reserved } = allowed;
        let Some(key) = number_of(payment) else { return refused(false, "no such payment") };
        if self.link.world.with(|w| w.facts.get(key).is_none_or(|fact| fact.unsignable)) {
            return refused(false, "a program of its own");
        }
        if self.link.world.with(|w| w.holds_signature(key)) {
            return refused(true, "fees are too high for now");
        }
        if allowed.min(reserved) < LAMPORTS {
            return refused(true, "the fee is above what was charged");
        }
        let by = number_of_wallet(Net::Solana, wallet);
        let named = self.link.world.with(|w| w.facts.get(key).map(|fact| fact.wallet));
        let Some(wallet) = by.filter(|by| named == Some(*by)) else {
            return refused(false, "the message names another fee payer");
        };
        let id = solana_tx(key);
        let tx = Tx { id, key, act: Act::Pay, nonce: None, wallet, fee_cap: 0, wrapped: false };
        let detail = json!({ "allowed": allowed.to_string() });
        Ok(SignedBytes { raw: encode(tx), transaction: format!("sol{}", tx.id), detail })
    }
}

#[async_trait]
impl Broadcast for FakeSolana {
    async fn broadcast(&self, attempt: &dyn DurableAttempt) -> Sent {
        send(&self.link, attempt).await.into()
    }
}

#[async_trait]
impl Watch for FakeSolana {
    async fn scan(&self, watched: &[Watched], _: i64) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault> {
        self.link.rpc(Net::Solana, 72, None, |w, at| w.scan_solana(at, watched)).await
    }

    async fn heights(&self, _: i64) -> Result<Heights, ChainFault> {
        self.link
            .rpc(Net::Solana, 74, None, |w, at| {
                let latest = slot(w.now()).saturating_sub(w.lag(Net::Solana, at));
                Heights { latest, finalized: latest.saturating_sub(FINALIZED_SLOTS) }
            })
            .await
    }

    async fn standing(&self, landed: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault> {
        self.link
            .rpc(Net::Solana, 75, None, |w, at| {
                let now = slot(w.now()).saturating_sub(w.lag(Net::Solana, at));
                let stands = |landed: &Landed| Some((landed.key, w.standing_solana(landed, now, at)?));
                landed.iter().filter_map(stands).collect()
            })
            .await
    }
}

#[async_trait]
impl Costs for FakeSolana {
    async fn refresh(&self, _now_ms: i64) -> Result<CostSnapshot, ChainFault> {
        let ((), way) = self.link.costs(Net::Solana, 73, |_| ()).await?;
        Ok(CostSnapshot {
            cost_native: LAMPORTS,
            rent_native: 0,
            wallets_native: way.balances(Net::Solana, LAMPORTS),
            floor_native: 0,
            bound_native: LAMPORTS,
            owed_account: None,
            obstacle: way.obstacle,
            detail: Value::Null,
            offer_extra: Map::new(),
        })
    }
}

impl World {
    fn check_solana(&mut self, key: Option<usize>, endpoint: usize) -> Result<ChainView, Rejection> {
        let now = self.now();
        let at = slot(now).saturating_sub(self.lag(Net::Solana, endpoint));
        let Some((key, fact)) = key.and_then(|key| Some((key, self.facts.get(key)?))) else {
            return Err(rejected(ErrorCode::InvalidPayload, "no such payment"));
        };
        let landed = self.solana.status(key, at).is_some();
        let closed = self.obstacle(Net::Solana).is_some();
        if landed || closed || fact.terms.broke(now) || at > fact.last_valid_slot {
            let code = ErrorCode::InvalidExactSvmTransactionSimulationFailed;
            return Err(rejected(code, "the simulation failed"));
        }
        let (key, amount) = (key, fact.amount);
        let balance = self.balance_solana(key, at);
        if balance < amount {
            let code = ErrorCode::InvalidExactSvmTransactionSimulationFailed;
            return Err(rejected(code, "no money"));
        }
        let balance = Some(quittance_protocol::Amount::new(balance));
        Ok(ChainView { watch_from: at, endpoint, balance, by_code: false })
    }

    /// Whether an endpoint has a history that can be searched now.
    fn has_history(&self, at: usize) -> bool {
        self.no_history_until.get(at).is_none_or(|until| *until <= self.now())
    }

    /// As the chain crate: where a landing stands now. What is confirmed stays, and
    /// an endpoint without a history cannot say that it does not.
    fn standing_solana(&self, landed: &Landed, now: u64, at: usize) -> Option<Standing> {
        let key = self.keys.get(&landed.key).copied()?;
        let old = now.saturating_sub(landed.landing.block) > STATUS_CACHE_SLOTS;
        if old && !self.has_history(at) {
            return None;
        }
        Some(match self.solana.confirmed(key, now) {
            Some(seen) if now.saturating_sub(seen.slot) >= FINALIZED_SLOTS => {
                Standing::Finalized(solana_landing(key, seen.slot))
            }
            Some(seen) => Standing::Landed(solana_landing(key, seen.slot)),
            None => Standing::Missing,
        })
    }

    /// As the scan of the chain crate: its rules, not its calls. The status cache
    /// first, and the history for what is older or about to be judged expired.
    fn scan_solana(&mut self, at: usize, watched: &[Watched]) -> Vec<(PaymentKey, Evidence)> {
        let now = slot(self.now()).saturating_sub(self.lag(Net::Solana, at));
        let careless = self.plan.canary == Some(Canary::ProcessedMeansPaid);
        let forgets = self.plan.canary == Some(Canary::StatusesForgotten);
        let trusts_null = self.plan.canary == Some(Canary::NullIsHistory);
        let has_history = self.has_history(at);
        let mut found = Vec::new();
        for watched in watched {
            let Some(key) = self.keys.get(&watched.key).copied() else { continue };
            let seen = match careless {
                true => self.solana.status(key, now),
                false => self.solana.confirmed(key, now),
            };
            // What the ledger stored is what is waited for, whether it is right or not.
            let Deadline::BlockHeight(last_valid) = watched.deadline else { continue };
            let height = now.saturating_sub(FINALIZED_SLOTS);
            let expired = Evidence::Expired { block: height, clock: height };
            let past = height > last_valid;
            let seen = seen.copied();
            let old = now.saturating_sub(watched.watch_from) > STATUS_CACHE_SLOTS;
            let cached = seen.filter(|landed| now.saturating_sub(landed.slot) <= STATUS_CACHE_SLOTS);
            let searched = has_history && (old || past);
            let found_there = seen.filter(|_| searched);
            match cached.or(found_there.filter(|_| !forgets)) {
                Some(landed) => {
                    let landing = solana_landing(key, landed.slot);
                    if landed.ok {
                        found.push((watched.key, Evidence::Settled(landing)));
                        continue;
                    }
                    found.push((watched.key, Evidence::Reverted(landing)));
                    let deep = now.saturating_sub(landed.slot) >= FINALIZED_SLOTS;
                    if past && deep && self.plan.canary != Some(Canary::FailedStaysOpen) {
                        found.push((watched.key, expired));
                    }
                }
                None if past && found_there.is_none() && (searched || trusts_null) => {
                    found.push((watched.key, expired));
                }
                None => {}
            }
        }
        found
    }
}

pub(crate) fn solana_landing(key: usize, at: u64) -> Landing {
    Landing {
        transaction: format!("sol{}", solana_tx(key)),
        block: at,
        block_hash: String::new(),
        block_time: 0,
        cost_native: LAMPORTS,
        paid_by_us: true,
        log_index: None,
    }
}
