//! Which transaction is a payment that has landed without being claimed here.
//!
//! Our signature would name it at once, and is not made for that: without a claim it must
//! not exist, not even as an id that a node is asked for. So the payer's own newest
//! transactions are looked through for the very message.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;

use crate::chain::SolanaChain;
use crate::message::WireTransaction;
use crate::payment::SolanaPayment;
use crate::rpc::RpcFailure;
use crate::status::is_signature;

/// Transactions of the payer that one search reads at most, newest first.
pub const LANDING_SEARCH_MAX: usize = 12;
/// Longest search.
const LANDING_SEARCH_TIME_MAX: Duration = Duration::from_secs(4);

impl SolanaChain {
    /// The transaction in which this payment's message has landed. `None` if it is not
    /// among the payer's newest [`LANDING_SEARCH_MAX`], or too many search already.
    pub async fn find_landing(&self, payment: &SolanaPayment) -> Option<String> {
        let _place = self.landing_searches.try_acquire().ok()?;
        match tokio::time::timeout(LANDING_SEARCH_TIME_MAX, self.search_payer(payment)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a landed payment could not be looked for");
                None
            }
            Err(_) => None,
        }
    }

    async fn search_payer(&self, payment: &SolanaPayment) -> Result<Option<String>, RpcFailure> {
        let options = json!({"limit": LANDING_SEARCH_MAX, "commitment": "confirmed"});
        let params = json!([payment.payer(), options]);
        let (_, listed) =
            self.read_among(self.endpoints.in_order(), RpcRequest::GetSignaturesForAddress, params).await?;
        for entry in listed.as_array().into_iter().flatten() {
            let signature = entry.get("signature").and_then(Value::as_str);
            let Some(signature) = signature.filter(|text| is_signature(text)) else { continue };
            let options = json!({
                "encoding": "base64", "commitment": "confirmed", "maxSupportedTransactionVersion": 1,
            });
            let params = json!([signature, options]);
            let (_, answer) =
                self.read_among(self.endpoints.in_order(), RpcRequest::GetTransaction, params).await?;
            let failed = answer.pointer("/meta/err").is_none_or(|err| !err.is_null());
            if !failed && message_of(&answer).is_some_and(|message| message == payment.message()) {
                return Ok(Some(signature.to_owned()));
            }
        }
        Ok(None)
    }
}

fn message_of(answer: &Value) -> Option<Vec<u8>> {
    let raw = STANDARD.decode(answer.pointer("/transaction/0")?.as_str()?).ok()?;
    WireTransaction::decode(&raw).ok().map(|transaction| transaction.message.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeRpc, chain, landed_answer, official, payload, transaction, with_creation};

    #[tokio::test]
    async fn a_landed_message_is_named_and_another_is_not() {
        let node = FakeRpc::new();
        let chain = chain(&[&node]).await;
        let payment = |instructions: &[solana_sdk::instruction::Instruction]| {
            chain.check_local(&payload(&transaction(instructions))).unwrap()
        };
        let (landed, other) = (payment(&official()), payment(&with_creation()));
        let signed = chain.co_sign(&landed, u64::MAX).unwrap();
        node.set("getSignaturesForAddress", Ok(json!([{"signature": signed.transaction}])));
        node.set("getTransaction", Ok(landed_answer(&signed.raw, Value::Null)));
        assert_eq!(chain.find_landing(&landed).await, Some(signed.transaction));
        assert_eq!(chain.find_landing(&other).await, None);
        node.set("getTransaction", Ok(landed_answer(&signed.raw, json!("failed"))));
        assert_eq!(chain.find_landing(&landed).await, None, "it moved nothing");
    }
}
