//! Bytes that replace others at their nonce, and whether what those settle can still land.
//!
//! What is replaced is read back from the signed bytes themselves, so it is the same whatever they
//! hold: one settlement, or several. Fees come from the caller; signing does no I/O.

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::BlockNumberOrTag::Latest;
use alloy::eips::eip2718::{Decodable2718, Encodable2718};
use alloy::primitives::{Bytes, Signature, TxKind, U256};
use alloy::sol_types::SolCall;
use quittance_rpc::Opinion;

use crate::abi::IToken;
use crate::chain::{EvmChain, is_endpoint_fault, no_endpoint};
use crate::config::READ_GAS;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::fee_snapshot::{FIELDS_BYTES_MAX, FeeSnapshot};
use crate::keys::SigningKey;
use crate::node::Node;
use crate::payment::EvmPayment;
use crate::scan::finalized;
use crate::sign::SignedTransaction;
use crate::simulate::call;

/// What a replacement must offer of both of the old fees, in percent: what geth asks for by
/// default, and reth, op-geth and Erigon with it. anvil takes one wei more.
pub const BUMP_PERCENT: u128 = 110;

/// Gas of a transaction that moves nothing and has no data.
pub const NOTHING_GAS: u64 = 21_000;

/// So long after `validBefore` at the newest block a payment cannot land, in seconds: a
/// reorganisation may put an earlier block there.
pub const ENDED_MARGIN_SECONDS: u64 = 4;

/// What stands in signed bytes.
#[derive(Clone, Debug)]
pub(crate) struct Replaced(TxEip1559);

/// What the bytes that replace others may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fees {
    /// Both fees, and what data costs.
    snapshot: FeeSnapshot,
    tip_wei: u128,
}

impl Replaced {
    /// Of bytes that we signed.
    pub(crate) fn read(raw: &[u8]) -> Result<Self, EvmError> {
        let problem = "are no settlement of ours";
        let bad = EvmError::Config { field: "stored bytes", problem };
        match TxEnvelope::decode_2718(&mut &*raw) {
            Ok(TxEnvelope::Eip1559(signed)) => Ok(Self(signed.strip_signature())),
            _ => Err(bad),
        }
    }

    /// The same nonce, used for nothing.
    pub(crate) fn emptied(&self, wallet: &SigningKey) -> Self {
        let to = TxKind::Call(wallet.address());
        Self(TxEip1559 { gas_limit: NOTHING_GAS, to, input: Bytes::new(), ..self.0.clone() })
    }

    pub(crate) fn gas_limit(&self) -> u64 {
        self.0.gas_limit
    }

    /// At least as many bytes as it has with its signature and any fees.
    fn bytes(&self) -> u64 {
        u64::try_from(self.0.input.len()).unwrap_or(u64::MAX).saturating_add(FIELDS_BYTES_MAX)
    }

    /// What it costs at most under this cap, and what its data costs alone.
    pub(crate) fn bound_wei(&self, fees: &Fees) -> Option<(u128, u128)> {
        let whole = fees.snapshot.cost_bound_wei(self.0.gas_limit, self.bytes())?;
        Some((whole, fees.snapshot.cost_bound_wei(0, self.bytes())?))
    }
}

impl Fees {
    pub(crate) fn cap_wei(&self) -> u128 {
        self.snapshot.max_fee_per_gas_wei
    }
}

/// As much more as nodes want, rounded up.
fn bumped(fee_wei: u128) -> Option<u128> {
    Some(fee_wei.checked_mul(BUMP_PERCENT)?.div_ceil(100))
}

impl EvmChain {
    /// What replaces `old`: what a signature would offer now, and as much more than `old` as nodes
    /// want, under the operator's cap (I8).
    pub(crate) fn replacing_fees(&self, old: &Replaced) -> Result<Fees, EvmError> {
        let mut snapshot = self.fees().ok_or(EvmError::NoFees)?;
        let config = self.config();
        let above = EvmError::FeeAboveCap {
            base_fee_wei: snapshot.base_fee_wei,
            cap_wei: config.max_fee_per_gas_wei,
        };
        let least_tip = bumped(old.0.max_priority_fee_per_gas).ok_or(EvmError::Overflow)?;
        let least_cap = bumped(old.0.max_fee_per_gas).ok_or(EvmError::Overflow)?;
        let tip_wei = least_tip.max(config.priority_fee_wei);
        let cap_wei =
            snapshot.max_fee_per_gas_wei.max(least_cap).max(tip_wei).min(config.max_fee_per_gas_wei);
        if cap_wei < least_cap || cap_wei < least_tip || cap_wei <= snapshot.base_fee_wei {
            return Err(above);
        }
        snapshot.max_fee_per_gas_wei = cap_wei;
        Ok(Fees { snapshot, tip_wei: tip_wei.min(cap_wei) })
    }

    /// Signs it anew at these fees, with the wallet whose nonce it has. Fails with
    /// [`EvmError::CostAboveBound`] when it could cost more than `bound_wei`; then nothing has been
    /// signed.
    pub(crate) fn sign_again(
        &self,
        what: Replaced,
        key: &SigningKey,
        fees: &Fees,
        bound_wei: u128,
    ) -> Result<SignedTransaction, EvmError> {
        let cap_wei = self.config().max_fee_per_gas_wei;
        if fees.cap_wei() > cap_wei {
            return Err(EvmError::FeeAboveCap { base_fee_wei: fees.snapshot.base_fee_wei, cap_wei });
        }
        let (cost_wei, _) = what.bound_wei(fees).ok_or(EvmError::Overflow)?;
        if cost_wei > bound_wei {
            return Err(EvmError::CostAboveBound { cost_wei, bound_wei });
        }
        let transaction =
            TxEip1559 { max_fee_per_gas: fees.cap_wei(), max_priority_fee_per_gas: fees.tip_wei, ..what.0 };
        let (nonce, gas_limit) = (transaction.nonce, transaction.gas_limit);
        let signature = key.sign(transaction.signature_hash());
        let (r, s) = (U256::from_be_bytes(signature.r.0), U256::from_be_bytes(signature.s.0));
        let signed = transaction.into_signed(Signature::new(r, s, signature.y_odd));
        Ok(SignedTransaction {
            transaction: format!("{:#x}", signed.hash()),
            raw: signed.encoded_2718(),
            nonce,
            gas_limit,
            max_fee_per_gas_wei: fees.cap_wei(),
            cost_bound_wei: cost_wei,
        })
    }

    /// Whether each of these can still land; what cannot, two endpoints say where there are two.
    pub(crate) async fn living(&self, payments: &[&EvmPayment]) -> Result<Vec<bool>, EvmError> {
        let places = self.endpoints().serving();
        let ask = |_, rpc| living_on(rpc, payments);
        let answer = self.endpoints().first_that_answers(places, no_endpoint(), ask, is_endpoint_fault);
        let (first, living) = answer.await?;
        let is_alone = self.endpoints().all().len() < 2;
        if is_alone || living.iter().all(|lives| *lives) {
            return Ok(living);
        }
        let gone: Vec<&EvmPayment> =
            payments.iter().zip(&living).filter_map(|(one, lives)| (!lives).then_some(*one)).collect();
        let same = |rpc| {
            let gone = &gone;
            async move {
                let living = living_on(rpc, gone).await?;
                Ok::<_, EvmError>(match living.iter().any(|lives| *lives) {
                    true => Opinion::Contradicts,
                    false => Opinion::Agrees,
                })
            }
        };
        match self.endpoints().second_opinion(first, same).await {
            true => Ok(living),
            false => Ok(vec![true; payments.len()]),
        }
    }

    /// How many of the wallet's nonces are used at the newest finalized block.
    pub(crate) async fn nonces_final(&self, wallet: &str) -> Result<u64, EvmError> {
        let wallet = crate::text::address(wallet)
            .ok_or(EvmError::Config { field: "wallet", problem: "is no address" })?;
        self.read(|rpc| async move {
            // A node that knows of none has seen nothing become final.
            let Some(block) = finalized(rpc).await? else { return Ok(0) };
            Ok(rpc.nonces(wallet, block.number.into()).await?)
        })
        .await
    }
}

/// At one endpoint's newest block.
async fn living_on(rpc: &Node, payments: &[&EvmPayment]) -> Result<Vec<bool>, EvmError> {
    let head = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?;
    let mut living = Vec::with_capacity(payments.len());
    for payment in payments {
        let ended = payment.valid_before.saturating_add(ENDED_MARGIN_SECONDS) <= head.timestamp;
        living.push(!ended && !is_used(rpc, payment).await?);
    }
    Ok(living)
}

async fn is_used(rpc: &Node, payment: &EvmPayment) -> Result<bool, RpcError> {
    let asked = IToken::authorizationStateCall { authorizer: payment.from, nonce: payment.nonce };
    let answer = call(rpc, payment.from, payment.token, READ_GAS, &asked.abi_encode(), Latest).await?;
    IToken::authorizationStateCall::abi_decode_returns(&answer)
        .map_err(|_| RpcError::BadAnswer("authorizationState"))
}

#[cfg(test)]
mod tests;
