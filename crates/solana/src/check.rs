//! What the cluster says of a payment before it is claimed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use solana_client::rpc_config::{
    RpcSimulateTransactionAccountsConfig, RpcSimulateTransactionConfig, UiAccountEncoding,
    UiTransactionEncoding,
};
use solana_client::rpc_request::RpcRequest;

use crate::chain::{SolanaChain, SolanaView};
use crate::error::SolanaError;
use crate::payment::SolanaPayment;
use crate::simulate;

impl SolanaChain {
    /// One `simulateTransaction` of the payer's bytes, which shows what the token
    /// account holds too (a node that does not show it is asked for it). Our slot is empty, so
    /// the node cannot verify signatures; [`Self::check_local`] did. The
    /// payer's own blockhash is kept: an unknown one fails here, if a second healthy
    /// endpoint does not know it either: one that lies a little behind must not
    /// refuse a customer.
    pub async fn check_chain(&self, payment: &SolanaPayment) -> Result<SolanaView, SolanaError> {
        let serving = self.endpoints.serving();
        match self.check_chain_among(serving.clone(), payment).await {
            Err(SolanaError::BlockhashNotFound) if serving.len() > 1 => {
                let others = serving.get(1..).unwrap_or_default();
                self.check_chain_among(others.to_vec(), payment).await
            }
            checked => checked,
        }
    }

    async fn check_chain_among(
        &self,
        places: Vec<usize>,
        payment: &SolanaPayment,
    ) -> Result<SolanaView, SolanaError> {
        let source = payment.source();
        let accounts = RpcSimulateTransactionAccountsConfig {
            encoding: Some(UiAccountEncoding::Base64),
            addresses: source.iter().cloned().collect(),
        };
        let config = RpcSimulateTransactionConfig {
            encoding: Some(UiTransactionEncoding::Base64),
            commitment: Some(self.commitment.into()),
            accounts: Some(accounts),
            ..RpcSimulateTransactionConfig::default()
        };
        let params = json!([STANDARD.encode(payment.raw()), config]);
        let simulated = self.read_among(places, RpcRequest::SimulateTransaction, params).await;
        let (endpoint, answer) = simulated.map_err(simulate::judge_failure)?;
        let (slot, units_consumed) = simulate::judge(&answer, payment.inspected())?;
        let balance = match simulate::balance(&answer, payment.amount()) {
            None => self.read_balance(endpoint, source.as_deref()).await,
            seen => seen,
        };
        Ok(SolanaView { endpoint, slot, units_consumed, balance })
    }

    /// At the endpoint that simulated; it may be a slot ahead of the simulation by now.
    async fn read_balance(&self, endpoint: usize, source: Option<&str>) -> Option<u64> {
        let params = json!([source?, {"commitment": self.commitment.as_str()}]);
        let endpoint = self.endpoint(endpoint).ok()?;
        let answer: Value = endpoint.ask(RpcRequest::GetTokenAccountBalance, params).await.ok()?;
        answer.pointer("/value/amount").and_then(Value::as_str)?.parse().ok()
    }
}
