use serde_json::json;

use super::*;
use crate::testing::{AMOUNT, FakeRpc, account, mint, official, payer, payload, rules, transaction, wallet};

fn parts<'a>(fee_payer: &'a str, mint: &'a str, memo: Option<&'a str>) -> PaymentParts<'a> {
    PaymentParts {
        fee_payer,
        pay_to: fee_payer,
        mint,
        token_program: TokenProgram::Token,
        decimals: 6,
        amount: AMOUNT,
        recent_blockhash: "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx",
        compute_unit_limit: Some(40_000),
        compute_unit_price_micro_lamports: Some(1),
        create_token_account: true,
        memo,
    }
}

#[test]
fn what_we_build_passes_our_own_whitelist() {
    let (us, mint) = (wallet().pubkey().to_string(), mint().to_string());
    let key = Secret::new(payer().to_base58_string());
    let raw = build_payment(&key, &parts(&us, &mint, Some("a"))).unwrap();
    assert_eq!(build_payment(&key, &parts(&us, &mint, Some("a"))).unwrap(), raw);
    let payment = rules().check(&payload(&raw)).unwrap();
    assert!(payment.creates_token_account());
    assert_eq!(payment.payer(), payer().pubkey().to_string());
    let other = build_payment(&key, &parts(&us, &mint, Some("b"))).unwrap();
    assert_ne!(rules().check(&payload(&other)).unwrap().key(), payment.key());
}

#[test]
fn the_payer_cannot_be_the_fee_payer() {
    let (us, mint) = (payer().pubkey().to_string(), mint().to_string());
    let key = Secret::new(payer().to_base58_string());
    assert_eq!(build_payment(&key, &parts(&us, &mint, None)), Err(SolanaError::FeePayerTransferring));
}

#[tokio::test]
async fn offers_are_paid_in_both_dialects() {
    let node = FakeRpc::new();
    // The same answer for mint and recipient's account: both exist.
    let wallet_payer = SolanaPayer::new(&Secret::new(payer().to_base58_string())).unwrap();
    let mut offer = payload(&transaction(&official())).accepted;
    offer.extra.insert("recentBlockhash".into(), json!("US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx"));
    let options = PayerOptions { create_token_account: None, memo: Some("random".into()) };
    let paid = wallet_payer.pay_with(&offer, node.clone(), &options).await.unwrap();
    assert_eq!(node.take_calls(), ["getAccountInfo", "getAccountInfo"], "the offer's blockhash saves a call");
    let check = |offer: &PaymentRequirements, paid: SvmExactPayload| {
        let mut payload = payload(b"");
        payload.accepted = offer.clone();
        payload.payload = serde_json::to_value(paid).unwrap();
        rules().check(&payload)
    };
    assert_eq!(check(&offer, paid).unwrap().memo().as_deref(), Some("random"));

    // imgnAI's offers name no fee payer, and need not name a blockhash.
    offer.extra.clear();
    node.set(
        "getLatestBlockhash",
        Ok(json!({"context": {"slot": 1}, "value": {
            "blockhash": "US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx", "lastValidBlockHeight": 5,
        }})),
    );
    let paid = wallet_payer.pay_with(&offer, node.clone(), &options).await.unwrap();
    assert!(check(&offer, paid).is_ok());

    // A seller's memo goes before ours.
    offer.extra.insert("memo".into(), json!("order 7"));
    let paid = wallet_payer.pay_with(&offer, node.clone(), &options).await.unwrap();
    assert_eq!(check(&offer, paid).unwrap().check_memo("order 7"), Ok(()));
}

#[tokio::test]
async fn an_offer_in_another_kind_of_token_is_not_paid() {
    let node = FakeRpc::new();
    node.set("getAccountInfo", Ok(account(&mint(), &[0; 82])));
    let wallet_payer = SolanaPayer::new(&Secret::new(payer().to_base58_string())).unwrap();
    let offer = payload(&[]).accepted;
    let refused = wallet_payer.pay_with(&offer, node, &PayerOptions::default()).await;
    assert!(matches!(refused, Err(SolanaError::NotAMint)));
}
