//! What strangers may make us ask, so that settlement never waits behind them.
//!
//! A payment that is not claimed costs its sender a signature and us a look at the
//! ledger and a call to a node. A *stranger* is a payer of whom this process has seen
//! no payment settle. Strangers together have a share of the calls and reads at once
//! and no more; payers with history, and everything that settles, ask beside it.
//!
//! Only checks that came to nothing count against anybody: a server that settles for
//! thousands of customers, or an office behind one address, is as free as a single
//! client. An address whose strangers fail too often has them checked few at a time;
//! a payer who fails too often is told to come back later. Neither keeps payers with
//! history out, and what is on record is answered before any of this is asked (P5).
//!
//! Owns the shares of strangers and what is remembered of payers and addresses.
//! May touch: `chain`, `api`, `config`.
//! A check that is stuck holds its share until the node's time limit ends it, or until its request is
//! dropped: the call to the node ends with that.

pub(crate) mod budget;
mod recent;
pub(crate) mod share;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quittance_protocol::{Amount, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::api::Rejection;
use crate::chain::{ChainView, CheckError, Endpoints, Verified};
use crate::config::CallersConfig;
use crate::network::configured::ConfiguredNetwork;
use crate::network::early::is_early;
use crate::network::used;
use crate::{Caller, Inner};

use budget::Budget;
use recent::Recent;

/// Reads of the ledger for strangers at once: half of its connections.
const READS_MAX: usize = 4;

/// Payers with history that are remembered.
const CUSTOMERS_MAX: usize = 65_536;

/// Payers without money that are remembered.
const POOR_MAX: usize = 16_384;

/// Signatures that came to nothing that are remembered.
const FAILURES_MAX: usize = 16_384;

/// How long a payer who could not pay is not asked about again: about the time in
/// which a chain makes a block.
const POOR_FOR: Duration = Duration::from_millis(1_000);

/// The part of a network's share that one address has at most: one in so many.
const ADDRESS_PART: usize = 2;

/// Checks at once of an address whose checks fail too often …
const NARROW_CHECKS: usize = 8;

/// … of which each that fails holds its place so long …
const NARROW_HOLD: Duration = Duration::from_millis(20);

/// … and requests that wait for one of these places.
const NARROW_WAITING: usize = 64;

/// The part of those who may wait for a check that may wait for anything else: one in
/// so many. Such waits are long, and a stranger chooses to cause them.
const WAITING_PART: usize = 4;

/// How long an address is held to that, at least.
const NARROW_FOR: Duration = Duration::from_secs(10);

/// How long a stranger waits for a check.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What `Retry-After` says at least to whoever is sent away.
const RETRY_SECONDS_MIN: u64 = 1;

pub(crate) struct Strangers {
    /// Per network.
    checks_max: usize,
    /// Requests that wait for a check …
    queue: Semaphore,
    /// … and for anything else.
    waiting: Arc<Semaphore>,
    reads: Semaphore,
    customers: Mutex<Recent<String, ()>>,
    poor: Mutex<Recent<Wallet, Poor>>,
    /// Signatures that came to nothing: whoever shows one again need not be its payer.
    failures: Mutex<Recent<[u8; 32], ()>>,
    addresses: Budget<Caller>,
    payers: Budget<String>,
    lanes: Mutex<BTreeMap<Caller, AddressLane>>,
}

/// Network, payer and where the money would come from: a payer names any account.
type Wallet = (String, String, String);

/// What a wallet could not pay.
struct Poor {
    amount: Amount,
    rejection: Rejection,
    until: Instant,
}

/// The checks of one address.
struct AddressLane {
    wide: Arc<Semaphore>,
    narrow: Arc<Semaphore>,
    narrow_waiting: usize,
    users: usize,
}

/// Leave to ask a chain about one payment.
struct Leave<'a> {
    strangers: &'a Strangers,
    caller: Caller,
    lane: Option<OwnedSemaphorePermit>,
    is_narrow: bool,
    waits: bool,
    share: Option<OwnedSemaphorePermit>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.waited();
        drop((self.lane.take(), self.share.take()));
        self.strangers.leave_lane(self.caller);
    }
}

impl Leave<'_> {
    /// Also where its request was dropped meanwhile.
    fn waited(&mut self) {
        if std::mem::take(&mut self.waits)
            && let Some(lane) = lock(&self.strangers.lanes).get_mut(&self.caller)
        {
            lane.narrow_waiting = lane.narrow_waiting.saturating_sub(1);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the chain only found that the payer has not enough money.
pub(crate) fn is_poverty(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::InvalidExactEvmInsufficientBalance | ErrorCode::InsufficientFunds)
}

/// Said of a payment that nothing is known of, because nobody may ask now.
fn too_many(payment: &Verified, wait: Duration, message: &str) -> Rejection {
    let seconds = wait.as_millis().div_ceil(1_000);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX).max(RETRY_SECONDS_MIN);
    Rejection::new(
        ErrorCode::TooManyRequests,
        format!("{message}; send the same payment again in {seconds} s"),
    )
    .of(payment.payer.clone())
    .retry_same()
    .after(seconds)
}

impl Strangers {
    pub(crate) fn new(config: &CallersConfig) -> Self {
        let waiting = config.waiting_max.min(Semaphore::MAX_PERMITS);
        let budget = (config.failed_checks_address_burst, config.failed_checks_address_minute);
        Self {
            checks_max: config.checks_in_flight_max.max(1),
            queue: Semaphore::new(waiting),
            waiting: Arc::new(Semaphore::new(waiting.div_ceil(WAITING_PART))),
            reads: Semaphore::new(READS_MAX),
            customers: Mutex::new(Recent::new(CUSTOMERS_MAX)),
            poor: Mutex::new(Recent::new(POOR_MAX)),
            failures: Mutex::new(Recent::new(FAILURES_MAX)),
            addresses: Budget::new(budget.0, budget.1, NARROW_FOR),
            payers: Budget::new(
                config.failed_checks_payer_burst,
                config.failed_checks_payer_minute,
                Duration::ZERO,
            ),
            lanes: Mutex::default(),
        }
    }

    /// A payment of this payer settled.
    pub(crate) fn settled(&self, payer: &str) {
        let mut customers = lock(&self.customers);
        if customers.get(payer).is_none() {
            customers.put(payer.to_owned(), ());
        }
    }

    /// Whether this payer's own signature was shown, and settled before.
    pub(crate) fn has_history(&self, signer: Option<&str>) -> bool {
        signer.is_some_and(|payer| lock(&self.customers).get(payer).is_some())
    }

    /// Whether a payment is a customer's, and not a signature that came to nothing
    /// before: anybody may have that one by now.
    fn is_customers(&self, payment: &Verified) -> bool {
        self.has_history(payment.signer()) && lock(&self.failures).get(&payment.signature_digest).is_none()
    }

    /// A place for one read of the ledger; whoever has history needs none.
    pub(crate) async fn reading(&self, signer: Option<&str>) -> Option<SemaphorePermit<'_>> {
        if self.has_history(signer) {
            return None;
        }
        self.reads.acquire().await.ok()
    }

    /// A place to wait in before a payment is claimed; `None` if all are taken.
    pub(crate) fn waiting(&self, signer: Option<&str>) -> Option<Waiting> {
        if self.has_history(signer) {
            return Some(Waiting { _place: None });
        }
        let place = Arc::clone(&self.waiting).try_acquire_owned().ok()?;
        Some(Waiting { _place: Some(place) })
    }

    /// What is known of the payer's wallet from a moment ago: that it cannot pay as
    /// much. Says nothing about this authorization, which may be used.
    pub(crate) fn cannot_pay(&self, net: &ConfiguredNetwork, payment: &Verified) -> Option<Rejection> {
        let poor = lock(&self.poor);
        let found = poor.get(&wallet(net, payment))?;
        let holds = found.until > Instant::now() && payment.amount >= found.amount;
        holds.then(|| found.rejection.clone().of(payment.payer.clone()))
    }

    /// Whether the payer may be asked about at all now.
    pub(crate) fn is_held(&self, payment: &Verified) -> Option<Rejection> {
        let wait = self.payers.held(&payment.payer)?;
        Some(too_many(payment, wait, "too many payments of this payer were not good"))
    }

    /// Waits for leave to ask, within the caller's and the network's shares.
    async fn leave(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        caller: Caller,
    ) -> Result<Option<Leave<'_>>, CheckError> {
        if self.is_customers(payment) {
            return Ok(None);
        }
        if let Some(rejection) = self.is_held(payment) {
            return Err(CheckError::Rejected(rejection));
        }
        // What little the nodes still answer belongs to what settles. It is the nodes that want
        // to be left alone: nobody asked too much of us.
        if net.chain.endpoints().and_then(Endpoints::pause).is_some() {
            return Err(CheckError::Unreachable("the nodes of this network asked for a pause".to_owned()));
        }
        let busy =
            || CheckError::Rejected(too_many(payment, WAIT_MAX, "too many payments are being checked"));
        let _queued = self.queue.try_acquire().map_err(|_| busy())?;
        let (places, is_narrow) = self.enter_lane(payment, caller).map_err(CheckError::Rejected)?;
        let mut leave =
            Leave { strangers: self, caller, lane: None, is_narrow, waits: is_narrow, share: None };
        let until = Instant::now() + WAIT_MAX;
        let lane = timeout_at(until, places.acquire_owned()).await;
        leave.waited();
        leave.lane = lane.ok().and_then(Result::ok);
        let share = timeout_at(until, Arc::clone(&net.share.checks).acquire_owned()).await;
        leave.share = share.ok().and_then(Result::ok);
        if leave.lane.is_none() || leave.share.is_none() {
            return Err(busy());
        }
        Ok(Some(leave))
    }

    /// The places in which this caller's strangers are checked.
    fn enter_lane(&self, payment: &Verified, caller: Caller) -> Result<(Arc<Semaphore>, bool), Rejection> {
        let held = caller.address().and_then(|_| self.addresses.held(&caller));
        let mut lanes = lock(&self.lanes);
        let lane = lanes.entry(caller).or_insert_with(|| AddressLane {
            wide: Arc::new(Semaphore::new(match caller.address() {
                Some(_) => self.checks_max.div_ceil(ADDRESS_PART),
                None => self.checks_max,
            })),
            narrow: Arc::new(Semaphore::new(NARROW_CHECKS)),
            narrow_waiting: 0,
            users: 0,
        });
        let Some(wait) = held else {
            lane.users = lane.users.saturating_add(1);
            return Ok((Arc::clone(&lane.wide), false));
        };
        if lane.narrow_waiting >= NARROW_WAITING {
            return Err(too_many(payment, wait, "too many payments from this address were not good"));
        }
        lane.users = lane.users.saturating_add(1);
        lane.narrow_waiting = lane.narrow_waiting.saturating_add(1);
        Ok((Arc::clone(&lane.narrow), true))
    }

    fn leave_lane(&self, caller: Caller) {
        let mut lanes = lock(&self.lanes);
        if let Some(lane) = lanes.get_mut(&caller) {
            lane.users = lane.users.saturating_sub(1);
            if lane.users == 0 {
                lanes.remove(&caller);
            }
        }
    }

    /// A check came to nothing. It counts against who is calling, and against the payer
    /// only where nobody else can have caused it: its own key made the signature, which
    /// was not shown before, and which no transaction has made public.
    pub(crate) fn failed(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        caller: Caller,
        rejection: &Rejection,
    ) {
        if caller.address().is_some() {
            self.addresses.failed(&caller);
        }
        let Some(payer) = payment.signer() else { return };
        let is_new = lock(&self.failures).put_new(payment.signature_digest, ());
        if is_new && !used::is_already_used(rejection.code) {
            lock(&self.customers).remove(payer);
            self.payers.failed(&payer.to_owned());
        }
        if is_poverty(rejection.code) {
            let poor = Poor {
                amount: payment.amount,
                rejection: rejection.clone(),
                until: Instant::now() + POOR_FOR,
            };
            lock(&self.poor).put(wallet(net, payment), poor);
        }
    }
}

fn wallet(net: &ConfiguredNetwork, payment: &Verified) -> Wallet {
    (net.chain.network().to_string(), payment.payer.clone(), payment.source.clone())
}

/// A place among those that wait for something before their payment is claimed.
pub(crate) struct Waiting {
    _place: Option<OwnedSemaphorePermit>,
}

impl Inner {
    /// One check of a payment that is not claimed. Payers with history ask at once;
    /// strangers within their shares.
    pub(crate) async fn ask_chain(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        caller: Caller,
    ) -> Result<ChainView, CheckError> {
        let leave = self.strangers.leave(net, payment, caller).await?;
        let chain = net.chain.verify()?;
        let seen = match &leave {
            Some(_) => chain.check_stranger(payment).await,
            None => chain.check_chain(payment).await,
        };
        // A block that is a moment old is nobody's failure.
        if let Err(CheckError::Rejected(rejection)) = &seen
            && !is_early(payment, rejection, self.context.clock.now())
        {
            self.strangers.failed(net, payment, caller, rejection);
            if leave.as_ref().is_some_and(|leave| leave.is_narrow) {
                tokio::time::sleep(NARROW_HOLD).await;
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests;
