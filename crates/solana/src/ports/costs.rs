//! What settling costs now, for the tariff.

use async_trait::async_trait;
use quittance_chain::{ChainFault, CostSnapshot, Costs, Obstacle, OwedAccount};
use serde_json::{Map, Value, json};

use super::{SolanaPorts, fault};
use crate::chain::{LAMPORTS_PER_SIGNATURE, SolanaChain, TokenAccountPolicy};
use crate::payout::{Payout, SolanaState};

impl SolanaChain {
    /// A fresh blockhash for offers. Without one the official client signs over a
    /// finalized blockhash, a fifth of whose thirty seconds have passed by then.
    async fn blockhash_extra(&self) -> Map<String, Value> {
        let mut extra = Map::new();
        match self.latest_blockhash().await {
            Ok((blockhash, last_valid_block_height)) => {
                extra.insert("recentBlockhash".to_owned(), json!(blockhash));
                extra.insert("lastValidBlockHeight".to_owned(), json!(last_valid_block_height));
            }
            // Clients ask for one themselves then.
            Err(error) => tracing::debug!(%error, "no blockhash for offers"),
        }
        extra
    }

    /// In the log, not with every look.
    fn tell(&self, what: &'static str, why: &'static str) {
        if let Some(times) = self.told.again(what) {
            tracing::warn!(network = %self.rules.network, what, why, times, "payments cannot arrive");
        }
    }

    fn obstacle(&self, state: &SolanaState) -> Option<Obstacle> {
        if let Some(fault) = state.token {
            return Some(if fault.is_pause { Obstacle::TokenPaused } else { Obstacle::TokenChanged });
        }
        let in_payment = self.policy == TokenAccountPolicy::InPayment;
        match state.payout {
            Payout::Frozen => Some(Obstacle::PayToFrozen),
            Payout::Foreign => Some(Obstacle::PayToClosed),
            Payout::Refusing(_) => Some(Obstacle::PayToRefuses),
            // The first payment creates it, or it is owed; else the wallet cannot pay for it, which
            // closes the network too.
            Payout::Missing if in_payment || !self.retired => None,
            Payout::Missing => Some(Obstacle::PayToClosed),
            Payout::Ready => None,
        }
    }

    /// Our token account, where it is missing, ours to create, and a wallet that pays for what is new
    /// can pay for it.
    fn owed_account(&self, state: &SolanaState) -> Option<OwedAccount> {
        let is_ours = self.policy == TokenAccountPolicy::AtStart && !self.retired;
        let is_able = self.richest(state).is_some_and(|(_, lamports)| lamports >= self.creation_lamports());
        // Nothing is spent on an account of a token that is not sold for.
        (state.payout == Payout::Missing && state.token.is_none() && is_ours && is_able).then(|| {
            OwedAccount {
                account: self.token_account(),
                native: self.rent_lamports().saturating_add(LAMPORTS_PER_SIGNATURE),
            }
        })
    }
}

#[async_trait]
impl Costs for SolanaPorts {
    async fn refresh(&self, _now_ms: i64) -> Result<CostSnapshot, ChainFault> {
        let state = self.chain.state().await.map_err(fault)?;
        if let Payout::Refusing(why) = state.payout {
            self.chain.tell("payout", why);
        }
        if let Some(fault) = state.token {
            self.chain.tell(fault.extension, fault.problem);
        }
        if state.payout == Payout::Missing {
            self.chain.refresh_rent().await.map_err(fault)?;
        }
        let fees = self.chain.fees();
        let total = fees.total_lamports().ok_or_else(|| ChainFault("fees out of range".to_owned()))?;
        Ok(CostSnapshot {
            cost_native: u128::from(total),
            rent_native: u128::from(fees.rent_lamports),
            wallets_native: self
                .chain
                .wallets()
                .into_iter()
                .zip(state.wallets_lamports.iter().map(|lamports| u128::from(*lamports)))
                .collect(),
            floor_native: u128::from(self.chain.wallet_rent_lamports()),
            bound_native: u128::from(total),
            owed_account: self.chain.owed_account(&state),
            obstacle: self.chain.obstacle(&state),
            detail: json!({
                "signature_lamports": fees.signature_lamports,
                "priority_fee_lamports_max": fees.priority_fee_lamports_max,
                "rent_lamports": fees.rent_lamports,
            }),
            offer_extra: self.chain.blockhash_extra().await,
        })
    }
}
