//! Connecting for a service that sells, or finishes what it sold.

use quittance_protocol::Secret;

use crate::chain::{SolanaChain, SolanaConfig};
use crate::error::SolanaError;
use crate::payout::Payout;

impl SolanaChain {
    /// Connects, and checks the mint and our token account. Pays for nothing: what is missing is created
    /// once the ledger has charged it.
    pub async fn open(
        config: SolanaConfig,
        wallet_keys: &[Secret],
        retired_keys: &[Secret],
    ) -> Result<Self, SolanaError> {
        let network = config.network.clone();
        let (first, more) = wallet_keys.split_first().ok_or(SolanaError::BadKey)?;
        let chain = Self::connect(config, first).await?.with_wallets(more, retired_keys)?;
        if chain.is_stand_in() {
            tracing::warn!(
                %network,
                "rpc_urls lead to a local validator whose genesis is not this network's: for development only"
            );
        }
        if chain.pay_to_is_off_curve() {
            tracing::warn!(
                %network,
                "pay_to is off the curve: only a program can sign for it; make sure that it can move tokens"
            );
        }
        let state = chain.state().await?;
        if state.payout == Payout::Foreign && !chain.retired {
            return Err(SolanaError::TokenAccountForeign { account: chain.token_account() });
        }
        Ok(chain)
    }
}
