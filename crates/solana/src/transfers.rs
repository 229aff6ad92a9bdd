//! Transfers to one owner's token account, as far back as signatures are shown.

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use quittance_chain::{ChainFault, Transfer, TransferHistory, TransferPage, TransferQuery};
use quittance_protocol::UnixSeconds;
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;

use crate::chain::SolanaChain;
use crate::error::SolanaError;
use crate::instructions as layout;
use crate::key;
use crate::rpc::RpcFailure;
use crate::scan::token_growth_of;
use crate::status::finalized_height;

/// Signatures of one page, each of which is one more call.
const PAGE_SIGNATURES: usize = 250;

/// Calls in flight for one page.
const PARALLEL_CALLS_MAX: usize = 8;

/// Slots without a block that are passed over for the time of one.
const SKIPPED_SLOTS_MAX: u64 = 32;

const SIGNATURES: RpcRequest = RpcRequest::GetSignaturesForAddress;
const TRANSACTION: RpcRequest = RpcRequest::GetTransaction;

fn fault(error: impl std::fmt::Display) -> ChainFault {
    ChainFault(error.to_string())
}

fn malformed(request: RpcRequest) -> SolanaError {
    RpcFailure::Malformed { method: request.as_str() }.into()
}

#[async_trait]
impl TransferHistory for SolanaChain {
    async fn final_block(&self) -> Result<u64, ChainFault> {
        let places = self.endpoints.serving();
        let none = RpcFailure::Malformed { method: "getEpochInfo" };
        let read = |_, endpoint| finalized_height(endpoint);
        let found = self.endpoints.first_that_answers(places, none, read, |_| true).await;
        found.map(|(_, reading)| reading.slot).map_err(fault)
    }

    async fn block_at(&self, at: UnixSeconds) -> Result<u64, ChainFault> {
        let newest = self.final_block().await?;
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        let time = self.time_of(newest).await.map_err(fault)?;
        if time.ok_or_else(|| fault("no node says when its newest block was made; write a slot"))? <= at {
            return Ok(newest);
        }
        let (mut low, mut high) = (0, newest);
        while high.saturating_sub(low) > 1 {
            let middle = low.midpoint(high);
            match self.time_of(middle).await.map_err(fault)? {
                Some(time) if time > at => high = middle,
                // What no node keeps any more is older than anything that is asked for.
                _ => low = middle,
            }
        }
        Ok(low)
    }

    async fn transfers(&self, query: &TransferQuery, from: Option<&str>) -> Result<TransferPage, ChainFault> {
        self.page(query, from).await.map_err(fault)
    }
}

impl SolanaChain {
    /// When a slot's block was made, or the next one's where it has none; `None` where nodes say that
    /// they do not have it. One that does not answer is an error: a range must not be cut in silence.
    async fn time_of(&self, slot: u64) -> Result<Option<i64>, SolanaError> {
        for slot in slot..slot.saturating_add(SKIPPED_SLOTS_MAX) {
            match self.read(RpcRequest::GetBlockTime, json!([slot])).await {
                Ok((_, time)) if time.is_i64() => return Ok(time.as_i64()),
                Ok(_) | Err(RpcFailure::Node { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    async fn page(&self, query: &TransferQuery, from: Option<&str>) -> Result<TransferPage, SolanaError> {
        let owner = key::address("pay_to", &query.pay_to)?;
        let account = layout::token_account_of(&owner, &self.rules.mint, self.rules.program).to_string();
        let mut options = json!({"limit": PAGE_SIGNATURES, "commitment": "finalized"});
        if let Some(from) = from {
            options["before"] = json!(from);
        }
        let (_, answer) = self.read(SIGNATURES, json!([account, options])).await?;
        let listed = answer.as_array().ok_or_else(|| malformed(SIGNATURES))?;
        let mut wanted = Vec::new();
        let (mut last, mut is_over) = (None, listed.len() < PAGE_SIGNATURES);
        for one in listed {
            let signature =
                one.get("signature").and_then(Value::as_str).ok_or_else(|| malformed(SIGNATURES))?;
            let slot = one.get("slot").and_then(Value::as_u64).ok_or_else(|| malformed(SIGNATURES))?;
            last = Some(signature.to_owned());
            if slot < *query.blocks.start() {
                is_over = true;
                break;
            }
            // One that failed moved nothing.
            if query.blocks.contains(&slot) && one.get("err").is_none_or(Value::is_null) {
                wanted.push((slot, signature.to_owned()));
            }
        }
        let (account, with_costs) = (account.as_str(), query.with_costs);
        let read = wanted.into_iter().map(|(slot, signature)| async move {
            let found = self.transfer(account, slot, &signature).await?;
            Ok::<_, SolanaError>(
                found
                    .map(|found| Transfer { cost_native: found.cost_native.filter(|_| with_costs), ..found }),
            )
        });
        let read: Vec<Option<Transfer>> =
            stream::iter(read.collect::<Vec<_>>()).buffered(PARALLEL_CALLS_MAX).try_collect().await?;
        Ok(TransferPage { transfers: read.into_iter().flatten().collect(), next: last.filter(|_| !is_over) })
    }

    /// What one transaction brought the account; `None` where that is nothing.
    async fn transfer(
        &self,
        account: &str,
        slot: u64,
        signature: &str,
    ) -> Result<Option<Transfer>, SolanaError> {
        let params = json!([signature, {
            "encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 1,
        }]);
        let (_, answer) = self.read(TRANSACTION, params).await?;
        // What an address lists, a history has.
        let meta = answer.get("meta").ok_or_else(|| malformed(TRANSACTION))?;
        let at = [
            "/transaction/message/accountKeys",
            "/meta/loadedAddresses/writable",
            "/meta/loadedAddresses/readonly",
        ]
        .iter()
        .filter_map(|list| answer.pointer(list)?.as_array())
        .flatten()
        .position(|key| key.as_str() == Some(account));
        let Some(at) = at else { return Ok(None) };
        let grown = token_growth_of(meta, at).unwrap_or(0);
        let Some(amount) = u64::try_from(grown).ok().filter(|amount| *amount > 0) else { return Ok(None) };
        Ok(Some(Transfer {
            block: slot,
            transaction: signature.to_owned(),
            payer: payer(meta, &self.rules.mint.to_string()),
            amount,
            cost_native: meta.get("fee").and_then(Value::as_u64).map(u128::from),
        }))
    }
}

/// Who owns the account of this mint that gave most.
fn payer(meta: &Value, mint: &str) -> Option<String> {
    let before = meta.get("preTokenBalances")?.as_array()?;
    let of_mint = before.iter().filter(|entry| entry.get("mint").and_then(Value::as_str) == Some(mint));
    let gave = of_mint.filter_map(|entry| {
        let at = usize::try_from(entry.get("accountIndex")?.as_u64()?).ok()?;
        let grown = token_growth_of(meta, at)?;
        Some((grown, entry.get("owner")?.as_str()?.to_owned()))
    });
    gave.filter(|(grown, _)| *grown < 0).min_by_key(|(grown, _)| *grown).map(|(_, owner)| owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payer_is_whose_account_gave_most() {
        let balance = |at: u64, owner: &str, amount: &str| json!({"accountIndex": at, "mint": "m", "owner": owner, "uiTokenAmount": {"amount": amount}});
        let meta = json!({
            "preTokenBalances": [balance(1, "payer", "100"), balance(2, "us", "5")],
            "postTokenBalances": [balance(1, "payer", "90"), balance(2, "us", "15")],
        });
        assert_eq!(payer(&meta, "m").as_deref(), Some("payer"));
        assert_eq!(payer(&meta, "other"), None);
    }
}
