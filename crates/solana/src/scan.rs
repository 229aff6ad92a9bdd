//! Looking for outcomes on chain: many payments per call, one endpoint per verdict.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use quittance_protocol::{Evidence, Landing, PaymentKey};
use quittance_rpc::Endpoint;
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;

use crate::chain::SolanaChain;
use crate::error::SolanaError;
use crate::history::Scope;
use crate::inspect::Rules;
use crate::message::WireTransaction;
use crate::payment::SolanaWatch;
use crate::rpc::RpcFailure;
use crate::status::{Seen, Source, statuses};

/// How long a landing waits for its transaction to be shown before its status has to do.
pub const UNSHOWN_PATIENCE: Duration = Duration::from_secs(2);
/// `getTransaction` calls at the same time.
const LANDING_READS_MAX: usize = 8;

/// Transactions that say what their statuses say, as they are counted.
const LANDINGS: &str = "landings";

const TRANSACTION: RpcRequest = RpcRequest::GetTransaction;

impl SolanaChain {
    /// Looks for every watched payment: one status call per
    /// [`STATUSES_PER_CALL`](crate::STATUSES_PER_CALL) of them, one `getTransaction` per
    /// landing, and, at most every [`HEIGHT_READ_INTERVAL_MS`](crate::HEIGHT_READ_INTERVAL_MS), one height read with
    /// a history search for those that the status cache may have forgotten
    /// ([`STATUS_CACHE_SLOTS`](crate::STATUS_CACHE_SLOTS)) and those past their
    /// deadline. Payments without evidence are
    /// simply absent from the answer. Each verdict rests on one endpoint; an
    /// expiry, and a landing from `second_opinion_value` on, on two, when two are
    /// configured (invariant I7). One poller per
    /// chain: the height interval is shared.
    ///
    /// On Solana `Reverted` cannot be followed by a landing of the same
    /// payment: its message is used up. It ends as expired, like one that was
    /// never executed, when its failure is final and its deadline has passed.
    pub async fn scan(
        &self,
        watched: &[SolanaWatch],
        now_ms: i64,
    ) -> Result<Vec<(PaymentKey, Evidence)>, SolanaError> {
        if watched.is_empty() {
            return Ok(Vec::new());
        }
        self.memory.keep_unshown(watched);
        let scan = |at, _: &_| self.scan_endpoint(at, watched, now_ms);
        let places = self.endpoints.in_order();
        let (_, found) =
            self.endpoints.first_that_answers(places, SolanaError::NoEndpoint, scan, |_| true).await?;
        Ok(found)
    }

    async fn scan_endpoint(
        &self,
        at: usize,
        watched: &[SolanaWatch],
        now_ms: i64,
    ) -> Result<Vec<(PaymentKey, Evidence)>, SolanaError> {
        let endpoint = self.endpoint(at)?;
        let (signed, unsigned): (Vec<&SolanaWatch>, Vec<&SolanaWatch>) =
            watched.iter().partition(|watch| watch.transaction.is_some());
        let ids: Vec<&str> = signed.iter().map(|watch| watch.id()).collect();
        let answer = statuses(endpoint, &ids, Source::Cache, self.commitment).await?;
        let with = |wanted: fn(Seen) -> bool| {
            let found = signed.iter().copied().zip(&answer.seen);
            found.filter(move |(_, seen)| wanted(**seen)).map(|(watch, _)| watch)
        };
        let landed = signed.iter().copied().zip(answer.seen.iter().copied());
        let landed: Vec<_> = landed.filter(|(_, seen)| matches!(seen, Seen::Landed { .. })).collect();
        let shallow: Vec<PaymentKey> = with(|seen| matches!(seen, Seen::Landed { finalized: false, .. }))
            .map(|watch| watch.key)
            .collect();
        let missing: Vec<_> = with(Seen::is_without_landing).chain(unsigned.iter().copied()).collect();
        let mut found = self.read_landings(at, &landed).await;
        found.extend(self.named_landings(at, &unsigned).await?);
        // What takes a payment away must be final (I5).
        found.retain(|(key, evidence)| !is_earlier(evidence) || !shallow.contains(key));
        if !missing.is_empty() && self.height_gate.open(now_ms) {
            // Without a signature nothing was asked, and nothing is old.
            let now_slot = if ids.is_empty() { 0 } else { answer.slot };
            found.extend(self.look_back(at, &missing, Scope::Old { now_slot }).await.found);
        }
        Ok(self.with_second_opinion(at, watched, found).await)
    }

    /// Keeps landings of large amounts, and those before their claim, only if another
    /// endpoint shows them too, where there is one (invariant I7); the next look asks again.
    async fn with_second_opinion(
        &self,
        at: usize,
        watched: &[SolanaWatch],
        mut found: Vec<(PaymentKey, Evidence)>,
    ) -> Vec<(PaymentKey, Evidence)> {
        if self.endpoints.all().len() < 2 {
            return found;
        }
        let large: Vec<&SolanaWatch> = watched
            .iter()
            .filter(|watch| {
                let large = watch.payment.amount().atomic() >= self.second_opinion_value;
                let doubted = |evidence: &Evidence| is_earlier(evidence) || (large && is_settled(evidence));
                found.iter().any(|(key, evidence)| *key == watch.key && doubted(evidence))
            })
            .collect();
        if large.is_empty() {
            return found;
        }
        // Where somebody else signs, the evidence alone says which transaction it is.
        let id = |watch: &&SolanaWatch| {
            let own = found.iter().find(|(key, _)| *key == watch.key);
            let (Evidence::Settled(landing) | Evidence::Earlier(landing)) = &own?.1 else { return None };
            Some(landing.transaction.clone())
        };
        let ids: Vec<String> = large.iter().map(|watch| id(watch).unwrap_or_default()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut doubtful: Vec<PaymentKey> = large.iter().map(|watch| watch.key).collect();
        // Any other endpoint that shows it agrees; one that has not come so far says nothing.
        for (other, endpoint) in self.endpoints.among(self.endpoints.others(at)) {
            // Landings found in one history may have left the other's cache too.
            match statuses(endpoint, &ids, Source::History { witness: None }, self.commitment).await {
                Ok(answer) => {
                    let shown = large.iter().zip(&answer.seen);
                    let shown = shown.filter(|(_, seen)| matches!(seen, Seen::Landed { failed: false, .. }));
                    let agreed: Vec<PaymentKey> = shown.map(|(watch, _)| watch.key).collect();
                    doubtful.retain(|key| !agreed.contains(key));
                }
                Err(error) => tracing::debug!(%error, endpoint = other, "no second opinion"),
            }
            if doubtful.is_empty() {
                break;
            }
        }
        found.retain(|(key, evidence)| {
            !(is_settled(evidence) || is_earlier(evidence)) || !doubtful.contains(key)
        });
        found
    }

    /// Where no endpoint shows a transaction (its method is refused, or no history is
    /// kept), the status alone proves the landing: it is of the signature that is ours
    /// over this very message, and a message that did not fail has moved the amount.
    /// What it cost is known from the message too. Only after a while: most nodes know
    /// a status a little before the transaction, and the transaction says more.
    fn landing_by_status(&self, watch: &SolanaWatch, seen: Seen) -> Option<Evidence> {
        let Seen::Landed { failed: false, slot, .. } = seen else { return None };
        if slot == 0 || self.is_elsewhere() || !self.memory.is_not_shown(watch.key, UNSHOWN_PATIENCE) {
            return None;
        }
        let landing = Landing {
            transaction: watch.id().to_owned(),
            block: slot,
            block_hash: String::new(),
            block_time: 0,
            cost_native: u128::from(self.cost_bound_lamports(&watch.payment)),
            paid_by_us: true,
            log_index: None,
        };
        let earlier = slot < watch.from_slot;
        Some(if earlier { Evidence::Earlier(landing) } else { Evidence::Settled(landing) })
    }

    pub(crate) async fn read_landings(
        &self,
        at: usize,
        landed: &[(&SolanaWatch, Seen)],
    ) -> Vec<(PaymentKey, Evidence)> {
        // Collected first: a closure held across an await would not be `Send`.
        let reads: Vec<_> = landed.iter().map(|(watch, _)| self.read_landing(at, watch)).collect();
        let answers: Vec<_> = futures::stream::iter(reads).buffered(LANDING_READS_MAX).collect().await;
        let mut found = Vec::with_capacity(landed.len());
        for ((watch, seen), answer) in landed.iter().zip(answers) {
            let evidence = match answer {
                Ok(Some(evidence)) => Some(evidence),
                Ok(None) | Err(SolanaError::Rpc(_)) => self.landing_by_status(watch, *seen),
                // A contradiction proves nothing, and no status proves it away.
                Err(error) => {
                    match self.told.again("landing") {
                        Some(times) => {
                            tracing::warn!(transaction = watch.id(), %error, times, "landings could not be read");
                        }
                        None => {
                            tracing::debug!(transaction = watch.id(), %error, "landing could not be read")
                        }
                    }
                    None
                }
            };
            found.extend(evidence.map(|evidence| (watch.key, evidence)));
        }
        found
    }

    /// Who paid for it: what somebody else did costs us nothing.
    pub(crate) fn by_whom(&self, found: Option<Evidence>) -> Option<Evidence> {
        let paid_by_us = !self.is_elsewhere();
        let by = |landing| Landing { paid_by_us, ..landing };
        Some(match found? {
            Evidence::Settled(landing) => Evidence::Settled(by(landing)),
            Evidence::Earlier(landing) => Evidence::Earlier(by(landing)),
            Evidence::Reverted(landing) => Evidence::Reverted(by(landing)),
            other => other,
        })
    }

    /// The answer of one endpoint is the whole evidence; where the one that
    /// knew the status does not answer, or does not show the transaction (no
    /// transaction history, say), another may. A contradiction is not asked away.
    pub(crate) async fn read_landing(
        &self,
        at: usize,
        watch: &SolanaWatch,
    ) -> Result<Option<Evidence>, SolanaError> {
        let params = json!([watch.id(), {
            "encoding": "base64",
            "commitment": self.commitment.as_str(),
            "maxSupportedTransactionVersion": 1,
        }]);
        let mut failure = None;
        for (_, endpoint) in self.endpoints.among(self.endpoints.first_then_others(at)) {
            match endpoint.ask(TRANSACTION, params.clone()).await {
                Ok(answer) => {
                    let judged = judge_landing(&self.rules, watch, &answer).map(|found| self.by_whom(found));
                    match (&judged, endpoint.tally()) {
                        (Ok(Some(_)), Some(tally)) => tally.answered(LANDINGS),
                        (Err(error), Some(tally)) => tally.failed(LANDINGS, error),
                        _ => {}
                    }
                    if let Some(evidence) = judged? {
                        return Ok(Some(evidence));
                    }
                }
                Err(error) => failure = Some(error.into()),
            }
        }
        failure.map_or(Ok(None), Err)
    }
}

fn is_earlier(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Earlier(_))
}

fn is_settled(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Settled(_))
}

/// Invariant I4: the transaction found is the payment's own message under our
/// signature, it did not fail, and our token account grew by the amount.
/// `None`: the endpoint does not show it (yet).
pub(crate) fn judge_landing(
    rules: &Rules,
    watch: &SolanaWatch,
    answer: &Value,
) -> Result<Option<Evidence>, SolanaError> {
    let mismatch = || SolanaError::EvidenceMismatch { transaction: watch.id().to_owned() };
    let malformed = || SolanaError::from(RpcFailure::Malformed { method: TRANSACTION.as_str() });
    let Some(meta) = answer.get("meta").filter(|meta| !meta.is_null()) else { return Ok(None) };
    let text = answer.pointer("/transaction/0").and_then(Value::as_str).ok_or_else(malformed)?;
    let raw = STANDARD.decode(text).map_err(|_| malformed())?;
    let transaction = WireTransaction::decode(&raw).map_err(|_| mismatch())?;
    let id = transaction.signatures.first().map(|signature| bs58::encode(signature).into_string());
    if transaction.message != watch.payment.message() || id.as_deref() != watch.transaction.as_deref() {
        return Err(mismatch());
    }
    let landing = Landing {
        transaction: watch.id().to_owned(),
        block: answer.get("slot").and_then(Value::as_u64).ok_or_else(malformed)?,
        block_hash: String::new(),
        block_time: answer.get("blockTime").and_then(Value::as_u64).unwrap_or(0),
        cost_native: u128::from(cost_lamports(meta).ok_or_else(malformed)?),
        paid_by_us: true,
        log_index: None,
    };
    match meta.get("err") {
        None => Err(malformed()),
        // I4: the state that showed it unused was behind its landing. A slot of its own
        // counts: some nodes name the slot that is still being filled.
        Some(Value::Null) if landing.block < watch.from_slot => Ok(Some(Evidence::Earlier(landing))),
        Some(Value::Null) => {
            // The claim's own account; the configured one may be another by now.
            let account = watch.payment.destination().unwrap_or(rules.token_account);
            let at = transaction.keys.iter().position(|key| *key == account);
            let grown = at.and_then(|at| token_growth_of(meta, at));
            if grown.is_some_and(|grown| grown != i128::from(watch.payment.amount().atomic())) {
                return Err(mismatch());
            }
            Ok(Some(Evidence::Settled(landing)))
        }
        Some(_) => Ok(Some(Evidence::Reverted(landing))),
    }
}

/// Fee, and rent where the fee payer's balance shows it.
fn cost_lamports(meta: &Value) -> Option<u64> {
    let fee = meta.get("fee")?.as_u64()?;
    let before = meta.pointer("/preBalances/0").and_then(Value::as_u64);
    let after = meta.pointer("/postBalances/0").and_then(Value::as_u64);
    let spent = before.zip(after).map_or(0, |(before, after)| before.saturating_sub(after));
    Some(fee.max(spent))
}

/// By how much an account's token balance grew; `None` where the node records no token balances.
pub(crate) fn token_growth_of(meta: &Value, account: usize) -> Option<i128> {
    let after = token_balance(meta.get("postTokenBalances")?, account)?;
    let before = token_balance(meta.get("preTokenBalances")?, account).unwrap_or(0);
    after.checked_sub(before)
}

fn token_balance(balances: &Value, account: usize) -> Option<i128> {
    let account = u64::try_from(account).ok()?;
    let entry = balances
        .as_array()?
        .iter()
        .find(|entry| entry.get("accountIndex").and_then(Value::as_u64) == Some(account))?;
    entry.pointer("/uiTokenAmount/amount")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
