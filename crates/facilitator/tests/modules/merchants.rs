//! What foreign servers are told: a success once, of the sale that was claimed.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use quittance_facilitator::SettleAnswer;
use quittance_ledger::model::ModelDatabase;
use quittance_ledger::{Call, Hook, Hooked, LedgerError, LedgerOptions, Operation};
use quittance_protocol::{ErrorCode, RetryAction, VerifyRequest};
use serde_json::json;

use super::harness::{Authorization, Chain, GAS, Process, Time, process, settle, verify};
use super::open;

/// The server takes the whole answer.
fn take(answer: SettleAnswer) {
    let mut telling = answer.telling.unwrap();
    assert!(answer.response.success && telling.give());
    telling.taken();
}

async fn ask(process: &Process, sold: &Authorization) -> SettleAnswer {
    process.facilitator.settle(sold.request(), "all").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_is_told_once_and_named_from_then_on() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let sold = Authorization::of("payer");
    take(ask(&process, &sold).await);
    for _ in 0..3 {
        let later = settle(&process, &sold).await;
        assert_eq!((later.success, later.error_reason), (false, Some(ErrorCode::DuplicateSettlement)));
        assert_eq!(later.retry_action, Some(RetryAction::DoNotRetry));
        assert_eq!(later.transaction, format!("tx-{}", sold.0["nonce"]));
    }
    let valid = verify(&process, &sold).await;
    assert_eq!((valid.is_valid, valid.invalid_reason), (false, Some(ErrorCode::DuplicateSettlement)));
    assert_eq!(valid.other["transaction"], json!(format!("tx-{}", sold.0["nonce"])));
    process.close().await;
}

/// P1: a process whose lease on the ledger may have ended says no success: another may be saying it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_process_whose_lease_ran_out_says_no_success() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let options = LedgerOptions { lease_ms: 300, ..LedgerOptions::new("one") };
    let store = database.open(&options, time.now_ms()).unwrap();
    let process = Process::open(store, &chain, &time, "").await;
    process.until_offered(Some(GAS)).await;
    let mut late = ask(&process, &Authorization::of("payer")).await;
    assert!(late.response.success);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!late.telling.as_mut().is_some_and(|telling| telling.give()));
    process.close().await;
}

/// A connection that closed before the first byte heard nothing; one that closed behind it
/// may have heard all, so that may be said `merchants.retell_max` times more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_heard_is_told_again_and_what_somebody_may_have_heard_once_more() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let sold = Authorization::of("payer");
    for _ in 0..4 {
        let unsaid = ask(&process, &sold).await;
        assert!(unsaid.response.success, "nothing was said: {:?}", unsaid.response);
    }
    for _ in 0..2 {
        let mut lost = ask(&process, &sold).await;
        assert!(lost.telling.as_mut().is_some_and(|telling| telling.give()), "{:?}", lost.response);
    }
    let late = ask(&process, &sold).await;
    assert_eq!(late.response.error_reason, Some(ErrorCode::DuplicateSettlement));
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_askers_at_once_one_is_told() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let sold = Authorization::of("payer");
    let answers = join_all((0..20).map(|_| ask(&process, &sold))).await;
    let (told, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.response.success);
    assert_eq!(told.len(), 1);
    for other in others {
        assert_eq!(other.response.error_reason, Some(ErrorCode::SettlementPending));
        assert!(other.telling.is_none());
    }
    told.into_iter().for_each(take);
    assert_eq!(chain.checks().0, 1, "and the chain was asked once");
    process.close().await;
}

/// P1: a customer who pays one server in version 1 and another in version 2 with one
/// authorization has paid once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_authorization_in_both_versions_at_once_is_told_once() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let sold = Authorization::of("payer");
    let request = |number| if number % 2 == 0 { sold.request() } else { sold.in_version_1() };
    let answers = join_all((0..20).map(|number| process.facilitator.settle(request(number), "all"))).await;
    let (told, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.response.success);
    assert_eq!(told.len(), 1);
    for other in others {
        assert_eq!(other.response.error_reason, Some(ErrorCode::SettlementPending));
    }
    told.into_iter().for_each(take);
    for number in 0..2 {
        let later = process.facilitator.settle(request(number), "all").await.response;
        assert_eq!(later.error_reason, Some(ErrorCode::DuplicateSettlement), "{number}");
        assert_eq!(later.transaction, format!("tx-{}", sold.0["nonce"]));
        let valid = process.facilitator.verify(request(number), "all").await;
        assert_eq!(valid.invalid_reason, Some(ErrorCode::DuplicateSettlement), "{number}");
    }
    assert_eq!(chain.checks().0, 1, "and the chain was asked once");
    process.close().await;
}

/// A payment buys from the merchant, on the terms, under the signature it was claimed with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_told_to_nobody_but_whom_it_was_claimed_for() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let sold = Authorization::of("payer");
    assert!(ask(&process, &sold).await.response.success, "told to nobody yet");
    let with_memo = |mut request: VerifyRequest| {
        request.payment_requirements.extra.insert("memo".to_owned(), json!("another order"));
        request.payment_payload.accepted = request.payment_requirements.clone();
        request
    };
    let mut other_signature = Authorization(sold.0.clone());
    other_signature.0["signature"] = json!(7);
    let foreign = [
        ("another merchant", sold.request(), "another"),
        ("another order", with_memo(sold.request()), "all"),
        ("another signature", other_signature.request(), "all"),
    ];
    for (what, request, merchant) in foreign {
        let answer = process.facilitator.settle(request.clone(), merchant).await;
        assert_eq!(answer.response.error_reason, Some(ErrorCode::DuplicateSettlement), "{what}");
        let answer = process.facilitator.verify(request, merchant).await;
        assert_eq!(answer.invalid_reason, Some(ErrorCode::DuplicateSettlement), "{what}");
    }
    take(ask(&process, &sold).await);
    process.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_customer_accepted_must_be_what_the_server_sells() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let mut request = Authorization::of("payer").request();
    request.payment_payload.accepted.amount = "1".to_owned();
    let answer = process.facilitator.settle(request.clone(), "all").await.response;
    assert_eq!(answer.error_reason, Some(ErrorCode::InvalidExactEvmPayloadAuthorizationValueMismatch));
    assert!(!process.facilitator.verify(request, "all").await.is_valid);
    assert_eq!(chain.checks().0, 0);
    process.close().await;
}

/// No payment costs more to settle than it brings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_amount_below_the_cost_of_settling_is_refused() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    for (amount, is_taken) in [(GAS - 1, false), (GAS, true)] {
        let mut sold = Authorization::of("payer");
        sold.0["amount"] = json!(amount);
        let answer = settle(&process, &sold).await;
        assert_eq!(answer.success, is_taken, "{amount}: {answer:?}");
    }
    process.close().await;
}

/// Of a settled payment that nobody was told of, one server at a time gets past `/verify`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_payment_is_valid_for_one_server_at_a_time() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let sold = Authorization::of("payer");
    assert!(ask(&process, &sold).await.response.success);
    let answers = join_all((0..5).map(|_| verify(&process, &sold))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_valid).count(), 1);
    for answer in answers.iter().filter(|answer| !answer.is_valid) {
        assert_eq!(answer.invalid_reason, Some(ErrorCode::SettlementPending));
    }
    process.close().await;
}

/// A ledger that finds no payment while it is away.
#[derive(Clone, Default)]
struct Away(Arc<AtomicBool>);

impl Hook for Away {
    type Kept = ();

    fn before(&self, call: Call<'_, '_>) -> Result<(), LedgerError> {
        match call.operation() == Operation::Known && self.0.load(Ordering::SeqCst) {
            true => Err(LedgerError::Unavailable("it is away".into())),
            false => Ok(()),
        }
    }

    async fn around<T: Send + 'static>(
        &self,
        (): (),
        run: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        run.await
    }
}

/// P5: nothing is known of the payment then, whether its terms are today's or not, and each of the two
/// questions has a word of its own for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_while_the_ledger_is_away_each_question_hears_its_own_word() {
    let (chain, time, away) = (Chain::default(), Time::default(), Away::default());
    let store = Hooked::new(open(&ModelDatabase::shared(), "one", &time), away.clone());
    let process = Process::open(store, &chain, &time, "").await;
    process.until_offered(Some(GAS)).await;
    away.0.store(true, Ordering::SeqCst);
    let todays = Authorization::of("payer").request();
    let mut others = todays.clone();
    others.payment_requirements.pay_to = "0xc".to_owned();
    others.payment_payload.accepted = others.payment_requirements.clone();
    for (terms, request) in [("today's", todays), ("other", others)] {
        let verified = process.facilitator.verify(request.clone(), "all").await;
        assert_eq!(verified.invalid_reason, Some(ErrorCode::UnexpectedVerifyError), "{terms}");
        assert_eq!(verified.other["retry_action"], json!(RetryAction::RetrySamePayment), "{terms}");
        let settled = process.facilitator.settle(request, "all").await.response;
        assert_eq!(settled.error_reason, Some(ErrorCode::UnexpectedSettleError), "{terms}");
        assert_eq!(
            (settled.retry_action, settled.payment_state),
            (Some(RetryAction::RetrySamePayment), None)
        );
    }
    process.close().await;
}

/// Scheme and network are compared before the chain looks, so its own words for another scheme are said at
/// a gate only, and those for another network here only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_scheme_or_network_is_found_before_the_chain_looks() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let request = |change: fn(&mut VerifyRequest)| {
        let mut request = Authorization::of("payer").request();
        change(&mut request);
        request
    };
    let cases = [
        (request(|r| r.payment_requirements.scheme = "upto".into()), ErrorCode::UnsupportedScheme),
        (request(|r| r.payment_payload.accepted.scheme = "upto".into()), ErrorCode::UnsupportedScheme),
        (request(|r| r.payment_requirements.network = "eip155:1".into()), ErrorCode::InvalidNetwork),
        (
            request(|r| r.payment_payload.accepted.network = "eip155:1".into()),
            ErrorCode::InvalidExactEvmNetworkMismatch,
        ),
    ];
    for (request, code) in cases {
        let verified = process.facilitator.verify(request.clone(), "all").await;
        assert_eq!(verified.invalid_reason, Some(code));
        let settled = process.facilitator.settle(request, "all").await.response;
        assert_eq!(settled.error_reason, Some(code));
    }
    process.close().await;
}
