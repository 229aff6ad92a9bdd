//! Transfers to our token account, whoever made them: what no row of the ledger
//! explains was landed by somebody else who settles to the same address.

use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;

use crate::chain::SolanaChain;
use crate::error::SolanaError;
use crate::rpc::RpcFailure;
use crate::scan::token_growth_of;
use crate::status::is_signature;

/// Most signatures that one look reads; more in one interval are skipped.
pub const ARRIVALS_MAX: usize = 1_000;

const SIGNATURES: RpcRequest = RpcRequest::GetSignaturesForAddress;

/// The newest signature that was seen. A new one begins with the newest there
/// is: what arrived before is the past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArrivalCursor {
    begun: bool,
    newest: Option<String>,
}

impl SolanaChain {
    /// Signatures of the transactions that touched our token account since the
    /// last look and did not fail; one call. Not all of them paid into it: see
    /// [`Self::pays_in`].
    pub async fn arrivals(&self, cursor: &mut ArrivalCursor) -> Result<Vec<String>, SolanaError> {
        let mut options = json!({
            "commitment": self.commitment.as_str(),
            "limit": if cursor.begun { ARRIVALS_MAX } else { 1 },
        });
        if let Some(newest) = &cursor.newest {
            options["until"] = json!(newest);
        }
        let (_, answer) = self.read(SIGNATURES, json!([self.token_account(), options])).await?;
        let malformed = || RpcFailure::Malformed { method: SIGNATURES.as_str() };
        let mut found = Vec::new();
        let mut newest = None;
        for one in answer.as_array().ok_or_else(malformed)? {
            let signature = one.get("signature").and_then(Value::as_str).filter(|text| is_signature(text));
            let signature = signature.ok_or_else(malformed)?;
            newest.get_or_insert_with(|| signature.to_owned());
            if one.get("err").is_none_or(Value::is_null) {
                found.push(signature.to_owned());
            }
        }
        if cursor.begun
            && found.len() >= ARRIVALS_MAX
            && let Some(times) = self.told.again("arrivals")
        {
            tracing::warn!(times, "more transfers to the payout account than one look reads");
        }
        let begun = std::mem::replace(&mut cursor.begun, true);
        cursor.newest = newest.or(cursor.newest.take());
        Ok(if begun { found } else { Vec::new() })
    }

    /// Whether a transaction made our token account grow.
    pub async fn pays_in(&self, transaction: &str) -> Result<bool, SolanaError> {
        let params = json!([transaction, {
            "encoding": "json",
            "commitment": self.commitment.as_str(),
            "maxSupportedTransactionVersion": 1,
        }]);
        let (_, answer) =
            self.read_among(self.endpoints.in_order(), RpcRequest::GetTransaction, params).await?;
        let account = self.token_account();
        // Those of lookup tables follow the message's own: Solana documentation, "Transaction metadata".
        let at = [
            "/transaction/message/accountKeys",
            "/meta/loadedAddresses/writable",
            "/meta/loadedAddresses/readonly",
        ]
        .iter()
        .filter_map(|list| answer.pointer(list)?.as_array())
        .flatten()
        .position(|key| key.as_str() == Some(account.as_str()));
        let Some((meta, at)) = answer.get("meta").zip(at) else { return Ok(false) };
        Ok(token_growth_of(meta, at).is_some_and(|grown| grown > 0))
    }
}

#[cfg(test)]
mod tests;
