//! The chain check: one `eth_call` that asks everything about one payment at one block. For a payer
//! with code a second one runs the very transaction.

use alloy::eips::BlockNumberOrTag::{self, Latest};
use alloy::primitives::{Address, Bytes, TxKind, U256};
use alloy::rpc::types::{TransactionInput, TransactionRequest};
use alloy::sol_types::{Revert, SolCall, SolError, SolValue};
use serde_json::{Value, json};

use crate::abi::{IMulticall3, IToken};
use crate::classify;
use crate::error::EvmError;
use crate::failure::RpcError;
use crate::fee_snapshot::FeeSnapshot;
use crate::node::Node;
use crate::payment::EvmPayment;
use crate::probe;
use crate::text;
use crate::view::ChainCheck;

/// What a simulation is run with.
pub(crate) struct Simulation {
    pub(crate) wallet: Address,
    pub(crate) multicall: Address,
    pub(crate) settle_gas_limit: u64,
}

const BASE_GAS: u64 = 21_000;

/// Gas a transaction pays before its first instruction (EIP-2028).
pub(crate) fn intrinsic_gas(input: &[u8]) -> u64 {
    input.iter().fold(BASE_GAS, |gas, byte| gas.saturating_add(if *byte == 0 { 4 } else { 16 }))
}

impl Simulation {
    /// One call: block, time, the transfer, then state, balance and the size of the payer's code.
    ///
    /// The transfer runs before the reads, so it meets the same cold storage as a settlement; if
    /// it fails, its effects are undone and the reads show why. `None` where Multicall3 has no code,
    /// or a node does not run code that is not deployed, or not with so much gas; and where a payer
    /// without code ran out of the gas of which Multicall3 and the reads took a part.
    pub(crate) async fn by_multicall(
        &self,
        rpc: &Node,
        payment: &EvmPayment,
    ) -> Result<Option<ChainCheck>, EvmError> {
        let transfer = payment.transfer_call();
        // The call gets what a settlement would have left after its own intrinsic gas; Multicall3
        // keeps 1/64 and its own overhead, so a payer's contract never sees more gas here than there.
        let given = self.settle_gas_limit.saturating_sub(intrinsic_gas(&transfer));
        let input = self.calls(payment, transfer);
        let code = probe::code(payment.from, self.multicall, given, &input);
        let gas = intrinsic_gas(&code).saturating_add(probe::gas(code.len(), given));
        let answer = match run(rpc, self.wallet, None, gas, &code, None).await {
            Ok(bytes) if bytes.is_empty() => return Ok(None),
            Ok(bytes) => bytes,
            // Whatever runs inside, the call around it does not fail: the node does not run it, or
            // gives it less gas. Neither is the payer's.
            Err(error) if classify::is_execution_failure(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let seen = probe::read(&answer).ok_or(RpcError::BadAnswer("code that is not deployed"))?;
        if !seen.success {
            return too_little_gas(seen.has_code);
        }
        if seen.returned.is_empty() {
            return Ok(None);
        }
        let results = IMulticall3::aggregate3Call::abi_decode_returns(seen.returned)
            .map_err(|_| RpcError::BadAnswer("aggregate3 result"))?;
        judge(payment, &results, seen.has_code)
    }

    /// The settlement itself, at the gas and the gas price that it will carry: code of the payer's
    /// that looks at either finds what it will find when it counts (I9, I10).
    pub(crate) async fn as_signed(
        &self,
        rpc: &Node,
        sender: Address,
        payment: &EvmPayment,
        fees: &FeeSnapshot,
    ) -> Result<(), EvmError> {
        let input = payment.transfer_call();
        let gas = self.settle_gas_limit;
        let done = run(rpc, sender, Some(payment.token), gas, &input, Some(fees.into())).await;
        done.map(drop).map_err(failure)
    }

    fn calls(&self, payment: &EvmPayment, transfer: Vec<u8>) -> Vec<u8> {
        let ask = |target: Address, data: Vec<u8>| IMulticall3::Call3 {
            target,
            allowFailure: true,
            callData: data.into(),
        };
        let state = IToken::authorizationStateCall { authorizer: payment.from, nonce: payment.nonce };
        let balance = IToken::balanceOfCall { account: payment.from };
        IMulticall3::aggregate3Call {
            calls: vec![
                ask(self.multicall, IMulticall3::getBlockNumberCall {}.abi_encode()),
                ask(self.multicall, IMulticall3::getCurrentBlockTimestampCall {}.abi_encode()),
                ask(payment.token, transfer),
                ask(payment.token, state.abi_encode()),
                ask(payment.token, balance.abi_encode()),
            ],
        }
        .abi_encode()
    }

    /// Without Multicall3: the transfer alone, then the head, the balance and the payer's code there.
    pub(crate) async fn plain(&self, rpc: &Node, payment: &EvmPayment) -> Result<ChainCheck, EvmError> {
        if rpc.code(payment.token, Latest).await?.is_empty() {
            return Err(EvmError::AssetNotDeployed);
        }
        let input = payment.transfer_call();
        match call(rpc, self.wallet, payment.token, self.settle_gas_limit, &input, Latest).await {
            Ok(_) => {}
            // Without code there is nothing of the payer's that could burn it: our limit is too low.
            Err(error)
                if classify::is_out_of_gas(&error) && rpc.code(payment.from, Latest).await?.is_empty() =>
            {
                return Err(error.into());
            }
            Err(error) => return Err(failure(error)),
        }
        let head = rpc.header(Latest).await?.ok_or(RpcError::BadAnswer("block"))?;
        let at = head.number.into();
        let ask = IToken::balanceOfCall { account: payment.from }.abi_encode();
        let balance = call(rpc, self.wallet, payment.token, READ_GAS, &ask, at).await?;
        let balance = U256::abi_decode(&balance).map_err(|_| RpcError::BadAnswer("balance"))?;
        let code = rpc.code(payment.from, at).await?;
        Ok(ChainCheck {
            block: head.number,
            block_time: head.timestamp,
            balance: clamped(balance),
            has_code: !code.is_empty(),
        })
    }
}

const READ_GAS: u64 = 1_000_000;
const TOO_LITTLE_GAS: &str = "needs more gas than a settlement is given";

/// A balance beyond 64 bits pays for anything.
pub(crate) fn clamped(balance: U256) -> u64 {
    u64::try_from(balance).unwrap_or(u64::MAX)
}

/// What a transaction offers per gas.
#[derive(Clone, Copy)]
pub(crate) struct Price {
    max_fee_wei: u128,
    tip_wei: u128,
}

impl From<&FeeSnapshot> for Price {
    fn from(fees: &FeeSnapshot) -> Self {
        Self { max_fee_wei: fees.max_fee_per_gas_wei, tip_wei: fees.priority_fee_wei }
    }
}

impl Price {
    fn put_into(self, request: &mut TransactionRequest) {
        request.max_fee_per_gas = Some(self.max_fee_wei);
        request.max_priority_fee_per_gas = Some(self.tip_wei.min(self.max_fee_wei));
    }
}

/// `eth_call` of a contract, or of code that is not deployed, at the newest block.
pub(crate) async fn run(
    rpc: &Node,
    from: Address,
    to: Option<Address>,
    gas: u64,
    input: &[u8],
    price: Option<Price>,
) -> Result<Vec<u8>, RpcError> {
    let mut request = request(from, gas, input);
    request.to = to.map(TxKind::Call);
    if let Some(price) = price {
        price.put_into(&mut request);
    }
    rpc.call(&request, Latest).await
}

/// `eth_call` of code that is not deployed, which an endpoint need not take.
pub(crate) async fn run_optional(
    rpc: &Node,
    from: Address,
    gas: u64,
    code: &[u8],
    price: Option<Price>,
) -> Result<Vec<u8>, RpcError> {
    let mut request = request(from, gas, code);
    if let Some(price) = price {
        price.put_into(&mut request);
    }
    rpc.call_optional(&request, Latest).await
}

/// `eth_call`, as bytes.
pub(crate) async fn call(
    rpc: &Node,
    from: Address,
    to: Address,
    gas: u64,
    input: &[u8],
    block: BlockNumberOrTag,
) -> Result<Vec<u8>, RpcError> {
    let request = TransactionRequest { to: Some(TxKind::Call(to)), ..request(from, gas, input) };
    rpc.call(&request, block).await
}

/// The calldata is `data`, which every node knows; not all know `input`.
fn request(from: Address, gas: u64, input: &[u8]) -> TransactionRequest {
    let data = Some(Bytes::copy_from_slice(input));
    TransactionRequest {
        from: Some(from),
        gas: Some(gas),
        input: TransactionInput { input: None, data },
        ..TransactionRequest::default()
    }
}

/// An `eth_call` error: the transfer's own failure, or the node's.
fn failure(error: RpcError) -> EvmError {
    if !classify::is_execution_failure(&error) || classify::is_ours(&error) {
        return EvmError::Rpc(error);
    }
    let RpcError::JsonRpc { message, data, .. } = &error else { return EvmError::Rpc(error) };
    let bytes =
        data.as_ref().and_then(Value::as_str).and_then(|t| text::data(&json!(t)).ok()).unwrap_or_default();
    classify::transfer_failure(&revert_words(&bytes).unwrap_or_else(|| message.clone()))
}

fn revert_words(data: &[u8]) -> Option<String> {
    Revert::abi_decode(data).ok().map(|revert| revert.reason)
}

/// Code of the payer's burnt it, or it was too little to begin with.
fn too_little_gas(has_code: bool) -> Result<Option<ChainCheck>, EvmError> {
    if has_code { Err(EvmError::Simulation { reason: TOO_LITTLE_GAS.to_owned() }) } else { Ok(None) }
}

fn judge(
    payment: &EvmPayment,
    results: &[IMulticall3::Result],
    has_code: bool,
) -> Result<Option<ChainCheck>, EvmError> {
    let [block, time, transfer, state, balance] = results else {
        return Err(RpcError::BadAnswer("aggregate3 result").into());
    };
    let number = |result: &IMulticall3::Result| -> Option<u64> {
        let value = result.success.then(|| U256::abi_decode(&result.returnData).ok()).flatten()?;
        u64::try_from(value).ok()
    };
    let (Some(block), Some(block_time)) = (number(block), number(time)) else {
        return Err(RpcError::BadAnswer("block number").into());
    };
    let used = state.success.then(|| bool::abi_decode(&state.returnData).ok()).flatten();
    let held = balance.success.then(|| U256::abi_decode(&balance.returnData).ok()).flatten();
    if !transfer.success {
        if used == Some(true) {
            return Err(EvmError::NonceAlreadyUsed);
        }
        if held.is_some_and(|held| held < U256::from(payment.value)) {
            return Err(EvmError::InsufficientBalance);
        }
        if transfer.returnData.is_empty() && !has_code {
            return Ok(None);
        }
        let words = revert_words(&transfer.returnData).unwrap_or_else(|| "no reason given".to_owned());
        return Err(classify::transfer_failure(&words));
    }
    // A call to an address without code succeeds and does nothing; only the state it leaves behind
    // shows that a token has run.
    match used {
        Some(true) => {
            // Read after the transfer.
            let left = held.ok_or(RpcError::BadAnswer("balance"))?;
            let balance = clamped(left.saturating_add(U256::from(payment.value)));
            Ok(Some(ChainCheck { block, block_time, balance, has_code }))
        }
        Some(false) => {
            Err(EvmError::Simulation { reason: "the token did not use the authorization".to_owned() })
        }
        None if state.success => Err(EvmError::AssetNotDeployed),
        None => too_little_gas(has_code),
    }
}
