//! Connecting for a service that sells, or finishes what it sold.

use quittance_protocol::Secret;

use crate::chain::{SolanaChain, SolanaConfig};
use crate::error::SolanaError;
use crate::payout::{Payout, SolanaState};

impl SolanaChain {
    /// Connects, checks the mint, and creates our token account where the
    /// configuration says so.
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
        // Nothing new is paid for on a network that is not sold.
        if !chain.retired {
            chain.create_if_owed(&state).await?;
        }
        Ok(chain)
    }

    /// Creates the recipient's token account if that is ours to do and a wallet that pays for
    /// what is new can pay for it; until then the network is closed for want of money.
    pub(super) async fn create_if_owed(&self, state: &SolanaState) -> Result<bool, SolanaError> {
        let able = self.richest(state).filter(|(_, lamports)| *lamports >= self.creation_lamports());
        let owed = state.payout == Payout::Missing && self.owes_token_account();
        let Some((wallet, _)) = able.filter(|_| owed) else { return Ok(false) };
        let created = self.create_token_account(&wallet).await?;
        tracing::info!(account = self.token_account(), "created the recipient's token account");
        Ok(created)
    }
}
