//! Several payments' chain checks in one call, judged one by one: each as it would be alone, or not at all.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use alloy::primitives::U256;
use alloy::sol_types::{Revert, SolError};
use futures::future::BoxFuture;
use quittance_rpc::{CallFailed, Query, Shared};
use tokio::time::timeout;

use crate::chain::EvmChain;
use crate::classify;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::frames::{self, Record, SettleGas};
use crate::node::Node;
use crate::payment::{EvmPayment, SignatureKind};
use crate::simulate::{clamped, run_optional};
use crate::view::ChainCheck;

/// The part of the longest wait for an answer that an endpoint has for a shared call, one in so many: one
/// that hangs keeps as many waiting as there are in it, and each is asked alone after that.
const SHARED_TIMEOUT_PART: u64 = 4;

/// What the chain says of one payment.
type Checked = Result<ChainCheck, EvmError>;

/// The chain checks of one network.
pub(crate) struct Checks(pub(crate) Arc<EvmChain>);

impl Query for Checks {
    type Item = EvmPayment;
    type Answer = Checked;

    fn is_copy(&self, one: &EvmPayment, other: &EvmPayment) -> bool {
        one == other
    }

    /// A contract's signature is code of a stranger's. Of the others none may see what another one
    /// spends or gets: frames are undone, and nobody's verdict rests on that alone.
    fn may_join(&self, call: &[Arc<EvmPayment>], item: &EvmPayment) -> bool {
        let touch = |other: &Arc<EvmPayment>| {
            other.from == item.from || other.from == item.to || other.to == item.from
        };
        let alike = |other: &Arc<EvmPayment>| other.token == item.token && other.chain_id == item.chain_id;
        item.signature_kind() == SignatureKind::Ecdsa
            && call.iter().all(|other| alike(other) && !touch(other))
    }

    fn items_max(&self) -> usize {
        self.0.settle_gas().transfers_max(self.0.config().check_gas_max)
    }

    fn together<'a>(&'a self, items: &'a [Arc<EvmPayment>]) -> BoxFuture<'a, Shared<Checked>> {
        Box::pin(async move {
            self.0.check_together(items).await.map_err(|error| {
                tracing::debug!(%error, payments = items.len(), "a shared check failed");
                match error {
                    // Who asked to be left alone is not asked once more for each of them.
                    EvmError::Rpc(RpcError::Limited(_)) => CallFailed::TooMuch(Err(error)),
                    error if wants_to_be_left_alone(&error) => CallFailed::NotAsked(Err(error)),
                    _ => CallFailed::AskAlone,
                }
            })
        })
    }

    fn alone<'a>(&'a self, item: &'a EvmPayment) -> BoxFuture<'a, Checked> {
        Box::pin(self.0.check_chain(item))
    }
}

fn wants_to_be_left_alone(error: &EvmError) -> bool {
    matches!(error, EvmError::Rpc(RpcError::Limited(_) | RpcError::Paused | RpcError::WrongChain { .. }))
}

impl EvmChain {
    /// What [`Self::check_chain`] says of each of these, in one call to one endpoint at one block; `None`
    /// where the call cannot tell: code at the payer, a failure without the token's words, gas that ran
    /// out. All are of one token and signed by keys.
    ///
    /// An error says that every endpoint wants to be left alone only if all that were asked said so: one
    /// that refused this form of the question may answer for each payment alone.
    pub async fn check_together(
        &self,
        payments: &[Arc<EvmPayment>],
    ) -> Result<Vec<Option<Result<ChainCheck, EvmError>>>, EvmError> {
        let call = frames::call(payments.iter().map(Arc::as_ref), self.settle_gas());
        let call = &call.ok_or(RpcError::BadAnswer("request"))?;
        let refused = &OnceLock::new();
        let found = self.read(|rpc| async move {
            let found = self.try_together(rpc, call, payments).await;
            if let Err(error) = &found
                && !wants_to_be_left_alone(error)
            {
                // The first is told; a second one adds nothing.
                let _ = refused.set(error.clone());
            }
            found
        });
        found.await.map_err(|last| refused.get().cloned().unwrap_or(last))
    }

    async fn try_together(
        &self,
        rpc: &Node,
        call: &frames::Call,
        payments: &[Arc<EvmPayment>],
    ) -> Result<Vec<Option<Checked>>, EvmError> {
        let answer = run_optional(rpc, self.simulation().wallet, call.gas, &call.code, None);
        let answer = timeout(self.shared_timeout(), answer).await.map_err(|_| RpcError::Timeout)??;
        let seen = frames::read(&answer, payments.len());
        let seen = seen.ok_or(RpcError::BadAnswer("code that is not deployed"))?;
        let judged = payments.iter().zip(&seen.records);
        Ok(judged.map(|(payment, record)| judge(payment, record, (seen.block, seen.block_time))).collect())
    }

    fn settle_gas(&self) -> SettleGas {
        let config = self.config();
        SettleGas { limit: config.settle_gas_limit, expected: config.settle_gas_expected }
    }

    fn shared_timeout(&self) -> Duration {
        Duration::from_millis((self.config().rpc_timeout_ms / SHARED_TIMEOUT_PART).max(1))
    }
}

fn judge(payment: &EvmPayment, record: &Record<'_>, (block, block_time): (u64, u64)) -> Option<Checked> {
    let Record::Tried { success, used, held, said } = *record else { return None };
    let used = match used {
        U256::ZERO => false,
        U256::ONE => true,
        _ => return None,
    };
    let value = U256::from(payment.value);
    match (success, used) {
        // Read behind the transfer.
        (true, true) => {
            let balance = clamped(held.saturating_add(value));
            Some(Ok(ChainCheck { block, block_time, balance, has_code: false }))
        }
        (true, false) => None,
        (false, true) => Some(Err(EvmError::NonceAlreadyUsed)),
        (false, false) if held < value => Some(Err(EvmError::InsufficientBalance)),
        (false, false) => Some(Err(classify::transfer_failure(&whole_words(said)?))),
    }
}

/// What a token said, if all of it is there.
fn whole_words(said: &[u8]) -> Option<String> {
    Revert::abi_decode(said).ok().map(|revert| revert.reason)
}

#[cfg(test)]
mod tests;
