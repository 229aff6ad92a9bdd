//! A chain made of a few vectors, for tests: reorganises, lags, hides logs and drops answers at will.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::{SolCall, SolEvent, SolValue};
use quittance_protocol::{DurableAttempt, Network, Secret};
use quittance_rpc::Pause;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::abi::{IGasPriceOracle, IToken};
use crate::chain::EvmChain;
use crate::config::{ADDRESS_GAS_PRICE_ORACLE, EvmConfig};
use crate::failure::RpcError;
use crate::keys::SigningKey;
use crate::payment::{EvmPayment, domain};
use crate::rpc::{Answer, LogRange, Rpc};
use crate::text;

pub(crate) const TOKEN: Address = Address::repeat_byte(0x77);
pub(crate) const PAY_TO: Address = Address::repeat_byte(0x11);
pub(crate) const WALLET_KEY: &str = "0x0123456789012345678901234567890123456789012345678901234567890123";
pub(crate) const CHAIN_ID: u64 = 8453;
/// Time of block 0; blocks follow every two seconds, or as `State::block_ms` says.
pub(crate) const GENESIS: u64 = 1_800_000_000;

/// Bytes and hash that pretend to be in a ledger.
pub(crate) struct Recorded(pub(crate) Vec<u8>, pub(crate) String);

impl DurableAttempt for Recorded {
    fn raw_bytes(&self) -> &[u8] {
        &self.0
    }

    fn transaction(&self) -> &str {
        &self.1
    }
}

#[derive(Clone)]
pub(crate) struct FakeTx {
    pub(crate) hash: B256,
    pub(crate) from: Address,
    pub(crate) success: bool,
    pub(crate) logs: Vec<(Vec<B256>, Vec<u8>)>,
}

#[derive(Clone)]
struct FakeBlock {
    hash: B256,
    parent: B256,
    transactions: Vec<FakeTx>,
}

#[derive(Default)]
pub(crate) struct State {
    blocks: Vec<FakeBlock>,
    pub(crate) finalized: Option<u64>,
    /// What it calls its head, where that is not its newest block.
    pub(crate) head_shown: Option<u64>,
    /// The same of the next questions, one each.
    pub(crate) heads: VecDeque<u64>,
    /// Milliseconds a block; 0 stands for two seconds.
    pub(crate) block_ms: u64,
    /// Of every block; 0.1 gwei where nothing is said.
    pub(crate) base_fee_wei: Option<u64>,
    pub(crate) hide_logs: bool,
    pub(crate) hide_receipts: bool,
    pub(crate) fail: Option<RpcError>,
    /// Another chain than the configured one.
    pub(crate) chain_id: Option<u64>,
    /// What the token says of itself; `None` where it has no such function.
    pub(crate) decimals: Option<u8>,
    pub(crate) currency: Option<&'static str>,
    /// What stands as code at the recipient.
    pub(crate) pay_to_code: Option<&'static str>,
    /// A method that this endpoint's plan does not include.
    pub(crate) refused_method: Option<&'static str>,
    /// The same, in its own words.
    pub(crate) refused: Vec<(&'static str, RpcError)>,
    /// A method that it never answers.
    pub(crate) hangs: Option<&'static str>,
    /// A receipt that the node answers with an error for.
    pub(crate) refused_receipt: Option<B256>,
    /// What it says to several requests at once; `None`: it takes them.
    pub(crate) refuses_many: Option<RpcError>,
    /// Most blocks that one `eth_getLogs` may ask for.
    pub(crate) log_blocks_max: Option<u64>,
    /// Answers of `eth_sendRawTransaction`.
    pub(crate) send: Option<Result<Value, RpcError>>,
    pub(crate) calls: Vec<String>,
    /// GasPriceOracle: none, one with `getL1FeeUpperBound` (true), or an older one (false).
    pub(crate) oracle: Option<bool>,
}

#[derive(Default)]
pub(crate) struct FakeRpc(Mutex<State>, LogRange, pub(crate) Pause);

pub(crate) fn wallet() -> Address {
    SigningKey::parse(&Secret::new(WALLET_KEY)).unwrap().address()
}

pub(crate) fn payment(payer: u8, nonce: u8, valid_before: u64) -> EvmPayment {
    serde_json::from_value(json!({
        "chain_id": CHAIN_ID, "token": TOKEN, "from": Address::repeat_byte(payer), "to": PAY_TO,
        "value": 100, "valid_after": 0, "valid_before": valid_before, "nonce": B256::repeat_byte(nonce),
        "signature": {"ecdsa": {"r": B256::repeat_byte(1), "s": B256::repeat_byte(2), "y_odd": false}},
    }))
    .unwrap()
}

/// The transaction that settles the payments, as the token would log it.
pub(crate) fn settlement(id: u8, from: Address, payments: &[&EvmPayment]) -> FakeTx {
    let logs = payments
        .iter()
        .flat_map(|p| {
            let transfer = vec![IToken::Transfer::SIGNATURE_HASH, p.from.into_word(), p.to.into_word()];
            let used = vec![IToken::AuthorizationUsed::SIGNATURE_HASH, p.from.into_word(), p.nonce];
            [(used, vec![]), (transfer, U256::from(p.value).abi_encode())]
        })
        .collect();
    FakeTx { hash: B256::repeat_byte(id), from, success: true, logs }
}

pub(crate) fn cancellation(id: u8, p: &EvmPayment) -> FakeTx {
    let topics = vec![IToken::AuthorizationCanceled::SIGNATURE_HASH, p.from.into_word(), p.nonce];
    FakeTx { hash: B256::repeat_byte(id), from: p.from, success: true, logs: vec![(topics, vec![])] }
}

pub(crate) fn reverted(id: u8, from: Address) -> FakeTx {
    FakeTx { hash: B256::repeat_byte(id), from, success: false, logs: vec![] }
}

impl FakeRpc {
    /// A chain with blocks `0..=height`, all empty.
    pub(crate) fn new(height: u64) -> Arc<Self> {
        let rpc = Arc::new(Self::default());
        rpc.state().decimals = Some(6);
        for _ in 0..=height {
            rpc.mine(vec![]);
        }
        rpc
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn mine(&self, transactions: Vec<FakeTx>) {
        let mut state = self.state();
        let parent = state.blocks.last().map_or(B256::ZERO, |b| b.hash);
        let mut seed = parent.to_vec();
        seed.extend(transactions.iter().flat_map(|t| t.hash.to_vec()));
        state.blocks.push(FakeBlock { hash: keccak256(seed), parent, transactions });
    }

    pub(crate) fn height(&self) -> u64 {
        self.state().head()
    }

    /// Drops the newest `depth` blocks and puts others in their place.
    pub(crate) fn reorganise(&self, depth: usize, blocks: Vec<Vec<FakeTx>>) {
        {
            let mut state = self.state();
            let keep = state.blocks.len() - depth;
            state.blocks.truncate(keep);
            // Another miner: no hash of the new branch equals one of the old.
            let parent = state.blocks.last().map_or(B256::ZERO, |b| b.hash);
            let hash = keccak256([parent.as_slice(), b"fork"].concat());
            state.blocks.push(FakeBlock { hash, parent, transactions: vec![] });
        }
        for transactions in blocks {
            self.mine(transactions);
        }
    }

    /// The calls since the last time, by method.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }
}

impl State {
    fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    fn block(&self, number: u64) -> Value {
        let Some(block) = self.blocks.get(number as usize) else { return Value::Null };
        let block_ms = if self.block_ms == 0 { 2_000 } else { self.block_ms };
        json!({
            "number": text::to_quantity(number), "hash": block.hash, "parentHash": block.parent,
            "timestamp": text::to_quantity(GENESIS + block_ms * number / 1_000), "baseFeePerGas": text::to_quantity(self.base_fee_wei.unwrap_or(100_000_000)),
        })
    }

    fn number(&self, tag: &Value) -> Option<u64> {
        match tag.as_str().unwrap() {
            "latest" | "pending" => Some(self.head_shown.unwrap_or_else(|| self.head())),
            "finalized" => self.finalized,
            number => Some(text::quantity64(&json!(number)).unwrap()),
        }
    }

    fn receipts(&self) -> impl Iterator<Item = (u64, &FakeBlock, &FakeTx)> {
        self.blocks
            .iter()
            .enumerate()
            .flat_map(|(number, block)| block.transactions.iter().map(move |tx| (number as u64, block, tx)))
    }

    fn logs(&self, number: u64, block: &FakeBlock, tx: &FakeTx) -> Vec<Value> {
        tx.logs
            .iter()
            .enumerate()
            .map(|(index, (topics, data))| {
                json!({
                    "address": TOKEN, "topics": topics, "data": alloy::primitives::hex::encode_prefixed(data),
                    "transactionHash": tx.hash, "blockHash": block.hash,
                    "blockNumber": text::to_quantity(number), "removed": false,
                    "logIndex": text::to_quantity(index as u64),
                })
            })
            .collect()
    }

    fn get_logs(&self, filter: &Value) -> Result<Value, RpcError> {
        if self.hide_logs {
            return Ok(json!([]));
        }
        let by_hash = filter["blockHash"].as_str().and_then(text::word);
        if let Some(hash) = by_hash
            && !self.blocks.iter().any(|b| b.hash == hash)
        {
            return Err(RpcError::JsonRpc { code: -32000, message: "unknown block".into(), data: None });
        }
        let bound = |field: &str| filter[field].as_str().map(|t| text::quantity64(&json!(t)).unwrap());
        if let (Some(max), Some(first), Some(last)) =
            (self.log_blocks_max, bound("fromBlock"), bound("toBlock"))
            && last - first >= max
        {
            let message = format!("a range of up to {max} blocks is allowed");
            return Err(RpcError::JsonRpc { code: -32600, message, data: None });
        }
        let wanted = |number: u64, block: &FakeBlock| match by_hash {
            Some(hash) => block.hash == hash,
            None => (bound("fromBlock").unwrap()..=bound("toBlock").unwrap()).contains(&number),
        };
        let matches = |log: &Value| {
            filter["topics"].as_array().into_iter().flatten().enumerate().all(|(i, allowed)| {
                allowed.is_null() || allowed.as_array().unwrap().contains(&log["topics"][i])
            })
        };
        let logs = self.receipts().filter(|(number, block, _)| wanted(*number, block));
        let logs = logs.flat_map(|(number, block, tx)| self.logs(number, block, tx)).filter(matches);
        Ok(logs.collect())
    }

    fn receipt(&self, hash: &Value) -> Value {
        let hash = text::word(hash.as_str().unwrap()).unwrap();
        let found = self.receipts().find(|(_, _, tx)| tx.hash == hash && !self.hide_receipts);
        let Some((number, block, tx)) = found else { return Value::Null };
        json!({
            "transactionHash": tx.hash, "from": tx.from, "status": if tx.success { "0x1" } else { "0x0" },
            "blockNumber": text::to_quantity(number), "blockHash": block.hash,
            "gasUsed": "0x14f00", "effectiveGasPrice": "0xf4240", "l1Fee": "0x1f4",
            "logs": self.logs(number, block, tx),
        })
    }

    fn block_receipts(&self, number: &Value) -> Value {
        let number = text::quantity64(number).unwrap();
        let Some(block) = self.blocks.get(number as usize).filter(|_| !self.hide_receipts) else {
            return Value::Null;
        };
        block.transactions.iter().map(|tx| self.receipt(&json!(tx.hash))).collect()
    }

    fn call(&self, request: &Value, at: &Value) -> Result<Value, RpcError> {
        let input = text::data(&request["data"]).unwrap();
        let word = |value: B256| Ok(json!(value));
        if input.starts_with(&IToken::DOMAIN_SEPARATORCall::SELECTOR) {
            return word(domain("USD Coin", "2", CHAIN_ID, TOKEN).separator());
        }
        let nothing = || RpcError::JsonRpc { code: 3, message: "execution reverted".into(), data: None };
        if input.starts_with(&IToken::decimalsCall::SELECTOR) {
            return self.decimals.map(|n| json!(B256::with_last_byte(n))).ok_or_else(nothing);
        }
        if input.starts_with(&IToken::currencyCall::SELECTOR) {
            let encoded = |text: &str| json!(alloy::primitives::hex::encode_prefixed(text.abi_encode()));
            return self.currency.map(encoded).ok_or_else(nothing);
        }
        if let Ok(asked) = IGasPriceOracle::getL1FeeUpperBoundCall::abi_decode(&input) {
            return match self.oracle {
                Some(true) => word((asked.unsignedTxSize * U256::from(10)).into()),
                _ => Err(RpcError::JsonRpc { code: 3, message: "execution reverted".into(), data: None }),
            };
        }
        if let Ok(asked) = IGasPriceOracle::getL1FeeCall::abi_decode(&input) {
            return word(U256::from(asked.data.len() * 7).into());
        }
        let asked = IToken::authorizationStateCall::abi_decode(&input).unwrap();
        let at = self.number(at).unwrap();
        let used: HashSet<(B256, B256)> = self
            .receipts()
            .filter(|(number, _, _)| *number <= at)
            .flat_map(|(_, _, tx)| tx.logs.iter())
            .filter(|(topics, _)| topics[0] != IToken::Transfer::SIGNATURE_HASH)
            .map(|(topics, _)| (topics[1], topics[2]))
            .collect();
        let used = used.contains(&(asked.authorizer.into_word(), asked.nonce));
        word(B256::with_last_byte(u8::from(used)))
    }

    fn answer(&mut self, method: &str, params: &Value) -> Result<Value, RpcError> {
        self.calls.push(method.to_owned());
        if let Some(error) = &self.fail {
            return Err(error.clone());
        }
        if self.refused_method == Some(method) {
            return Err(RpcError::Http(403));
        }
        if let Some((_, error)) = self.refused.iter().find(|(refused, _)| *refused == method) {
            return Err(error.clone());
        }
        match method {
            "eth_chainId" => Ok(json!(text::to_quantity(self.chain_id.unwrap_or(CHAIN_ID)))),
            "eth_getCode" => {
                let asked = text::address(params[0].as_str().unwrap()).unwrap();
                let oracle = text::address(ADDRESS_GAS_PRICE_ORACLE).unwrap();
                let code = asked == TOKEN || (asked == oracle && self.oracle.is_some());
                let other = if code { "0x60" } else { "0x" };
                Ok(json!(self.pay_to_code.filter(|_| asked == PAY_TO).unwrap_or(other)))
            }
            "eth_getBlockByNumber" => {
                let next = if params[0] == "latest" { self.heads.pop_front() } else { None };
                Ok(next.or_else(|| self.number(&params[0])).map_or(Value::Null, |n| self.block(n)))
            }
            "eth_getBlockByHash" => {
                let hash = text::word(params[0].as_str().unwrap()).unwrap();
                let number = self.blocks.iter().position(|b| b.hash == hash);
                Ok(number.map_or(Value::Null, |n| self.block(n as u64)))
            }
            "eth_getTransactionCount" => {
                let at = self.number(&params[1]).unwrap();
                let asked = text::address(params[0].as_str().unwrap()).unwrap();
                let sent = self.receipts().filter(|(number, _, tx)| *number <= at && tx.from == asked);
                Ok(json!(text::to_quantity(sent.count() as u64)))
            }
            "eth_getLogs" => self.get_logs(&params[0]),
            "eth_getTransactionReceipt"
                if self.refused_receipt.is_some_and(|hash| params[0] == json!(hash)) =>
            {
                let message = "receipt not available".to_owned();
                Err(RpcError::JsonRpc { code: -32000, message, data: None })
            }
            "eth_getTransactionReceipt" => Ok(self.receipt(&params[0])),
            "eth_getBlockReceipts" => Ok(self.block_receipts(&params[0])),
            "eth_getTransactionByHash" => {
                let hash = text::word(params[0].as_str().unwrap()).unwrap();
                let from = self.receipts().find(|(_, _, tx)| tx.hash == hash).map(|(_, _, tx)| tx.from);
                Ok(from.map_or(Value::Null, |from| json!({"from": from, "gas": "0x64", "gasPrice": "0x7"})))
            }
            "eth_call" => self.call(&params[0], &params[1]),
            "eth_sendRawTransaction" => self.send.clone().unwrap(),
            other => panic!("unexpected {other}"),
        }
    }
}

#[async_trait::async_trait]
impl Rpc for FakeRpc {
    async fn call(&self, method: &str, params: &RawValue) -> Result<Box<RawValue>, RpcError> {
        let params = serde_json::from_str(params.get()).unwrap();
        if self.state().hangs == Some(method) {
            std::future::pending::<()>().await;
        }
        let answer = self.state().answer(method, &params)?;
        Ok(to_raw_value(&answer).unwrap())
    }

    async fn call_many(&self, method: &str, params: &[Box<RawValue>]) -> Result<Vec<Answer>, RpcError> {
        let mut state = self.state();
        if let Some(error) = state.refuses_many.clone().or_else(|| state.fail.clone()) {
            state.calls.push(format!("{method}, refused"));
            return Err(error);
        }
        let calls = state.calls.len();
        let mut answers = Vec::new();
        for params in params {
            let answer = state.answer(method, &serde_json::from_str(params.get()).unwrap());
            answers.push(answer.map(|answer| to_raw_value(&answer).unwrap()));
        }
        state.calls.truncate(calls);
        state.calls.push(format!("{method} × {}", params.len()));
        Ok(answers)
    }

    fn log_range(&self) -> &LogRange {
        &self.1
    }

    fn pause(&self) -> Option<&Pause> {
        Some(&self.2)
    }
}

pub(crate) fn config() -> EvmConfig {
    let network: Network = Network::BASE.parse().unwrap();
    EvmConfig::new(network, vec![], TOKEN.to_string(), PAY_TO.to_string())
}

/// A chain connected to fake endpoints; the calls of connecting are forgotten.
pub(crate) async fn connect(endpoints: &[&Arc<FakeRpc>], change: impl FnOnce(&mut EvmConfig)) -> EvmChain {
    let mut config = config();
    change(&mut config);
    let rpcs = endpoints.iter().map(|rpc| Arc::clone(rpc) as Arc<dyn Rpc>).collect();
    let chain = EvmChain::connect_with(config, &Secret::new(WALLET_KEY), rpcs).await.unwrap();
    for rpc in endpoints {
        rpc.take_calls();
    }
    chain
}
