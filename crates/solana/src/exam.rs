//! Endpoints asked what they are and what they can, and the configured addresses asked of one, for an
//! operator who wants all findings at once. Asks, and sends nothing: whether transactions are taken
//! shows in how an endpoint refuses a call without one.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use quittance_chain::{EndpointExam, HeadExam, MethodExam, Need, Serves, Taken};
use quittance_rpc::{Endpoints, SLOW_ANSWERS_MAX, Slowest, WRONG_PARAMS, is_not_offered};
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;
use solana_sdk::pubkey::Pubkey;
use tokio::time::timeout;

use crate::ask::{read_account, read_mint};
use crate::chain::SolanaConfig;
use crate::cluster::{Identified, StandIn};
use crate::error::SolanaError;
use crate::health::head;
use crate::instructions as layout;
use crate::key;
use crate::node::Node;
use crate::payout::{Payout, judge};
use crate::recipient;
use crate::rpc::{HttpRpc, Rpc, RpcFailure};
use crate::status::finalized_height;

/// A signature that nobody made: no cluster knows it.
const NO_SIGNATURE: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// Most transactions of a wallet among which one is looked for that only a history knows.
const WITNESSES: usize = 1_000;

/// Older than what any status cache holds, in slots.
const OLD_SLOTS: u64 = 600;

/// One endpoint, and how long it took at most.
struct Asked {
    node: Node,
    slowest: Slowest,
}

impl Asked {
    async fn timed<T>(&self, question: impl Future<Output = T>) -> T {
        self.slowest.timed(question).await
    }

    async fn ask(&self, request: RpcRequest, params: Value) -> Result<Value, RpcFailure> {
        self.timed(self.node.ask(request, params)).await
    }
}

/// Every endpoint of `rpc_urls`, all at once; a dozen calls to each, one after the other. `wallet` is a
/// fee payer, of whose transactions one may show whether a history is kept. `now_ms` reads the clock,
/// Unix milliseconds.
pub async fn examine(
    config: &SolanaConfig,
    wallet: Option<&str>,
    now_ms: &(impl Fn() -> i64 + Sync),
) -> Vec<EndpointExam> {
    let stand_in = StandIn::default();
    let each = config.rpc_urls.iter().map(|url| examine_one(config, url, &stand_in, wallet, now_ms));
    join_all(each).await
}

async fn examine_one(
    config: &SolanaConfig,
    url: &str,
    stand_in: &StandIn,
    wallet: Option<&str>,
    now_ms: &(impl Fn() -> i64 + Sync),
) -> EndpointExam {
    let Some(rpc) = HttpRpc::new(url, config.rpc_timeout_ms) else {
        return EndpointExam::of("", Serves::Silent("must be an http or https URL".to_owned()));
    };
    let host = rpc.host().to_owned();
    let stand_in = rpc.is_loopback().then(|| Arc::clone(stand_in));
    let rpc: Arc<dyn Rpc> = Arc::new(rpc);
    let identified = Identified::new(Arc::clone(&rpc), config.network.clone(), stand_in);
    let asked = Asked { node: Node::new(rpc), slowest: Slowest::default() };
    let serves = match asked.timed(identified.ask()).await {
        Ok(()) => Serves::Ours,
        Err(RpcFailure::WrongCluster { found }) => Serves::Another(found),
        Err(error) => Serves::Silent(error.to_string()),
    };
    let mut exam = EndpointExam::of(&host, serves);
    if exam.serves == Serves::Ours {
        let newest = asked.timed(head(&asked.node, config.commitment)).await;
        exam.head = newest.map(|(number, at_ms)| HeadExam { number, at_ms, read_at_ms: now_ms() });
        let patience = Duration::from_millis(config.rpc_timeout_ms).saturating_mul(SLOW_ANSWERS_MAX);
        if timeout(patience, methods(config, &asked, wallet, &mut exam)).await.is_err() {
            let words = format!("the rest was not answered within {} s", patience.as_secs());
            let why = "an endpoint that hangs is found out at the first payment";
            let taken = Taken::Unclear(words);
            exam.methods.push(MethodExam { method: "all", need: Need::Must, why, taken });
        }
    }
    exam.slowest_ms = asked.slowest.ms();
    exam
}

async fn methods(config: &SolanaConfig, asked: &Asked, wallet: Option<&str>, exam: &mut EndpointExam) {
    let found = &mut exam.methods;
    let mut add = |method, need, why, taken| found.push(MethodExam { method, need, why, taken });
    let account = asked.ask(RpcRequest::GetAccountInfo, json!([config.asset, {"encoding": "base64"}])).await;
    add("getAccountInfo", Need::Must, "mint and token account are read", taken(account));
    let finalized = asked.timed(finalized_height(&asked.node)).await;
    let slot = finalized.as_ref().map_or(0, |reading| reading.slot);
    add(
        "getEpochInfo finalized",
        Need::Must,
        "a payment that never lands ends by its height",
        taken(finalized),
    );
    let params = json!([{"commitment": config.commitment.as_str()}]);
    let blockhash = asked.ask(RpcRequest::GetLatestBlockhash, params).await;
    add("getLatestBlockhash", Need::Useful, "offers carry a fresh blockhash", taken(blockhash));
    let simulated = asked.ask(RpcRequest::SimulateTransaction, json!([])).await;
    add("simulateTransaction", Need::Must, "each payment is simulated before it is taken", known(simulated));
    let sent = asked.ask(RpcRequest::SendTransaction, json!([])).await;
    add("sendTransaction", Need::Must, "settlements are sent with it", known(sent));
    let statuses = asked.ask(RpcRequest::GetSignatureStatuses, json!([[NO_SIGNATURE]])).await;
    add("getSignatureStatuses", Need::Must, "landings are seen by it", taken(statuses));
    let searched = json!([[NO_SIGNATURE], {"searchTransactionHistory": true}]);
    let history = asked.ask(RpcRequest::GetSignatureStatuses, searched).await;
    let why = "what is older than an endpoint's status cache is found by it";
    add("getSignatureStatuses with history", Need::Must, why, taken(history));
    let of = wallet.unwrap_or(config.pay_to.as_str());
    let params = json!([of, {"limit": WITNESSES, "commitment": "finalized"}]);
    let signatures = asked.ask(RpcRequest::GetSignaturesForAddress, params).await;
    let witness = signatures.as_ref().ok().and_then(|page| witness(page, slot));
    let why = "transfers that no payment explains, and whether a history is kept, show by it";
    add("getSignaturesForAddress", Need::Must, why, taken(signatures));
    let params = json!([NO_SIGNATURE, {"encoding": "json", "maxSupportedTransactionVersion": 1}]);
    let transaction = asked.ask(RpcRequest::GetTransaction, params).await;
    add("getTransaction", Need::Must, "a landing's own transfer is read", taken(transaction));
    if let Some(witness) = witness {
        let params = json!([[witness], {"searchTransactionHistory": true}]);
        let status = asked.ask(RpcRequest::GetSignatureStatuses, params).await.ok();
        exam.keeps_history =
            status.and_then(|status| status.pointer("/value/0").map(|status| !status.is_null()));
    }
}

/// The newest transaction of a page that no status cache knows any more.
fn witness(page: &Value, slot: u64) -> Option<String> {
    let old = |entry: &&Value| {
        let at = entry.get("slot").and_then(Value::as_u64);
        at.is_some_and(|at| at.saturating_add(OLD_SLOTS) <= slot)
            && entry.get("err").is_none_or(Value::is_null)
    };
    page.as_array()?.iter().find(old)?.get("signature")?.as_str().map(str::to_owned)
}

fn taken<T>(answer: Result<T, RpcFailure>) -> Taken {
    match answer {
        Ok(_) => Taken::Yes,
        Err(error @ (RpcFailure::Limited { .. } | RpcFailure::Paused | RpcFailure::Timeout)) => {
            Taken::Unclear(error.to_string())
        }
        Err(error) => Taken::No(error.to_string()),
    }
}

/// Whether it knows a method that was called without what it wants.
fn known<T>(answer: Result<T, RpcFailure>) -> Taken {
    match answer {
        Ok(_) => Taken::Unclear("it answers a call without parameters".to_owned()),
        Err(RpcFailure::Node { code: WRONG_PARAMS, .. }) => Taken::Yes,
        Err(ref error @ RpcFailure::Node { code, .. }) if is_not_offered(code) => {
            Taken::No(error.to_string())
        }
        Err(error @ RpcFailure::Http { status: 401..=405 }) => Taken::No(error.to_string()),
        Err(error) => Taken::Unclear(error.to_string()),
    }
}

/// What one endpoint says of the configured mint and recipient.
#[derive(Debug)]
pub struct SolanaTermsExam {
    /// All that is wrong with them. A node that does not answer is a [`SolanaError::Rpc`].
    pub problems: Vec<SolanaError>,
    /// What stands where payments go, where that could be read.
    pub payout: Option<Payout>,
    /// Its address.
    pub token_account: Option<String>,
}

/// Asks the endpoint at this position of `rpc_urls`. `wallet` is the first fee payer.
pub async fn examine_terms(config: &SolanaConfig, at: usize, wallet: Option<&str>) -> SolanaTermsExam {
    let mut exam = SolanaTermsExam { problems: Vec::new(), payout: None, token_account: None };
    let url = config.rpc_urls.get(at).map(String::as_str).unwrap_or_default();
    let Some(rpc) = HttpRpc::new(url, config.rpc_timeout_ms) else {
        exam.problems.push(SolanaError::BadUrl { at });
        return exam;
    };
    let endpoints = Endpoints::new(vec![Node::new(Arc::new(rpc))], config.head_age_max_ms);
    let keep = |result: Result<Pubkey, SolanaError>, problems: &mut Vec<SolanaError>| match result {
        Ok(found) => Some(found),
        Err(error) => {
            problems.push(error);
            None
        }
    };
    let mint = keep(key::address("asset", &config.asset), &mut exam.problems);
    let pay_to = keep(key::address("pay_to", &config.pay_to), &mut exam.problems);
    let Some(mint) = mint else { return exam };
    match read_mint(&endpoints, &mint, config.token_program, config.permanent_delegate).await {
        Ok(found) if found.decimals != config.asset_decimals => {
            let expected = config.asset_decimals;
            exam.problems.push(SolanaError::Decimals { expected, found: found.decimals });
        }
        // A pause is told by whoever asks what settling costs.
        Ok(found) => {
            exam.problems.extend(found.fault.filter(|fault| !fault.is_pause).map(SolanaError::from));
        }
        Err(error) => exam.problems.push(error),
    }
    let Some(pay_to) = pay_to else { return exam };
    let wallet = wallet.and_then(|wallet| wallet.parse().ok()).unwrap_or_default();
    match read_account(&endpoints, &pay_to, config.commitment).await {
        Ok(account) => {
            exam.problems.extend(recipient::check(&pay_to, &mint, &wallet, account.as_ref()).err())
        }
        Err(error) => exam.problems.push(error),
    }
    let account = layout::token_account_of(&pay_to, &mint, config.token_program);
    exam.token_account = Some(account.to_string());
    match read_account(&endpoints, &account, config.commitment).await {
        Ok(found) => exam.payout = Some(judge(found.as_ref(), (&mint, config.token_program), &pay_to)),
        Err(error) => exam.problems.push(error),
    }
    exam
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_wants_parameters_is_there_and_one_that_no_plan_has_is_not() {
        let refused = |code| -> Result<(), _> { Err(RpcFailure::Node { code, message: String::new() }) };
        assert_eq!(known(refused(-32_602)), Taken::Yes);
        for code in [-32_601, -32_600, -32_004] {
            assert!(matches!(known(refused(code)), Taken::No(_)), "{code}");
        }
        assert!(matches!(known(refused(-32_005)), Taken::Unclear(_)));
    }

    #[test]
    fn only_what_no_status_cache_knows_shows_whether_a_history_is_kept() {
        let page = json!([
            {"signature": "young", "slot": 9_900, "err": null},
            {"signature": "failed", "slot": 9_000, "err": {"InstructionError": [0, "Custom"]}},
            {"signature": "old", "slot": 9_000, "err": null},
        ]);
        assert_eq!(witness(&page, 10_000).as_deref(), Some("old"));
        assert_eq!(witness(&page, 9_500), None);
    }
}
