//! A model of Solana: slots, expiring blockhashes, confirmations, lost and failed transactions.

/// Milliseconds of a slot; heights count slots here (no slot is skipped).
pub const SLOT_MS: u64 = 400;

/// Slots after which a transaction is confirmed, and can no longer vanish.
pub const CONFIRMED_SLOTS: u64 = 2;

/// Slots after which a transaction is finalized.
pub const FINALIZED_SLOTS: u64 = 32;

/// Slots after which a node without a history search knows a transaction no more.
/// A validator keeps some 300; here all times are shorter.
pub const STATUS_CACHE_SLOTS: u64 = 20;

/// Block heights for which a blockhash can be used.
pub const BLOCKHASH_SLOTS: u64 = 150;

/// A transaction in a block. One per payment: its message is its identity.
#[derive(Clone, Copy, Debug)]
pub struct Landed {
    /// Which payment.
    pub key: usize,
    /// Where.
    pub slot: u64,
    /// Whether the transfer succeeded.
    pub ok: bool,
    /// On a fork that will not be confirmed.
    pub doomed: bool,
}

/// The chain.
#[derive(Clone, Debug, Default)]
pub struct Solana {
    landed: Vec<Landed>,
}

/// The slot at this time.
pub fn slot(now_ms: u64) -> u64 {
    now_ms / SLOT_MS
}

impl Solana {
    /// A leader tries to execute a payment's transaction. False if it cannot.
    pub fn execute(&mut self, key: usize, last_valid: u64, broke: bool, doomed: bool, now_ms: u64) -> bool {
        let now = slot(now_ms);
        if now > last_valid || self.status(key, now).is_some() {
            return false;
        }
        self.landed.retain(|landed| landed.key != key);
        self.landed.push(Landed { key, slot: now, ok: !broke, doomed });
        true
    }

    /// What a node at this slot knows of a payment's transaction, confirmed or not.
    pub fn status(&self, key: usize, at: u64) -> Option<&Landed> {
        let shown = |landed: &&Landed| {
            let age = at.checked_sub(landed.slot);
            landed.key == key && age.is_some_and(|age| !landed.doomed || age < CONFIRMED_SLOTS)
        };
        self.landed.iter().find(shown)
    }

    /// Payments whose money moved, as a node at this slot sees it.
    pub fn moved(&self, at: u64) -> impl Iterator<Item = usize> {
        let shown = move |landed: &&Landed| {
            landed.ok && self.status(landed.key, at).is_some_and(|known| known.slot == landed.slot)
        };
        self.landed.iter().filter(shown).map(|landed| landed.key)
    }

    /// A payment's transaction once it is confirmed.
    pub fn confirmed(&self, key: usize, at: u64) -> Option<&Landed> {
        let deep = |landed: &&Landed| at.saturating_sub(landed.slot) >= CONFIRMED_SLOTS;
        self.status(key, at).filter(deep)
    }
}
