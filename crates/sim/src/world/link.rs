//! One life of one process: whatever it does goes through here, so that it can
//! die or stand still between any two effects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quittance_facilitator::chain::{ChainFault, Obstacle};
use quittance_facilitator::{Defect, Facilitator};
use quittance_ledger::PaymentState;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::base::WALLETS_MAX;
use crate::canary::Canary;
use crate::plan::{Crash, Net};
use crate::settings::wallets;
use crate::stats::Fault;
use crate::world::{BEGIN_MS, Handle, World};

/// How long a call may be held up to reach a cell of the coverage table.
const HOLD_MS: u64 = 75_000;

/// When an RPC client gives up.
pub(crate) const RPC_TIMEOUT_MS: u64 = 5_000;

/// Nothing is in a chain's way.
const OPEN: u64 = u64::MAX;

/// How many settlements a wallet pays for that holds little: fewer than `wallet_low_settlements`.
const LOW_SETTLEMENTS: u128 = 5;

/// What a node says of our wallets, of the token and of the recipient.
pub(crate) struct InTheWay {
    funds: Vec<Funds>,
    pub(crate) obstacle: Option<Obstacle>,
}

/// What a wallet of ours holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Funds {
    Plenty,
    Little,
    Nothing,
}

impl InTheWay {
    /// What each wallet holds, where a settlement may cost so much.
    pub(crate) fn balances(&self, net: Net, bound: u128) -> Vec<(String, u128)> {
        let native = |funds: &Funds| match funds {
            Funds::Plenty => u128::MAX / 4,
            Funds::Little => bound.saturating_mul(LOW_SETTLEMENTS),
            Funds::Nothing => 0,
        };
        let each = wallets(net).into_iter().zip(&self.funds);
        each.map(|(wallet, funds)| (wallet.to_owned(), native(funds))).collect()
    }
}

/// What a life knows of one wallet of ours: since when.
struct Known {
    empty: AtomicU64,
    low: AtomicU64,
    plenty: AtomicU64,
    stuck: AtomicU64,
    /// When its lane moves again is not known here to the moment.
    was_stuck: AtomicBool,
}

impl Known {
    fn nothing() -> Self {
        let open = || AtomicU64::new(OPEN);
        Self { empty: open(), low: open(), plenty: open(), stuck: open(), was_stuck: AtomicBool::new(false) }
    }

    /// Since when it has plenty, if its lane was never held up.
    fn able(&self) -> u64 {
        if self.was_stuck.load(Ordering::Relaxed) { OPEN } else { self.plenty.load(Ordering::Relaxed) }
    }

    /// Since when it can take no payment.
    fn unable(&self) -> u64 {
        self.empty.load(Ordering::Relaxed).min(self.stuck.load(Ordering::Relaxed))
    }
}

fn note(since: &AtomicU64, holds: bool, now_ms: u64) {
    match holds {
        true => since.fetch_min(now_ms, Ordering::Relaxed),
        false => since.swap(OPEN, Ordering::Relaxed),
    };
}

/// One life.
pub(crate) struct Link {
    pub(crate) world: Handle,
    pub(crate) process: usize,
    /// Whether this life began after the operator's change.
    pub(crate) has_moved: bool,
    /// Since when this life knows that a chain takes no payment; Base's and Solana's.
    closed_since: [AtomicU64; 2],
    /// What it knows of our wallets; Base's and Solana's.
    known: [[Known; WALLETS_MAX]; 2],
    /// Those that take new payments in this life: not the first where that is retired.
    first_paying: usize,
    wallets: usize,
    /// What this process's clock is ahead (or behind).
    skew_ms: i64,
    dead: AtomicBool,
    paused_until: AtomicU64,
    woken: Notify,
    died: CancellationToken,
    /// Ends its background tasks, so that they need not be simulated any more.
    pub(crate) stop: CancellationToken,
}

/// A process that serves.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) link: Arc<Link>,
    pub(crate) facilitator: Facilitator,
}

impl Link {
    pub(crate) fn begin(world: &Handle, process: usize) -> Arc<Self> {
        let (skew_ms, has_moved, wallets, retires) = world.with(|w| {
            w.lives[process] = w.lives[process].saturating_add(1);
            let has_moved = w.plan.moves_ms.is_some_and(|at| w.now() >= at);
            (w.plan.skews_ms[process], has_moved, w.plan.wallets, w.plan.retires_wallet)
        });
        let known = || std::array::from_fn(|_| Known::nothing());
        Arc::new(Self {
            world: world.clone(),
            process,
            has_moved,
            closed_since: [AtomicU64::new(OPEN), AtomicU64::new(OPEN)],
            known: [known(), known()],
            first_paying: usize::from(has_moved && retires),
            wallets,
            skew_ms,
            dead: AtomicBool::new(false),
            paused_until: AtomicU64::new(0),
            woken: Notify::new(),
            died: CancellationToken::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Unix time as this process's clock shows it.
    pub(crate) fn now_ms(&self) -> i64 {
        let now = self.world.with(|w| w.now());
        BEGIN_MS.saturating_add(i64::try_from(now).unwrap_or(i64::MAX)).saturating_add(self.skew_ms)
    }

    /// What this life learns when it reads what settling costs.
    pub(crate) fn learns_closed(&self, net: Net, closed: bool, now_ms: u64) {
        note(&self.closed_since[usize::from(net == Net::Solana)], closed, now_ms);
    }

    fn known(&self, net: Net) -> &[Known; WALLETS_MAX] {
        &self.known[usize::from(net == Net::Solana)]
    }

    /// The wallets that take new payments, as this life knows them.
    fn paying(&self, net: Net) -> impl Iterator<Item = (usize, &Known)> {
        self.known(net).iter().enumerate().take(self.wallets).skip(self.first_paying)
    }

    /// Whether a wallet is retired in this life.
    pub(crate) fn has_retired(&self, wallet: usize) -> bool {
        wallet < self.first_paying
    }

    /// Since when it knows that a wallet cannot pay.
    pub(crate) fn empty_since(&self, net: Net, wallet: usize) -> Option<u64> {
        let since = self.known(net).get(wallet)?.empty.load(Ordering::Relaxed);
        (since != OPEN).then_some(since)
    }

    /// Since when it knows that a wallet holds little while another one has plenty and is not held up.
    pub(crate) fn should_hand_over(&self, net: Net, wallet: usize) -> Option<u64> {
        let low = self.known(net).get(wallet)?.low.load(Ordering::Relaxed);
        let others = self.paying(net).filter(|(at, _)| *at != wallet);
        let since = low.max(others.map(|(_, known)| known.able()).min().unwrap_or(OPEN));
        (since != OPEN).then_some(since)
    }

    /// What this life learns when it looks at the wallet's lane on Base. Where lanes break, what
    /// one has just heard dies with it, and the next one looks for itself.
    pub(crate) fn learns_stuck(&self, wallet: usize, stuck: bool) {
        let (now_ms, breaks) = self.world.with(|w| (w.now(), w.plan.lane == Some(Defect::Breaks)));
        if breaks {
            return;
        }
        if let Some(known) = self.known(Net::Base).get(wallet) {
            note(&known.stuck, stuck, now_ms);
            known.was_stuck.fetch_or(stuck, Ordering::Relaxed);
        }
    }

    pub(crate) fn closed_since(&self, net: Net) -> Option<u64> {
        let closed = self.closed_since[usize::from(net == Net::Solana)].load(Ordering::Relaxed);
        // Only once no wallet is left that can.
        let unable = self.paying(net).map(|(_, known)| known.unable()).max().unwrap_or(OPEN);
        let since = closed.min(unable);
        (since != OPEN).then_some(since)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Whether it executes anything just now.
    pub(crate) fn stands_still(&self, now: u64) -> bool {
        self.is_dead() || self.paused_until.load(Ordering::Relaxed) > now
    }

    pub(crate) async fn died(&self) {
        self.died.cancelled().await;
    }

    pub(crate) fn pause(&self, until_ms: u64) {
        self.paused_until.fetch_max(until_ms, Ordering::Relaxed);
    }

    pub(crate) fn wake(&self) {
        self.paused_until.store(0, Ordering::Relaxed);
        self.woken.notify_waiters();
    }

    /// It ends here: none of its later calls has an effect or is answered.
    pub(crate) fn die(&self) {
        if self.dead.swap(true, Ordering::Relaxed) {
            return;
        }
        self.world.with(|w| w.bury(self.process));
        self.died.cancel();
        self.stop.cancel();
    }

    /// Nothing happens in a process that is dead or stands still.
    pub(crate) async fn alive(&self) {
        loop {
            if self.is_dead() {
                std::future::pending::<()>().await;
            }
            let until = self.paused_until.load(Ordering::Relaxed);
            if self.world.with(|w| w.now()) >= until {
                return;
            }
            tokio::select! {
                biased;
                () = self.woken.notified() => {}
                () = self.world.sleep_until(until) => {}
            }
        }
    }

    /// A place where it may die; true if it did.
    pub(crate) async fn dies_at(&self, place: Crash, key: Option<usize>) -> bool {
        self.alive().await;
        if place != Crash::Elsewhere {
            self.may_stand_still().await;
        }
        if let Some(key) = key {
            self.hold(place, key).await;
        }
        let dies = self.world.with(|w| {
            let dies = w.draws_crash(place, key);
            if dies {
                w.report.count(Fault::Crash);
                if let Some(key) = key.filter(|_| place != Crash::Elsewhere) {
                    let cell = w.cell(place, key);
                    w.report.covered(cell);
                }
                w.say(|| format!("process {} dies at {place:?}, key {key:?}", self.process));
            }
            dies
        });
        if dies {
            self.die();
        }
        dies
    }

    /// SIGSTOP, between two instructions.
    async fn may_stand_still(&self) {
        let until = self.world.with(|w| {
            let stops = w.fault(w.plan.weather.pause.saturating_mul(3), Fault::Paused);
            stops.then(|| w.now().saturating_add(w.random.range(1_000, 40_000)))
        });
        if let Some(until) = until {
            self.pause(until);
            self.alive().await;
        }
    }

    /// A seed that aims at a cell holds the process there until it is reached.
    async fn hold(&self, place: Crash, key: usize) {
        let first = self.world.with(|w| {
            let aims = w.plan.aim.is_some_and(|aim| aim.two_stage) && place == Crash::BeforeVerdict;
            aims && key == 0 && !w.calm && !std::mem::replace(&mut w.report.held_first, true)
        });
        if first {
            return self.hold_until(true, |w| w.state_of(0) == Some(PaymentState::Recorded)).await;
        }
        let held = self.world.with(|w| {
            let aims = w.plan.aim.is_some_and(|aim| aim.place == place) && key == 0 && !w.calm;
            aims && !std::mem::replace(&mut w.report.held, true)
        });
        if held {
            let standstill = self.world.with(|w| w.plan.aim.is_some_and(|aim| aim.standstill));
            let there = |w: &mut World| {
                w.plan.aim.is_some_and(|aim| w.cell(place, key) == (aim.state, place, aim.sent))
            };
            self.hold_until(standstill, there).await;
        }
    }

    async fn hold_until(&self, standstill: bool, there: impl Fn(&mut World) -> bool) {
        let mut changes = self.world.changes();
        let until = self.world.with(|w| w.now()).saturating_add(HOLD_MS);
        if standstill {
            self.pause(until);
        }
        while !self.world.with(|w| w.calm || there(w)) {
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = self.world.sleep_until(until) => break,
            }
        }
        self.wake();
    }

    /// Reads costs, and what is in every payment's way.
    pub(crate) async fn costs<T>(
        &self,
        net: Net,
        code: u64,
        read: impl FnOnce(&World) -> T,
    ) -> Result<(T, InTheWay), ChainFault> {
        let funds = |w: &World, wallet| match (w.is_empty(net, wallet), w.is_low(net, wallet)) {
            (true, _) => Funds::Nothing,
            (false, true) => Funds::Little,
            (false, false) => Funds::Plenty,
        };
        let read = |w: &mut World, _| {
            let all: Vec<Funds> = (0..w.plan.wallets).map(|wallet| funds(w, wallet)).collect();
            (read(w), all, w.obstacle(net), w.plan.canary)
        };
        let (read, mut funds, obstacle, canary) = self.rpc(net, code, None, read).await?;
        let now_ms = self.world.with(|w| w.now());
        self.learns_closed(net, obstacle.is_some(), now_ms);
        for (known, funds) in self.known(net).iter().zip(&funds) {
            note(&known.empty, *funds == Funds::Nothing, now_ms);
            note(&known.low, *funds != Funds::Plenty, now_ms);
            note(&known.plenty, *funds == Funds::Plenty, now_ms);
        }
        let is_blind = match canary {
            Some(Canary::EmptyWalletSells) => |one: Funds| one == Funds::Nothing,
            Some(Canary::LowWalletSells) => |one: Funds| one == Funds::Little,
            _ => |_: Funds| false,
        };
        funds.iter_mut().filter(|one| is_blind(**one)).for_each(|one| *one = Funds::Plenty);
        let obstacle = obstacle.filter(|_| canary != Some(Canary::ClosedPayoutSells));
        Ok((read, InTheWay { funds, obstacle }))
    }

    /// A call to a node: there and back, if anybody answers.
    pub(crate) async fn rpc<T>(
        &self,
        net: Net,
        code: u64,
        key: Option<usize>,
        effect: impl FnOnce(&mut World, usize) -> T,
    ) -> Result<T, ChainFault> {
        if self.dies_at(Crash::Elsewhere, key).await {
            std::future::pending::<()>().await;
        }
        let drawn = self.world.with(|w| {
            w.count_call(code, key);
            let lost = w.fault(w.plan.weather.request_lost, Fault::RequestLost);
            let at = w.endpoint(net, code).filter(|_| !lost)?;
            let slow = w.fault(w.plan.weather.slow, Fault::Slow);
            let there = if slow { w.random.range(300, 3_000) } else { w.random.range(3, 40) };
            let back = if slow { w.random.range(300, 1_500) } else { w.random.range(2, 30) };
            Some((at, there, back))
        });
        let Some((at, there, back)) = drawn else {
            self.world.sleep(50, RPC_TIMEOUT_MS).await;
            self.alive().await;
            return Err(ChainFault("no answer".to_owned()));
        };
        self.world.sleep(there, there).await;
        let found = self.world.with(|w| effect(w, at));
        self.world.sleep(back, back).await;
        self.alive().await;
        let lost = self.world.with(|w| w.fault(w.plan.weather.answer_lost / 3, Fault::AnswerLost));
        if lost { Err(ChainFault("the answer was lost".to_owned())) } else { Ok(found) }
    }
}

impl World {
    fn draws_crash(&mut self, place: Crash, key: Option<usize>) -> bool {
        if let Some(forced) = self.plan.forced {
            if forced.crash != place || key != Some(0) {
                return false;
            }
            self.visits = self.visits.saturating_add(1);
            return self.visits == forced.visit;
        }
        if self.calm {
            return false;
        }
        if self.plan.poison && place == Crash::DuringHandler && key == Some(0) {
            return true;
        }
        if let (Some(aim), Some(0)) = (self.plan.aim, key)
            && !self.report.aimed
            && self.cell(place, 0) == (aim.state, aim.place, aim.sent)
        {
            self.report.aimed = true;
            return true;
        }
        let busy = self.waiting > 0;
        match place {
            Crash::Elsewhere => busy && self.random.below(10_000) < self.plan.weather.crash_any,
            _ => self.random.chance(self.plan.weather.crash),
        }
    }

    /// What a death leaves behind.
    fn bury(&mut self, process: usize) {
        let now = self.now();
        let owner = crate::settings::name(process);
        let struck: Vec<_> = self.database.with(|rows| {
            let open = |p: &&quittance_ledger::Payment| p.owner == owner && !p.state.is_final();
            rows.payments().filter(open).map(|p| p.key).collect()
        });
        for key in struck {
            if let Some(key) = self.keys.get(&key) {
                self.struck_ms.insert(*key, now);
            }
        }
        self.fronts[process] = None;
        for run in self.audit.runs.extract_if(.., |run| run.process == process) {
            let died = self.audit.runs_died.entry(run.key).or_default();
            *died = died.saturating_add(1);
        }
        // A crash that is forced comes in good weather, too: what it replayed just now and has not
        // booked begins its window with the next replay.
        self.audit.replays.clear();
        self.note(99, process as u64);
        self.tell_change();
    }
}
