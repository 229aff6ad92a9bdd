//! Calls that are repeated by somebody whose money is gone, or who left (P7), and whose callers count.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quittance_facilitator::{Connection, PayOutcome, Sale};
use quittance_ledger::model::ModelDatabase;
use quittance_ledger::{Call, Hook, Hooked, LedgerError, Operation};
use quittance_protocol::{ErrorCode, PaymentPayload, VerifyRequest};
use serde_json::{Value, json};

use super::harness::{
    Authorization, Chain, GAS, Process, Time, at, is_refused, nonce, payment, process, sale,
};
use super::{answer, granted, open};

const POOR: ErrorCode = ErrorCode::InvalidExactEvmInsufficientBalance;

async fn pay(process: &Process, more: &Value, sale: &Sale) -> PayOutcome {
    process.facilitator.pay(payment("payer", nonce(), more), sale.clone()).await
}

/// Of a payer who is known to be poor the chain is asked once more before a call of its is answered
/// from what it paid: an authorization that is used, or made up, answers nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_payer_known_to_be_poor_is_answered_from_earlier_by_an_authorization_of_its_own_only() {
    let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
    let process = process(&database, &chain, &time).await;
    chain.hold(true);
    let call = sale(at(1), "call");
    let first = pay(&process, &json!({}), &call).await;
    assert!(matches!(first, PayOutcome::Pending { .. }), "{first:?}");
    let beyond = json!({ "fault": "beyond the balance" });
    let is_known_poor = async || {
        let poor = pay(&process, &beyond, &sale(at(1), &nonce().to_string())).await;
        assert!(is_refused(&poor, POOR), "{poor:?}");
        chain.checks().0
    };
    for fault in ["made up", "used"] {
        let asked = is_known_poor().await;
        let none = pay(&process, &json!({ "fault": fault }), &call).await;
        assert!(is_refused(&none, POOR), "{fault}: {none:?}");
        assert_eq!(chain.checks().0, asked + 1, "it was asked");
    }
    for fault in ["beyond the balance", ""] {
        let asked = is_known_poor().await;
        let again = pay(&process, &json!({ "fault": fault }), &call).await;
        assert!(matches!(again, PayOutcome::Pending { .. }), "{fault}: {again:?}");
        assert_eq!(chain.checks().0, asked + 1, "it was asked");
    }
    let asked = is_known_poor().await;
    let other = pay(&process, &json!({}), &sale(at(1), "another")).await;
    assert!(is_refused(&other, POOR), "who repeats nothing: {other:?}");
    assert_eq!(chain.checks().0, asked, "no call for it");
    assert_eq!(database.with(|rows| rows.payment_count()), 1);
    chain.hold(false);
    process.close().await;
}

/// A ledger that is away while somebody pays.
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

/// P7: "the ledger is away" says nothing of a payment that may stand in it: whoever was told that
/// was sent away, also if it took the whole answer. Any other answer that was taken ends its call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_who_was_told_that_the_ledger_is_away_was_sent_away() {
    for is_away in [true, false] {
        let (chain, time, away) = (Chain::default(), Time::default(), Away::default());
        let store = Hooked::new(open(&ModelDatabase::shared(), "one", &time), away.clone());
        let process = Process::open(store, &chain, &time, "").await;
        process.until_offered(Some(GAS)).await;
        away.0.store(is_away, Ordering::SeqCst);
        let (connection, waiting) = Connection::new();
        let unreachable = payment("payer", nonce(), &json!({ "fault": "unreachable" }));
        let told = process.facilitator.pay_for(unreachable, sale(at(1), "call"), &waiting).await;
        let reason = match told {
            PayOutcome::Unavailable { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason, if is_away { "ledger" } else { "chain" });
        connection.answered();
        assert_eq!(waiting.left(), Some(is_away), "{reason}");
        process.close().await;
    }
}

/// Whoever shows a payment for another request, or under another signature, leaves for itself; and a
/// payer who has its answer need not be waited for because a copy of its payment was dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_strangers_leaving_is_not_its_payers_and_who_was_answered_did_not_leave() {
    for (what, more, body, was_sent) in [
        ("another request", json!({}), "another", false),
        ("another signature", json!({ "signature": 7 }), "call", false),
        ("a copy of what was answered", json!({}), "call", true),
    ] {
        let (database, chain, time) = (ModelDatabase::shared(), Chain::default(), Time::default());
        let process = process(&database, &chain, &time).await;
        let number = nonce();
        let signed: PaymentPayload = payment("payer", number, &json!({}));
        let grant = granted(process.facilitator.pay(signed, sale(at(1), "call")).await);
        let id = grant.paid().payment_id.clone();
        process.facilitator.finish(grant, answer(200)).await.unwrap();
        if was_sent {
            process.facilitator.answer_sent(&id);
            super::until("the window begins", || {
                database.with(|rows| rows.payments().all(|payment| payment.first_answer_at_ms.is_some()))
            })
            .await;
        }
        let (connection, waiting) = Connection::new();
        let shown = payment("payer", number, &more);
        drop(process.facilitator.pay_for(shown, sale(at(2), body), &waiting).await);
        drop(connection);
        assert_eq!(waiting.left(), Some(true));
        // What it left to be noted is noted before the process ends.
        process.close().await;
        let noted =
            database.with(|rows| rows.payments().any(|payment| payment.pending_answer_at_ms.is_some()));
        assert!(!noted, "{what}");
    }
}

/// P5: another replica claims the payment while it is checked here, and burns its payer's allowance: nobody
/// who holds it is told that there is no room for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_settle_and_verify_refuse_nobody_for_want_of_room_that_its_own_payment_takes() {
    for way in ["settle", "verify"] {
        let (database, time) = (ModelDatabase::shared(), Time::default());
        let (near, far) = (Chain::default(), Chain::default());
        // Less than one attempt costs.
        let quote = "uncollected_payer_day_usdc = \"0.001\"";
        let one = Process::open(open(&database, "one", &time), &near, &time, quote).await;
        let two = Process::open(open(&database, "two", &time), &far, &time, quote).await;
        near.revert(true);
        let (first, books, sold) = (one.clone(), database.clone(), Authorization::of("payer"));
        let (request, elsewhere) = (sold.request(), sold.request());
        far.meanwhile(move || {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    while books.with(|rows| rows.costs().next().is_none()) {
                        let told = first.facilitator.settle(elsewhere.clone(), "all").await.response;
                        assert_eq!(told.error_reason, Some(ErrorCode::SettlementPending));
                    }
                });
            });
        });
        let ask = async |request: VerifyRequest| match way {
            "settle" => two.facilitator.settle(request, "all").await.response.error_reason,
            _ => two.facilitator.verify(request, "all").await.invalid_reason,
        };
        assert_eq!(ask(request).await, Some(ErrorCode::SettlementPending), "{way}");
        let next = Authorization::of("payer").request();
        assert_eq!(ask(next).await, Some(ErrorCode::InvalidTransactionState), "{way}: what it burnt counts");
        for process in [one, two] {
            process.close().await;
        }
    }
}
