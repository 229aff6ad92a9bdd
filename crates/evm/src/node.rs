//! One endpoint as this crate asks it: alloy's provider over our transport.
//!
//! No layer stands between the two, no filler and no poller: one call is one request, and what it says
//! arrives as the transport said it. Answers are decoded into alloy's primitives by rules of our own
//! where alloy's would make an answer out of none (`"0x"` is the number zero there, and text without
//! `0x` bytes), or would refuse one for a part that we do not use ([`Node::header`]); what only the
//! parsers of `proof` and `scan` read stays JSON, because they skip a part that they cannot read where a
//! typed list would be lost as a whole.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{Address, B256};
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RequestPacket, Response, ResponsePacket, ResponsePayload, RpcRecv, RpcSend};
use alloy::rpc::types::TransactionRequest;
use alloy::transports::{TransportError, TransportErrorKind, TransportFut};
use quittance_rpc::{Endpoint, Pause, Tally};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;
use tower::Service;

use crate::failure::RpcError;
use crate::header::Block;
use crate::rpc::{LogRange, Rpc};
use crate::text::{Data, Quantity};

/// The receipts of a whole block. Not every provider has it, and nothing depends on it.
pub(crate) const BLOCK_RECEIPTS: &str = "eth_getBlockReceipts";

const RECEIPT: &str = "eth_getTransactionReceipt";

/// How long an endpoint that did not answer to what it need not is not asked for it again.
const WITHOUT_FOR: Duration = Duration::from_secs(600);

/// Something that not every endpoint answers to.
#[derive(Default)]
struct Extra(Mutex<Option<Instant>>);

impl Extra {
    /// Whether it may be asked for it.
    fn has(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| until <= Instant::now())
    }

    /// It did not answer.
    fn refuses(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now().checked_add(WITHOUT_FOR);
    }
}

/// See the module.
pub(crate) struct Node {
    rpc: Arc<dyn Rpc>,
    provider: RootProvider,
    /// The same, for what an endpoint need not take.
    optional: RootProvider,
    block_receipts: Extra,
    /// Several requests at once.
    many: Extra,
}

impl Node {
    pub(crate) fn new(rpc: Arc<dyn Rpc>) -> Self {
        // Whether it is local decides how often alloy's pollers would ask, and none is started.
        let provider = |is_optional| {
            let wire = Wire { rpc: Arc::clone(&rpc), is_optional };
            RootProvider::new(RpcClient::new(wire, false))
        };
        let (provider, optional) = (provider(false), provider(true));
        Self { rpc, provider, optional, block_receipts: Extra::default(), many: Extra::default() }
    }

    /// One request. `what` says what an answer of another shape is not.
    async fn request<T: RpcRecv>(
        &self,
        method: &'static str,
        params: impl RpcSend,
        what: &'static str,
    ) -> Result<T, RpcError> {
        let answer = self.provider.client().request(method, params).await;
        answer.map_err(|error| failure(error, what))
    }

    /// An answer of any shape.
    pub(crate) async fn ask(&self, method: &'static str, params: impl RpcSend) -> Result<Value, RpcError> {
        self.request(method, params, "JSON").await
    }

    pub(crate) async fn chain_id(&self) -> Result<u64, RpcError> {
        match self.provider.get_chain_id().await {
            // What alloy makes of `0x`; no chain has this id.
            Ok(0) => Err(RpcError::BadAnswer("quantity")),
            answer => answer.map_err(|error| failure(error, "quantity")),
        }
    }

    pub(crate) async fn code(&self, of: Address, at: BlockNumberOrTag) -> Result<Vec<u8>, RpcError> {
        let Data(code) = self.request("eth_getCode", (of, at), "data").await?;
        Ok(code)
    }

    pub(crate) async fn has_code(&self, address: Address, at: BlockNumberOrTag) -> Result<bool, RpcError> {
        Ok(!self.code(address, at).await?.is_empty())
    }

    pub(crate) async fn balance(&self, of: Address, at: BlockNumberOrTag) -> Result<u128, RpcError> {
        let Quantity(wei) = self.request("eth_getBalance", (of, at), "quantity").await?;
        Ok(wei)
    }

    /// How many nonces of an address are used.
    pub(crate) async fn nonces(&self, of: Address, at: BlockNumberOrTag) -> Result<u64, RpcError> {
        let Quantity(count) = self.request("eth_getTransactionCount", (of, at), "quantity").await?;
        u64::try_from(count).map_err(|_| RpcError::BadAnswer("quantity"))
    }

    /// `eth_call`, as bytes.
    pub(crate) async fn call(
        &self,
        transaction: &TransactionRequest,
        at: BlockNumberOrTag,
    ) -> Result<Vec<u8>, RpcError> {
        let Data(returned) = self.request("eth_call", (transaction, at), "data").await?;
        Ok(returned)
    }

    /// The same of a call that an endpoint need not take: that it does not is no failure of it.
    pub(crate) async fn call_optional(
        &self,
        transaction: &TransactionRequest,
        at: BlockNumberOrTag,
    ) -> Result<Vec<u8>, RpcError> {
        let answer = self.optional.client().request("eth_call", (transaction, at)).await;
        let Data(returned) = answer.map_err(|error| failure(error, "data"))?;
        Ok(returned)
    }

    /// A header by tag or number, or `None` if the node has no such block. alloy's own header would want
    /// a dozen fields that some nodes leave out and we do not read.
    pub(crate) async fn header(&self, which: BlockNumberOrTag) -> Result<Option<Block>, RpcError> {
        self.request("eth_getBlockByNumber", (which, false), "block").await
    }

    /// A header by hash.
    pub(crate) async fn header_of(&self, hash: B256) -> Result<Option<Block>, RpcError> {
        self.request("eth_getBlockByHash", (hash, false), "block").await
    }

    /// What a transaction did, or `null` while it is in no block.
    pub(crate) async fn receipt(&self, transaction: impl RpcSend) -> Result<Value, RpcError> {
        self.ask(RECEIPT, [transaction]).await
    }

    /// The receipts of several transactions in one request over HTTP, in their order. `None` where the
    /// endpoint is known not to take several requests at once, or has just shown it.
    pub(crate) async fn receipts(&self, transactions: &[B256]) -> Option<Vec<Result<Value, RpcError>>> {
        if !self.many.has() {
            return None;
        }
        let params = transactions.iter().map(|hash| to_raw_value(&[hash]));
        let params = params.collect::<Result<Vec<_>, _>>().ok()?;
        match self.rpc.call_many(RECEIPT, &params).await {
            Ok(answers) if answers.len() == transactions.len() => {
                let value = |text: Box<RawValue>| {
                    serde_json::from_str(text.get()).map_err(|_| RpcError::BadAnswer("JSON"))
                };
                Some(answers.into_iter().map(|answer| answer.and_then(value)).collect())
            }
            // Nobody there, or nobody who may be asked: that is so of each alone, too.
            Err(error) if error.is_of_the_connection() => {
                Some(transactions.iter().map(|_| Err(error.clone())).collect())
            }
            refused => {
                if let Err(error) = refused {
                    tracing::debug!(%error, "no several requests at once");
                }
                self.many.refuses();
                None
            }
        }
    }

    /// Whether it may be asked for the receipts of a block.
    pub(crate) fn has_block_receipts(&self) -> bool {
        self.block_receipts.has()
    }

    /// It did not answer for one.
    pub(crate) fn refuses_block_receipts(&self) {
        self.block_receipts.refuses();
    }

    pub(crate) fn log_range(&self) -> &LogRange {
        self.rpc.log_range()
    }
}

impl Endpoint for Node {
    fn host(&self) -> &str {
        self.rpc.host()
    }

    fn tally(&self) -> Option<&Tally> {
        self.rpc.tally()
    }

    fn pause(&self) -> Option<&Pause> {
        self.rpc.pause()
    }

    fn is_heard(&self) -> bool {
        self.rpc.is_heard()
    }
}

/// Our transport under alloy's client.
#[derive(Clone)]
struct Wire {
    rpc: Arc<dyn Rpc>,
    /// See [`Rpc::call_optional`].
    is_optional: bool,
}

impl Service<RequestPacket> for Wire {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let Self { rpc, is_optional } = self.clone();
        Box::pin(async move {
            let RequestPacket::Single(request) = packet else {
                return Err(TransportErrorKind::non_retryable_str("batches are not sent"));
            };
            // alloy leaves out what is empty, and some nodes want an array.
            let none = to_raw_value::<[(); 0]>(&[]).map_err(TransportErrorKind::non_retryable)?;
            let params = request.params().unwrap_or(&none);
            // Of the kind that a layer which retries would not retry: none is here, and none may come.
            let answer = match is_optional {
                true => rpc.call_optional(request.method(), params).await,
                false => rpc.call(request.method(), params).await,
            };
            let result = answer.map_err(TransportErrorKind::non_retryable)?;
            let payload = ResponsePayload::Success(result);
            Ok(ResponsePacket::Single(Response { id: request.id().clone(), payload }))
        })
    }
}

/// Our own error, as the transport gave it; what alloy could not decode is an answer of another shape.
fn failure(error: TransportError, what: &'static str) -> RpcError {
    match error {
        TransportError::Transport(TransportErrorKind::NonRetryable(error)) => {
            error.downcast().map_or(RpcError::BadAnswer("request"), |error| *error)
        }
        _ => RpcError::BadAnswer(what),
    }
}

#[cfg(test)]
mod tests;
