//! Several payments' chain checks in one call, judged one by one: each as it would be alone, or not at all.

use std::sync::Arc;

use alloy::primitives::U256;
use alloy::sol_types::{Revert, SolError};
use futures::future::BoxFuture;
use quittance_rpc::{CallFailed, Query};

use crate::chain::EvmChain;
use crate::classify;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::frames::{self, Record};
use crate::payment::{EvmPayment, SignatureKind};
use crate::simulate::{clamped, run};
use crate::view::ChainCheck;

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
        let config = self.0.config();
        frames::transfers_max(config.check_gas_max, config.settle_gas_limit)
    }

    fn together<'a>(
        &'a self,
        items: &'a [Arc<EvmPayment>],
    ) -> BoxFuture<'a, Result<Vec<Option<Checked>>, CallFailed>> {
        Box::pin(async move {
            match self.0.check_together(items).await {
                Ok(found) => Ok(found),
                // Who asked to be left alone is not asked once more for each of them.
                Err(error) if wants_to_be_left_alone(&error) => {
                    Ok(items.iter().map(|_| Some(Err(error.clone()))).collect())
                }
                Err(error) => {
                    tracing::debug!(%error, payments = items.len(), "a shared check failed; each is asked alone");
                    Err(CallFailed)
                }
            }
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
    pub async fn check_together(
        &self,
        payments: &[Arc<EvmPayment>],
    ) -> Result<Vec<Option<Result<ChainCheck, EvmError>>>, EvmError> {
        let call = frames::call(payments.iter().map(Arc::as_ref), self.config().settle_gas_limit);
        let call = &call.ok_or(RpcError::BadAnswer("request"))?;
        self.read(|rpc| async move {
            let answer = run(rpc, self.simulation().wallet, None, call.gas, &call.code, None).await?;
            let seen = frames::read(&answer, payments.len());
            let seen = seen.ok_or(RpcError::BadAnswer("code that is not deployed"))?;
            let judged = payments.iter().zip(&seen.records);
            Ok(judged
                .map(|(payment, record)| judge(payment, record, (seen.block, seen.block_time)))
                .collect())
        })
        .await
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
