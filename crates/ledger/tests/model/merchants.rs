//! Steps of the sequences that are about merchants: what they are told, and their rows.

use quittance_ledger::{MerchantAnswerEnd, Store as Port};

use super::books::{account_of, key_of, shop};
use super::common::*;
use super::show::said;
use super::{KEYS, Step, claim_of};

/// What foreign servers are told: few names, so that some are asked for again,
/// and two tellings at most.
pub(super) async fn merchant(store: &dyn Port, step: Step) -> String {
    let Step { key, pick, now_ms, .. } = step;
    if pick % 5 == 0 {
        return shops(store, step).await;
    }
    let id = claim_of(if pick % 8 == 0 { key } else { KEYS - 1 }, 0).id;
    let holder = format!("holder{}", pick % 3);
    match pick / 10 % 6 {
        0 | 1 => {
            said(store.begin_merchant_answer(&id, &holder, 2, now_ms).await, |answer| format!("{answer:?}"))
        }
        2 | 3 => {
            use MerchantAnswerEnd::{Lost, Told, Unsaid};
            let end = [Told, Lost, Lost, Unsaid, Unsaid, Unsaid][(pick / 60 % 6) as usize];
            said(store.end_merchant_answer(&id, &holder, end, now_ms).await, |done| done.to_string())
        }
        4 => said(store.lease_merchant_check(&id, 2, 300, now_ms).await, |check| format!("{check:?}")),
        _ => said(store.merchant_answers_begun().await, |begun| format!("{begun:?}")),
    }
}

/// Merchants with rows of their own: one that sells, and one that does not.
async fn shops(store: &dyn Port, step: Step) -> String {
    let Step { number, pick, now_ms, .. } = step;
    let shop = shop(if pick % 4 == 0 { "stall" } else { "shop" }, pick);
    let key = key_of(number, now_ms);
    match pick / 5 % 9 {
        0..=2 => said(store.create_merchant(&shop, &key, now_ms).await, |done| done.to_string()),
        3 => said(store.set_merchant(&shop, now_ms).await, |done| done.to_string()),
        4 => {
            let added = store.add_merchant_key(&shop.name, &key, now_ms + 200, now_ms).await;
            said(added, |done| done.to_string())
        }
        5 if pick % 7 == 0 => said(store.close_merchant(&shop.name, now_ms).await, |done| done.to_string()),
        6 => {
            let account = account_of(&shop.name, pick);
            said(store.begin_payout_account(&account, now_ms).await, |done| done.to_string())
        }
        7 => {
            let account = account_of(&shop.name, pick).account;
            said(store.end_payout_account(&base(), &account, "tx", now_ms).await, |done| done.to_string())
        }
        _ => said(store.list_merchants(now_ms).await, |found| format!("{found:?}")),
    }
}
