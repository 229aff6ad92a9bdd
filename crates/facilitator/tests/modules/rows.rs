//! Merchants with a row of their own: where they are paid, who carries what settling costs, which
//! limits are theirs, and what of theirs nobody else hears.

use quittance_facilitator::config::MerchantsConfig;
use quittance_facilitator::{Asker, NotKnown, Random, new_api_key};
use quittance_ledger::model::ModelDatabase;
use quittance_ledger::{
    FeePolicy, Merchant, MerchantLimits, MerchantNetwork, MerchantState, Origin, Payment, Store,
};
use quittance_protocol::{Amount, ErrorCode, Network, RetryAction, Secret, SettleResponse, VerifyRequest};
use serde_json::{Value, json};

use super::harness::{Authorization, Chain, GAS, Process, SOLD_FOR, Time, at, process};
use super::open;

/// What a merchant asks for, with wide limits; paid at `0x` and its name.
pub(super) fn row(name: &str, fee_policy: FeePolicy) -> Merchant {
    let limits = MerchantLimits {
        amount_day: Amount::new(1_000_000_000),
        cost_day: Amount::new(1_000_000_000),
        native_day: 1_000_000_000_000_000,
    };
    let network = MerchantNetwork {
        network: Network::BASE.parse().unwrap(),
        pay_to: format!("0x{name}"),
        asset: "0xa".to_owned(),
        limits,
    };
    Merchant {
        name: name.to_owned(),
        state: MerchantState::Open,
        fee_policy,
        in_flight_max: 10,
        accounts_max: 1,
        created_at_ms: 0,
        changed_at_ms: 0,
        networks: vec![network],
        keys: Vec::new(),
    }
}

/// Their keys, once the operator has created them.
pub(super) async fn with_keys(database: &ModelDatabase, time: &Time, rows: &[Merchant]) -> Vec<Secret> {
    let operator = open(database, "operator", time);
    let operator: &dyn Store = &operator;
    let mut keys = Vec::new();
    for row in rows {
        let (secret, key) = new_api_key(&Random::system(), 0);
        assert!(operator.create_merchant(row, &key, 0).await.unwrap());
        keys.push(secret);
    }
    keys
}

/// Each merchant as it asks a process with its key.
pub(super) async fn shops<const N: usize>(process: &Process, keys: &[Secret]) -> [Asker; N] {
    let config = MerchantsConfig { refresh_seconds: 1, ..MerchantsConfig::default() };
    process.facilitator.serve_merchants(&config).await.unwrap();
    std::array::from_fn(|number| process.facilitator.asker(keys[number].expose_str(), at(1)).unwrap())
}

/// A process that serves these merchants, and each of them as it asks.
async fn serving<const N: usize>(
    (database, chain, time): (&ModelDatabase, &Chain, &Time),
    rows: [Merchant; N],
) -> (Process, [Asker; N]) {
    let keys = with_keys(database, time, &rows).await;
    let process = process(database, chain, time).await;
    let askers = shops(&process, &keys).await;
    (process, askers)
}

/// A payment to an address, as its server shows it.
pub(super) fn paid_to(pay_to: &str, more: &Value) -> VerifyRequest {
    let mut signed = Authorization::of("payer");
    signed.0["to"] = json!(pay_to);
    for (name, value) in more.as_object().unwrap() {
        signed.0[name] = value.clone();
    }
    asked_at(pay_to, signed)
}

fn asked_at(pay_to: &str, signed: Authorization) -> VerifyRequest {
    let mut request = signed.request();
    request.payment_requirements.pay_to = pay_to.to_owned();
    request.payment_payload.accepted = request.payment_requirements.clone();
    request
}

async fn settle(process: &Process, request: VerifyRequest, asker: &Asker) -> SettleResponse {
    process.facilitator.settle(request, asker.clone()).await.response
}

/// What both questions are refused for.
pub(super) async fn refused(
    process: &Process,
    request: VerifyRequest,
    asker: &Asker,
) -> (ErrorCode, SettleResponse) {
    let verified = process.facilitator.verify(request.clone(), asker.clone()).await;
    let settled = settle(process, request, asker).await;
    assert!(!verified.is_valid && !settled.success, "{verified:?} {settled:?}");
    assert_eq!(verified.invalid_reason, settled.error_reason);
    assert_eq!(verified.other["retry_action"], json!(settled.retry_action));
    (settled.error_reason.unwrap(), settled)
}

fn claimed(database: &ModelDatabase) -> Vec<Payment> {
    database.with(|rows| rows.payments().cloned().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_is_paid_at_its_own_address_in_the_token_that_is_sold() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let mut elsewhere = row("elsewhere", FeePolicy::Added);
    elsewhere.networks[0].network = "eip155:1".parse().unwrap();
    let mut other_token = row("other-token", FeePolicy::Added);
    other_token.networks[0].asset = "0xc".to_owned();
    let rows = [row("shop", FeePolicy::Added), row("stall", FeePolicy::Added), elsewhere, other_token];
    let (process, [shop, stall, elsewhere, other_token]) = serving((&database, &chain, &time), rows).await;
    let of_another_token = || {
        let mut request = paid_to("0xshop", &json!({}));
        request.payment_requirements.asset = "0xc".to_owned();
        request.payment_payload.accepted = request.payment_requirements.clone();
        request
    };
    let signed_to =
        |to: &str| asked_at("0xshop", Authorization(paid_to(to, &json!({})).payment_payload.payload));
    let terms = ErrorCode::InvalidPaymentRequirements;
    for (what, request, asker, code) in [
        ("the operator's address", paid_to("0xb", &json!({})), &shop, terms),
        ("another merchant's address", paid_to("0xstall", &json!({})), &shop, terms),
        ("another token", of_another_token(), &shop, terms),
        ("signed to another", signed_to("0xb"), &shop, ErrorCode::InvalidExactEvmRecipientMismatch),
        ("no such network", paid_to("0xelsewhere", &json!({})), &elsewhere, ErrorCode::InvalidNetwork),
        ("no such token", paid_to("0xother-token", &json!({})), &other_token, ErrorCode::InvalidNetwork),
    ] {
        assert_eq!(refused(&process, request, asker).await.0, code, "{what}");
    }
    assert!(claimed(&database).is_empty() && chain.checks().0 == 0, "nothing was asked or written");
    for (asker, pay_to) in [(&shop, "0xshop"), (&stall, "0xstall")] {
        let request = paid_to(pay_to, &json!({}));
        assert!(process.facilitator.verify(request.clone(), asker.clone()).await.is_valid);
        let answer = settle(&process, request, asker).await;
        assert!(answer.success, "{answer:?}");
        let paid = claimed(&database).into_iter().find(|payment| payment.pay_to == pay_to).unwrap();
        assert_eq!(paid.origin, Origin::Merchant(asker.merchant.clone()));
    }
    process.close().await;
}

/// As the chain compares: hex in whatever case is one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_another_case_is_the_merchants_own_still() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let (process, [shop]) = serving((&database, &chain, &time), [row("shop", FeePolicy::Added)]).await;
    let mut request = paid_to("0xSHOP", &json!({ "to": "0xshop" }));
    request.payment_requirements.asset = "0xA".to_owned();
    request.payment_payload.accepted = request.payment_requirements.clone();
    let answer = settle(&process, request, &shop).await;
    assert!(answer.success, "{answer:?}");
    process.close().await;
}

/// I10: an amount pays for being settled, unless the merchant's own limits bound what others carry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_carries_the_surcharge_is_what_the_row_says() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let policies = [FeePolicy::Added, FeePolicy::Absorbed, FeePolicy::Billed];
    let rows = policies.map(|policy| row(&policy.to_string(), policy));
    let (process, askers) = serving((&database, &chain, &time), rows).await;
    for (policy, asker) in policies.into_iter().zip(&askers) {
        let pay_to = format!("0x{policy}");
        let small = |amount: u64| {
            let mut request = paid_to(&pay_to, &json!({ "amount": amount }));
            request.payment_requirements.amount = amount.to_string();
            request.payment_payload.accepted = request.payment_requirements.clone();
            request
        };
        if policy == FeePolicy::Added {
            let (code, _) = refused(&process, small(GAS - 1), asker).await;
            assert_eq!(code, ErrorCode::InvalidPaymentRequirements);
        }
        let amount = if policy == FeePolicy::Added { GAS + 7 } else { 7 };
        assert!(process.facilitator.verify(small(amount), asker.clone()).await.is_valid, "{policy}");
        assert!(settle(&process, small(amount), asker).await.success, "{policy}");
        let paid = claimed(&database).into_iter().find(|payment| payment.pay_to == pay_to).unwrap();
        let fee = paid.fee.unwrap();
        let carried = if policy == FeePolicy::Added { 0 } else { GAS };
        assert_eq!((fee.policy, fee.carried), (policy, Amount::new(carried)));
        assert_eq!((paid.service, paid.gas), (Amount::new(7), Amount::new(GAS - carried)), "{policy}");
    }
    process.close().await;
}

/// Without a row the amount is the operator's, and what settling costs a part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_row_the_surcharge_is_within_the_amount_and_nobodys_fee() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let (process, []) = serving((&database, &chain, &time), []).await;
    let request = Authorization::of("payer").request();
    assert!(settle(&process, request, &Asker::from("all")).await.success);
    let paid = claimed(&database).remove(0);
    assert_eq!((paid.fee, paid.pay_to.as_str()), (None, "0xb"));
    assert_eq!((paid.service, paid.gas), (Amount::new(SOLD_FOR - GAS), Amount::new(GAS)));
    process.close().await;
}

/// One merchant's payments fill its own limits, and are turned away before a node is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_a_merchants_own_limits_turn_away_before_a_node_is_asked() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let mut busy = row("busy", FeePolicy::Added);
    busy.in_flight_max = 1;
    let mut poor = row("poor", FeePolicy::Added);
    poor.networks[0].limits.amount_day = Amount::new(SOLD_FOR - 1);
    let mut dear = row("dear", FeePolicy::Billed);
    dear.networks[0].limits.cost_day = Amount::new(1);
    let rows = [busy, poor, dear, row("shop", FeePolicy::Added)];
    let (process, [busy, poor, dear, shop]) = serving((&database, &chain, &time), rows).await;
    chain.hold(true);
    let first = settle(&process, paid_to("0xbusy", &json!({})), &busy).await;
    assert_eq!(first.error_reason, Some(ErrorCode::SettlementPending));
    let asked = chain.checks().0;
    for (asker, seconds) in [(&busy, 5), (&poor, 600), (&dear, 600)] {
        let request = paid_to(&format!("0x{}", asker.merchant), &json!({}));
        let (code, answer) = refused(&process, request, asker).await;
        assert_eq!(code, ErrorCode::NetworkUnavailable, "{answer:?}");
        let told = (answer.retry_action, answer.retry_after_seconds, answer.payment_state);
        assert_eq!(told, (Some(RetryAction::RetrySamePayment), Some(seconds), None), "{}", asker.merchant);
    }
    assert_eq!(chain.checks().0, asked, "no call for them");
    chain.hold(false);
    assert!(settle(&process, paid_to("0xshop", &json!({})), &shop).await.success, "another's are its own");
    process.close().await;
}

/// What it claimed it is told of, and nothing else, once it may claim nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_merchant_claims_nothing_and_is_told_of_its_own_payments() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let rows = [row("shop", FeePolicy::Added), row("stall", FeePolicy::Added)];
    let (process, [shop, stall]) = serving((&database, &chain, &time), rows).await;
    let [mine, theirs, fresh] = ["0xshop", "0xstall", "0xshop"].map(|at| paid_to(at, &json!({})));
    assert!(settle(&process, mine.clone(), &shop).await.success, "told to nobody yet");
    assert!(settle(&process, theirs.clone(), &stall).await.success);
    let operator = open(&database, "operator again", &time);
    let operator: &dyn Store = &operator;
    assert!(operator.close_merchant("shop", 0).await.unwrap());
    // What this process read last says that it is open; the ledger decides.
    let (code, answer) = refused(&process, fresh.clone(), &shop).await;
    assert_eq!(
        (code, answer.retry_action),
        (ErrorCode::InvalidPaymentRequirements, Some(RetryAction::DoNotRetry))
    );
    let on_record = async |request: &VerifyRequest| {
        process.facilitator.settle_on_record(request, &shop).await.map(|answer| answer.response)
    };
    assert!(on_record(&mine).await.unwrap().success, "whoever paid before is served");
    assert!(on_record(&theirs).await.is_none(), "another's");
    assert!(on_record(&fresh).await.is_none(), "it claims nothing");
    assert_eq!(claimed(&database).len(), 2);
    process.close().await;
}

/// An authorization that another merchant shows is taken, and that is all it hears.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_another_merchants_payment_nobody_hears_more_than_that_it_is_taken() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let rows = [row("shop", FeePolicy::Added), row("stall", FeePolicy::Added)];
    let (process, [shop, stall]) = serving((&database, &chain, &time), rows).await;
    let request = paid_to("0xshop", &json!({}));
    assert!(settle(&process, request.clone(), &shop).await.success);
    let signed = Authorization(request.payment_payload.payload.clone());
    let transaction = format!("tx-{}", signed.0["nonce"]);
    let shown = asked_at("0xstall", signed);
    let (code, answer) = refused(&process, shown.clone(), &stall).await;
    assert_eq!(code, ErrorCode::DuplicateSettlement);
    let verified = process.facilitator.verify(shown, stall.clone()).await;
    assert_eq!(answer.error_message.as_deref(), Some("this authorization was used for another sale"));
    assert_eq!(verified.invalid_message, answer.error_message);
    assert_eq!((answer.transaction.as_str(), answer.amount.as_deref()), ("", None));
    assert!(!format!("{answer:?} {:?}", verified.other).contains(&transaction), "its transaction");
    // Its own merchant, for another order of its own, is told which one it was.
    let mut another_order = request;
    another_order.payment_requirements.extra.insert("memo".to_owned(), json!("another"));
    another_order.payment_payload.accepted = another_order.payment_requirements.clone();
    let (code, answer) = refused(&process, another_order, &shop).await;
    assert_eq!((code, answer.transaction), (ErrorCode::DuplicateSettlement, transaction));
    process.close().await;
}

/// What its server makes offers from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_sees_its_own_terms_and_what_settling_costs() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let mut elsewhere = row("elsewhere", FeePolicy::Added);
    elsewhere.networks.clear();
    let rows = [row("shop", FeePolicy::Billed), elsewhere];
    let (process, [shop, elsewhere]) = serving((&database, &chain, &time), rows).await;
    let supported = process.facilitator.supported_for(&shop);
    let names: Vec<_> =
        supported.kinds.iter().map(|kind| (kind.x402_version, kind.network.as_str())).collect();
    assert_eq!(names, [(2, Network::BASE), (1, "base")]);
    for kind in &supported.kinds {
        assert_eq!((&kind.extra["payTo"], &kind.extra["asset"]), (&json!("0xshop"), &json!("0xa")));
        assert_eq!(kind.extra["surcharge"], json!({ "policy": "billed", "amount": GAS.to_string() }));
    }
    assert_eq!(serde_json::to_value(&supported.signers).unwrap(), json!({ "eip155:*": ["wallet"] }));
    assert!(supported.closed.is_empty());
    let own = process.facilitator.supported();
    assert!(own.kinds.len() == 2 && !own.kinds[0].extra.contains_key("payTo"), "{own:?}");
    let nowhere = process.facilitator.supported_for(&elsewhere);
    assert!(nowhere.kinds.is_empty() && nowhere.signers.is_empty());
    chain.pause_token();
    process.until_offered(None).await;
    let closed = process.facilitator.supported_for(&shop).closed;
    assert_eq!(serde_json::to_value(closed).unwrap(), json!({ Network::BASE: "token_paused" }));
    assert!(process.facilitator.supported_for(&elsewhere).closed.is_empty(), "where it does not sell");
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_of_a_merchant_are_filled_with_its_own_terms() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let mut elsewhere = row("elsewhere", FeePolicy::Added);
    elsewhere.networks.clear();
    let rows = [row("shop", FeePolicy::Added), elsewhere];
    let (process, [shop, elsewhere]) = serving((&database, &chain, &time), rows).await;
    let asked = |offers: Value| json!({ "accepts": offers }).as_object().unwrap().clone();
    let bare = json!({ "network": Network::BASE, "amount": "50000" });
    let told = |pay_to: &str| json!({ "network": Network::BASE, "amount": "50000", "payTo": pay_to });
    let answer =
        process.facilitator.accepts_for(asked(json!([bare, told("0xSHOP"), told("0xb")])), &shop).unwrap();
    let filled: Vec<_> = answer["accepts"].as_array().unwrap().iter().map(|offer| &offer["payTo"]).collect();
    assert_eq!(filled, ["0xshop", "0xSHOP"]);
    let why = answer["error"].as_str().unwrap();
    assert!(why.starts_with("accepts[2]: ") && why.contains("this merchant's"), "{why}");
    let nothing = process.facilitator.accepts_for(asked(json!([bare])), &elsewhere).unwrap();
    assert_eq!(nothing["accepts"], json!([]));
    assert!(nothing["error"].as_str().unwrap().contains("sells nothing"));
    process.close().await;
}

/// Who it was is said of a key that was right, and of no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_right_says_whose_it_was_and_a_wrong_one_nothing() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let (process, [shop]) = serving((&database, &chain, &time), [row("shop", FeePolicy::Added)]).await;
    assert_eq!(shop.row.as_ref().map(|row| row.name.as_str()), Some("shop"));
    let unknown = process.facilitator.asker(Some("qk_a_b"), at(1)).unwrap_err();
    assert_eq!((unknown.why, unknown.former), (NotKnown::Wrong, None));
    let missing = process.facilitator.asker(None, at(1)).unwrap_err();
    assert_eq!(missing.why, NotKnown::Missing);
    assert_eq!(
        missing.former.map(|former| (former.merchant, former.row)),
        Some(("default".to_owned(), None))
    );
    assert!(!process.facilitator.is_for_known_only(), "this host alone can call");
    process.facilitator.listens_to_others();
    assert!(process.facilitator.is_for_known_only());
    process.close().await;
}

/// Its payments are on record, and no more are taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_network_is_supported_for_nobody() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let keys = with_keys(&database, &time, &[row("shop", FeePolicy::Added)]).await;
    let process = Process::open_retired(open(&database, "one", &time), &chain, &time).await;
    let [shop] = shops(&process, &keys).await;
    for supported in [process.facilitator.supported(), process.facilitator.supported_for(&shop)] {
        assert!(supported.kinds.is_empty() && supported.closed.is_empty(), "{supported:?}");
    }
    process.close().await;
}

/// What was signed says more about a mistake than what was echoed; but another scheme or network is found
/// before the chain looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_signed_is_refused_before_the_echo_but_for_scheme_and_network() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let (process, [shop]) = serving((&database, &chain, &time), [row("shop", FeePolicy::Added)]).await;
    let echoed = |change: fn(&mut VerifyRequest)| {
        let mut request = paid_to("0xshop", &json!({ "to": "0xb" }));
        change(&mut request);
        request
    };
    for (request, code) in [
        (echoed(|r| r.payment_payload.accepted.scheme = "upto".into()), ErrorCode::UnsupportedScheme),
        (
            echoed(|r| r.payment_payload.accepted.network = "eip155:1".into()),
            ErrorCode::InvalidExactEvmNetworkMismatch,
        ),
        (
            echoed(|r| r.payment_payload.accepted.amount = "1".into()),
            ErrorCode::InvalidExactEvmRecipientMismatch,
        ),
    ] {
        assert_eq!(refused(&process, request, &shop).await.0, code);
    }
    process.close().await;
}

/// A merchant's memo is in what was signed, whatever a client echoes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_memo_counts_and_an_echo_may_leave_it_out_but_not_say_another() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let (process, [shop]) = serving((&database, &chain, &time), [row("shop", FeePolicy::Added)]).await;
    let asked = |signed: &str, echo: Value| {
        let mut request = paid_to("0xshop", &json!({ "memo": signed }));
        request.payment_requirements.extra.insert("memo".to_owned(), json!("order"));
        request.payment_payload.accepted.extra = echo.as_object().unwrap().clone();
        request
    };
    let other = refused(&process, asked("order", json!({ "memo": "other" })), &shop).await.0;
    assert_eq!(other, ErrorCode::InvalidPaymentRequirements, "it says another");
    let signed = refused(&process, asked("other", json!({})), &shop).await.0;
    assert_eq!(signed, ErrorCode::InvalidExactSvmPayloadMemoMismatch, "another was signed");
    for echo in [json!({}), json!({ "memo": "order" })] {
        let answer = settle(&process, asked("order", echo), &shop).await;
        assert!(answer.success, "{answer:?}");
    }
    process.close().await;
}
