//! One endpoint as this crate asks it: solana-client's nonblocking `RpcClient` over a sender of ours.
//!
//! Of that client nothing is used that asks twice, waits, or serializes a transaction anew: what is sent
//! are the recorded bytes. Its typed answers are used where they are a plain value. An answer with a
//! context is decoded by types of ours ([`Shown`]): solana-client refuses one whose `apiVersion` is no
//! semantic version, a status without the old `status` field, and every transaction error that is newer
//! than itself, and each of those would hide a landing.

use std::sync::Arc;

use async_trait::async_trait;
use quittance_rpc::{Endpoint, Pause, Tally};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use solana_client::client_error::{ClientError, ClientErrorKind};
use solana_client::nonblocking::rpc_client::RpcClient;
use solana_client::rpc_client::RpcClientConfig;
use solana_client::rpc_config::CommitmentConfig;
use solana_client::rpc_request::RpcRequest;
use solana_client::rpc_sender::{RpcSender, RpcTransportStats};

use crate::rpc::{Rpc, RpcFailure};

/// See the module.
pub(crate) struct Node {
    rpc: Arc<dyn Rpc>,
    client: RpcClient,
}

impl Node {
    pub(crate) fn new(rpc: Arc<dyn Rpc>) -> Self {
        let client = RpcClient::new_sender(Wire(Arc::clone(&rpc)), RpcClientConfig::default());
        Self { rpc, client }
    }

    /// One request; `params` is an array.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        request: RpcRequest,
        params: Value,
    ) -> Result<T, RpcFailure> {
        self.client.send(request, params).await.map_err(|error| failure(error, request))
    }

    /// The cluster's genesis hash, base58.
    pub(crate) async fn genesis(&self) -> Result<String, RpcFailure> {
        let hash = self.client.get_genesis_hash().await;
        Ok(hash.map_err(|error| failure(error, RpcRequest::GetGenesisHash))?.to_string())
    }

    pub(crate) async fn slot(&self, commitment: CommitmentConfig) -> Result<u64, RpcFailure> {
        let slot = self.client.get_slot_with_commitment(commitment).await;
        slot.map_err(|error| failure(error, RpcRequest::GetSlot))
    }

    /// What an account of so many bytes must hold, in lamports.
    pub(crate) async fn rent(&self, bytes: usize) -> Result<u64, RpcFailure> {
        let rent = self.client.get_minimum_balance_for_rent_exemption(bytes).await;
        rent.map_err(|error| failure(error, RpcRequest::GetMinimumBalanceForRentExemption))
    }

    /// The oldest slot whose block it has.
    pub(crate) async fn first_block(&self) -> Result<u64, RpcFailure> {
        let slot = self.client.get_first_available_block().await;
        slot.map_err(|error| failure(error, RpcRequest::GetFirstAvailableBlock))
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

/// An answer with a context, as far as it is read.
#[derive(Debug, Deserialize)]
pub(crate) struct Shown<T> {
    pub(crate) value: T,
}

/// Our transport under solana-client.
struct Wire(Arc<dyn Rpc>);

#[async_trait]
impl RpcSender for Wire {
    async fn send(&self, request: RpcRequest, params: Value) -> Result<Value, ClientError> {
        let params = if params.is_null() { Value::Array(Vec::new()) } else { params };
        let answer = self.0.call(request.as_str(), params).await;
        // The client's own kinds hold no error of another's but this one.
        answer.map_err(|error| ClientErrorKind::Io(std::io::Error::other(error)).into())
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        RpcTransportStats::default()
    }

    fn url(&self) -> String {
        // The rest of it is a credential.
        self.0.host().to_owned()
    }
}

/// Our own error, as the sender gave it; what the client could not decode is an answer of another shape.
fn failure(error: ClientError, request: RpcRequest) -> RpcFailure {
    let malformed = RpcFailure::Malformed { method: request.as_str() };
    let ClientErrorKind::Io(error) = *error.kind else { return malformed };
    error.into_inner().and_then(|error| error.downcast().ok()).map_or(malformed, |error| *error)
}

#[cfg(test)]
mod tests;
