//! How long a payer's blockhash lives, and so what co-signing may cost us (P3, I5).
//!
//! A node names the last valid height of the newest blockhash only. That of any other
//! follows from its distance to one that is known: each block adds one blockhash to
//! the list that every node keeps in an account. Without this, whoever signs over an
//! old blockhash holds what is reserved for it as long as a fresh one would.

use quittance_protocol::Deadline;
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;
use solana_sdk::hash::Hash;
use solana_sdk::pubkey::Pubkey;

use crate::ask::{Newest, parse_account, parse_blockhash};
use crate::blockhashes::BLOCKHASH_BLOCKS;
use crate::chain::{SolanaChain, SolanaView};
use crate::error::SolanaError;
use crate::node::Shown;
use crate::payment::SolanaPayment;
use crate::rpc::RpcFailure;

/// Blocks that a payment must have left when it is claimed: with fewer it is more likely
/// to hold what is reserved for it than to land.
pub const BLOCKS_LEFT_MIN: u64 = 10;

/// Nodes count from the block that made a blockhash, the runtime from its successor:
/// one block above the height that a node names may still take a transaction.
const LAST_VALID_MARGIN: u64 = 1;

/// Slots without a block make a blockhash look older than it is; an age above the limit and
/// this is impossible for one that was just used.
const AGE_MARGIN: u64 = 150;

/// The account in which a node keeps the newest blockhashes.
const RECENT_BLOCKHASHES: Pubkey = Pubkey::from_str_const("SysvarRecentB1ockHashes11111111111111111111");

/// Its length stands before its entries; each is a hash and a fee.
const RECENT_LENGTH_BYTES: usize = 8;

const RECENT_ENTRY_BYTES: usize = 40;

const ACCOUNT: RpcRequest = RpcRequest::GetAccountInfo;

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
