//! What decides whether a settlement can succeed and be paid for, in one call per tariff.

use alloy::eips::BlockNumberOrTag::Latest;
use alloy::primitives::{Address, U256};
use alloy::sol_types::{SolCall, SolValue};

use crate::abi::{IMulticall3, IToken};
use crate::chain::EvmChain;
use crate::classify;
use crate::config::READ_GAS;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::node::Node;
use crate::simulate::call;

/// The wallets and the token as the newest block has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvmState {
    /// What each wallet can pay with, in the order of [`EvmChain::wallets`].
    pub wallets_wei: Vec<u128>,
    /// The token moves nothing for anybody. Tokens that know no pause never do.
    pub paused: bool,
    /// The token moves nothing to the recipient. Tokens that know no such list never say so.
    pub pay_to_blacklisted: bool,
}

impl EvmChain {
    /// Reads it from one endpoint: one call where Multicall3 is deployed, else two and one for each
    /// wallet.
    pub async fn state(&self) -> Result<EvmState, EvmError> {
        let state = self.read(|rpc| async move {
            match self.state_by_multicall(rpc).await? {
                Some(state) => Ok(state),
                None => self.state_plain(rpc).await,
            }
        });
        let state = state.await?;
        // The first of several.
        let richest = state.wallets_wei.iter().enumerate().rev().max_by_key(|(_, wei)| **wei);
        self.note_richest(richest.map_or(0, |(at, _)| at));
        Ok(state)
    }

    fn questions(&self) -> [(Address, Vec<u8>); 2] {
        let terms = self.terms();
        [
            (terms.token, IToken::pausedCall {}.abi_encode()),
            (terms.token, IToken::isBlacklistedCall { account: terms.pay_to }.abi_encode()),
        ]
    }

    async fn state_by_multicall(&self, rpc: &Node) -> Result<Option<EvmState>, EvmError> {
        let multicall = self.simulation().multicall;
        let balance = |addr| (multicall, IMulticall3::getEthBalanceCall { addr }.abi_encode());
        let calls = self
            .questions()
            .into_iter()
            .chain(self.addresses().map(balance))
            .map(|(target, data)| IMulticall3::Call3 { target, allowFailure: true, callData: data.into() })
            .collect();
        let input = IMulticall3::aggregate3Call { calls }.abi_encode();
        let answer = call(rpc, self.asker(), multicall, READ_GAS, &input, Latest);
        let answer = match answer.await {
            Ok(bytes) if bytes.is_empty() => return Ok(None),
            Ok(bytes) => bytes,
            Err(error) if classify::is_execution_failure(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bad = || EvmError::Rpc(RpcError::BadAnswer("aggregate3 result"));
        let results = IMulticall3::aggregate3Call::abi_decode_returns(&answer).map_err(|_| bad())?;
        let [paused, blacklisted, balances @ ..] = results.as_slice() else { return Err(bad()) };
        let wei = |balance: &IMulticall3::Result| {
            balance.success.then(|| U256::abi_decode(&balance.returnData).ok()).flatten()
        };
        let wallets_wei: Option<Vec<u128>> =
            balances.iter().map(|balance| Some(wei(balance)?.saturating_to())).collect();
        let wallets_wei = wallets_wei.filter(|all| all.len() == self.addresses().count());
        Ok(Some(EvmState {
            wallets_wei: wallets_wei.ok_or_else(bad)?,
            paused: paused.success && says_yes(&paused.returnData),
            pay_to_blacklisted: blacklisted.success && says_yes(&blacklisted.returnData),
        }))
    }

    async fn state_plain(&self, rpc: &Node) -> Result<EvmState, EvmError> {
        let wallet = self.asker();
        let mut wallets_wei = Vec::new();
        for address in self.addresses() {
            wallets_wei.push(rpc.balance(address, Latest).await?);
        }
        let [paused, blacklisted] = self.questions();
        let ask = async |(target, data): (Address, Vec<u8>)| match call(
            rpc, wallet, target, READ_GAS, &data, Latest,
        )
        .await
        {
            Ok(bytes) => Ok(says_yes(&bytes)),
            Err(error) if classify::is_execution_failure(&error) => Ok(false),
            Err(error) => Err(EvmError::Rpc(error)),
        };
        Ok(EvmState { wallets_wei, paused: ask(paused).await?, pay_to_blacklisted: ask(blacklisted).await? })
    }
}

/// One word, and it is not zero. A token without the function answers nothing, or something else.
fn says_yes(bytes: &[u8]) -> bool {
    bytes.len() == 32 && U256::abi_decode(bytes).is_ok_and(|word| word == U256::ONE)
}
