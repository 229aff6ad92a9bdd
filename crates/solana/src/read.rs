//! Reads that ask one endpoint of a chain after the other.

use serde_json::Value;
use solana_client::rpc_request::RpcRequest;

use crate::ask::{self, BLOCKHASH, Newest, blockhash_params, parse_blockhash};
use crate::chain::SolanaChain;
use crate::error::SolanaError;
use crate::rpc::RpcFailure;

impl SolanaChain {
    /// Asks the healthy endpoints in order until one answers; see [`Fleet::serving`].
    ///
    /// [`Fleet::serving`]: quittance_rpc::Fleet::serving
    pub(crate) async fn read(
        &self,
        request: RpcRequest,
        params: Value,
    ) -> Result<(usize, Value), RpcFailure> {
        self.read_among(self.endpoints.serving(), request, params).await
    }

    /// The same among these.
    pub(crate) async fn read_among(
        &self,
        places: Vec<usize>,
        request: RpcRequest,
        params: Value,
    ) -> Result<(usize, Value), RpcFailure> {
        ask::read_among(&self.endpoints, places, request, params).await
    }

    /// Which endpoint answered, and its newest blockhash, which is remembered.
    pub(crate) async fn read_blockhash(&self) -> Result<(usize, Newest), SolanaError> {
        let (at, answer) = self.read(BLOCKHASH, blockhash_params(self.commitment)).await?;
        Ok((at, self.learn_newest(at, parse_blockhash(&answer)?)?))
    }

    /// What an account of so many bytes must hold, in lamports.
    pub(crate) async fn read_rent(&self, bytes: usize) -> Result<u64, SolanaError> {
        ask::read_rent(&self.endpoints, bytes).await
    }
}
