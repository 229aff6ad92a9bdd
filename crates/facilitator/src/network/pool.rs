//! The wallets that pay for a network's settlements: which of them may be given a payment, which is
//! named in an offer, and which of those that are retired is still owed something.
//!
//! No I/O: balances come with the tariff, what is under way from the lanes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::api::networks::{LaneHead, LaneReport};
use crate::chain::{CostSnapshot, Facts};
use crate::network::closed::Closed;

/// 2^64 over the golden ratio: its multiples, and every second of them, fall evenly over a circle.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// For how long a lane that broke counts as trouble: what broke it may come again, and would find
/// each new payment there, because an empty lane is the shortest.
const BROKEN_FOR: Duration = Duration::from_secs(60);

/// What a wallet can still pay, as it was read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Funds {
    Fine,
    /// It takes nothing new while another one can.
    Low,
    /// Not the next settlement.
    Empty,
}

impl Funds {
    const ALL: [Self; 3] = [Self::Fine, Self::Low, Self::Empty];

    /// For logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Low => "low",
            Self::Empty => "empty",
        }
    }
}

/// One wallet, shared by all that have to do with it.
#[derive(Debug)]
pub(crate) struct PoolWallet {
    pub(crate) address: String,
    /// It takes no new payment, and finishes what it began.
    pub(crate) retired: bool,
    /// Its nonce counter is known not to be behind the chain.
    pub(crate) ready: AtomicBool,
    /// Its next transaction offers less than blocks ask for.
    pub(crate) stuck: AtomicBool,
    funds: AtomicU8,
    native: Mutex<u128>,
    load: Mutex<Load>,
    /// What counted against it when its balance was read, and all that was given to it since, ended
    /// or not: what it paid is not in the balance that is known.
    counted: Mutex<u128>,
    /// When its lane broke last.
    broke: Mutex<Option<Instant>>,
    /// How its lane went in its last turn; for operators.
    lane: Mutex<LaneSeen>,
}

/// What this process has in one wallet's lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) payments: usize,
    /// What their claims reserved, in wei or lamports.
    pub(crate) reserved: u128,
}

/// How a wallet's lane went, of what only the lane knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaneSeen {
    /// Nonces with bytes that the chain has not used yet.
    pub(crate) open_slots: usize,
    /// The nonce that is next, and for how many milliseconds.
    pub(crate) head: Option<(u64, u64)>,
    /// How long the oldest of its payments has been under way.
    pub(crate) oldest_payment_ms: Option<u64>,
}

/// One payment in a wallet's lane, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    wallet: Arc<PoolWallet>,
    reserved: u128,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut load = lock(&self.wallet.load);
        load.payments = load.payments.saturating_sub(1);
        load.reserved = load.reserved.saturating_sub(self.reserved);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PoolWallet {
    fn new(address: &str, retired: bool) -> Arc<Self> {
        Arc::new(Self {
            address: address.to_owned(),
            retired,
            ready: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            funds: AtomicU8::new(0),
            native: Mutex::default(),
            load: Mutex::default(),
            counted: Mutex::default(),
            broke: Mutex::default(),
            lane: Mutex::default(),
        })
    }

    pub(crate) fn funds(&self) -> Funds {
        Funds::ALL.get(usize::from(self.funds.load(Ordering::Acquire))).copied().unwrap_or(Funds::Empty)
    }

    fn set_funds(&self, funds: Funds) {
        self.funds.store(funds as u8, Ordering::Release);
    }

    pub(crate) fn native(&self) -> u128 {
        *lock(&self.native)
    }

    pub(crate) fn load(&self) -> Load {
        *lock(&self.load)
    }

    fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Acquire)
    }

    /// A payment that was claimed now could land with it, as far as is known.
    fn can(&self) -> bool {
        self.funds() != Funds::Empty && !self.is_stuck()
    }

    /// Its lane broke, and begins anew.
    pub(crate) fn note_broken(&self) {
        *lock(&self.broke) = Some(Instant::now());
    }

    fn broke_lately(&self) -> bool {
        lock(&self.broke).is_some_and(|broke| broke.elapsed() < BROKEN_FOR)
    }

    /// How its lane goes, of what only the lane knows.
    pub(crate) fn note_lane(&self, seen: LaneSeen) {
        *lock(&self.lane) = seen;
    }

    /// The same, with what is known here.
    pub(crate) fn lane_report(&self) -> LaneReport {
        let seen = *lock(&self.lane);
        LaneReport {
            wallet: self.address.clone(),
            retired: self.retired,
            payments: self.load().payments,
            stuck: self.is_stuck(),
            broke_lately: self.broke_lately(),
            open_slots: seen.open_slots,
            head: seen.head.map(|(nonce, age_ms)| LaneHead { nonce, age_ms }),
            oldest_payment_ms: seen.oldest_payment_ms,
        }
    }

    /// Counts a payment for whose claim so much was reserved.
    pub(crate) fn hold(self: &Arc<Self>, reserved: u128) -> Held {
        let mut load = lock(&self.load);
        load.payments = load.payments.saturating_add(1);
        load.reserved = load.reserved.saturating_add(reserved);
        drop(load);
        let mut counted = lock(&self.counted);
        *counted = counted.saturating_add(reserved);
        drop(counted);
        Held { wallet: Arc::clone(self), reserved }
    }
}

/// Why a payment whose own message names its wallet is not taken with that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotWith {
    /// It is not offered any more, and every offer that named it has expired.
    Retired,
    /// It cannot pay.
    Empty,
}

/// Which wallets the offers of a tariff may name, and until when those may be paid.
#[derive(Debug, Default)]
struct Named {
    newest: Option<(i64, Vec<String>)>,
    until_ms: BTreeMap<String, i64>,
    /// The same where a tariff does not say: of any wallet.
    any_until_ms: i64,
}

/// All wallets of a network.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Those that take new payments first, at least one of them; none where somebody else settles.
    wallets: Vec<Arc<PoolWallet>>,
    /// Whether hexadecimal digits name them, whose case means nothing.
    ignores_case: bool,
    /// One that cannot pay so many settlements more is low.
    low_settlements: u64,
    /// Offers that have named one.
    offers: AtomicUsize,
    named: Mutex<Named>,
    /// What settlements cost, as it was read last.
    costs: Mutex<Option<CostSnapshot>>,
}

/// What a wallet can pay that holds so much, where so much of it may be spent already.
fn funds_of(costs: &CostSnapshot, native: u128, reserved: u128, low_settlements: u64) -> Funds {
    match () {
        () if !costs.suffices(native, 1, reserved) => Funds::Empty,
        () if !costs.suffices(native, low_settlements, reserved) => Funds::Low,
        () => Funds::Fine,
    }
}

impl Pool {
    pub(crate) fn new(facts: &Facts, low_settlements: u64) -> Self {
        let paying = facts.wallets.iter().map(|address| PoolWallet::new(address, false));
        let retired = facts.retired_wallets.iter().map(|address| PoolWallet::new(address, true));
        Self {
            wallets: paying.chain(retired).collect(),
            ignores_case: facts.takes_nonce,
            low_settlements: low_settlements.max(1),
            offers: AtomicUsize::new(0),
            named: Mutex::default(),
            costs: Mutex::default(),
        }
    }

    /// How many settlements what a wallet holds pays for, at what one is expected to cost now.
    pub(crate) fn runway(&self, wallet: &PoolWallet) -> Option<u64> {
        let (expected, floor) =
            lock(&self.costs).as_ref().map(|costs| (costs.cost_native, costs.floor_native))?;
        let left = wallet.native().saturating_sub(floor);
        Some(u64::try_from(left.checked_div(expected)?).unwrap_or(u64::MAX))
    }

    /// Whether balances were ever read.
    pub(crate) fn is_known(&self) -> bool {
        lock(&self.costs).is_some()
    }

    /// All of them, those that take new payments first.
    pub(crate) fn all(&self) -> &[Arc<PoolWallet>] {
        &self.wallets
    }

    /// Those that take new payments.
    pub(crate) fn paying(&self) -> impl DoubleEndedIterator<Item = &Arc<PoolWallet>> {
        self.wallets.iter().filter(|wallet| !wallet.retired)
    }

    pub(crate) fn get(&self, address: &str) -> Option<&Arc<PoolWallet>> {
        self.wallets.iter().find(|wallet| match self.ignores_case {
            true => wallet.address.eq_ignore_ascii_case(address),
            false => wallet.address == address,
        })
    }

    /// What a wallet can still pay beside what it was given since its balance was read: between two
    /// readings a small one would be given more than it holds. Only who is chosen depends on it, and
    /// who is offered: what has ended may have cost less, so nothing closes by it.
    fn funds_now(&self, wallet: &PoolWallet) -> Funds {
        let (native, counted) = (wallet.native(), *lock(&wallet.counted));
        let now =
            lock(&self.costs).as_ref().map(|costs| funds_of(costs, native, counted, self.low_settlements));
        wallet.funds().max(now.unwrap_or(Funds::Fine))
    }

    /// How much is against giving it a new payment; the least is best.
    fn trouble(&self, wallet: &PoolWallet) -> u8 {
        match (self.funds_now(wallet), wallet.is_stuck() || wallet.broke_lately()) {
            (Funds::Fine, false) => 0,
            (Funds::Low, false) => 1,
            (Funds::Fine | Funds::Low, true) => 2,
            (Funds::Empty, _) => 3,
        }
    }

    /// Who is to have a new payment: without trouble if there is such a one, then whose lane is
    /// shortest, then who holds most.
    pub(crate) fn choose(&self) -> Option<&Arc<PoolWallet>> {
        self.paying().min_by_key(|wallet| {
            let is_unready = self.ignores_case && !wallet.ready.load(Ordering::Acquire);
            (is_unready, self.trouble(wallet), wallet.load().payments, Reverse(wallet.native()))
        })
    }

    /// Which of those that take new payments the next offer names, by position: evenly among those
    /// with the least trouble, so that their transactions do not wait for one account. Also where
    /// only every second offer is one that is paid, as of a 402 that says its offers in two forms.
    pub(crate) fn next_named(&self) -> usize {
        let turn = self.offers.fetch_add(1, Ordering::Relaxed);
        let drawn = u64::try_from(turn).unwrap_or(u64::MAX).wrapping_mul(GOLDEN_RATIO) >> 32;
        self.named_in_turn(drawn)
    }

    /// The one that is named to whoever keeps it: the first with the least trouble.
    pub(crate) fn first_named(&self) -> usize {
        self.named_in_turn(0)
    }

    /// By a number below 2^32.
    fn named_in_turn(&self, drawn: u64) -> usize {
        // Each is looked at once: it may be given a payment meanwhile.
        let troubles: Vec<u8> = self.paying().map(|wallet| self.trouble(wallet)).collect();
        let least = troubles.iter().min();
        let best = |(at, trouble)| (Some(trouble) == least).then_some(at);
        let best: Vec<usize> = troubles.iter().enumerate().filter_map(best).collect();
        let count = u64::try_from(best.len()).unwrap_or(0);
        let at = usize::try_from(drawn.saturating_mul(count) >> 32).unwrap_or(0);
        best.get(at).copied().unwrap_or(0)
    }

    /// Why no wallet can take a payment, if none can. Where there is none, somebody else settles.
    pub(crate) fn closed(&self) -> Option<Closed> {
        if self.wallets.is_empty() {
            return None;
        }
        if self.paying().any(|wallet| wallet.can()) {
            return None;
        }
        let all_empty = self.paying().all(|wallet| wallet.funds() == Funds::Empty);
        Some(if all_empty { Closed::WalletEmpty } else { Closed::LaneUnderBaseFee })
    }

    /// Takes in what each wallet holds, of which `reserved` may be spent by payments under way on
    /// the network, those of other processes too. Says whose funds
    /// changed, from what to what.
    ///
    /// Whose reservations are whose is known of this process's own payments; any other one may
    /// be any wallet's.
    pub(crate) fn note_balances(
        &self,
        costs: &CostSnapshot,
        reserved: u128,
    ) -> Vec<(Arc<PoolWallet>, [Funds; 2])> {
        *lock(&self.costs) = Some(costs.clone());
        let own: u128 = self.wallets.iter().map(|wallet| wallet.load().reserved).sum();
        let others = reserved.saturating_sub(own);
        let mut changed = Vec::new();
        for (address, native) in &costs.wallets_native {
            let Some(wallet) = self.get(address) else { continue };
            *lock(&wallet.native) = *native;
            let reserved = wallet.load().reserved.saturating_add(others).min(reserved);
            *lock(&wallet.counted) = reserved;
            let funds = funds_of(costs, *native, reserved, self.low_settlements);
            let before = wallet.funds();
            if before != funds {
                wallet.set_funds(funds);
                changed.push((Arc::clone(wallet), [before, funds]));
            }
        }
        changed
    }

    /// The wallets that offers may name now, as a tariff says it.
    pub(crate) fn offered(&self) -> Vec<String> {
        self.paying().map(|wallet| wallet.address.clone()).collect()
    }

    /// Takes in whom the offers of a tariff may name; they may be paid until `until_ms`. A tariff of
    /// an earlier release does not say.
    pub(crate) fn note_tariff(&self, number: i64, names: Option<Vec<String>>, until_ms: i64) {
        let mut named = lock(&self.named);
        let Some(names) = names else {
            named.any_until_ms = named.any_until_ms.max(until_ms);
            return;
        };
        for name in &names {
            let until = named.until_ms.entry(name.clone()).or_insert(until_ms);
            *until = (*until).max(until_ms);
        }
        if named.newest.as_ref().is_none_or(|(newest, _)| *newest <= number) {
            named.newest = Some((number, names));
        }
    }

    /// Whether the tariff of this number says that offers may name these wallets, and no others.
    pub(crate) fn says_offered(&self, number: i64) -> bool {
        let named = lock(&self.named);
        let Some((newest, names)) = &named.newest else { return false };
        let all = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
        *newest == number && all(names.clone()) == all(self.offered())
    }

    /// Whether a new payment whose message names this wallet is taken with it: any that is offered,
    /// and a retired one while an offer that named it may be paid.
    pub(crate) fn takes(&self, wallet: &str, now_ms: i64) -> Result<(), NotWith> {
        let Some(wallet) = self.get(wallet) else { return Err(NotWith::Retired) };
        if wallet.retired {
            let named = lock(&self.named);
            let until_ms = named.until_ms.get(&wallet.address).copied().unwrap_or(0).max(named.any_until_ms);
            if now_ms >= until_ms {
                return Err(NotWith::Retired);
            }
        }
        if wallet.funds() == Funds::Empty { Err(NotWith::Empty) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
