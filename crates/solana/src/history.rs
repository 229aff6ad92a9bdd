//! What is older than an endpoint's status cache: landings that nobody saw in time,
//! and the proof that something never landed.
//!
//! Not every endpoint keeps a transaction history, and one that keeps none does not
//! always say so: it may answer an error, refuse the method, or answer "nowhere" for
//! everything. So "nowhere" counts only beside a transaction that is known to have
//! landed (the witness), in the very call that knows that one.

use std::collections::{HashMap, HashSet};

use quittance_protocol::{Deadline, Evidence, PaymentKey};
use quittance_rpc::Budget;
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;
use solana_sdk::hash::Hash;

use crate::blockhashes::BLOCKHASH_BLOCKS;
use crate::chain::SolanaChain;
use crate::error::SolanaError;
use crate::payment::SolanaWatch;
use crate::rpc::RpcFailure;
use crate::status::{
    FinalizedHeight, STATUS_CACHE_SLOTS, Seen, Source, Statuses, finalized_height, statuses,
};

mod memory;

use memory::History;
pub(crate) use memory::Memory;

/// A witness is older than any status cache, so that only a history knows it.
const WITNESS_SLOTS_MIN: u64 = 600;
/// And not much older, so that a short history knows it too.
const WITNESS_SLOTS_MAX: u64 = 100_000;
/// Transactions of our wallet in one call, and calls, to find a witness.
const WITNESS_PAGE: usize = 1_000;
const WITNESS_PAGES_MAX: usize = 3;

const SIGNATURES: RpcRequest = RpcRequest::GetSignaturesForAddress;

/// Whose history is searched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Payments that the status cache may have forgotten at this slot, and those past their deadline.
    Old {
        now_slot: u64,
    },
    All,
}

/// What a search of the histories found.
#[derive(Default)]
pub(crate) struct LookBack {
    /// Landings, and expiries that enough endpoints agree on (invariants I5, I7).
    pub(crate) found: Vec<(PaymentKey, Evidence)>,
    /// Payments that at least one endpoint with a history does not know.
    pub(crate) absent: HashSet<PaymentKey>,
}

/// What a node answers that has not come to the asked slot (Solana JSON-RPC, "minContextSlot").
const SLOT_NOT_REACHED: i64 = -32_016;

/// Most blockhashes of which one look at one endpoint asks whether they are used up.
const ENDS_ASKED_MAX: usize = 64;

/// Most payments whose payers' transactions one look at one endpoint searches.
const SEARCHES_MAX: usize = 16;

/// One payment during a search.
struct Open<'w> {
    watch: &'w SolanaWatch,
    landed: bool,
    /// The finalized bank of the first endpoint that proved it expired.
    proof: Option<FinalizedHeight>,
    proofs: usize,
    /// Endpoints that keep no history and show no landing either, at a finalized
    /// height behind the deadline, and call the blockhash used up: they prove nothing, and
    /// contradict nothing.
    silent: usize,
    absent: bool,
}

/// The landings among what was seen, and whose of them are not final yet.
fn landings<'w>(
    asked: &mut [&mut Open<'w>],
    seen: &[Seen],
) -> (Vec<(&'w SolanaWatch, Seen)>, HashSet<PaymentKey>) {
    let (mut landed, mut shallow) = (Vec::new(), HashSet::new());
    for (one, seen) in asked.iter_mut().zip(seen) {
        let Seen::Landed { failed, finalized, .. } = seen else { continue };
        landed.push((one.watch, *seen));
        if !finalized {
            shallow.insert(one.watch.key);
        }
        one.landed = !failed;
    }
    (landed, shallow)
}

impl SolanaChain {
    /// Searches the histories of the endpoints, `first` before the others, for
    /// payments that it does not show. A payment is expired only where its deadline
    /// lies below a finalized height *and then* a history does not know it, or knows
    /// its failure as final: on two endpoints when two are configured (I5, I7). One
    /// that keeps no history cannot be the second, so that nothing would ever end:
    /// then a single one that does is enough, if the other answers, has passed that
    /// height too, shows no landing in what it remembers, and does not take the
    /// blockhash any more.
    pub(crate) async fn look_back(&self, first: usize, missing: &[&SolanaWatch], scope: Scope) -> LookBack {
        let needed = self.endpoints.all().len().min(2);
        let mut open: Vec<Open<'_>> = missing.iter().map(|watch| Open::new(watch)).collect();
        // Others are first at each look, and the same at all endpoints: each of many comes to its turn.
        let turn = self.memory.next_turn().wrapping_mul(SEARCHES_MAX).checked_rem(open.len());
        open.rotate_left(turn.unwrap_or_default());
        let mut found = Vec::new();
        for at in self.endpoints.first_then_others(first) {
            if let Err(error) = self.look_back_at(at, &mut open, scope, needed, &mut found).await {
                tracing::debug!(%error, endpoint = at, "a history cannot be searched");
                self.memory.note_history(at, History::Unknown);
            }
        }
        let absent = open.iter().filter(|one| one.absent && !one.landed).map(|one| one.watch.key).collect();
        let ended = open.iter().filter(|one| one.is_over(needed));
        found.extend(ended.filter_map(|one| {
            let FinalizedHeight { slot, height } = one.proof?;
            Some((one.watch.key, Evidence::Expired { block: slot, clock: height }))
        }));
        LookBack { found, absent }
    }

    async fn look_back_at(
        &self,
        at: usize,
        open: &mut [Open<'_>],
        scope: Scope,
        needed: usize,
        found: &mut Vec<(PaymentKey, Evidence)>,
    ) -> Result<(), SolanaError> {
        let waits =
            |one: &Open<'_>| !one.landed && (!one.absent || (one.proof.is_some() && one.proofs < needed));
        if !open.iter().any(waits) {
            return Ok(());
        }
        // The height comes first: a transaction that landed at or below it is in the
        // history that is searched afterwards.
        let reading = finalized_height(self.endpoint(at)?).await?;
        let (mut asked, mut of_others) = (Vec::new(), Vec::new());
        for one in open.iter_mut().filter(|one| waits(one)) {
            let late = is_past(one.watch.deadline, reading.height);
            match one.watch.transaction {
                None if late && self.is_elsewhere() => of_others.push(one),
                // Without our signature nothing can have landed: nothing to search for.
                None if late => one.prove(reading),
                None => {}
                Some(_) if late || scope.takes(one.watch) => asked.push(one),
                Some(_) => {}
            }
        }
        let others = self.look_for_others(at, of_others, reading, found).await;
        if asked.is_empty() {
            return others;
        }
        let witness = self.witness(at, reading.slot, asked.iter().map(|one| one.watch.from_slot)).await;
        let ids: Vec<&str> = asked.iter().map(|one| one.watch.id()).collect();
        let source = Source::History { witness: witness.as_ref().ok().and_then(|found| found.as_deref()) };
        let answer = match statuses(self.endpoint(at)?, &ids, source, self.commitment).await {
            Err(SolanaError::Rpc(failure)) if is_refusal(&failure) => {
                self.memory.note_history(at, History::None);
                let cached = statuses(self.endpoint(at)?, &ids, Source::Cache, self.commitment).await?;
                return self.hear_silent(at, &mut asked, &cached, reading).await;
            }
            answer => answer?,
        };
        let (landed, shallow) = landings(&mut asked, &answer.seen);
        let mut read = self.read_landings(at, &landed).await;
        // What takes a payment away must be final (I5).
        read.retain(|(key, evidence)| !matches!(evidence, Evidence::Earlier(_)) || !shallow.contains(key));
        found.append(&mut read);
        // One that does not know the witness knows nothing.
        self.memory.note_history(at, History::of(&witness, answer.remembers));
        if witness.is_err() || !answer.remembers {
            self.hear_silent(at, &mut asked, &answer, reading).await?;
            return witness.map(drop);
        }
        // Behind a load balancer another node may have answered, one that has not
        // seen that height yet.
        if answer.slot < reading.slot {
            return Ok(());
        }
        let mut valid = HashMap::new();
        for (one, seen) in asked.iter_mut().zip(&answer.seen).filter(|(_, seen)| seen.is_without_landing()) {
            one.absent |= *seen == Seen::Nowhere;
            if self.has_ended(at, one.watch, reading, &mut valid).await? {
                one.prove(reading);
            }
        }
        Ok(())
    }

    /// Payments that somebody else may have landed under a signature that nobody told us: they ended
    /// unpaid only where a whole search finds none. One that cannot be searched for holds up no other:
    /// its payer may have made it so.
    async fn look_for_others(
        &self,
        at: usize,
        mut late: Vec<&mut Open<'_>>,
        reading: FinalizedHeight,
        found: &mut Vec<(PaymentKey, Evidence)>,
    ) -> Result<(), SolanaError> {
        let (mut valid, mut failed) = (HashMap::new(), Ok(()));
        late.truncate(SEARCHES_MAX);
        for one in late {
            if !self.has_ended(at, one.watch, reading, &mut valid).await? {
                continue;
            }
            match self.landing_by_others(at, one.watch, reading).await {
                Ok(Some(evidence)) => {
                    one.landed = true;
                    found.push((one.watch.key, evidence));
                }
                Ok(None) => one.prove(reading),
                // The endpoint itself does not answer.
                Err(SolanaError::Rpc(failure)) if !matches!(failure, RpcFailure::Node { .. }) => {
                    return Err(failure.into());
                }
                Err(error) => {
                    tracing::debug!(%error, endpoint = at, "a payer's transactions cannot be searched");
                    failed = Err(error);
                }
            }
        }
        failed
    }

    /// Whether a payment can land no more: its last valid height is below the finalized one,
    /// and this endpoint says that its blockhash is used up. That height was one endpoint's
    /// word at the claim, and no other ever confirmed it (I7): a wrong one would call expired
    /// what lands a moment later. `valid` holds what was asked in this look.
    async fn has_ended(
        &self,
        at: usize,
        watch: &SolanaWatch,
        reading: FinalizedHeight,
        valid: &mut HashMap<Hash, bool>,
    ) -> Result<bool, SolanaError> {
        if !is_past(watch.deadline, reading.height) {
            return Ok(false);
        }
        let Some(hash) = watch.payment.blockhash() else { return Ok(false) };
        if let Some(valid) = valid.get(&hash) {
            return Ok(!valid);
        }
        if valid.len() >= ENDS_ASKED_MAX {
            return Ok(false);
        }
        // A bank since the claim, where this endpoint had run a payment over it, knows the blockhash;
        // and what one bank calls used up, no later one takes. The finalized slot may not be asked
        // for: a node whose confirmed bank is behind the slot it names would never answer.
        match self.may_still_land(at, &hash, watch.from_slot).await {
            Ok(may_land) => {
                if may_land {
                    tracing::debug!(
                        endpoint = at,
                        "a blockhash outlives the height that a node named for it"
                    );
                }
                valid.insert(hash, may_land);
                Ok(!may_land)
            }
            // It will say so later.
            Err(SolanaError::Rpc(RpcFailure::Node { code: SLOT_NOT_REACHED, .. })) => Ok(false),
            // Where nobody says, as long as a blockhash that was the newest one at the claim.
            Err(SolanaError::Rpc(failure)) if is_refusal(&failure) => {
                Ok(is_past(watch.deadline, reading.height.saturating_sub(BLOCKHASH_BLOCKS)))
            }
            Err(error) => Err(error),
        }
    }

    /// What an endpoint without a history can say. That it knows nothing proves nothing; but a
    /// failure that it shows as final is a block's own word, and needs no history. Only what may
    /// end by it is asked about: a lone endpoint ends nothing that it does not know.
    async fn hear_silent(
        &self,
        at: usize,
        asked: &mut [&mut Open<'_>],
        answer: &Statuses,
        reading: FinalizedHeight,
    ) -> Result<(), SolanaError> {
        let mut valid = HashMap::new();
        let seconds = self.endpoints.all().len() > 1 && self.memory.keeps_none(at);
        for (one, seen) in asked.iter_mut().zip(&answer.seen) {
            one.landed |= matches!(seen, Seen::Landed { failed: false, .. });
            let has_failed = *seen != Seen::Nowhere;
            let counts = seen.is_without_landing() && (has_failed || seconds);
            if !counts || answer.slot < reading.slot {
                continue;
            }
            if !self.has_ended(at, one.watch, reading, &mut valid).await? {
                continue;
            }
            match has_failed {
                true => one.prove(reading),
                false => one.silent = one.silent.saturating_add(1),
            }
        }
        Ok(())
    }

    /// Positions in `rpc_urls` of the endpoints that were found to keep no history:
    /// they prove no expiry, and find no landing that is older than their status cache.
    pub fn endpoints_without_history(&self) -> Vec<usize> {
        (0..self.endpoints.all().len()).filter(|at| self.memory.keeps_none(*at)).collect()
    }

    /// Whether that is all of them, so that what never landed cannot end.
    pub fn keeps_no_history(&self) -> bool {
        self.endpoints_without_history().len() == self.endpoints.all().len()
    }

    /// A transaction that has landed and that only a history can know: one of our
    /// wallets' own, not younger than [`WITNESS_SLOTS_MIN`] where there is one. `None`
    /// where one endpoint says of all of them that they never did anything, if the endpoint has the blocks since the
    /// first of `since`.
    async fn witness(
        &self,
        at: usize,
        now_slot: u64,
        since: impl Iterator<Item = u64>,
    ) -> Result<Option<String>, SolanaError> {
        if let Some(known) = self.memory.witness_at(now_slot) {
            return Ok(Some(known));
        }
        let mut failure = None;
        let mut empty = false;
        for at in self.endpoints.first_then_others(at) {
            // Of several wallets some may never have done anything: that of one says nothing of
            // another, of which this endpoint did not answer.
            let mut is_empty = true;
            for wallet in self.wallets() {
                match self.wallet_transaction(at, &wallet, now_slot).await {
                    Ok(Some((signature, slot))) => {
                        self.memory.remember(&signature, slot);
                        return Ok(Some(signature));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        failure = Some(error);
                        is_empty = false;
                    }
                }
            }
            empty |= is_empty;
        }
        if !empty {
            return Err(failure.unwrap_or(SolanaError::NoEndpoint));
        }
        let kept_since = self.endpoint(at)?.first_block().await?;
        match since.min() {
            Some(since) if kept_since <= since => Ok(None),
            _ => Err(SolanaError::NoHistory { endpoint: at }),
        }
    }

    /// A wallet's newest transaction that is old enough, else the oldest within reach.
    async fn wallet_transaction(
        &self,
        at: usize,
        wallet: &str,
        now_slot: u64,
    ) -> Result<Option<(String, u64)>, SolanaError> {
        let malformed = || SolanaError::from(RpcFailure::Malformed { method: SIGNATURES.as_str() });
        let mut oldest: Option<(String, u64)> = None;
        let mut budget = Budget::new(WITNESS_PAGES_MAX);
        while budget.take() {
            let mut options = json!({"limit": WITNESS_PAGE, "commitment": "finalized"});
            if let Some((signature, _)) = &oldest {
                options["before"] = json!(signature);
            }
            let params = json!([wallet, options]);
            let answer: Value = self.endpoint(at)?.ask(SIGNATURES, params).await?;
            let page = answer.as_array().ok_or_else(malformed)?;
            for entry in page {
                // A failed one has a status too, but some nodes list what never landed among them.
                if entry.get("err").is_some_and(|err| !err.is_null()) {
                    continue;
                }
                let signature = entry.get("signature").and_then(Value::as_str).ok_or_else(malformed)?;
                let slot = entry.get("slot").and_then(Value::as_u64).ok_or_else(malformed)?;
                oldest = Some((signature.to_owned(), slot));
                if now_slot.saturating_sub(slot) >= WITNESS_SLOTS_MIN {
                    return Ok(oldest);
                }
            }
            if page.len() < WITNESS_PAGE {
                break;
            }
        }
        Ok(oldest)
    }
}

/// What a node of Agave answers that cannot say for the moment: the block is not there yet, the node is
/// behind, a block's status is not known yet, the store of old blocks does not answer.
const FOR_THE_MOMENT: [i64; 5] = [-32_004, -32_005, -32_014, SLOT_NOT_REACHED, -32_019];

/// Whether a node answered that it does not do this, other than for the moment.
fn is_refusal(failure: &RpcFailure) -> bool {
    match failure {
        RpcFailure::Node { code, .. } if FOR_THE_MOMENT.contains(code) => false,
        RpcFailure::Node { .. } | RpcFailure::Preflight { .. } => true,
        RpcFailure::Http { status } => (400..500).contains(status) && *status != 408,
        RpcFailure::Timeout
        | RpcFailure::WrongCluster { .. }
        | RpcFailure::Limited { .. }
        | RpcFailure::Paused
        | RpcFailure::Transport { .. }
        | RpcFailure::Malformed { .. } => false,
    }
}

impl<'w> Open<'w> {
    fn new(watch: &'w SolanaWatch) -> Self {
        Self { watch, landed: false, proof: None, proofs: 0, silent: 0, absent: false }
    }

    fn prove(&mut self, reading: FinalizedHeight) {
        self.proof.get_or_insert(reading);
        self.proofs = self.proofs.saturating_add(1);
        self.absent = true;
    }

    /// Whether enough endpoints say that it never landed, and none says that it did.
    fn is_over(&self, needed: usize) -> bool {
        !self.landed && self.proofs > 0 && self.proofs.saturating_add(self.silent) >= needed
    }
}

impl Scope {
    fn takes(self, watch: &SolanaWatch) -> bool {
        match self {
            Self::Old { now_slot } => now_slot.saturating_sub(watch.from_slot) > STATUS_CACHE_SLOTS,
            Self::All => true,
        }
    }
}

fn is_past(deadline: Deadline, height: u64) -> bool {
    matches!(deadline, Deadline::BlockHeight(last) if height > last)
}

#[cfg(test)]
mod tests;
