//! Everything that a request or a frequent timer asks of the ledger, once.

use quittance_ledger::{
    AccountFilter, AccountLimits, AccountRent, AnswerObject, Balance, CheckTerms, ClaimOutcome, CostEntry,
    DeliveryStart, Exposed, ExposureLimits, FeePolicy, FinishedPolicy, LandingFilter, Ledger, Merchant,
    MerchantAnswerEnd, MerchantFee, MerchantKey, MerchantLimits, MerchantNetwork, MerchantState, NewAttempt,
    NewCheck, NewClaim, Origin, OwnAccount, PayoutAccount, Pruned, RangeOf, RepeatPolicy, Reserve, Retention,
    RunEnd, Slot, StoredAnswer, Usage,
};
use quittance_protocol::{
    Amount, DurableAttempt as _, ErrorCode, Evidence, Fingerprint, IdentifierHash, Landing, PaymentId,
    SendOutcome,
};
use serde_json::json;

use super::{
    NOW, WALLET, answer, at_most, base, everything, landing, merchant_claim, new_claim, signed, signer, won,
};

const RUNS_MAX: u32 = 3;

/// Of one round: keys that no other round uses.
pub(crate) async fn exercise(ledger: &Ledger, round: u64) {
    let first = 1_000_000 + round * 100;
    ledger.ensure_wallet(&base(), WALLET, 5, NOW).await.unwrap();
    ledger.ping().await.unwrap();
    sell(ledger, first).await;
    fail(ledger, first + 10).await;
    repeat(ledger, first + 20).await;
    name(ledger, first + 30).await;
    burn(ledger, first + 40).await;
    tell(ledger, first + 50).await;
    keep(ledger, first + 60).await;
    prune(ledger, first + 70).await;
    sell_for_merchants(ledger, first + 80).await;
    look_for(ledger, first + 90).await;
    share(ledger, first + 95).await;
    timers(ledger).await;
}

/// Merchants with rows of their own.
async fn sell_for_merchants(ledger: &Ledger, key: u64) {
    let limits = MerchantLimits {
        amount_day: Amount::new(1 << 40),
        cost_day: Amount::new(1 << 40),
        native_day: 1 << 40,
    };
    let network =
        MerchantNetwork { network: base(), pay_to: "0xpay".to_owned(), asset: "0xasset".to_owned(), limits };
    let shop = Merchant {
        name: format!("shop-{key}"),
        state: MerchantState::Open,
        fee_policy: FeePolicy::Billed,
        in_flight_max: 100,
        accounts_max: 1,
        created_at_ms: NOW,
        changed_at_ms: NOW,
        networks: vec![network],
        keys: Vec::new(),
    };
    let name = shop.name.clone();
    let own = |at: u8| MerchantKey {
        id: format!("key-{key}-{at}"),
        hash: [at; 32],
        created_at_ms: NOW,
        ends_at_ms: None,
    };
    assert!(ledger.create_merchant(&shop, &own(1), NOW).await.unwrap());
    assert!(ledger.add_merchant_key(&name, &own(2), NOW + 1, NOW).await.unwrap());
    assert!(ledger.set_merchant(&shop, NOW).await.unwrap());
    ledger.list_merchants(NOW).await.unwrap();
    let account = PayoutAccount {
        network: base(),
        account: format!("account-{key}"),
        merchant: name.clone(),
        native: 5,
        usdc: Amount::new(5),
        tries_max: 2,
        limits: AccountLimits { day: 1 << 40, payer_day: 1 << 40 },
    };
    assert!(ledger.begin_payout_account(&account, NOW).await.unwrap());
    assert!(ledger.begin_payout_account(&account, NOW).await.unwrap());
    ledger.end_payout_account(&base(), &account.account, "tx", NOW).await.unwrap();
    let fee = Some(MerchantFee { policy: FeePolicy::Billed, carried: Amount::new(3_938) });
    let new = NewClaim { origin: Origin::Merchant(name.clone()), fee, gas: Amount::ZERO, ..claim(key) };
    let id = new.id.clone();
    ledger.merchant_room(&name, &base(), Amount::new(1), wanted(key, 20), NOW).await.unwrap();
    let won = ledger.claim_within(new, wanted(key, 20), NOW).await.unwrap();
    assert!(matches!(won, ClaimOutcome::Won(_)), "{won:?}");
    let label = signer(format!("of-merchant{key}"));
    let recorded = ledger.record(NewAttempt::numbered(&id, WALLET, label), NOW).await.unwrap();
    ledger.settle(&id, &landed(key), NOW).await.unwrap();
    ledger.book_cost(cost(&id, recorded.transaction(), true), NOW).await.unwrap();
    assert!(ledger.book_reorged_loss(&id, &evidence(), NOW).await.unwrap());
    ledger.merchant_totals(NOW).await.unwrap();
    assert!(ledger.close_merchant(&name, NOW).await.unwrap());
}

/// Of a payer of its own, so that rounds do not see each other's.
fn claim(key: u64) -> NewClaim {
    NewClaim { payer: format!("payer {key}"), ..new_claim(key, 0) }
}

fn landed(key: u64) -> Landing {
    Landing { block: 1_000_000_000 + key, ..landing(&format!("tx{key}")) }
}

fn evidence() -> Evidence {
    Evidence::Expired { block: 110, clock: 1_800_000_700 }
}

fn wanted(key: u64, usdc: u64) -> Reserve {
    let both = |amount: u64| Exposed { usdc: Amount::new(amount), native: amount };
    Reserve {
        source: format!("payer {key}"),
        balance: Some(Balance { amount: Amount::new(1_000_000), at: 99 }),
        hold_until_ms: Some(NOW + 600_000),
        bound: both(usdc),
        by_code: false,
        account: Some(AccountRent { native: 1, limits: AccountLimits { day: 1 << 40, payer_day: 1 << 40 } }),
        limits: ExposureLimits {
            payer_in_flight: both(1 << 40),
            network_in_flight: both(1 << 40),
            payer_unearned_in_flight: 1_000_000,
            payer_day: Amount::new(1 << 40),
            soft_day: both(1 << 40),
            probes_day: both(1 << 40),
            spent_day: Amount::new(1 << 40),
            history_bps: 10_000,
            by_code_in_flight: 1,
        },
    }
}

fn cost(id: &PaymentId, transaction: &str, earned: bool) -> CostEntry {
    CostEntry {
        network: base(),
        transaction: transaction.to_owned(),
        payment: Some(id.clone()),
        native: 7,
        usdc: Some(Amount::new(3)),
        earned,
    }
}

/// A sale from the claim to the last byte.
async fn sell(ledger: &Ledger, key: u64) {
    let new = claim(key);
    assert!(ledger.known(&new.key).await.unwrap().is_none());
    ledger.room(&base(), &new.payer, wanted(key, 10), NOW).await.unwrap();
    let outcome = ledger.claim_within(new.clone(), wanted(key, 10), NOW).await.unwrap();
    let ClaimOutcome::Won(claimed) = outcome else { panic!("not claimed") };
    let id = claimed.into_payment().id;
    assert!(ledger.payment_by_key(&new.key).await.unwrap().is_some());
    let signed = NewAttempt::numbered(&id, WALLET, signer(format!("tx{key}"))).costing(10);
    ledger.record(signed, NOW).await.unwrap();
    let attempts = ledger.recorded_attempts(&id).await.unwrap();
    ledger.journal_send(attempts[0].attempt(), &SendOutcome::Accepted, NOW).await.unwrap();
    ledger.note_pending_answer(&id, NOW).await.unwrap();
    let landing = Landing { transaction: attempts[0].transaction().to_owned(), ..landed(key) };
    ledger.settle(&id, &landing, NOW).await.unwrap();
    ledger.book_cost(cost(&id, &landing.transaction, true), NOW).await.unwrap();
    let DeliveryStart::Run { run } = ledger.start_delivery(&id, at_most(RUNS_MAX), NOW).await.unwrap() else {
        panic!("no run")
    };
    let usage = Usage {
        product: "a model".to_owned(),
        prompt_tokens_reserved: 1,
        prompt_tokens: 1,
        completion_tokens_reserved: 1,
        completion_tokens: 1,
        reserved: Amount::new(10),
        metered: Amount::new(9),
        charged: Amount::new(10),
    };
    let answer = StoredAnswer { usage: Some(usage), ..answer(b"made") };
    ledger.finish_delivery(&id, run, &answer, NOW).await.unwrap();
    ledger.start_delivery(&id, at_most(RUNS_MAX), NOW).await.unwrap();
    ledger.mark_answer_sent(&id, NOW).await.unwrap();
    ledger.mark_answer_sent(&id, NOW).await.unwrap();
    assert!(ledger.answer(&id).await.unwrap().is_some());
    ledger.payment(&id).await.unwrap();
    ledger.finalize(vec![(id, landing)], NOW).await.unwrap();
}

/// Payments that end otherwise.
async fn fail(ledger: &Ledger, key: u64) {
    let refused = won(ledger, claim(key)).await.into_payment().id;
    ledger.refuse(&refused, ErrorCode::InvalidPayload, "no", None, NOW).await.unwrap();
    assert!(ledger.refuse(&refused, ErrorCode::InvalidPayload, "no", None, NOW).await.is_err());
    let expired = won(ledger, claim(key + 1)).await.into_payment().id;
    ledger.expire(&expired, &evidence(), NOW).await.unwrap();
    let lost = won(ledger, claim(key + 2)).await.into_payment().id;
    let recorded =
        ledger.record(NewAttempt::numbered(&lost, WALLET, signer(format!("tx{key}"))), NOW).await.unwrap();
    let bumped = Slot::Same { attempt: recorded.attempt() };
    let again = signer(format!("bump{key}"));
    let known = [(lost.clone(), recorded.attempt())];
    let bump = ledger.record(NewAttempt::again(&known, bumped, again), NOW).await.unwrap();
    let filled = Slot::Same { attempt: bump.attempt() };
    let filler = NewAttempt::again(&[], filled, signer(format!("noop{key}"))).costing(10).unwedging(u64::MAX);
    let filler = ledger.record(filler, NOW).await.unwrap();
    let unknown = SendOutcome::Unknown { reason: "no answer".to_owned() };
    ledger.journal_send(filler.attempt(), &unknown, NOW).await.unwrap();
    let nonce = recorded.nonce().unwrap();
    ledger.attempts_from_nonce(&base(), WALLET, nonce).await.unwrap();
    ledger.replaced_slots(&base()).await.unwrap();
    assert!(ledger.close_replaced(&base(), WALLET, nonce, NOW).await.unwrap());
    ledger.unwedged(&base(), NOW).await.unwrap();
    let limits = AccountLimits { day: 1 << 40, payer_day: 0 };
    let rent = AccountRent { native: 1, limits };
    let own = OwnAccount { network: base(), account: "own".to_owned(), rent };
    ledger.begin_own_account(&own, NOW).await.unwrap();
    ledger.account_rents(&base(), NOW).await.unwrap();
    ledger.settle(&lost, &landed(key), NOW).await.unwrap();
    ledger.move_landing(&lost, &landed(key + 1), NOW).await.unwrap();
    ledger.book_reorged_loss(&lost, &evidence(), NOW).await.unwrap();
    let credited = won(ledger, claim(key + 3)).await.into_payment().id;
    ledger.settle(&credited, &landed(key + 3), NOW).await.unwrap();
    ledger.start_delivery(&credited, at_most(RUNS_MAX), NOW).await.unwrap();
    ledger.running().await.unwrap();
    ledger.credit_delivery(&credited, 1, RunEnd::Failed, "broken", NOW).await.unwrap();
    let exhausted = ledger.start_delivery(&credited, at_most(1), NOW).await.unwrap();
    assert!(matches!(exhausted, DeliveryStart::Exhausted { .. }));
    let owed = won(ledger, claim(key + 4)).await.into_payment().id;
    ledger.settle_owed(&owed, &landed(key + 4), NOW).await.unwrap();
    let transactions = [format!("tx{key}"), "a stranger's".to_owned()];
    ledger.unexplained(&base(), &transactions).await.unwrap();
}

/// A call that its client repeats with fresh authorizations (P7).
async fn repeat(ledger: &Ledger, key: u64) {
    let policy = RepeatPolicy { runs: at_most(RUNS_MAX), waiting_since_ms: NOW, aliases_max: 4 };
    let repeated = |copy: u64| NewClaim {
        repeats: Some(policy),
        payer: format!("payer {key}"),
        fingerprint: Fingerprint::of_request("POST", "/repeated", "", b"{}"),
        ..new_claim(key + copy, 0)
    };
    let earlier = won(ledger, repeated(0)).await.into_payment().id;
    ledger.note_pending_answer(&earlier, NOW).await.unwrap();
    ledger.earlier(&repeated(1)).await.unwrap().unwrap();
    assert!(ledger.claim_alias(repeated(1), NOW).await.unwrap().is_some());
    ledger.claim(repeated(2), NOW).await.unwrap();
    ledger.aliases(&earlier).await.unwrap();
    ledger.refuse(&earlier, ErrorCode::InvalidPayload, "no", None, NOW).await.unwrap();
    // What stands for an ended payment is free again.
    won(ledger, repeated(1)).await;
}

/// Purchases that their payer names.
async fn name(ledger: &Ledger, key: u64) {
    let named = |copy: u64| NewClaim {
        identifier: Some(IdentifierHash::of("named")),
        payer: format!("payer {key}"),
        ..new_claim(key + copy, 0)
    };
    let first = won(ledger, named(0)).await.into_payment().id;
    assert!(matches!(ledger.claim(named(1), NOW).await.unwrap(), ClaimOutcome::Named(_)));
    assert!(matches!(ledger.claim(named(0), NOW).await.unwrap(), ClaimOutcome::Exists(_)));
    let two = NewClaim { idempotency: Some(IdentifierHash::of_idempotency_key("k")), ..named(2) };
    assert!(matches!(ledger.claim(two, NOW).await.unwrap(), ClaimOutcome::Named(_)));
    ledger.earlier(&named(1)).await.unwrap();
    ledger.refuse(&first, ErrorCode::InvalidPayload, "no", None, NOW).await.unwrap();
    won(ledger, named(1)).await;
}

/// One transaction for two, and what it cost each of them.
async fn share(ledger: &Ledger, key: u64) {
    let mut ids = Vec::new();
    for number in [key, key + 1] {
        let claimed = ledger.claim_within(claim(number), wanted(number, 10), NOW).await.unwrap();
        let ClaimOutcome::Won(claimed) = claimed else { panic!("not claimed") };
        ids.push(claimed.into_payment().id);
    }
    let both = NewAttempt::batch(&ids, WALLET, signer(format!("both{key}"))).costing(20);
    let recorded = ledger.record(both, NOW).await.unwrap();
    for id in &ids {
        ledger.book_cost(cost(id, recorded.transaction(), false), NOW).await.unwrap();
        ledger.expire(id, &evidence(), NOW).await.unwrap();
    }
}

/// Attempts that cost and earn nothing, of a stranger and of a payer with history.
async fn burn(ledger: &Ledger, key: u64) {
    let payer = |copy: u64| NewClaim { payer: format!("payer {key}"), ..new_claim(key + copy, 0) };
    for (copy, settles) in [(0, true), (1, false)] {
        let outcome = ledger.claim_within(payer(copy), wanted(key, 10), NOW).await.unwrap();
        let ClaimOutcome::Won(claimed) = outcome else { panic!("not claimed") };
        let id = claimed.into_payment().id;
        let label = signer(format!("burn{key}-{copy}"));
        let recorded = ledger.record(NewAttempt::numbered(&id, WALLET, label), NOW).await.unwrap();
        ledger.reserve(&id, wanted(key, 20), NOW).await.unwrap();
        ledger.book_cost(cost(&id, recorded.transaction(), false), NOW).await.unwrap();
        match settles {
            true => drop(ledger.settle(&id, &landed(key), NOW).await.unwrap()),
            false => drop(ledger.expire(&id, &evidence(), NOW).await.unwrap()),
        }
    }
    let bare = won(ledger, payer(2)).await.into_payment().id;
    ledger.reserve(&bare, wanted(key, 20), NOW).await.unwrap();
    ledger.record(NewAttempt::unnumbered(&bare, signed(format!("bare{key}"))), NOW).await.unwrap();
    ledger.return_cost(&bare, NOW).await.unwrap();
    ledger.reserve(&bare, wanted(key, 20), NOW).await.unwrap();
    ledger.settle(&bare, &landed(key + 2), NOW).await.unwrap();
    ledger.unaccounted(&base()).await.unwrap();
    ledger.release(&bare, NOW).await.unwrap();
    ledger.exposure(&base(), NOW).await.unwrap();
}

/// What foreign servers are told.
async fn tell(ledger: &Ledger, key: u64) {
    let asked = new_claim(key + 900, 0);
    let check = NewCheck {
        key: asked.key,
        network: asked.network,
        payer: asked.payer.clone(),
        amount: asked.amount,
        fingerprint: asked.fingerprint,
        signature_digest: asked.signature_digest,
        merchant: None,
    };
    let balance = Some(Balance { amount: Amount::new(1_000_000), at: 100 });
    let room = Reserve { balance, source: asked.payer, ..wanted(key, 1) };
    let terms = CheckTerms { lease_ms: 1_000, leases_max: 10 };
    ledger.lease_new_check(check, room, terms, NOW).await.unwrap();
    ledger.burnt_until(&base(), "a payer", NOW).await.unwrap();
    for (copy, end) in
        [MerchantAnswerEnd::Unsaid, MerchantAnswerEnd::Lost, MerchantAnswerEnd::Told].into_iter().enumerate()
    {
        let id = won(ledger, merchant_claim(key + copy as u64)).await.into_payment().id;
        ledger.settle(&id, &landed(key + copy as u64), NOW).await.unwrap();
        ledger.lease_merchant_check(&id, 2, 1_000, NOW).await.unwrap();
        ledger.begin_merchant_answer(&id, "a holder", 2, NOW).await.unwrap();
        ledger.merchant_answers_begun().await.unwrap();
        ledger.end_merchant_answer(&id, "a holder", end, NOW).await.unwrap();
        ledger.begin_merchant_answer(&id, "another", 2, NOW).await.unwrap();
        ledger.end_merchant_answer(&id, "another", MerchantAnswerEnd::Told, NOW).await.unwrap();
    }
}

/// Answers that lie in objects.
async fn keep(ledger: &Ledger, key: u64) {
    let id = won(ledger, claim(key)).await.into_payment().id;
    ledger.settle(&id, &landed(key), NOW).await.unwrap();
    ledger.start_delivery(&id, at_most(RUNS_MAX), NOW).await.unwrap();
    let [kept, left] = [format!("k{key:031}"), format!("l{key:031}")];
    ledger.begin_answer_object(&id, 1, &kept, [3; 32], NOW).await.unwrap();
    ledger.begin_answer_object(&id, 1, &left, [4; 32], NOW).await.unwrap();
    let object = AnswerObject { name: kept.clone(), key: [3; 32], bytes: 1_000_000 };
    let answer = StoredAnswer { body: Vec::new(), object: Some(object), ..answer(b"") };
    ledger.finish_delivery(&id, 1, &answer, NOW).await.unwrap();
    ledger.kept_object_bytes().await.unwrap();
    ledger.leftover_objects(NOW).await.unwrap();
    ledger.drop_answer_object(&left, NOW).await.unwrap();
    ledger.note_object_deleted(&left, NOW + 4_000_000).await.unwrap();
    ledger.erase_answer(&id, NOW).await.unwrap();
    ledger.prune(Retention { answers_ms: 27_990_000 }, NOW).await.unwrap();
}

/// What ended long ago, with and without a wallet's nonce, and tariffs as old.
async fn prune(ledger: &Ledger, key: u64) {
    let bare = won(ledger, claim(key)).await.into_payment().id;
    ledger.record(NewAttempt::unnumbered(&bare, signed(format!("bare{key}"))), NOW).await.unwrap();
    let numbered = won(ledger, claim(key + 1)).await.into_payment().id;
    let label = signer(format!("ended{key}"));
    let recorded = ledger.record(NewAttempt::numbered(&numbered, WALLET, label), NOW).await.unwrap();
    ledger.book_cost(cost(&numbered, recorded.transaction(), false), NOW).await.unwrap();
    // Before everything else, so that the first step meets them.
    let long_ago_ms = NOW - 30_000_000;
    for id in [&bare, &numbered] {
        ledger.expire(id, &evidence(), long_ago_ms).await.unwrap();
    }
    for _ in 0..2 {
        ledger.put_tariff(&base(), Amount::new(3_938), json!({}), NOW - 200_000_000).await.unwrap();
    }
    // So late that every deadline is long ago.
    let policy = FinishedPolicy { keep_ms: -700_000, lease_ms: 1 };
    let pruned = ledger.prune_finished(policy, None, NOW).await.unwrap();
    assert!(matches!(pruned, Pruned::Step { payments: 2.., tariffs: 1.., .. }), "{pruned:?}");
    for id in [&bare, &numbered] {
        assert!(ledger.payment(id).await.unwrap().unwrap().pruned_at_ms.is_some());
    }
}

/// What an operator looks for, while the program works.
async fn look_for(ledger: &Ledger, key: u64) {
    let id = won(ledger, claim(key)).await.into_payment().id;
    let payment = ledger.payment(&id).await.unwrap().unwrap();
    ledger.of_transaction(&base(), "0xsought").await.unwrap();
    assert!(!ledger.of_payer(&base(), &payment.payer).await.unwrap().is_empty());
    assert!(ledger.of_request(payment.request_id.as_str()).await.unwrap().is_some());
}

async fn timers(ledger: &Ledger) {
    ledger.put_tariff(&base(), Amount::new(3_938), json!({}), NOW).await.unwrap();
    ledger.tariffs_since(&base(), NOW).await.unwrap();
    ledger.heartbeat(NOW).await.unwrap();
    ledger.unfinished().await.unwrap();
    ledger.has_unfinal(&base()).await.unwrap();
    ledger.unfinal(&base(), 1_000_000_000..=u64::MAX).await.unwrap();
    ledger.adopt_orphans(NOW + 1).await.unwrap();
}

/// What an operator or a start may take its time for.
pub(crate) async fn operate(ledger: &Ledger) {
    let filter = quittance_ledger::PaymentFilter::default();
    let id = ledger.payments(filter).await.unwrap()[0].id.clone();
    ledger.journal(&id).await.unwrap();
    ledger.costs(&id).await.unwrap();
    ledger.usage(&id).await.unwrap();
    ledger.counts().await.unwrap();
    ledger.margins(0).await.unwrap();
    ledger.usages(0).await.unwrap();
    ledger.cost_shares(0).await.unwrap();
    ledger.open_work(NOW).await.unwrap();
    ledger.audit_totals(NOW).await.unwrap();
    ledger.outstanding(at_most(RUNS_MAX), 0).await.unwrap();
    ledger.statement(0, i64::MAX).await.unwrap();
    let landed = LandingFilter {
        network: base(),
        pay_to: "0xpayto".to_owned(),
        blocks: 0..=u64::MAX,
        claimed_since_ms: 0,
        before: None,
        limit: 1,
    };
    ledger.booked_landings(landed).await.unwrap();
    for range in [RangeOf::Claims, RangeOf::Settlements] {
        let filter = AccountFilter { range, ..everything() };
        ledger.accounts(&filter, None, 1).await.unwrap();
    }
}
