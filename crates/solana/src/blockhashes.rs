//! How long a payer's blockhash lives, and so what co-signing may cost us (P3, I5).
//!
//! A node names the last valid height of the newest blockhash only. That of any other
//! follows from its distance to one that is known: each block adds one blockhash to
//! the list that every node keeps in an account. Without this, whoever signs over an
//! old blockhash holds what is reserved for it as long as a fresh one would.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use quittance_protocol::Deadline;
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;
use solana_sdk::hash::Hash;
use solana_sdk::pubkey::Pubkey;

use crate::chain::{SolanaChain, SolanaView};
use crate::error::SolanaError;
use crate::node::Shown;
use crate::payment::SolanaPayment;
use crate::read::{Newest, parse_account, parse_blockhash};
use crate::rpc::RpcFailure;

/// Blocks that may use a blockhash (Solana documentation, "Transaction Confirmation & Expiration").
pub(crate) const BLOCKHASH_BLOCKS: u64 = 150;

/// Blocks that a payment must have left when it is claimed: with fewer it is more likely
/// to hold what is reserved for it than to land.
pub const BLOCKS_LEFT_MIN: u64 = 10;

/// Nodes count from the block that made a blockhash, the runtime from its successor:
/// one block above the height that a node names may still take a transaction.
const LAST_VALID_MARGIN: u64 = 1;

/// Slots without a block make a blockhash look older than it is; an age above the limit and
/// this is impossible for one that was just used.
const AGE_MARGIN: u64 = 150;

/// Forks of one chain count their blocks apart by no more than this.
const FORK_BLOCKS: u64 = 32;

/// Blockhashes that are remembered, of all endpoints together.
const KNOWN_MAX: usize = 1_024;

/// The account in which a node keeps the newest blockhashes.
const RECENT_BLOCKHASHES: Pubkey = Pubkey::from_str_const("SysvarRecentB1ockHashes11111111111111111111");
/// Its length stands before its entries; each is a hash and a fee.
const RECENT_LENGTH_BYTES: usize = 8;
const RECENT_ENTRY_BYTES: usize = 40;

const ACCOUNT: RpcRequest = RpcRequest::GetAccountInfo;

/// One blockhash and its last valid block height, as an endpoint said or as follows from it.
#[derive(Clone, Copy, Debug)]
struct Known {
    endpoint: usize,
    hash: Hash,
    last_valid: u64,
}

impl Newest {
    /// There are no more blocks than slots.
    fn is_possible(&self) -> bool {
        let highest = |slot: u64| slot.saturating_add(BLOCKHASH_BLOCKS).saturating_add(FORK_BLOCKS);
        self.slot.is_none_or(|slot| self.last_valid <= highest(slot))
    }

    /// From one slot to a later one the height does not fall, nor rise by more blocks than
    /// there were slots.
    fn agrees_with(&self, known: &Self) -> bool {
        let (Some(slot), Some(known_slot)) = (self.slot, known.slot) else { return true };
        let [(early, low), (late, high)] = if slot < known_slot {
            [(slot, self.last_valid), (known_slot, known.last_valid)]
        } else {
            [(known_slot, known.last_valid), (slot, self.last_valid)]
        };
        let slots = late.saturating_sub(early);
        high.saturating_add(FORK_BLOCKS) >= low
            && high <= low.saturating_add(slots).saturating_add(FORK_BLOCKS)
    }
}

/// What endpoints told; those told last are remembered. What one says is never held against
/// what another one accepted (I7).
#[derive(Default)]
pub(crate) struct Blockhashes {
    known: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    hashes: VecDeque<Known>,
    /// The newest blockhash of an endpoint, and the slot at which it was.
    newest: Vec<(usize, Newest)>,
}

impl Blockhashes {
    /// An endpoint's newest blockhash; `false` if it cannot be so, or contradicts what that
    /// endpoint said before. Then one of its words is wrong, nobody knows which, and all of
    /// them are forgotten: a balancer's node of another cluster, or a chain that began anew,
    /// must not decide for longer than one answer.
    #[must_use]
    pub(crate) fn learn(&self, endpoint: usize, newest: Newest) -> bool {
        let mut told = self.lock();
        let known = told.newest_of(endpoint);
        if !newest.is_possible() || known.is_some_and(|known| !newest.agrees_with(&known)) {
            tracing::debug!(endpoint, "this endpoint's last valid block heights contradict each other");
            told.forget(endpoint);
            return false;
        }
        told.add(Known { endpoint, hash: newest.hash, last_valid: newest.last_valid });
        match told.newest.iter_mut().find(|(of, _)| *of == endpoint) {
            None => told.newest.push((endpoint, newest)),
            Some((_, known)) if known.slot <= newest.slot => *known = newest,
            Some(_) => {}
        }
        true
    }

    fn forget(&self, endpoint: usize) {
        self.lock().forget(endpoint);
    }

    /// An endpoint's recent blockhashes, the newest first. Nothing is learnt from a list
    /// that holds no known one, or in which two known ones lie apart by another number.
    fn learn_list(&self, endpoint: usize, list: &[Hash]) {
        let mut told = self.lock();
        let anchors = list.iter().zip(0_u64..).filter_map(|(hash, age)| {
            let last_valid = told.last_valid(endpoint, hash)?;
            last_valid.checked_add(age)
        });
        // What the first of the list has as its last valid height.
        let first: Vec<u64> = anchors.collect();
        let Some(top) = first.first().copied() else { return };
        if first.iter().any(|other| *other != top) {
            tracing::debug!(endpoint, "this endpoint's list of blockhashes contradicts what it said before");
            return;
        }
        // The oldest first: they are forgotten first.
        for (hash, age) in list.iter().zip(0_u64..).collect::<Vec<_>>().into_iter().rev() {
            if let Some(last_valid) = top.checked_sub(age) {
                told.add(Known { endpoint, hash: *hash, last_valid });
            }
        }
    }

    fn last_valid(&self, endpoint: usize, hash: &Hash) -> Option<u64> {
        self.lock().last_valid(endpoint, hash)
    }

    /// How many blocks old it is at this slot, at most: not every slot has a block.
    fn age(&self, endpoint: usize, last_valid: u64, slot: u64) -> Option<u64> {
        let newest = self.lock().newest_of(endpoint)?;
        let older = newest.last_valid.saturating_sub(last_valid);
        Some(older.saturating_add(slot.saturating_sub(newest.slot?)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn newest_of(&self, endpoint: usize) -> Option<Newest> {
        self.newest.iter().find(|(of, _)| *of == endpoint).map(|(_, newest)| *newest)
    }

    fn forget(&mut self, endpoint: usize) {
        self.hashes.retain(|known| known.endpoint != endpoint);
        self.newest.retain(|(of, _)| *of != endpoint);
    }

    fn last_valid(&self, endpoint: usize, hash: &Hash) -> Option<u64> {
        let mut found = self.hashes.iter().filter(|one| one.endpoint == endpoint && one.hash == *hash);
        found.next().map(|one| one.last_valid)
    }

    fn add(&mut self, new: Known) {
        let mut same = self.hashes.iter_mut().filter(|one| one.endpoint == new.endpoint);
        if let Some(known) = same.find(|one| one.hash == new.hash) {
            // I5: of two words the one that waits longer.
            known.last_valid = known.last_valid.max(new.last_valid);
            return;
        }
        if self.hashes.len() >= KNOWN_MAX {
            self.hashes.pop_front();
        }
        self.hashes.push_back(new);
    }
}

impl SolanaChain {
    /// An upper bound of the payer's last valid block height (invariant I5), by the endpoint
    /// that just accepted the payer's blockhash. Where that endpoint does not say how old
    /// the blockhash is, the bound is that of its newest one, at a slot no older than that
    /// judgement. A blockhash that is about to end is refused: nothing was signed.
    pub async fn deadline(
        &self,
        payment: &SolanaPayment,
        view: &SolanaView,
    ) -> Result<Deadline, SolanaError> {
        let hash = payment.blockhash().unwrap_or_default();
        if let Some(last_valid) = self.blockhashes.last_valid(view.endpoint, &hash) {
            if let Some(known) = self.deadline_of(last_valid, view)? {
                return Ok(known);
            }
            self.blockhashes.forget(view.endpoint);
        }
        let newest = self.newest_blockhash(view).await?;
        if newest.hash != hash
            && let Err(error) = self.read_recent(view).await
        {
            tracing::debug!(%error, endpoint = view.endpoint, "no list of blockhashes");
        }
        let told = self.blockhashes.last_valid(view.endpoint, &hash);
        let known = told.map(|last_valid| self.deadline_of(last_valid, view)).transpose()?.flatten();
        Ok(known.unwrap_or_else(|| deadline(newest.last_valid)))
    }

    /// `None` where the endpoint, which has just run the payment, would have to have refused
    /// it: then what it said of blockhashes is wrong.
    fn deadline_of(&self, last_valid: u64, view: &SolanaView) -> Result<Option<Deadline>, SolanaError> {
        match self.blockhashes.age(view.endpoint, last_valid, view.slot) {
            Some(age) if age > BLOCKHASH_BLOCKS.saturating_add(AGE_MARGIN) => Ok(None),
            Some(age) if age.saturating_add(BLOCKS_LEFT_MIN) > BLOCKHASH_BLOCKS => {
                Err(SolanaError::BlockhashEnding { left: BLOCKHASH_BLOCKS.saturating_sub(age) })
            }
            _ => Ok(Some(deadline(last_valid))),
        }
    }

    /// Whether a transaction over this blockhash may still land, as one endpoint says at a
    /// slot no older than `from_slot`.
    pub(crate) async fn may_still_land(
        &self,
        at: usize,
        hash: &Hash,
        from_slot: u64,
    ) -> Result<bool, SolanaError> {
        let params = json!([hash.to_string(), { "commitment": "confirmed", "minContextSlot": from_slot }]);
        let Shown::<Value> { value } = self.endpoint(at)?.ask(RpcRequest::IsBlockhashValid, params).await?;
        let malformed = || RpcFailure::Malformed { method: RpcRequest::IsBlockhashValid.as_str() };
        Ok(value.as_bool().ok_or_else(malformed)?)
    }

    async fn newest_blockhash(&self, view: &SolanaView) -> Result<Newest, SolanaError> {
        let params = json!([{"commitment": "processed", "minContextSlot": view.slot}]);
        let endpoint = self.endpoint(view.endpoint)?;
        let answer: Value = endpoint.ask(RpcRequest::GetLatestBlockhash, params).await?;
        self.learn_newest(view.endpoint, parse_blockhash(&answer)?)
    }

    /// Takes in an endpoint's newest blockhash, unless it contradicts the endpoint.
    pub(crate) fn learn_newest(&self, at: usize, newest: Newest) -> Result<Newest, SolanaError> {
        if self.blockhashes.learn(at, newest) {
            return Ok(newest);
        }
        Err(RpcFailure::Malformed { method: RpcRequest::GetLatestBlockhash.as_str() }.into())
    }

    async fn read_recent(&self, view: &SolanaView) -> Result<(), SolanaError> {
        let params = json!([RECENT_BLOCKHASHES.to_string(), {
            "encoding": "base64", "commitment": "processed", "minContextSlot": view.slot,
        }]);
        let Shown { value } = self.endpoint(view.endpoint)?.ask(ACCOUNT, params).await?;
        let malformed = || RpcFailure::Malformed { method: ACCOUNT.as_str() };
        let account = parse_account(&value, ACCOUNT.as_str())?;
        let list = parse_recent(&account.ok_or_else(malformed)?.data).ok_or_else(malformed)?;
        self.blockhashes.learn_list(view.endpoint, &list);
        Ok(())
    }
}

fn deadline(last_valid: u64) -> Deadline {
    Deadline::BlockHeight(last_valid.saturating_add(LAST_VALID_MARGIN))
}

/// The blockhashes of that account, the newest first.
fn parse_recent(data: &[u8]) -> Option<Vec<Hash>> {
    let (length, entries) = data.split_first_chunk::<RECENT_LENGTH_BYTES>()?;
    let count = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let entries = entries.get(..count.checked_mul(RECENT_ENTRY_BYTES)?)?;
    let hash = |entry: &[u8]| entry.first_chunk::<32>().map(|bytes| Hash::new_from_array(*bytes));
    entries.chunks_exact(RECENT_ENTRY_BYTES).map(hash).collect()
}

#[cfg(test)]
mod tests;
