//! Transactions of version 1 on a real runtime.

use solana_sdk::hash::Hash;
use solana_sdk::instruction::{AccountMeta, Instruction};
use solana_sdk::message::{VersionedMessage, v1};
use solana_sdk::pubkey::Pubkey;
use spl_token_interface::instruction::transfer_checked;

use super::*;

const MEMO: &str = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr";
const PRIORITY: u64 = 500;

impl World {
    /// What a wallet sends that has gone over to version 1: the budget in the header, the payer's
    /// signature at the end, behind an empty one.
    async fn pay_v1(&self, memo: &str) -> Value {
        let key = |text: &str| text.parse::<Pubkey>().unwrap();
        let (payer, wallet) = (self.payer.pubkey(), self.wallet.pubkey());
        let of = |owner: &Pubkey| key(&token_account(&owner.to_string(), &self.mint));
        let transfer = transfer_checked(
            &spl_token_interface::ID,
            &of(&payer),
            &key(&self.mint),
            &of(&wallet),
            &payer,
            &[],
            PRICE,
            6,
        );
        let memo = Instruction {
            program_id: key(MEMO),
            accounts: vec![AccountMeta::new_readonly(payer, true)],
            data: memo.as_bytes().to_vec(),
        };
        let answer = self.call("getLatestBlockhash", json!([{"commitment": "confirmed"}])).await;
        let blockhash: Hash = answer["value"]["blockhash"].as_str().unwrap().parse().unwrap();
        let budget = v1::TransactionConfig::empty()
            .with_priority_fee(PRIORITY)
            .with_compute_unit_limit(60_000)
            .with_loaded_accounts_data_size_limit(1 << 24);
        let instructions = [transfer.unwrap(), memo];
        let message =
            v1::Message::try_compile_with_config(&wallet, &instructions, blockhash, budget).unwrap();
        let bytes = VersionedMessage::V1(message).serialize();
        let signature = self.payer.sign_message(&bytes);
        let raw = [bytes, vec![0; 64], signature.as_ref().to_vec()].concat();
        json!({"transaction": base64::engine::general_purpose::STANDARD.encode(raw)})
    }
}

/// Read, inspected, simulated, co-signed, broadcast, and found again: by its status, and in the
/// history by whoever only holds the payment.
#[tokio::test]
async fn a_payment_of_version_1_settles_and_is_found_again() {
    let Some(world) = World::new("version 1").await else { return };
    let chain = world.chain(TokenAccountPolicy::AtStart).await;
    chain.ensure_token_account().await.unwrap();
    let payload = world.payload(world.pay_v1("version 1").await);
    let payment = chain.check_local(&payload).unwrap();
    assert_eq!(payment.priority_fee_lamports(), PRIORITY);
    assert_eq!(payment.memo().as_deref(), Some("version 1"));

    let (attempt, watch) = watch(&chain, &payment).await;
    assert_eq!(attempt.raw_bytes().first(), Some(&0x81));
    assert_eq!(chain.send(&attempt).await, SendOutcome::Accepted);
    let Evidence::Settled(landing) = outcome(&chain, &watch).await else { panic!("not settled") };
    assert_eq!(Some(&landing.transaction), watch.transaction.as_ref());
    assert_eq!(landing.cost_native, u128::from(10_000 + PRIORITY));
    assert_eq!(landing.cost_native, u128::from(attempt.0.cost_bound_lamports));
    assert_eq!(world.balance(&world.wallet).await, PRICE);
    assert_eq!(chain.find_landing(&payment).await, watch.transaction);
    for _ in 0..3 {
        assert!(!matches!(chain.rebroadcast(&attempt).await, SendOutcome::Refused { .. }));
    }
    assert_eq!(world.balance(&world.wallet).await, PRICE);
}

/// Off, it is refused by name, before any call.
#[tokio::test]
async fn where_it_is_switched_off_version_1_is_refused_by_name() {
    let Some(world) = World::new("version 1 off").await else { return };
    let config = SolanaConfig { transaction_v1: false, ..world.config(TokenAccountPolicy::AtStart) };
    let chain = SolanaChain::connect(config, &secret(&world.wallet)).await.unwrap();
    let refused = chain.check_local(&world.payload(world.pay_v1("off").await)).unwrap_err();
    assert!(refused.to_string().contains("version 1"), "{refused}");
}
