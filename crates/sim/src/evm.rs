//! Base as a process sees it.

mod batch;
pub(crate) mod replace;
mod shows;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use quittance_facilitator::Rejection;
use quittance_facilitator::chain::{
    Batch, Broadcast, Chain, ChainFault, ChainView, CheckError, CheckedPayment, CostAllowed, CostSnapshot,
    Costs, Decode, Facts, GasCoin, Heights, Identity, Landed, Nonces, PaymentFacts, Ports, Replace, Sent,
    Sign, SignRefused, Unreadable, Unstorable, Use, Verified, Verify, Watch, Watched,
};
use quittance_protocol::{
    Amount, Deadline, DurableAttempt, ErrorCode, Evidence, Network, PaymentKey, PaymentPayload, SignedBytes,
    Standing, UnixSeconds,
};
use serde_json::{Map, Value, json};

use crate::base::{Act, FEE_CAP, FEE_UNIT_WEI, GAS, Tx, gas_limit};
use crate::canary::Canary;
use crate::nodes::{encode, send};
use crate::plan::Net;
use crate::settings::{number_of_wallet, roles, wallets};
use crate::world::link::Link;
use crate::world::{BEGIN_MS, World};

/// A chain of one life of one process.
pub(crate) struct FakeBase {
    link: Arc<Link>,
    network: Network,
    /// What this life's configuration says.
    pay_to: &'static str,
    /// The base fee as it was read last.
    fee: Mutex<Option<u64>>,
    /// Each wallet's next transaction as the process looked at it last: nonce and fee cap.
    looked_at: Mutex<BTreeMap<usize, (u64, u64)>>,
    /// Whose it looked at last.
    looked_last: Mutex<Option<usize>>,
    searched: Mutex<shows::Searched>,
}

/// Unix seconds of a moment of the world.
pub(crate) fn unix(ms: u64) -> u64 {
    u64::try_from(BEGIN_MS).unwrap_or(0).saturating_add(ms) / 1_000
}

/// The key of a form or payload that the world made.
pub(crate) fn key_in(form: &Value) -> Option<usize> {
    usize::try_from(form.get("key")?.as_u64()?).ok()
}

pub(crate) fn rejected(code: ErrorCode, message: &str) -> Rejection {
    Rejection::new(code, message.to_owned())
}

/// A payment of this world.
#[derive(Clone)]
pub(crate) struct Paid {
    number: usize,
    facts: PaymentFacts,
}

impl CheckedPayment for Paid {
    fn facts(&self) -> PaymentFacts {
        self.facts.clone()
    }

    fn store(&self) -> Result<Value, Unstorable> {
        Ok(json!({ "key": self.number }))
    }
}

/// Which of the world's payments it is.
pub(crate) fn number_of(payment: &Verified) -> Option<usize> {
    payment.get::<Paid>().map(|paid| paid.number)
}

/// What both chains check without asking anybody.
pub(crate) fn local(
    link: &Link,
    net: Net,
    pay_to: &str,
    payload: &PaymentPayload,
) -> Result<Verified, Rejection> {
    match payload.accepted.pay_to == pay_to {
        true => read(link, net, payload).map(Verified::new),
        false => Err(rejected(ErrorCode::InvalidExactEvmRecipientMismatch, "paid to somebody else")),
    }
}

/// What both chains read out of a payload, whatever is configured.
pub(crate) fn identity(link: &Link, net: Net, payload: &PaymentPayload) -> Option<Identity> {
    if link.world.with(|w| w.plan.canary == Some(Canary::ConfigurationFirst)) {
        return None;
    }
    let payment = read(link, net, payload).ok()?.facts;
    let (key, payer, digests) = (payment.key, payment.payer, vec![payment.signature_digest]);
    Some(Identity { key, payer, digests, is_signed: true })
}

/// What both chains read of the amount that is signed.
pub(crate) fn amount(link: &Link, net: Net, payload: &Value) -> Option<Amount> {
    let number = key_in(payload)?;
    link.world.with(|w| paid(w, net, number, [0; 32])).map(|payment| payment.facts.amount)
}

/// What both chains read back out of the ledger.
pub(crate) fn revived(link: &Link, net: Net, form: &Value) -> Result<Verified, Unreadable> {
    let bad = || Unreadable("not a payment of this world".to_owned());
    let number = key_in(form).ok_or_else(bad)?;
    link.world.with(|w| paid(w, net, number, [0; 32]).map(Verified::new)).ok_or_else(bad)
}

fn read(link: &Link, net: Net, payload: &PaymentPayload) -> Result<Paid, Rejection> {
    let bad = || rejected(ErrorCode::InvalidPayload, "not a payment of this world");
    let number = key_in(&payload.payload).ok_or_else(bad)?;
    let digest = payload.payload.get("digest").and_then(Value::as_u64).ok_or_else(bad)?;
    let mut signature_digest = [0; 32];
    signature_digest[..8].copy_from_slice(&digest.to_be_bytes());
    link.world.with(|w| paid(w, net, number, signature_digest)).ok_or_else(bad)
}

fn paid(w: &World, net: Net, number: usize, signature_digest: [u8; 32]) -> Option<Paid> {
    let fact = w.facts.get(number).filter(|fact| fact.net == net)?;
    let payer = format!("payer-{}", fact.payer);
    let facts = PaymentFacts {
        key: w.audit.payment_keys.get(&number).copied()?,
        source: payer.clone(),
        payer,
        amount: Amount::new(fact.amount),
        signature_digest,
        is_signed: true,
        valid_after: None,
        may_coincide: false,
        // Of one fee payer nobody ever had to say which.
        wallet: (net == Net::Solana && w.plan.wallets > 1)
            .then(|| wallets(net).get(fact.wallet).map(|wallet| (*wallet).to_owned()))
            .flatten(),
        needs_rent: false,
    };
    Some(Paid { number, facts })
}

fn unbounded(canary: Option<Canary>) -> bool {
    matches!(canary, Some(Canary::CostUnbounded | Canary::NoFeeCap))
}

/// The fee cap of a signature, as the chain crate chooses it; none while the base
/// fee is above it.
fn fee_cap(canary: Option<Canary>, base_fee: u64, allowed: u128) -> Option<u64> {
    let affordable = allowed / FEE_UNIT_WEI / u128::from(GAS);
    let mut cap = base_fee.saturating_mul(2).saturating_add(1);
    if canary != Some(Canary::NoFeeCap) {
        cap = cap.min(FEE_CAP);
    }
    if !unbounded(canary) {
        cap = cap.min(u64::try_from(affordable).unwrap_or(u64::MAX));
    }
    (cap > base_fee).then_some(cap)
}

/// The most that a transaction with this fee cap can cost, in wei.
pub(crate) fn bound(cap: u64) -> u128 {
    bound_of(cap, 1)
}

/// The same of one for several payments.
pub(crate) fn bound_of(cap: u64, payments: usize) -> u128 {
    u128::from(cap).saturating_mul(FEE_UNIT_WEI).saturating_mul(u128::from(gas_limit(payments)))
}

/// The highest fee cap whose most that is.
fn cap_within(reserved: u128, payments: usize) -> u64 {
    u64::try_from(reserved / FEE_UNIT_WEI / u128::from(gas_limit(payments))).unwrap_or(u64::MAX)
}

impl FakeBase {
    pub(crate) fn new(link: Arc<Link>, network: Network, pay_to: &'static str) -> Self {
        Self {
            link,
            network,
            pay_to,
            fee: Mutex::default(),
            looked_at: Mutex::default(),
            looked_last: Mutex::default(),
            searched: Mutex::default(),
        }
    }

    fn fee(&self) -> Option<u64> {
        *self.fee.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked_at(&self, wallet: usize) -> Option<(u64, u64)> {
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner).get(&wallet).copied()
    }

    /// Which of our wallets it is.
    fn wallet(wallet: &str) -> Result<usize, ChainFault> {
        number_of_wallet(Net::Base, wallet).ok_or_else(|| ChainFault("no wallet of ours".to_owned()))
    }

    fn keep_fee(&self, fee: u64) {
        *self.fee.lock().unwrap_or_else(PoisonError::into_inner) = Some(fee);
    }
}

impl FakeBase {
    /// As the process gets it.
    pub(crate) fn into_chain(self) -> Chain {
        let plan = self.link.world.with(|w| w.plan.clone());
        let (wallets, retired_wallets) = roles(&plan, Net::Base, self.link.has_moved);
        let facts = Facts {
            network: self.network.clone(),
            coin: GasCoin { name: "ETH".to_owned(), decimals: 18, pair: "eth_usd".to_owned() },
            wallets,
            retired_wallets,
            offer_wallet: None,
            offer_extra: Map::new(),
            takes_nonce: true,
            amount_mismatch: ErrorCode::InvalidExactEvmPayloadAuthorizationValueMismatch,
            network_mismatch: ErrorCode::InvalidExactEvmNetworkMismatch,
        };
        let chain = Arc::new(self);
        let ports = Ports::of(&chain).with_nonces(Arc::clone(&chain) as Arc<dyn Nonces>);
        let ports = ports.with_replace(Arc::clone(&chain) as Arc<dyn Replace>);
        let ports = ports.with_batch(Arc::clone(&chain) as Arc<dyn Batch>);
        Chain::connected(facts, chain, ports)
    }
}

impl Decode for FakeBase {
    fn identify(&self, payload: &PaymentPayload) -> Option<Identity> {
        identity(&self.link, Net::Base, payload)
    }

    fn amount(&self, payload: &Value) -> Option<Amount> {
        amount(&self.link, Net::Base, payload)
    }

    fn revive(&self, form: &Value) -> Result<Verified, Unreadable> {
        revived(&self.link, Net::Base, form)
    }
}

#[async_trait]
impl Verify for FakeBase {
    fn check_local(&self, payload: &PaymentPayload) -> Result<Verified, Rejection> {
        local(&self.link, Net::Base, self.pay_to, payload)
    }

    fn check_window(&self, payment: &Verified, now: UnixSeconds) -> Result<(), Rejection> {
        let late = self.link.world.with(|w| {
            let fact = number_of(payment).and_then(|key| w.facts.get(key));
            fact.is_none_or(|fact| now >= unix(fact.terms.valid_before_ms))
        });
        match late {
            true => Err(rejected(ErrorCode::InvalidExactEvmPayloadAuthorizationValidBefore, "too late")),
            false => Ok(()),
        }
    }

    async fn check_chain(&self, payment: &Verified) -> Result<ChainView, CheckError> {
        let key = number_of(payment);
        let process = self.link.process;
        let checked = |w: &mut World, at| {
            let view = w.check_base(key, at);
            w.note_view(process, key, view.as_ref().ok());
            view
        };
        let found = self.link.rpc(Net::Base, 60, key, checked).await;
        match found {
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
        let until = self.link.world.with(|w| Some(w.facts.get(key?)?.terms.valid_before_ms));
        until
            .map(|ms| Deadline::UnixSeconds(unix(ms)))
            .ok_or_else(|| CheckError::Unreachable("no such payment".to_owned()))
    }
}

#[async_trait]
impl Nonces for FakeBase {
    async fn next(&self, wallet: &str) -> Result<u64, ChainFault> {
        let wallet = Self::wallet(wallet)?;
        self.link.rpc(Net::Base, 61, None, |w, _| w.base.nonces_used(wallet, w.base.head())).await
    }

    async fn used(&self, wallet: &str) -> Result<u64, ChainFault> {
        let wallet = Self::wallet(wallet)?;
        let used = self.link.rpc(Net::Base, 62, None, |w, at| {
            let head = w.base.head().saturating_sub(w.lag(Net::Base, at));
            w.base.nonces_used(wallet, head)
        });
        let used = used.await?;
        if self.looked_at(wallet).is_some_and(|(nonce, _)| nonce != used) {
            self.link.learns_stuck(wallet, false);
        }
        Ok(used)
    }

    async fn transaction_cost(&self, transaction: &str) -> Result<Option<u128>, ChainFault> {
        let id = transaction.strip_prefix("0x").and_then(|id| id.parse().ok()).unwrap_or(u32::MAX);
        self.link
            .rpc(Net::Base, 63, None, |w, at| {
                let head = w.base.head().saturating_sub(w.lag(Net::Base, at));
                w.base.place(id, head).map(|place| w.base.cost(place))
            })
            .await
    }

    async fn base_fee(&self) -> Result<Option<u128>, ChainFault> {
        // Asked for with a fee cap, and nothing between the two.
        let wallet = *self.looked_last.lock().unwrap_or_else(PoisonError::into_inner);
        let fee = self.link.rpc(Net::Base, 68, None, |w, _| w.base.base_fee).await?;
        // As of every head that is read.
        self.keep_fee(fee);
        if let Some(wallet) = wallet {
            self.link.learns_stuck(wallet, self.looked_at(wallet).is_some_and(|(_, cap)| fee > cap));
        }
        let blind = self.link.world.with(|w| w.plan.canary) == Some(Canary::StuckLaneSells);
        Ok((!blind).then_some(u128::from(fee)))
    }

    fn fee_cap(&self, detail: &Value) -> Option<u128> {
        let field = |name: &str| detail.get(name).and_then(Value::as_u64);
        let (nonce, cap) = (field("nonce")?, field("fee_cap")?);
        let wallet = usize::try_from(field("wallet")?).ok()?;
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner).insert(wallet, (nonce, cap));
        *self.looked_last.lock().unwrap_or_else(PoisonError::into_inner) = Some(wallet);
        Some(u128::from(cap))
    }
}

impl Sign for FakeBase {
    fn cost_bound(&self, payment: &Verified, allowed: u128) -> Result<u128, SignRefused> {
        let later = |reason: &str| SignRefused { retry: true, reason: reason.to_owned() };
        number_of(payment).ok_or_else(|| later("no such payment"))?;
        let base_fee = self.fee().ok_or_else(|| later("no fees read yet"))?;
        let canary = self.link.world.with(|w| w.plan.canary);
        fee_cap(canary, base_fee, allowed)
            .map(bound)
            .ok_or_else(|| later("the base fee is above what was charged"))
    }

    fn sign(
        &self,
        payment: &Verified,
        wallet: &str,
        nonce: Option<u64>,
        allowed: CostAllowed,
    ) -> Result<SignedBytes, SignRefused> {
        let later = |reason: &str| SignRefused { retry: true, reason: reason.to_owned() };
        let key = number_of(payment).ok_or_else(|| later("no such payment"))?;
        let wallet = Self::wallet(wallet).map_err(|fault| SignRefused { retry: false, reason: fault.0 })?;
        let CostAllowed { charged_native: allowed, reserved_native: reserved } = allowed;
        let base_fee = self.fee().ok_or_else(|| later("no fees read yet"))?;
        self.link.world.with(|w| {
            let canary = w.plan.canary;
            if w.facts.get(key).is_none_or(|fact| fact.unsignable) {
                return Err(SignRefused { retry: false, reason: "no function takes it".to_owned() });
            }
            if w.holds_signature(key) || w.holds_back(key) {
                return Err(later("fees are too high for now"));
            }
            let cap = fee_cap(canary, base_fee, allowed)
                .ok_or_else(|| later("the base fee is above what was charged"))?;
            let cap = if unbounded(canary) { cap } else { cap.min(cap_within(reserved, 1)) };
            if cap <= base_fee {
                return Err(later("the base fee is above what was reserved"));
            }
            let id = w.next_tx;
            w.next_tx = id.saturating_add(1);
            let tx = Tx { id, key, act: Act::Pay, nonce, wallet, fee_cap: cap, wrapped: false };
            if canary == Some(Canary::SendBeforeRecord) {
                w.node_takes(&self.link.world, tx);
            }
            let detail =
                json!({ "nonce": nonce, "fee_cap": cap, "wallet": wallet, "allowed": allowed.to_string() });
            Ok(SignedBytes { raw: encode(tx), transaction: format!("0x{id}"), detail })
        })
    }
}

#[async_trait]
impl Broadcast for FakeBase {
    async fn broadcast(&self, attempt: &dyn DurableAttempt) -> Sent {
        send(&self.link, attempt).await.into()
    }
}

#[async_trait]
impl Watch for FakeBase {
    async fn scan(&self, watched: &[Watched], _: i64) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault> {
        let looked = |w: &mut World, at| {
            let mut searched = self.searched.lock().unwrap_or_else(PoisonError::into_inner);
            w.scan_base(at, watched, &mut searched)
        };
        self.link.rpc(Net::Base, 64, None, looked).await
    }

    async fn heights(&self, _: i64) -> Result<Heights, ChainFault> {
        self.link
            .rpc(Net::Base, 66, None, |w, at| {
                let latest = w.base.head().saturating_sub(w.lag(Net::Base, at));
                Heights { latest, finalized: w.base.finalized(latest) }
            })
            .await
    }

    async fn standing(&self, landed: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault> {
        self.link
            .rpc(Net::Base, 67, None, |w, at| {
                let head = w.base.head().saturating_sub(w.lag(Net::Base, at));
                let mut stands = |landed: &Landed| Some((landed.key, w.standing_base(landed, head, at)?));
                landed.iter().filter_map(&mut stands).collect()
            })
            .await
    }
}

#[async_trait]
impl Costs for FakeBase {
    async fn refresh(&self, _now_ms: i64) -> Result<CostSnapshot, ChainFault> {
        let (fee, way) = self.link.costs(Net::Base, 65, |w| w.base.base_fee).await?;
        self.keep_fee(fee);
        let bound_native = bound(fee.saturating_mul(2).saturating_add(1).min(FEE_CAP));
        let with_headroom = u128::from(fee).saturating_mul(9).div_ceil(8).saturating_add(1);
        Ok(CostSnapshot {
            cost_native: with_headroom.saturating_mul(FEE_UNIT_WEI).saturating_mul(u128::from(GAS)),
            rent_native: 0,
            wallets_native: way.balances(Net::Base, bound_native),
            floor_native: 0,
            bound_native,
            owed_account: None,
            obstacle: way.obstacle,
            detail: Value::Null,
            offer_extra: Map::new(),
        })
    }
}
