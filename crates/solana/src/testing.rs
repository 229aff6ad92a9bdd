//! Fixed keys and hand-made transactions for the tests of this crate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quittance_protocol::{Network, PaymentPayload, Secret};
use serde_json::{Value, json};
use solana_sdk::hash::Hash;
use solana_sdk::instruction::{AccountMeta, Instruction};
use solana_sdk::message::{VersionedMessage, legacy, v0};
use solana_sdk::pubkey::Pubkey;
use solana_sdk::signature::{Keypair, Signer};

use crate::chain::{Commitment, SolanaChain, SolanaConfig, TokenAccountPolicy};
use crate::inspect::Rules;
use crate::instructions as layout;
use crate::rpc::{Rpc, RpcFailure};

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
        fee_payer: wallet().pubkey(),
        pay_to,
        mint: mint(),
        decimals: 6,
        token_account: layout::token_account(&pay_to, &mint()),
        compute_unit_limit_max: 200_000,
        compute_unit_price_micro_lamports_max: 5_000_000,
        priority_fee_lamports_max: 10_000,
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

/// Signs whatever it is for everybody we have a key of, except slot 0.
pub(crate) fn sign(message: &VersionedMessage) -> Vec<u8> {
    sign_bytes(
        &message.serialize(),
        &message.static_account_keys()[..usize::from(message.header().num_required_signatures)],
    )
}

pub(crate) fn sign_bytes(bytes: &[u8], signers: &[Pubkey]) -> Vec<u8> {
    let keys = [payer(), third(), merchant(), wallet()];
    let mut raw = vec![u8::try_from(signers.len()).unwrap()];
    for (slot, signer) in signers.iter().enumerate() {
        match keys.iter().find(|key| key.pubkey() == *signer).filter(|_| slot > 0) {
            Some(key) => raw.extend_from_slice(key.sign_message(bytes).as_ref()),
            None => raw.extend_from_slice(&[0; 64]),
        }
    }
    raw.extend_from_slice(bytes);
    raw
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

type Answer = Result<Value, RpcFailure>;

/// A node that answers what it was told to, per method, and keeps the calls.
#[derive(Default)]
pub(crate) struct FakeRpc {
    answers: Mutex<HashMap<&'static str, Answer>>,
    calls: Mutex<Vec<(&'static str, Value)>>,
}

impl FakeRpc {
    /// A node that knows the mint, the rent and no token account.
    pub(crate) fn new() -> Arc<Self> {
        let node = Arc::new(Self::default());
        let mut data = vec![0; layout::MINT_BYTES];
        (data[44], data[45]) = (6, 1);
        node.set("getAccountInfo", Ok(account(&layout::TOKEN, &data)));
        node.set("getMinimumBalanceForRentExemption", Ok(json!(RENT)));
        node
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
        self.calls.lock().unwrap().push((method, params));
        let answer = self.answers.lock().unwrap().get(method).cloned();
        answer.unwrap_or(Err(RpcFailure::Timeout))
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
        token_account: TokenAccountPolicy::AtStart,
        compute_unit_limit_max: 200_000,
        compute_unit_price_micro_lamports_max: 5_000_000,
        priority_fee_lamports_max: 10_000,
        rpc_timeout_ms: 1_000,
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
