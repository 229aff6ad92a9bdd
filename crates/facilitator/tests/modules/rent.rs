//! Payments that create the account they are paid into (Solana), and amounts that nobody offered.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use quittance_facilitator::PayOutcome;
use quittance_ledger::model::ModelDatabase;
use quittance_ledger::{Call, Hook, Hooked, LedgerError, Operation};
use quittance_protocol::ErrorCode;
use serde_json::{Value, json};

use super::harness::{
    Chain, GAS, PRICE, Process, SERVICE, Time, at, is_refused, nonce, payment, process, sale,
};
use super::{granted, open};

async fn pay(process: &Process, more: &Value) -> PayOutcome {
    process.facilitator.pay(payment("payer", nonce(), more), sale(at(1), &nonce().to_string())).await
}

/// I10: rent is spent for whoever was charged for it, and for nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i10_an_account_is_created_by_who_paid_its_rent_only() {
    let (chain, time) = (Chain::default(), Time::default());
    let process = process(&ModelDatabase::shared(), &chain, &time).await;
    let unpaid = pay(&process, &json!({ "rent": true })).await;
    let code = ErrorCode::InvalidExactSvmPayloadTransactionInstructionsLength;
    assert!(is_refused(&unpaid, code), "the account exists: {unpaid:?}");
    // From now on it is missing, and creating it costs as much again.
    chain.cut_off();
    chain.set_rent(1);
    chain.set_cost(2);
    chain.answer();
    process.until_offered(Some(2 * GAS)).await;
    let with_rent = json!({ "rent": true, "amount": SERVICE + 2 * GAS });
    drop(granted(pay(&process, &with_rent).await));
    // Offered without it, paid without it: still good, because it spends none.
    drop(granted(pay(&process, &json!({})).await));
    let short = pay(&process, &json!({ "rent": true, "amount": PRICE })).await;
    assert!(is_refused(&short, code), "its rent was not charged: {short:?}");
    process.close().await;
}

/// I10: who was charged rent when it was less does not have it spent when it is more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i10_rent_that_rose_above_what_was_charged_is_not_spent() {
    let (chain, time) = (Chain::default(), Time::default());
    chain.set_rent(1);
    chain.set_cost(2);
    let store = open(&ModelDatabase::shared(), "one", &time);
    let process = Process::open(store, &chain, &time, "cost_budget_usdc = \"0.001\"").await;
    process.until_offered(Some(2 * GAS)).await;
    chain.set_cost(4);
    process.until_offered(Some(4 * GAS)).await;
    let amount = SERVICE + 2 * GAS;
    drop(granted(pay(&process, &json!({ "amount": amount })).await));
    let short = pay(&process, &json!({ "rent": true, "amount": amount })).await;
    assert!(is_refused(&short, ErrorCode::InvalidExactEvmPayloadAuthorizationValueMismatch), "{short:?}");
    match short {
        PayOutcome::Refused(told) => assert!(told.message.contains("dearer"), "{}", told.message),
        other => panic!("{other:?}"),
    }
    process.close().await;
}

/// Counts reads of the tariffs.
#[derive(Clone, Default)]
struct Reads(Arc<AtomicUsize>);

impl Hook for Reads {
    type Kept = ();

    fn before(&self, call: Call<'_, '_>) -> Result<(), LedgerError> {
        self.0.fetch_add(usize::from(call.operation() == Operation::TariffsSince), Ordering::SeqCst);
        Ok(())
    }

    async fn around<T: Send + 'static>(
        &self,
        (): (),
        run: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        run.await
    }
}

/// Whoever can sign can make up amounts: all who come with one at a time share one read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amounts_that_nobody_offered_share_reads_of_the_tariffs() {
    let (chain, time, reads) = (Chain::default(), Time::default(), Reads::default());
    let store = Hooked::new(open(&ModelDatabase::shared(), "one", &time), reads.clone());
    let process = Process::open(store, &chain, &time, "").await;
    process.until_offered(Some(GAS)).await;
    reads.0.store(0, Ordering::SeqCst);
    let began = tokio::time::Instant::now();
    let wrong = json!({ "amount": PRICE + 1 });
    for outcome in join_all((0..100).map(|_| pay(&process, &wrong))).await {
        assert!(matches!(outcome, PayOutcome::Refused(_)), "{outcome:?}");
    }
    // One that begins after they came, and one each fifth of a second while they come.
    let bound = 3 + usize::try_from(began.elapsed().as_millis() / 200).unwrap();
    let made = reads.0.load(Ordering::SeqCst);
    assert!(made <= bound && began.elapsed() < Duration::from_secs(5), "{made} reads, {bound} at most");
    let began = tokio::time::Instant::now();
    for _ in 0..4 {
        assert!(matches!(pay(&process, &wrong).await, PayOutcome::Refused(_)));
    }
    assert!(began.elapsed() >= Duration::from_millis(600), "one after the other, they wait for it");
    process.close().await;
}
