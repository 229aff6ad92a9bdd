//! Fixed keys and hand-made transactions for the tests of this crate.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{Network, PaymentPayload, Secret};
use quittance_rpc::Pause;
use serde_json::{Value, json};
use solana_sdk::hash::Hash;
use solana_sdk::instruction::{AccountMeta, Instruction};
use solana_sdk::message::{VersionedMessage, legacy, v0, v1};
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::{Keypair, Signer};

use crate::chain::{SolanaChain, SolanaConfig, TokenAccountPolicy};
use crate::commitment::Commitment;
use crate::inspect::{OwnWallet, Rules};
use crate::instructions as layout;
use crate::message::WireTransaction;
use crate::rpc::{Rpc, RpcFailure};
use crate::token::TokenProgram;

pub(crate) const AMOUNT: u64 = 11_500;

pub(crate) fn wallet() -> Keypair {
    Keypair::new_from_array([1; 32])
}

pub(crate) fn payer() -> Keypair {
    Keypair::new_from_array([2; 32])
}

pub(crate) fn third() -> Keypair {
    Keypair::new_from_array([3; 32])
}

pub(crate) fn merchant() -> Keypair {
    Keypair::new_from_array([4; 32])
}

pub(crate) fn mint() -> Pubkey {
    Keypair::new_from_array([9; 32]).pubkey()
}

pub(crate) fn rules_for(pay_to: Pubkey) -> Rules {
    Rules {
        network: Network::SOLANA.parse().unwrap(),
        wallets: vec![OwnWallet::of(wallet().pubkey(), &mint(), TokenProgram::Token)],
        pay_to,
        mint: mint(),
        program: TokenProgram::Token,
        decimals: 6,
        token_account: layout::token_account(&pay_to, &mint()),
        compute_unit_limit_max: 200_000,
        compute_unit_price_micro_lamports_max: 5_000_000,
        priority_fee_lamports_max: 10_000,
        transaction_v1: false,
    }
}

/// Recipient and fee payer are one, as in imgnAI's dialect.
pub(crate) fn rules() -> Rules {
    rules_for(wallet().pubkey())
}

pub(crate) fn transfer_of(amount: u64) -> Instruction {
    let source = layout::token_account(&payer().pubkey(), &mint());
    layout::transfer_checked(&source, &mint(), &rules().token_account, &payer().pubkey(), amount, 6)
}

/// What the official client sends: limit, price, transfer, memo.
pub(crate) fn official() -> Vec<Instruction> {
    vec![
        layout::set_unit_limit(20_000),
        layout::set_unit_price(1),
        transfer_of(AMOUNT),
        layout::memo("00112233445566778899aabbccddeeff"),
    ]
}

/// As [`official`] with the creation of our token account before the transfer.
pub(crate) fn with_creation() -> Vec<Instruction> {
    let mut instructions = official();
    let owner = rules().pay_to;
    instructions.insert(2, layout::create_token_account(&wallet().pubkey(), &owner, &mint()));
    instructions
}

pub(crate) fn lighthouse(accounts: Vec<AccountMeta>) -> Instruction {
    Instruction { program_id: layout::LIGHTHOUSE, accounts, data: vec![5, 1, 2, 3] }
}

pub(crate) fn message(fee_payer: &Pubkey, instructions: &[Instruction]) -> VersionedMessage {
    let compiled = v0::Message::try_compile(fee_payer, instructions, &[], Hash::new_from_array([7; 32]));
    VersionedMessage::V0(compiled.unwrap())
}

pub(crate) fn legacy_message(fee_payer: &Pubkey, instructions: &[Instruction]) -> VersionedMessage {
    let blockhash = Hash::new_from_array([7; 32]);
    VersionedMessage::Legacy(legacy::Message::new_with_blockhash(instructions, Some(fee_payer), &blockhash))
}

pub(crate) fn v1_message(
    fee_payer: &Pubkey,
    instructions: &[Instruction],
    budget: v1::TransactionConfig,
) -> VersionedMessage {
    let blockhash = Hash::new_from_array([7; 32]);
    let compiled = v1::Message::try_compile_with_config(fee_payer, instructions, blockhash, budget);
    VersionedMessage::V1(compiled.unwrap())
}

/// What a payment of version 1 needs, and 1,000 lamports to be first.
pub(crate) fn v1_budget() -> v1::TransactionConfig {
    v1::TransactionConfig::empty()
        .with_compute_unit_limit(20_000)
        .with_loaded_accounts_data_size_limit(1 << 20)
        .with_priority_fee(1_000)
}

/// [`official`] without the instructions that version 1 says in its header.
pub(crate) fn v1_transaction(instructions: &[Instruction], budget: v1::TransactionConfig) -> Vec<u8> {
    sign(&v1_message(&wallet().pubkey(), instructions, budget))
}

/// Signs whatever it is for everybody we have a key of, except slot 0.
pub(crate) fn sign(message: &VersionedMessage) -> Vec<u8> {
    sign_bytes(
        &message.serialize(),
        &message.static_account_keys()[..usize::from(message.header().num_required_signatures)],
    )
}

pub(crate) fn sign_bytes(bytes: &[u8], signers: &[Pubkey]) -> Vec<u8> {
    let keys = [payer(), third(), merchant(), wallet()];
    let mut raw = Vec::new();
    for (slot, signer) in signers.iter().enumerate() {
        match keys.iter().find(|key| key.pubkey() == *signer).filter(|_| slot > 0) {
            Some(key) => raw.extend_from_slice(key.sign_message(bytes).as_ref()),
            None => raw.extend_from_slice(&[0; 64]),
        }
    }
    // Version 1 puts them behind.
    match bytes.first() {
        Some(0x81) => [bytes.to_vec(), raw].concat(),
        _ => [vec![u8::try_from(signers.len()).unwrap()], raw, bytes.to_vec()].concat(),
    }
}

pub(crate) fn transaction(instructions: &[Instruction]) -> Vec<u8> {
    sign(&message(&wallet().pubkey(), instructions))
}

pub(crate) fn payload(raw: &[u8]) -> PaymentPayload {
    serde_json::from_value(json!({
        "x402Version": 2,
        "accepted": {
            "scheme": "exact",
            "network": Network::SOLANA,
            "asset": mint().to_string(),
            "payTo": rules().pay_to.to_string(),
            "amount": AMOUNT.to_string(),
            "maxTimeoutSeconds": 120,
            "extra": {"feePayer": wallet().pubkey().to_string()},
        },
        "payload": {"transaction": STANDARD.encode(raw)},
    }))
    .unwrap()
}

pub(crate) const RENT: u64 = 2_039_280;

/// A transaction of our wallet that landed long ago.
pub(crate) const WITNESS: &str = "witness";

/// Where a [`FakeRpc`] keeps what it answers with a history search, if that differs.
const HISTORY: &str = "getSignatureStatuses with history";
/// Where it keeps the slot at which it knows nothing.
const NOWHERE: &str = "getSignatureStatuses of nothing";

type Answer = Result<Value, RpcFailure>;

/// A node that answers what it was told to, per method, and keeps the calls.
#[derive(Default)]
pub(crate) struct FakeRpc {
    forgetful: AtomicBool,
    /// Until when it wants to be left alone.
    pub(crate) pause: Pause,
    answers: Mutex<HashMap<&'static str, Answer>>,
    calls: Mutex<Vec<(&'static str, Value)>>,
    /// What stands where, by base58 address; nothing elsewhere.
    accounts: Mutex<HashMap<String, Value>>,
    /// What it lists of an address's transactions, where that differs from any other's.
    listed: Mutex<HashMap<String, Answer>>,
}

impl FakeRpc {
    /// A node that knows the mint, the rent and no token account.
    pub(crate) fn new() -> Arc<Self> {
        let node = Arc::new(Self::default());
        let mut data = vec![0; layout::MINT_BYTES];
        (data[44], data[45]) = (6, 1);
        node.put(&mint(), Some(account(&layout::TOKEN, &data)));
        node.set("getMinimumBalanceForRentExemption", Ok(json!(RENT)));
        node.set("getSignaturesForAddress", Ok(json!([{"signature": WITNESS, "slot": 1, "err": null}])));
        node
    }

    /// From now on it knows no transaction of its history, and does not say so.
    pub(crate) fn forget_history(&self) {
        self.forgetful.store(true, Ordering::Release);
    }

    pub(crate) fn remember_history(&self) {
        self.forgetful.store(false, Ordering::Release);
    }

    /// What `getSignatureStatuses` answers from its cache, and what with a history search.
    pub(crate) fn set_statuses(&self, cached: Value, kept: Value) {
        self.set("getSignatureStatuses", Ok(cached));
        self.set_history(Ok(kept));
    }

    pub(crate) fn set_history(&self, answer: Answer) {
        self.set(HISTORY, answer);
    }

    /// It knows no transaction but the witness, at this slot.
    pub(crate) fn answer_nowhere_at(&self, slot: u64) {
        self.set(NOWHERE, Ok(json!(slot)));
    }

    /// Parameters of all calls of a method.
    pub(crate) fn all_params(&self, method: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(called, _)| *called == method).map(|(_, params)| params.clone()).collect()
    }

    /// Puts an account of [`account`] at an address, or takes it away.
    pub(crate) fn put(&self, address: &Pubkey, account: Option<Value>) {
        let value = account.map_or(Value::Null, |mut account| account["value"].take());
        self.accounts.lock().unwrap().insert(address.to_string(), value);
    }

    /// What `getSignaturesForAddress` answers of one address.
    pub(crate) fn set_listed(&self, address: &Pubkey, answer: Answer) {
        self.listed.lock().unwrap().insert(address.to_string(), answer);
    }

    fn account_at(&self, address: &Value) -> Value {
        let known = self.accounts.lock().unwrap();
        known.get(address.as_str().unwrap()).cloned().unwrap_or(Value::Null)
    }

    fn answer(&self, method: &'static str, params: &Value) -> Answer {
        let failing = self.answers.lock().unwrap().get(method).is_some_and(|answer| answer.is_err());
        if !failing && method == "getMultipleAccounts" {
            let all: Vec<_> = params[0].as_array().unwrap().iter().map(|at| self.account_at(at)).collect();
            return Ok(json!({"context": {"slot": 1}, "value": all}));
        }
        if !failing && method == "getAccountInfo" && !self.answers.lock().unwrap().contains_key(method) {
            return Ok(json!({"context": {"slot": 1}, "value": self.account_at(&params[0])}));
        }
        if method == "getSignaturesForAddress"
            && let Some(answer) = self.listed.lock().unwrap().get(params[0].as_str().unwrap())
        {
            return answer.clone();
        }
        let answers = self.answers.lock().unwrap();
        if method == "isBlockhashValid" && !answers.contains_key(method) {
            return Ok(json!({"context": {"slot": 1}, "value": false}));
        }
        if method != "getSignatureStatuses" {
            return answers.get(method).cloned().unwrap_or(Err(RpcFailure::Timeout));
        }
        if let Some(Ok(slot)) = answers.get(NOWHERE) {
            let asked = params[0].as_array().unwrap();
            let unknown = asked.iter().filter(|id| **id != json!(WITNESS)).map(|_| Value::Null);
            let answer = json!({"context": {"slot": slot}, "value": unknown.collect::<Vec<_>>()});
            return Ok(self.with_witness(answer, params));
        }
        let history = params[1]["searchTransactionHistory"] == json!(true);
        let kept = answers.get(HISTORY).filter(|_| history).or_else(|| answers.get(method));
        kept.cloned().unwrap_or(Err(RpcFailure::Timeout)).map(|answer| self.with_witness(answer, params))
    }

    /// The witness behind those whose statuses were set.
    fn with_witness(&self, mut answer: Value, params: &Value) -> Value {
        let asked = params[0].as_array().unwrap();
        if let Some(values) = answer["value"].as_array_mut()
            && asked.last() == Some(&json!(WITNESS))
        {
            let known =
                json!({"slot": 1, "confirmations": null, "err": null, "confirmationStatus": "finalized"});
            values.push(if self.forgetful.load(Ordering::Acquire) { Value::Null } else { known });
        }
        answer
    }

    pub(crate) fn set(&self, method: &'static str, answer: Answer) {
        self.answers.lock().unwrap().insert(method, answer);
    }

    /// Methods called since the last time, in order.
    pub(crate) fn take_calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().drain(..).map(|(method, _)| method).collect()
    }

    /// Parameters of the last call of a method.
    pub(crate) fn last_params(&self, method: &str) -> Value {
        let calls = self.calls.lock().unwrap();
        calls.iter().rev().find(|(called, _)| *called == method).unwrap().1.clone()
    }
}

#[async_trait::async_trait]
impl Rpc for FakeRpc {
    async fn call(&self, method: &'static str, params: Value) -> Answer {
        self.calls.lock().unwrap().push((method, params.clone()));
        self.answer(method, &params)
    }

    fn pause(&self) -> Option<&Pause> {
        Some(&self.pause)
    }
}

pub(crate) fn account(owner: &Pubkey, data: &[u8]) -> Value {
    json!({"context": {"slot": 1}, "value": {
        "owner": owner.to_string(), "data": [STANDARD.encode(data), "base64"], "lamports": RENT,
    }})
}

pub(crate) fn config() -> SolanaConfig {
    SolanaConfig {
        network: Network::SOLANA.parse().unwrap(),
        rpc_urls: Vec::new(),
        asset: mint().to_string(),
        pay_to: wallet().pubkey().to_string(),
        token_program: TokenProgram::Token,
        permanent_delegate: false,
        asset_decimals: 6,
        late: false,
        retired: false,
        token_account: TokenAccountPolicy::AtStart,
        compute_unit_limit_max: 200_000,
        compute_unit_price_micro_lamports_max: 5_000_000,
        priority_fee_lamports_max: 10_000,
        transaction_v1: false,
        rpc_timeout_ms: 1_000,
        head_age_max_ms: 6_000,
        commitment: Commitment::Confirmed,
        second_opinion_value: u64::MAX,
    }
}

pub(crate) async fn chain(nodes: &[&Arc<FakeRpc>]) -> SolanaChain {
    let endpoints = nodes.iter().map(|node| Arc::clone(node) as Arc<dyn Rpc>).collect();
    let key = Secret::new(wallet().to_base58_string());
    let chain = SolanaChain::connect_with(config(), &key, endpoints).await.unwrap();
    for node in nodes {
        node.take_calls();
    }
    chain
}

/// `getSignatureStatuses` of one transaction.
pub(crate) fn status(level: &str, err: Value) -> Value {
    json!({"context": {"slot": 900}, "value": [{
        "slot": 800, "confirmations": 1, "err": err, "confirmationStatus": level,
    }]})
}

/// The same of one that the node does not know.
pub(crate) fn nowhere() -> Value {
    json!({"context": {"slot": 900}, "value": [null]})
}

/// `getEpochInfo` at a block height.
pub(crate) fn epoch(height: u64) -> Value {
    json!({"absoluteSlot": height + 100, "blockHeight": height})
}

/// `getTransaction` of our payment at slot 800: fee 10,001, and the tokens arrive.
pub(crate) fn landed_answer(raw: &[u8], err: Value) -> Value {
    let read = WireTransaction::decode(raw).unwrap();
    let at = read.keys.iter().position(|key| *key == rules().token_account).unwrap();
    let balance =
        |amount: u64| json!([{"accountIndex": at, "uiTokenAmount": {"amount": amount.to_string()}}]);
    json!({
        "slot": 800,
        "blockTime": 1_778_430_000,
        "transaction": [STANDARD.encode(raw), "base64"],
        "version": 0,
        "meta": {
            "err": err, "fee": 10_001,
            "preBalances": [1_000_000, 0], "postBalances": [989_999, 0],
            "preTokenBalances": balance(7), "postTokenBalances": balance(7 + AMOUNT),
        },
    })
}
