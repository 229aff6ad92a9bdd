//! The chain of these tests: everything lands at once, and costs what the test says.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use quittance_facilitator::Rejection;
use quittance_facilitator::chain::{
    Broadcast, Chain as Cell, ChainFault, ChainView, CheckError, CheckedPayment, CostAllowed, Decode, Facts,
    GasCoin, Heights, Identity, Landed, PaymentFacts, Ports, Sent, Sign, SignRefused, Unreadable, Unstorable,
    Use, Verified, Verify, Watch, Watched,
};
use quittance_protocol::{
    Amount, Deadline, DurableAttempt, ErrorCode, Evidence, Landing, Network, PaymentKey, PaymentPayload,
    SendOutcome, SignedBytes, Standing, UnixSeconds,
};
use serde_json::{Map, Value, json};

#[path = "costs.rs"]
mod costs;
#[path = "faults.rs"]
mod faults;
#[path = "payouts.rs"]
mod payouts;
#[path = "pool.rs"]
mod pool;

pub(crate) use self::payouts::Account;
pub(crate) use self::pool::{Pool, Signer};

const COST_WEI: u64 = 1_000_000_000_000;

/// What becomes of what has landed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Finalized,
    /// In a later block than it was seen in first.
    Moved,
    Missing,
    Lost,
}

/// A chain; clones are one.
#[derive(Clone)]
pub(crate) struct Chain(Arc<State>);

struct State {
    network: Network,
    cost_wei: AtomicU64,
    silent: AtomicBool,
    reverting: AtomicBool,
    holding: AtomicBool,
    panicking: AtomicBool,
    illiterate: AtomicBool,
    all_used: AtomicBool,
    fate: Mutex<Fate>,
    broadcasts: AtomicUsize,
    landing_milli: AtomicU64,
    reverted: Mutex<BTreeSet<String>>,
    checks: Checks,
    meanwhile: Mutex<Option<Meanwhile>>,
    at_check: Mutex<Option<Meanwhile>>,
    paused: AtomicBool,
    forgetful: AtomicBool,
    /// Seconds for which all nodes want to be left alone.
    pause_seconds: AtomicU64,
    /// What every payer holds; without bound at first.
    balance: AtomicU64,
    /// Where attempts take a nonce each.
    pool: Option<Pool>,
    signer: Mutex<Signer>,
    /// Who pays for settlements, and what each of them holds.
    wallets: Mutex<Vec<(String, u128)>>,
    /// Checks for which the newest block is still too old.
    behind: AtomicUsize,
    /// Rent that a payment may have to pay, in wei; 0: none.
    rent_wei: AtomicU64,
    /// Where merchants are paid, if that needs an account.
    accounts: Mutex<Option<payouts::Accounts>>,
}

/// What the chain was asked about payments that are not claimed.
#[derive(Default)]
struct Checks {
    made: AtomicUsize,
    of_strangers: AtomicUsize,
    running: AtomicUsize,
    running_max: AtomicUsize,
}

/// What happens elsewhere while a payment is checked.
type Meanwhile = Box<dyn FnOnce() + Send>;

impl Default for Chain {
    fn default() -> Self {
        Self::with(None)
    }
}

impl Chain {
    /// One whose attempts take a nonce each.
    pub(crate) fn numbered(pool: &Pool) -> Self {
        Self::with(Some(pool.clone()))
    }

    fn with(pool: Option<Pool>) -> Self {
        let network = Network::BASE.parse().unwrap();
        let cost_wei = AtomicU64::new(COST_WEI);
        Self(Arc::new(State {
            network,
            cost_wei,
            silent: AtomicBool::new(false),
            reverting: AtomicBool::new(false),
            holding: AtomicBool::new(false),
            panicking: AtomicBool::new(false),
            illiterate: AtomicBool::new(false),
            all_used: AtomicBool::new(false),
            fate: Mutex::default(),
            broadcasts: AtomicUsize::new(0),
            landing_milli: AtomicU64::new(1_000),
            reverted: Mutex::default(),
            checks: Checks::default(),
            meanwhile: Mutex::default(),
            at_check: Mutex::default(),
            paused: AtomicBool::new(false),
            forgetful: AtomicBool::new(false),
            pause_seconds: AtomicU64::new(0),
            balance: AtomicU64::new(u64::MAX),
            pool,
            signer: Mutex::default(),
            wallets: Mutex::new(vec![("wallet".to_owned(), u128::from(u64::MAX))]),
            behind: AtomicUsize::new(0),
            rent_wei: AtomicU64::new(0),
            accounts: Mutex::default(),
        }))
    }
}

impl Chain {
    /// What settling costs from now on, in ordinary costs.
    pub(crate) fn set_cost(&self, times: u64) {
        self.set_cost_milli(times * 1_000);
    }

    /// The same in thousandths.
    pub(crate) fn set_cost_milli(&self, thousandths: u64) {
        self.0.cost_wei.store(COST_WEI / 1_000 * thousandths, Ordering::SeqCst);
    }

    /// What landing really costs, in thousandths of what is reserved for it.
    pub(crate) fn set_landing_milli(&self, thousandths: u64) {
        self.0.landing_milli.store(thousandths, Ordering::SeqCst);
    }

    /// It no longer says what settling costs.
    pub(crate) fn cut_off(&self) {
        self.0.silent.store(true, Ordering::SeqCst);
    }

    /// Settlements cost as before, and move nothing.
    pub(crate) fn revert(&self, reverting: bool) {
        self.0.reverting.store(reverting, Ordering::SeqCst);
    }

    /// Nothing is included.
    pub(crate) fn hold(&self, holding: bool) {
        self.0.holding.store(holding, Ordering::SeqCst);
    }

    /// The next look at it panics.
    pub(crate) fn panic_once(&self) {
        self.0.panicking.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_panicked(&self) -> bool {
        !self.0.panicking.load(Ordering::SeqCst)
    }

    /// Every authorization is used, as a node sees it that is ahead of the ledger.
    pub(crate) fn has_used_all(&self, used: bool) {
        self.0.all_used.store(used, Ordering::SeqCst);
    }

    /// What becomes of what has landed.
    pub(crate) fn set_fate(&self, fate: Fate) {
        *self.0.fate.lock().unwrap() = fate;
    }

    /// What each wallet holds from now on, in the most that a settlement may cost. Which they
    /// are is read as a process starts.
    pub(crate) fn set_wallets(&self, wallets: &[(&str, u64)]) {
        let holds = |(name, settlements): &(&str, u64)| {
            ((*name).to_owned(), u128::from(*settlements) * u128::from(COST_WEI))
        };
        *self.0.wallets.lock().unwrap() = wallets.iter().map(holds).collect();
    }

    /// What whoever signs does from now on.
    pub(crate) fn set_signer(&self, signer: Signer) {
        *self.0.signer.lock().unwrap() = signer;
    }

    /// How often something was sent.
    pub(crate) fn broadcasts(&self) -> usize {
        self.0.broadcasts.load(Ordering::SeqCst)
    }

    /// What is in the ledger cannot be read.
    pub(crate) fn cannot_read(&self, illiterate: bool) {
        self.0.illiterate.store(illiterate, Ordering::SeqCst);
    }

    /// What every payer holds.
    pub(crate) fn set_balance(&self, amount: u64) {
        self.0.balance.store(amount, Ordering::SeqCst);
    }

    /// Transactions that were included and moved nothing.
    pub(crate) fn reverted(&self) -> usize {
        self.0.reverted.lock().unwrap().len()
    }

    /// Checks so far, and how many of them ran at once at most.
    pub(crate) fn checks(&self) -> (usize, usize) {
        let checks = &self.0.checks;
        (checks.made.load(Ordering::SeqCst), checks.running_max.swap(0, Ordering::SeqCst))
    }

    /// How many of them were asked for as a stranger's.
    pub(crate) fn stranger_checks(&self) -> usize {
        self.0.checks.of_strangers.load(Ordering::SeqCst)
    }

    /// What happens elsewhere, once, between a payment's look-up and its checks.
    pub(crate) fn meanwhile(&self, happens: impl FnOnce() + Send + 'static) {
        *self.0.meanwhile.lock().unwrap() = Some(Box::new(happens));
    }

    /// The same while the chain is asked about a payment, after its offer was matched.
    pub(crate) fn at_check(&self, happens: impl FnOnce() + Send + 'static) {
        *self.0.at_check.lock().unwrap() = Some(Box::new(happens));
    }

    /// Nobody can pay: the token is paused.
    pub(crate) fn pause_token(&self) {
        self.0.paused.store(true, Ordering::SeqCst);
    }

    /// The nodes ask to be left alone (HTTP 429).
    pub(crate) fn ask_for_a_pause(&self, seconds: u64) {
        self.0.pause_seconds.store(seconds, Ordering::SeqCst);
    }

    /// Its only node keeps no history of transactions.
    pub(crate) fn keep_no_history(&self) {
        self.0.forgetful.store(true, Ordering::SeqCst);
    }

    pub(crate) fn answer(&self) {
        self.0.silent.store(false, Ordering::SeqCst);
    }
}

/// A payment of this chain: the payload as it came.
struct Paid(Value);

impl CheckedPayment for Paid {
    fn facts(&self) -> PaymentFacts {
        let number = |name: &str| self.0[name].as_u64().unwrap();
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number("nonce").to_be_bytes());
        let payer = self.0["payer"].as_str().unwrap().to_owned();
        PaymentFacts {
            key: PaymentKey::from_bytes(key),
            source: payer.clone(),
            payer,
            amount: Amount::new(number("amount")),
            signature_digest: match self.0["signature"].as_u64() {
                Some(other) => [u8::try_from(other).unwrap(); 32],
                None => key,
            },
            is_signed: self.0["contract"].is_null(),
            valid_after: self.0["after"].as_u64(),
            may_coincide: self.0["memoless"] == true,
            wallet: self.0["wallet"].as_str().map(str::to_owned),
            needs_rent: self.0["rent"] == true,
        }
    }

    fn store(&self) -> Result<Value, Unstorable> {
        Ok(self.0.clone())
    }
}

impl Decode for State {
    fn identify(&self, payload: &PaymentPayload) -> Option<Identity> {
        let paid = &payload.payload;
        if !(paid["nonce"].is_u64() && paid["payer"].is_string() && paid["amount"].is_u64()) {
            return None;
        }
        let PaymentFacts { key, payer, signature_digest, is_signed, .. } = Paid(paid.clone()).facts();
        Some(Identity { key, payer, digests: vec![signature_digest], is_signed })
    }

    fn amount(&self, payload: &Value) -> Option<Amount> {
        payload["amount"].as_u64().map(Amount::new)
    }

    fn revive(&self, form: &Value) -> Result<Verified, Unreadable> {
        match self.illiterate.load(Ordering::SeqCst) {
            true => Err(Unreadable("of a newer release".to_owned())),
            false => Ok(Verified::new(Paid(form.clone()))),
        }
    }
}

impl Chain {
    pub(super) fn cell(&self) -> Arc<Cell> {
        let facts = Facts {
            network: self.0.network.clone(),
            coin: GasCoin { name: "ETH".to_owned(), decimals: 18, pair: "eth_usd".to_owned() },
            wallets: self.0.wallets.lock().unwrap().iter().map(|(name, _)| name.clone()).collect(),
            retired_wallets: Vec::new(),
            offer_wallet: None,
            offer_extra: Map::from_iter([("name".to_owned(), json!("USD Coin"))]),
            takes_nonce: self.0.pool.is_some(),
            amount_mismatch: ErrorCode::InvalidExactEvmPayloadAuthorizationValueMismatch,
            network_mismatch: ErrorCode::InvalidExactEvmNetworkMismatch,
        };
        let mut ports = Ports::of(&self.0).with_endpoints(Arc::clone(&self.0) as Arc<_>);
        if let Some(pool) = &self.0.pool {
            ports = ports.with_nonces(Arc::new(pool.clone()));
        }
        if self.0.accounts.lock().unwrap().is_some() {
            ports = ports.with_payouts(Arc::clone(&self.0) as Arc<_>);
        }
        Arc::new(Cell::connected(facts, Arc::clone(&self.0) as Arc<dyn Decode>, ports))
    }
}

#[async_trait]
impl Verify for State {
    fn check_local(&self, payload: &PaymentPayload) -> Result<Verified, Rejection> {
        Paid::of(payload).map(Verified::new)
    }

    fn check_local_to(&self, payload: &PaymentPayload, pay_to: &str) -> Result<Verified, Rejection> {
        match payload.payload["to"] == pay_to {
            true => self.check_local(payload),
            false => Err(Rejection::new(ErrorCode::InvalidExactEvmRecipientMismatch, "paid to another")),
        }
    }

    fn check_window(&self, payment: &Verified, _: UnixSeconds) -> Result<(), Rejection> {
        if payment.get::<Paid>().is_some_and(|paid| paid.0["late"] == true) {
            let code = ErrorCode::InvalidExactEvmPayloadAuthorizationValidBefore;
            return Err(Rejection::new(code, "it is over").of(payment.payer.clone()));
        }
        let happens = self.meanwhile.lock().unwrap().take();
        if let Some(happens) = happens {
            happens();
        }
        Ok(())
    }

    async fn check_stranger(&self, payment: &Verified) -> Result<ChainView, CheckError> {
        self.checks.of_strangers.fetch_add(1, Ordering::SeqCst);
        self.check_chain(payment).await
    }

    async fn check_chain(&self, payment: &Verified) -> Result<ChainView, CheckError> {
        self.checks.made.fetch_add(1, Ordering::SeqCst);
        let running = self.checks.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.checks.running_max.fetch_max(running, Ordering::SeqCst);
        // A node a millisecond away.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.checks.running.fetch_sub(1, Ordering::SeqCst);
        let happens = self.at_check.lock().unwrap().take();
        happens.into_iter().for_each(|happens| happens());
        self.fault(payment)?;
        let balance = match self.balance.load(Ordering::SeqCst) {
            u64::MAX => None,
            seen => Some(Amount::new(seen)),
        };
        let by_code = payment.get::<Paid>().is_some_and(|paid| paid.0["code"] == true);
        Ok(ChainView { watch_from: 1, endpoint: 0, balance, by_code })
    }

    async fn find_use(&self, payment: &Verified) -> Option<Use> {
        let Paid(payload) = payment.get::<Paid>()?;
        let transaction = format!("theirs-{}", payload["nonce"]);
        (payload["fault"] == "used").then_some(Use { transaction, canceled: false })
    }

    async fn deadline(&self, _: &Verified, _: &ChainView) -> Result<Deadline, CheckError> {
        Ok(Deadline::UnixSeconds(u64::from(u32::MAX)))
    }
}

impl Sign for State {
    fn cost_bound(&self, _: &Verified, _: u128) -> Result<u128, SignRefused> {
        Ok(u128::from(COST_WEI))
    }

    fn sign(
        &self,
        payment: &Verified,
        _: &str,
        slot: Option<u64>,
        _: CostAllowed,
    ) -> Result<SignedBytes, SignRefused> {
        let authorization = &payment.get::<Paid>().unwrap().0["nonce"];
        if let (Some(pool), Some(slot)) = (&self.pool, slot) {
            let signer = std::mem::replace(&mut *self.signer.lock().unwrap(), Signer::Signs);
            if signer == Signer::Refuses {
                *self.signer.lock().unwrap() = signer;
            }
            return pool.sign(slot, &authorization.to_string(), signer);
        }
        let transaction = format!("tx-{authorization}");
        Ok(SignedBytes { raw: transaction.as_bytes().to_vec(), transaction, detail: json!({}) })
    }
}

#[async_trait]
impl Broadcast for State {
    async fn broadcast(&self, attempt: &dyn DurableAttempt) -> Sent {
        self.broadcasts.fetch_add(1, Ordering::SeqCst);
        match &self.pool {
            Some(pool) => pool.take(attempt.transaction()).into(),
            None => SendOutcome::Accepted.into(),
        }
    }
}

#[async_trait]
impl Watch for State {
    async fn scan(&self, watched: &[Watched], _: i64) -> Result<Vec<(PaymentKey, Evidence)>, ChainFault> {
        assert!(!self.panicking.swap(false, Ordering::SeqCst), "as the test asked for");
        if self.holding.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        let cost = u128::from(COST_WEI / 1_000 * self.landing_milli.load(Ordering::SeqCst));
        let landed = |watched: &Watched| {
            if let Some(pool) = &self.pool {
                return Some((watched.key, pool.seen(watched, cost)?));
            }
            let landing = Landing {
                transaction: watched.transactions.last()?.clone(),
                block: 1,
                block_hash: String::new(),
                block_time: 0,
                cost_native: cost,
                paid_by_us: true,
                log_index: None,
            };
            let mut reverted = self.reverted.lock().unwrap();
            if self.reverting.load(Ordering::SeqCst) {
                reverted.insert(landing.transaction.clone());
            }
            // What reverted once stays so.
            let evidence = if reverted.contains(&landing.transaction) {
                Evidence::Reverted(landing)
            } else if self.all_used.load(Ordering::SeqCst) {
                Evidence::Earlier(landing)
            } else {
                Evidence::Settled(landing)
            };
            Some((watched.key, evidence))
        };
        Ok(watched.iter().filter_map(landed).collect())
    }

    async fn heights(&self, _: i64) -> Result<Heights, ChainFault> {
        Ok(Heights { latest: 2, finalized: 2 })
    }

    async fn standing(&self, landed: &[Landed]) -> Result<Vec<(PaymentKey, Standing)>, ChainFault> {
        let fate = *self.fate.lock().unwrap();
        let standing = |landing: &Landing| match fate {
            Fate::Finalized => Standing::Finalized(landing.clone()),
            Fate::Moved => {
                Standing::Landed(Landing { block: 2, block_hash: "moved".to_owned(), ..landing.clone() })
            }
            Fate::Missing => Standing::Missing,
            Fate::Lost => Standing::Lost(Evidence::Expired { block: 3, clock: 0 }),
        };
        Ok(landed.iter().map(|landed| (landed.key, standing(&landed.landing))).collect())
    }
}
