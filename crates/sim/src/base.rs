//! A model of Base: wallets of ours, one token, blocks, a mempool, reorganisations.

use std::collections::{BTreeMap, BTreeSet};

use crate::random::Random;

/// Gas that a settlement is expected to take.
pub(crate) const GAS: u64 = 88_000;

/// Gas that a settlement may take: code of a payer's uses all of it.
pub(crate) const GAS_LIMIT: u64 = 150_000;

/// Gas of a transaction that moves nothing.
pub(crate) const NOTHING_GAS: u64 = 21_000;

/// The operator's fee cap (I8), in the chain's fee units.
pub(crate) const FEE_CAP: u64 = 100;

/// Wei in a fee unit.
pub(crate) const FEE_UNIT_WEI: u128 = 1_000_000;

/// Wallets that a network has at most.
pub(crate) const WALLETS_MAX: usize = 2;

/// Gas that a transaction for several may take, for each of them and in all.
const BATCH_GAS_LIMIT: (u64, u64) = (120_000, 40_000);

/// Gas that it takes.
const BATCH_GAS_USED: (u64, u64) = (50_700, 30_001);

/// Of a thousand transactions for several so many run dry: code that came after the rehearsal used
/// up what was there for all.
const STARVED_PER_MILLE: u64 = 30;

/// The gas limit of a transaction for so many.
pub(crate) fn gas_limit(payments: usize) -> u64 {
    of_several(payments, BATCH_GAS_LIMIT, GAS_LIMIT)
}

fn of_several(payments: usize, (each, all): (u64, u64), alone: u64) -> u64 {
    match payments {
        0 | 1 => alone,
        several => each.saturating_mul(several as u64).saturating_add(all),
    }
}

/// Gas that a settlement takes.
const GAS_USED: u64 = 85_800;

/// What a transaction does to a payment's authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Uses it and moves the money.
    Pay,
    /// Cancels it: the token then calls it used as well.
    Cancel,
    /// Names it and does nothing, within a transaction that succeeds.
    Nothing,
    /// Uses our wallet's nonce in its place.
    Empty,
}

/// A transaction on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tx {
    /// Stands for the hash.
    pub id: u32,
    /// Whose authorization.
    pub key: usize,
    /// What it does.
    pub act: Act,
    /// Our wallet's nonce; `None` when somebody else sends it.
    pub nonce: Option<u64>,
    /// Which wallet of ours signed it.
    pub wallet: usize,
    /// Fees it may pay per gas.
    pub fee_cap: u64,
    /// Several calls, of which each may fail alone: its own status says nothing.
    pub wrapped: bool,
}

/// A transaction in a block.
#[derive(Clone, Copy, Debug)]
pub struct Included {
    /// Which.
    pub tx: Tx,
    /// Where.
    pub block: u64,
    /// Whether its logs say that it did what it wanted.
    pub effective: bool,
    /// Its own status.
    pub status: bool,
    /// Gas that it took, for all its payments.
    pub gas: u64,
    /// How many those are. Each is in the chain as an entry of its own.
    pub payments: usize,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    time_ms: u64,
    fork: u32,
    base_fee: u64,
}

/// What decides whether an authorization can be used; the payer's doing.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Exclusive.
    pub valid_before_ms: u64,
    /// From when to when the payer has no money.
    pub broke_ms: Option<(u64, u64)>,
    /// The money comes and goes, every three seconds.
    pub flickers: bool,
    /// Code of the payer's refuses whatever it said before.
    pub never: bool,
}

impl Terms {
    /// Whether the payer's balance does not suffice.
    pub fn broke(&self, at_ms: u64) -> bool {
        let gone = |from: u64| !self.flickers || (at_ms.saturating_sub(from) / 3_000).is_multiple_of(2);
        self.broke_ms.is_some_and(|(from, to)| at_ms >= from && at_ms < to && gone(from))
    }
}

/// The chain.
#[derive(Clone, Debug)]
pub struct Base {
    blocks: Vec<Block>,
    included: Vec<Included>,
    /// Taken by nodes, not in a block.
    pub pool: Vec<Tx>,
    fork: u32,
    /// What a unit of gas costs now.
    pub base_fee: u64,
    /// Payments whose transaction failed because earlier ones took the money, for the auditor.
    pub uncovered: Vec<usize>,
    /// Transactions that moved money on any branch, for the auditor.
    pub moved_ever: Vec<(usize, u32)>,
    /// Blocks between the head and the finalized block.
    pub finality: u64,
    /// What transactions for several are for, in order.
    pub batches: BTreeMap<u32, Vec<usize>>,
    /// Their bytes, as nodes have them.
    pub as_sent: BTreeMap<u32, Tx>,
    /// Those of them that ran dry, for the report.
    pub starved: u64,
}

impl Base {
    /// A chain with one block.
    pub fn new(finality: u64) -> Self {
        Self {
            blocks: vec![Block { time_ms: 0, fork: 0, base_fee: 10 }],
            included: Vec::new(),
            pool: Vec::new(),
            fork: 0,
            base_fee: 10,
            uncovered: Vec::new(),
            moved_ever: Vec::new(),
            finality,
            batches: BTreeMap::new(),
            as_sent: BTreeMap::new(),
            starved: 0,
        }
    }

    /// Number of the newest block.
    pub fn head(&self) -> u64 {
        (self.blocks.len() as u64).saturating_sub(1)
    }

    /// Number of the finalized block, as seen with this head.
    pub fn finalized(&self, head: u64) -> u64 {
        head.saturating_sub(self.finality)
    }

    /// Time of a block.
    pub fn time_ms(&self, block: u64) -> u64 {
        usize::try_from(block).ok().and_then(|at| self.blocks.get(at)).map_or(0, |block| block.time_ms)
    }

    /// Stands for a block's hash.
    pub fn hash(&self, block: u64) -> String {
        let fork = usize::try_from(block).ok().and_then(|at| self.blocks.get(at)).map_or(0, |b| b.fork);
        format!("0xb{block}f{fork}")
    }

    /// What used up or cancelled this authorization, at this block.
    pub fn used(&self, key: usize, head: u64) -> Option<&Included> {
        self.included.iter().find(|i| i.tx.key == key && i.effective && i.block <= head)
    }

    /// A transaction's place, at this block.
    pub fn place(&self, id: u32, head: u64) -> Option<&Included> {
        self.included.iter().find(|i| i.tx.id == id && i.block <= head)
    }

    /// The same of one of its payments.
    pub fn place_of(&self, id: u32, key: usize, head: u64) -> Option<&Included> {
        self.naming(key, head).find(|i| i.tx.id == id)
    }

    /// Everything that names this authorization, at this block.
    pub fn naming(&self, key: usize, head: u64) -> impl Iterator<Item = &Included> {
        self.included.iter().filter(move |i| i.tx.key == key && i.block <= head)
    }

    /// What a transaction is for.
    pub fn keys_of(&self, tx: Tx) -> Vec<usize> {
        self.batches.get(&tx.id).cloned().unwrap_or_else(|| vec![tx.key])
    }

    /// What an included transaction cost its sender, in wei.
    pub fn cost(&self, included: &Included) -> u128 {
        let block = usize::try_from(included.block).ok().and_then(|at| self.blocks.get(at));
        let base_fee = block.map_or(0, |block| block.base_fee);
        let fee = base_fee.saturating_add(1).min(included.tx.fee_cap.max(base_fee));
        u128::from(included.gas.saturating_mul(fee)).saturating_mul(FEE_UNIT_WEI)
    }

    /// Our transactions that are in the chain.
    pub fn ours(&self) -> impl Iterator<Item = &Included> {
        self.included.iter().filter(|i| i.tx.nonce.is_some())
    }

    /// How many nonces of a wallet of ours are used at this block.
    pub fn nonces_used(&self, wallet: usize, head: u64) -> u64 {
        let mine = self.included.iter().filter(|i| i.tx.wallet == wallet && i.block <= head);
        mine.filter_map(|i| i.tx.nonce).max().map_or(0, |nonce| nonce.saturating_add(1))
    }

    /// A node takes a transaction. False if it is known already.
    pub fn take(&mut self, tx: Tx) -> bool {
        let gone = tx.nonce.is_some_and(|nonce| nonce < self.nonces_used(tx.wallet, self.head()));
        if gone || self.pool.contains(&tx) || self.place(tx.id, self.head()).is_some() {
            return false;
        }
        self.pool.push(tx);
        true
    }

    /// What else a node may have at the same nonce of ours.
    pub fn rivals(&self, tx: &Tx) -> impl Iterator<Item = &Tx> {
        let slot = (tx.wallet, tx.nonce);
        let id = tx.id;
        self.pool
            .iter()
            .filter(move |one| one.nonce.is_some() && (one.wallet, one.nonce) == slot && one.id != id)
    }

    /// Payments whose money moved, at this block.
    pub fn moved(&self, head: u64) -> impl Iterator<Item = usize> {
        let moved = move |i: &&Included| i.effective && i.tx.act == Act::Pay && i.block <= head;
        self.included.iter().filter(moved).map(|i| i.tx.key)
    }

    /// A block; `omit` per mille of the transactions that could be in it are not.
    /// `covers` says whether the payer's money is there after what moved before.
    pub fn mine(
        &mut self,
        now_ms: u64,
        omit: u64,
        random: &mut Random,
        terms: impl Fn(usize) -> Terms,
        covers: impl Fn(&Self, usize) -> bool,
    ) {
        self.blocks.push(Block { time_ms: now_ms, fork: self.fork, base_fee: self.base_fee });
        let head = self.head();
        let mut pool = std::mem::take(&mut self.pool);
        pool.sort_by_key(|tx| (tx.nonce, tx.id));
        let mut next = [0_u64; WALLETS_MAX];
        for (wallet, next) in next.iter_mut().enumerate() {
            *next = self.nonces_used(wallet, head);
        }
        for tx in pool {
            let at = next.get(tx.wallet).copied().unwrap_or(0);
            let in_turn = tx.nonce.is_none_or(|nonce| nonce == at);
            if !in_turn || tx.fee_cap < self.base_fee || random.chance(omit) {
                if tx.nonce.is_none_or(|nonce| nonce >= at) {
                    self.pool.push(tx);
                }
                continue;
            }
            if let (Some(nonce), Some(next)) = (tx.nonce, next.get_mut(tx.wallet)) {
                *next = nonce.saturating_add(1);
            }
            self.execute(tx, now_ms, random, &terms, &covers);
        }
    }

    /// Item by item, each of which may fail alone; or all of them run dry.
    fn execute(
        &mut self,
        tx: Tx,
        now_ms: u64,
        random: &mut Random,
        terms: &impl Fn(usize) -> Terms,
        covers: &impl Fn(&Self, usize) -> bool,
    ) {
        let (head, keys) = (self.head(), self.keys_of(tx));
        let payments = keys.len();
        let runs_dry = payments > 1 && random.chance(STARVED_PER_MILLE);
        let starved = runs_dry || (payments > 1 && keys.iter().any(|key| terms(*key).never));
        self.starved = self.starved.saturating_add(u64::from(starved));
        for key in keys {
            let (tx, terms) = (Tx { key, ..tx }, terms(key));
            let open = self.used(key, head).is_none();
            let effective = match tx.act {
                Act::Pay if open && now_ms < terms.valid_before_ms && !terms.broke(now_ms) && !starved => {
                    let covered = covers(self, key);
                    if !covered {
                        self.uncovered.push(key);
                    }
                    covered && !terms.never
                }
                Act::Pay | Act::Nothing | Act::Empty => false,
                Act::Cancel => open,
            };
            if effective && tx.act == Act::Pay {
                self.moved_ever.push((key, tx.id));
            }
            let status = effective || tx.wrapped || tx.act == Act::Empty || (payments > 1 && !starved);
            let gas = match tx.act {
                Act::Empty => NOTHING_GAS,
                _ if terms.never || starved => gas_limit(payments),
                _ => of_several(payments, BATCH_GAS_USED, GAS_USED),
            };
            self.included.push(Included { tx, block: head, effective, status, gas, payments });
        }
    }

    /// The newest blocks are replaced by empty ones; their transactions go back
    /// to the nodes, except those that get lost.
    pub fn reorganise(&mut self, depth: u64, lose: u64, random: &mut Random) -> Vec<Tx> {
        let first =
            self.head().saturating_add(1).saturating_sub(depth.min(self.finality.saturating_sub(1))).max(1);
        self.fork = self.fork.saturating_add(1);
        let from = usize::try_from(first).unwrap_or(usize::MAX);
        for block in self.blocks.iter_mut().skip(from) {
            block.fork = self.fork;
        }
        let (kept, gone): (Vec<_>, Vec<_>) = self.included.iter().partition(|i| i.block < first);
        self.included = kept;
        let undone = gone.iter().map(|included| included.tx).collect();
        let mut seen = BTreeSet::new();
        // A transaction for several is in the pool once.
        for included in gone.into_iter().filter(|included| seen.insert(included.tx.id)) {
            if !random.chance(lose) {
                self.pool.push(self.as_sent.get(&included.tx.id).copied().unwrap_or(included.tx));
            }
        }
        undone
    }
}
