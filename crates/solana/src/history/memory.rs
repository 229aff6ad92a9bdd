//! What is remembered between two searches.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quittance_protocol::PaymentKey;
use tokio::time::Instant;

use super::{WITNESS_SLOTS_MAX, WITNESS_SLOTS_MIN, is_refusal};
use crate::error::SolanaError;
use crate::payment::SolanaWatch;

/// An endpoint keeps no history if this many looks in a row say so: behind a load
/// balancer one node may keep none while its neighbour does.
pub(super) const NO_HISTORY_LOOKS: u32 = 5;

/// See the module.
#[derive(Default)]
pub(crate) struct Memory {
    /// A transaction that has landed, and its slot.
    witness: Mutex<Option<(String, u64)>>,
    /// Endpoints that were found without a history, each warned about once, with the
    /// number of looks in a row that found none.
    forgetful: Mutex<HashMap<usize, u32>>,
    /// Landings whose transaction no endpoint has shown, and since when.
    unshown: Mutex<HashMap<PaymentKey, Instant>>,
    /// Transactions that were named for a payment and carry another message.
    refuted: Mutex<HashSet<(PaymentKey, String)>>,
    /// Looks so far.
    turns: AtomicUsize,
}

/// Whether an endpoint keeps a history, as one look found it.
#[derive(Clone, Copy)]
pub(super) enum History {
    Kept,
    /// It answered, and knows nothing that is old, or says that it is not to be asked.
    None,
    Unknown,
}

impl History {
    pub(super) fn of(witness: &Result<Option<String>, SolanaError>, remembers: bool) -> Self {
        match witness {
            Ok(_) if remembers => Self::Kept,
            Ok(_) | Err(SolanaError::NoHistory { .. }) => Self::None,
            // No endpoint lists our wallet's transactions, so nothing can be held against what
            // this one does not know: for us it keeps none.
            Err(SolanaError::Rpc(failure)) if is_refusal(failure) => Self::None,
            Err(_) => Self::Unknown,
        }
    }
}

impl Memory {
    pub(super) fn next_turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn keeps_none(&self, at: usize) -> bool {
        let Ok(forgetful) = self.forgetful.lock() else { return false };
        forgetful.get(&at).is_some_and(|looks| *looks >= NO_HISTORY_LOOKS)
    }

    /// Warns once when an endpoint turns out to keep no history, and says when it does again.
    pub(super) fn note_history(&self, at: usize, history: History) {
        let Ok(mut forgetful) = self.forgetful.lock() else { return };
        let known = forgetful.get(&at).copied();
        match history {
            History::Kept => {
                if forgetful.remove(&at).is_some() {
                    tracing::info!(endpoint = at, "this endpoint's transaction history can be searched");
                }
                return;
            }
            // Who did not answer may keep one.
            History::Unknown => forgetful.insert(at, known.unwrap_or(0)),
            History::None => forgetful.insert(at, known.unwrap_or(0).saturating_add(1)),
        };
        if known.is_none() {
            tracing::warn!(
                endpoint = at,
                "this endpoint's transaction history cannot be searched: it can prove no expiry, and shows \
                 no landing that is older than its status cache"
            );
        }
    }

    /// The witness, while it is neither too young nor too old.
    pub(super) fn witness_at(&self, now_slot: u64) -> Option<String> {
        let known = self.witness.lock().ok()?;
        let (signature, slot) = known.as_ref()?;
        let age = now_slot.saturating_sub(*slot);
        (WITNESS_SLOTS_MIN..=WITNESS_SLOTS_MAX).contains(&age).then(|| signature.clone())
    }

    pub(super) fn remember(&self, signature: &str, slot: u64) {
        if let Ok(mut witness) = self.witness.lock() {
            *witness = Some((signature.to_owned(), slot));
        }
    }

    /// Whether no endpoint has shown this landing for so long; asked at each look at
    /// which none did.
    pub(crate) fn is_not_shown(&self, key: PaymentKey, patience: Duration) -> bool {
        let Ok(mut unshown) = self.unshown.lock() else { return false };
        unshown.entry(key).or_insert_with(Instant::now).elapsed() >= patience
    }

    /// Whether a transaction that is named was read, and carries another message.
    pub(crate) fn is_refuted(&self, watch: &SolanaWatch) -> bool {
        let pair = (watch.key, watch.id().to_owned());
        self.refuted.lock().is_ok_and(|refuted| refuted.contains(&pair))
    }

    pub(crate) fn refute(&self, watch: &SolanaWatch) {
        if let Ok(mut refuted) = self.refuted.lock() {
            refuted.insert((watch.key, watch.id().to_owned()));
        }
    }

    /// Forgets those that are not watched any more.
    pub(crate) fn keep_unshown(&self, watched: &[SolanaWatch]) {
        if let Ok(mut refuted) = self.refuted.lock()
            && !refuted.is_empty()
        {
            let names = |key: &PaymentKey, name: &String| {
                watched.iter().any(|watch| watch.key == *key && watch.named.as_ref() == Some(name))
            };
            refuted.retain(|(key, name)| names(key, name));
        }
        if let Ok(mut unshown) = self.unshown.lock()
            && !unshown.is_empty()
        {
            unshown.retain(|key, _| watched.iter().any(|watch| watch.key == *key));
        }
    }
}
