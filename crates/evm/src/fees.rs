//! What inclusion costs now, and how far a signature follows it up.

use std::sync::PoisonError;

use alloy::eips::BlockNumberOrTag::Latest;
use alloy::primitives::{Address, U256};
use alloy::sol_types::{SolCall, SolValue};

use crate::abi::IGasPriceOracle;
use crate::chain::EvmChain;
use crate::classify;
use crate::config::{FEE_HEADROOM_BLOCKS_MAX, FEE_HEADROOM_BLOCKS_MIN, FEE_HEADROOM_SECONDS};
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::fee_snapshot::{FeeSnapshot, SETTLEMENT_BYTES};
use crate::header::Block;
use crate::node::Node;

/// A full block raises the base fee of the next by an eighth (EIP-1559); chains with other
/// parameters raise it by less.
const RISE_PARTS: u128 = 8;

impl EvmChain {
    /// The newest block's base fee, in wei.
    pub async fn base_fee_wei(&self) -> Result<u128, EvmError> {
        self.read(|rpc| async move {
            let block = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?;
            self.follow_fees(&block);
            Ok(block.base_fee_wei)
        })
        .await
    }

    /// The last fees read, if any; their age is the caller's to judge.
    pub fn fees(&self) -> Option<FeeSnapshot> {
        *self.fees.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the newest block's base fee and the L1 data fee, and keeps them for [`Self::fees`].
    pub async fn refresh_fees(&self, now_ms: i64) -> Result<FeeSnapshot, EvmError> {
        let snapshot = self.read(|rpc| self.read_fees(rpc, now_ms)).await?;
        *self.fees.write().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        Ok(snapshot)
    }

    async fn read_fees(&self, rpc: &Node, now_ms: i64) -> Result<FeeSnapshot, EvmError> {
        let head = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?;
        self.measure_block_time(rpc, &head).await;
        let l1_fee_wei = match self.oracle {
            None => 0,
            Some(oracle) => self.read_l1_fee(rpc, oracle).await?,
        };
        Ok(FeeSnapshot {
            base_fee_wei: head.base_fee_wei,
            priority_fee_wei: self.config().priority_fee_wei,
            max_fee_per_gas_wei: self.fee_cap(head.base_fee_wei).ok_or(EvmError::Overflow)?,
            l1_fee_wei,
            block: head.number,
            block_time: head.timestamp,
            taken_at_ms: now_ms,
        })
    }

    /// Takes the base fee of a head that was read for something else: it may rise nineteenfold
    /// between two refreshes, where five blocks fill a second, and a signature below it would hold
    /// up every nonce after it.
    pub(crate) fn follow_fees(&self, head: &Block) {
        let mut fees = self.fees.write().unwrap_or_else(PoisonError::into_inner);
        if let (Some(known), Some(cap)) = (fees.as_mut(), self.fee_cap(head.base_fee_wei))
            && head.number > known.block
        {
            known.base_fee_wei = head.base_fee_wei;
            known.max_fee_per_gas_wei = cap;
            known.block = head.number;
            known.block_time = head.timestamp;
        }
    }

    /// The base fee after as many full blocks as this chain makes while a transaction waits for
    /// its own, and the tip; never above the configured cap (I8). `None` on overflow.
    fn fee_cap(&self, base_fee_wei: u128) -> Option<u128> {
        let blocks =
            self.blocks_in(FEE_HEADROOM_SECONDS).clamp(FEE_HEADROOM_BLOCKS_MIN, FEE_HEADROOM_BLOCKS_MAX);
        let risen = (0..blocks).try_fold(base_fee_wei, |fee, _| fee.checked_add(fee.div_ceil(RISE_PARTS)))?;
        let cap = risen.checked_add(self.config().priority_fee_wei)?;
        Some(cap.min(self.config().max_fee_per_gas_wei))
    }

    /// The oracle's upper bound for a settlement's size, or on older predeploys the fee of that
    /// many incompressible bytes.
    async fn read_l1_fee(&self, rpc: &Node, oracle: Address) -> Result<u128, EvmError> {
        let bound = IGasPriceOracle::getL1FeeUpperBoundCall { unsignedTxSize: U256::from(SETTLEMENT_BYTES) };
        let answer = match self.view(rpc, oracle, bound.abi_encode()).await {
            Ok(answer) => answer,
            Err(EvmError::Rpc(error)) if classify::is_execution_failure(&error) => {
                let size = usize::try_from(SETTLEMENT_BYTES).unwrap_or_default();
                let data: Vec<u8> = (1_u8..=255).cycle().take(size).collect();
                self.view(rpc, oracle, IGasPriceOracle::getL1FeeCall { data: data.into() }.abi_encode())
                    .await?
            }
            Err(error) => return Err(error),
        };
        let fee = U256::abi_decode(&answer).map_err(|_| RpcError::BadAnswer("L1 fee"))?;
        u128::try_from(fee).map_err(|_| EvmError::Overflow)
    }
}
