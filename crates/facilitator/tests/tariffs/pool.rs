//! A wallet's transactions as the nodes have them: one for each nonce, included in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use quittance_facilitator::chain::{ChainFault, Nonces, SignRefused, Watched};
use quittance_protocol::{Evidence, Landing, SendOutcome, SignedBytes};
use serde_json::{Value, json};

/// What whoever signs does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signer {
    #[default]
    Signs,
    /// Fees are too high.
    Refuses,
    /// Once; then it signs.
    Panics,
}

/// The pool of all nodes, and what was signed for it; clones are one.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Pooled>>);

#[derive(Default)]
struct Pooled {
    signed: Vec<(u64, String)>,
    /// What nodes took, by nonce.
    taken: BTreeMap<u64, String>,
    /// Those of them that move nothing.
    failed: BTreeSet<String>,
    is_deaf: bool,
    are_failing: bool,
    strangers_land: bool,
    refuses_further: bool,
    refused: usize,
}

impl Pooled {
    /// Blocks take what follows on what they hold.
    fn included(&self) -> impl Iterator<Item = &String> {
        (0..).map_while(|nonce| self.taken.get(&nonce))
    }
}

impl Pool {
    /// Each slot that was signed for and its transaction, in order.
    pub(crate) fn signed(&self) -> Vec<(u64, String)> {
        self.with(|pool| pool.signed.clone())
    }

    /// Nonces that blocks have used.
    pub(crate) fn used(&self) -> u64 {
        self.with(|pool| u64::try_from(pool.included().count()).unwrap())
    }

    /// What is sent reaches nobody, and nobody says so.
    pub(crate) fn is_deaf(&self, deaf: bool) {
        self.with(|pool| pool.is_deaf = deaf);
    }

    /// What nodes take from now on is included and moves nothing.
    pub(crate) fn are_failing(&self, failing: bool) {
        self.with(|pool| pool.are_failing = failing);
    }

    /// Nothing is signed beyond the first nonce.
    pub(crate) fn refuses_further(&self, refuses: bool) {
        self.with(|pool| pool.refuses_further = refuses);
    }

    /// Signatures that were refused for that.
    pub(crate) fn refused(&self) -> usize {
        self.with(|pool| pool.refused)
    }

    /// Strangers land whatever authorization is open, by transactions of their own.
    pub(crate) fn strangers_land(&self, land: bool) {
        self.with(|pool| pool.strangers_land = land);
    }

    pub(super) fn sign(
        &self,
        nonce: u64,
        authorization: &str,
        signer: Signer,
    ) -> Result<SignedBytes, SignRefused> {
        match signer {
            Signer::Signs => {}
            Signer::Refuses => return Err(SignRefused::later("the base fee is above the cap")),
            Signer::Panics => panic!("a signer that panics"),
        }
        let is_refused = self.with(|pool| {
            let is_refused = pool.refuses_further && nonce > 0;
            pool.refused += usize::from(is_refused);
            is_refused
        });
        if is_refused {
            return Err(SignRefused::later("the base fee is above the cap"));
        }
        let transaction = format!("tx-{authorization}-at-{nonce}");
        self.with(|pool| pool.signed.push((nonce, transaction.clone())));
        Ok(SignedBytes { raw: transaction.as_bytes().to_vec(), transaction, detail: json!({}) })
    }

    pub(super) fn take(&self, transaction: &str) -> SendOutcome {
        let nonce = transaction.rsplit('-').next().unwrap().parse().unwrap();
        self.with(|pool| {
            if pool.is_deaf {
                return SendOutcome::Unknown { reason: "no answer".to_owned() };
            }
            pool.taken.entry(nonce).or_insert_with(|| transaction.to_owned());
            if pool.are_failing {
                pool.failed.insert(transaction.to_owned());
            }
            SendOutcome::Accepted
        })
    }

    pub(super) fn is_included(&self, transaction: &str) -> bool {
        self.with(|pool| pool.included().any(|included| included == transaction))
    }

    pub(super) fn seen(&self, watched: &Watched, cost_native: u128) -> Option<Evidence> {
        let landing = |transaction: String, paid_by_us| Landing {
            transaction,
            block: 1,
            block_hash: String::new(),
            block_time: 0,
            cost_native,
            paid_by_us,
            log_index: None,
        };
        let ours = watched.transactions.iter().rfind(|one| self.is_included(one));
        if let Some(failed) = ours.filter(|one| self.with(|pool| pool.failed.contains(*one))) {
            return Some(Evidence::Reverted(landing(failed.clone(), true)));
        }
        let landed = match ours {
            Some(ours) => landing(ours.clone(), true),
            None if self.with(|pool| pool.strangers_land) => {
                landing(format!("theirs-{}", watched.key), false)
            }
            None => return None,
        };
        Some(Evidence::Settled(landed))
    }

    fn with<T>(&self, ask: impl FnOnce(&mut Pooled) -> T) -> T {
        ask(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl Nonces for Pool {
    async fn next(&self, _: &str) -> Result<u64, ChainFault> {
        Ok(Self::used(self))
    }

    async fn used(&self, _: &str) -> Result<u64, ChainFault> {
        Ok(Self::used(self))
    }

    async fn transaction_cost(&self, transaction: &str) -> Result<Option<u128>, ChainFault> {
        Ok(self.is_included(transaction).then_some(1))
    }

    async fn base_fee(&self) -> Result<Option<u128>, ChainFault> {
        Ok(Some(1))
    }

    fn fee_cap(&self, _: &Value) -> Option<u128> {
        Some(2)
    }
}
