//! One endpoint asked what it is and what it can, and the configured addresses asked of it, for an
//! operator who wants all findings at once. Asks, and sends nothing: whether transactions are taken
//! shows in how the endpoint refuses a call without one.

use std::time::Duration;

use alloy::eips::BlockNumberOrTag::{self, Finalized, Latest};
use alloy::primitives::{Address, B256};
use alloy::sol_types::{SolCall, SolEvent};
use futures::future::join_all;
use quittance_chain::{EndpointExam, HeadExam, MethodExam, Need, Serves, Taken};
use quittance_rpc::{SLOW_ANSWERS_MAX, Slowest, WRONG_PARAMS, is_not_offered};
use serde_json::json;
use tokio::time::timeout;

use crate::abi::IToken;
use crate::check::Terms;
use crate::config::{EvmConfig, LOG_BLOCKS_MAX, READ_GAS};
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::header::Block;
use crate::logs::read_logs;
use crate::node::Node;
use crate::rpc::HttpRpc;
use crate::simulate::call;
use crate::text;
use crate::token::{check_recipient_code, check_token, terms};

/// How far back state is asked for: as far as a search for the use of an authorization begins.
const OLD_STATE_BLOCKS: u64 = 64;

/// Stands for a recipient that cannot be used, so that the token is looked at all the same.
const NOBODY: &str = "0x000000000000000000000000000000000000dead";

/// One endpoint, and how long it took at most.
struct Asked {
    node: Node,
    slowest: Slowest,
}

impl Asked {
    async fn timed<T>(&self, question: impl Future<Output = T>) -> T {
        self.slowest.timed(question).await
    }
}

/// Every endpoint of `rpc_urls`, all at once; a dozen calls to each, one after the other. `now_ms` reads
/// the clock, Unix milliseconds.
pub async fn examine(config: &EvmConfig, now_ms: &(impl Fn() -> i64 + Sync)) -> Vec<EndpointExam> {
    join_all((0..config.rpc_urls.len()).map(|at| examine_one(config, at, now_ms))).await
}

async fn examine_one(config: &EvmConfig, at: usize, now_ms: &(impl Fn() -> i64 + Sync)) -> EndpointExam {
    let (rpc, host) = match endpoint(config, at) {
        Ok(found) => found,
        Err(error) => return EndpointExam::of("", Serves::Silent(error.to_string())),
    };
    let asked = Asked { node: rpc, slowest: Slowest::default() };
    let wanted = config.network.as_str().strip_prefix("eip155:").and_then(|id| id.parse::<u64>().ok());
    let serves = match asked.timed(asked.node.chain_id()).await {
        Ok(found) if Some(found) == wanted => Serves::Ours,
        Ok(found) => Serves::Another(found.to_string()),
        Err(error) => Serves::Silent(error.to_string()),
    };
    let mut exam = EndpointExam::of(&host, serves);
    if exam.serves == Serves::Ours {
        let head = asked.timed(asked.node.header(Latest)).await;
        let head = head.and_then(|block| block.ok_or(RpcError::BadAnswer("block")));
        exam.head = head.as_ref().ok().map(|block| head_exam(block, now_ms()));
        let patience = Duration::from_millis(config.rpc_timeout_ms).saturating_mul(SLOW_ANSWERS_MAX);
        if timeout(patience, methods(config, &asked, head, &mut exam)).await.is_err() {
            let words = format!("the rest was not answered within {} s", patience.as_secs());
            let why = "an endpoint that hangs is found out at the first payment";
            let taken = Taken::Unclear(words);
            exam.methods.push(MethodExam { method: "all", need: Need::Must, why, taken });
        }
    }
    exam.slowest_ms = asked.slowest.ms();
    exam
}

fn endpoint(config: &EvmConfig, at: usize) -> Result<(Node, String), RpcError> {
    let url = config.rpc_urls.get(at).map(String::as_str).unwrap_or_default();
    let rpc = HttpRpc::new(url, config.rpc_timeout_ms)?;
    let host = crate::rpc::Rpc::host(&rpc).to_owned();
    Ok((Node::new(std::sync::Arc::new(rpc)), host))
}

fn head_exam(block: &Block, read_at_ms: i64) -> HeadExam {
    let at_ms = i64::try_from(block.timestamp.saturating_mul(1_000)).unwrap_or(i64::MAX);
    HeadExam { number: block.number, at_ms, read_at_ms }
}

async fn methods(config: &EvmConfig, asked: &Asked, head: Result<Block, RpcError>, exam: &mut EndpointExam) {
    let node = &asked.node;
    let number = head.as_ref().map_or(0, |block| block.number);
    let mut add = |method, need, why, taken| exam.methods.push(MethodExam { method, need, why, taken });
    add("eth_getBlockByNumber", Need::Must, "fees and deadlines are read from blocks", taken(head));
    let finalized = asked.timed(node.header(Finalized)).await;
    let finalized = finalized.and_then(|block| block.ok_or(RpcError::BadAnswer("block")));
    add(
        "eth_getBlockByNumber finalized",
        Need::Must,
        "a payment that never lands ends by the finalized block",
        taken(finalized),
    );
    let token = text::address(&config.asset).unwrap_or(Address::ZERO);
    let balance = IToken::balanceOfCall { account: Address::ZERO }.abi_encode();
    let view = |at: BlockNumberOrTag| call(node, Address::ZERO, token, READ_GAS, &balance, at);
    let newest = asked.timed(view(Latest)).await;
    add("eth_call", Need::Must, "each payment is simulated before it is taken", taken(or_revert(newest)));
    let old = number.saturating_sub(OLD_STATE_BLOCKS);
    let old = asked.timed(view(old.into())).await;
    let why = "what used an authorization up is found by the state of earlier blocks";
    add("eth_call at an earlier block", Need::Useful, why, taken(or_revert(old)));
    let balance = asked.timed(node.balance(Address::ZERO, Latest)).await;
    add("eth_getBalance", Need::Must, "an empty wallet is noticed", taken(balance));
    let nonces = asked.timed(node.nonces(Address::ZERO, Latest)).await;
    add("eth_getTransactionCount", Need::Must, "wallets' nonces are read", taken(nonces));
    let receipt = asked.timed(node.receipt(B256::repeat_byte(0x11))).await;
    add("eth_getTransactionReceipt", Need::Must, "our own landings are proven by it", taken(receipt));
    let logs = asked.timed(widest(node, token, number)).await;
    exam.log_blocks = logs.as_ref().ok().copied();
    let mut add = |method, need, why, taken| exam.methods.push(MethodExam { method, need, why, taken });
    add("eth_getLogs", Need::Must, "landings by others are found by it", taken(logs));
    let sent = asked.timed(node.ask("eth_sendRawTransaction", [(); 0])).await;
    add("eth_sendRawTransaction", Need::Must, "settlements are sent with it", known(sent));
}

/// Blocks of logs that it answers for at once.
async fn widest(node: &Node, token: Address, head: u64) -> Result<u64, RpcError> {
    let filter = json!({
        "address": token,
        "topics": [[IToken::AuthorizationUsed::SIGNATURE_HASH], [B256::ZERO]],
    });
    let first = head.saturating_sub(LOG_BLOCKS_MAX.saturating_sub(1));
    read_logs(node, &filter, (first, head), 1).await?;
    Ok(node.log_range().blocks())
}

/// A call that runs and fails was taken.
fn or_revert(answer: Result<Vec<u8>, RpcError>) -> Result<(), RpcError> {
    match answer {
        Err(error) if crate::classify::is_execution_failure(&error) => Ok(()),
        answer => answer.map(drop),
    }
}

fn taken<T>(answer: Result<T, RpcError>) -> Taken {
    match answer {
        Ok(_) => Taken::Yes,
        Err(error @ (RpcError::Limited(_) | RpcError::Paused | RpcError::Timeout)) => {
            Taken::Unclear(error.to_string())
        }
        Err(error) => Taken::No(error.to_string()),
    }
}

/// Whether it knows a method that was called without what it wants.
fn known<T>(answer: Result<T, RpcError>) -> Taken {
    match answer {
        Ok(_) => Taken::Unclear("it answers a call without parameters".to_owned()),
        Err(RpcError::JsonRpc { code: WRONG_PARAMS, .. }) => Taken::Yes,
        Err(ref error @ RpcError::JsonRpc { code, .. }) if is_not_offered(code) => {
            Taken::No(error.to_string())
        }
        Err(error @ RpcError::Http(401..=405)) => Taken::No(error.to_string()),
        Err(error) => Taken::Unclear(error.to_string()),
    }
}

/// All that is wrong with the configured token and recipient, by one endpoint's word. A node that does
/// not answer is an [`EvmError::Rpc`].
pub async fn examine_terms(config: &EvmConfig, at: usize) -> Vec<EvmError> {
    let mut found = Vec::new();
    let read = match terms(config, Address::ZERO) {
        Ok(terms) => Some((terms, true)),
        Err(error) => {
            found.push(error);
            let config = EvmConfig { pay_to: NOBODY.to_owned(), ..config.clone() };
            terms(&config, Address::ZERO).ok().map(|terms| (terms, false))
        }
    };
    let Some((terms, is_own)): Option<(Terms, bool)> = read else { return found };
    let node = match endpoint(config, at) {
        Ok((node, _)) => node,
        Err(error) => {
            found.push(error.into());
            return found;
        }
    };
    found.extend(check_token(&node, &terms, config).await.err());
    if is_own {
        found.extend(check_recipient_code(&node, &terms).await.err());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i64) -> Result<(), RpcError> {
        Err(RpcError::JsonRpc { code, message: String::new(), data: None })
    }

    #[test]
    fn a_method_that_wants_parameters_is_there_and_one_that_no_plan_has_is_not() {
        assert_eq!(known(refused(-32_602)), Taken::Yes);
        for code in [-32_601, -32_600, -32_004] {
            assert!(matches!(known(refused(code)), Taken::No(_)), "{code}");
        }
        assert!(matches!(known(refused(-32_000)), Taken::Unclear(_)));
        assert!(matches!(known::<()>(Err(RpcError::Http(403))), Taken::No(_)));
        assert!(matches!(known::<()>(Err(RpcError::Timeout)), Taken::Unclear(_)));
    }

    #[test]
    fn one_that_was_asked_too_much_was_not_examined() {
        assert!(matches!(taken::<()>(Err(RpcError::Limited(String::new()))), Taken::Unclear(_)));
        assert!(matches!(taken::<()>(Err(RpcError::Http(403))), Taken::No(_)));
    }
}
