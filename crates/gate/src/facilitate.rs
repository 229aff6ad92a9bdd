//! The few things the gate asks of a facilitator.
//!
//! The gate knows no other way to it, so that its tests can stand a
//! fault-injecting double in the facilitator's place.

use std::error::Error;
use std::ops::Range;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use quittance_facilitator::{
    AnswerObject, Draft, DraftReader, Facilitator, Grant, NetworkInfo, NothingToOffer, PayOutcome, Presented,
    Sale, StoreError, StoredAnswer, StoredAnswerReader, Waiting,
};
use quittance_protocol::{Amount, PaymentId, PaymentPayload, PaymentRequired, ResourceRef, v1};

/// Why the ledger did not take an entry; only ever logged.
pub(crate) type NotBooked = Box<dyn Error + Send + Sync>;

/// The gate's view of [`Facilitator`]; same names, same promises.
pub(crate) trait Facilitate: Offers + Payments + Runs {}

impl<T: Offers + Payments + Runs> Facilitate for T {}

/// What is asked for.
pub(crate) trait Offers: Send + Sync {
    fn offer(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
    ) -> Result<PaymentRequired, NothingToOffer>;
    fn write_offer(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), NothingToOffer>;
    fn write_offer_v1(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
        out: &mut Vec<u8>,
    ) -> bool;
    fn networks(&self) -> Vec<NetworkInfo>;
    fn now_ms(&self) -> i64;
}

/// What becomes of a payment that came with a request.
pub(crate) trait Payments: Send + Sync {
    fn in_version_2(&self, payment: v1::PaymentPayload) -> Result<PaymentPayload, v1::UnknownName>;
    fn pay(&self, payload: PaymentPayload, sale: Sale, waiting: Waiting) -> BoxFuture<'_, PayOutcome>;
    fn presented(&self, payload: &PaymentPayload) -> Option<Presented>;
    fn copy_too_many<'a>(&'a self, payload: &'a PaymentPayload) -> BoxFuture<'a, PayOutcome>;
    fn recall<'a>(&'a self, payload: &'a PaymentPayload, sale: &'a Sale)
    -> BoxFuture<'a, Option<PayOutcome>>;
    fn on_record<'a>(&'a self, payload: &'a PaymentPayload) -> BoxFuture<'a, Option<PayOutcome>>;
}

/// The handler's run, and the answer that it leaves.
pub(crate) trait Runs: Send + Sync {
    fn draft(&self, grant: &Grant) -> (Draft, DraftReader);
    fn reader_max(&self) -> Duration;
    fn read_answer<'a>(
        &'a self,
        object: &'a AnswerObject,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<StoredAnswerReader, StoreError>>;
    fn finish(&self, grant: Grant, answer: StoredAnswer) -> BoxFuture<'_, Result<(), NotBooked>>;
    fn credit<'a>(&'a self, grant: Grant, reason: &'a str) -> BoxFuture<'a, Result<(), NotBooked>>;
    fn credit_unbegun<'a>(&'a self, grant: Grant, reason: &'a str) -> BoxFuture<'a, Result<(), NotBooked>>;
    fn answer_sent(&self, payment: &PaymentId);
}

impl Offers for Facilitator {
    fn offer(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
    ) -> Result<PaymentRequired, NothingToOffer> {
        Facilitator::offer(self, service, resource, error)
    }

    fn write_offer(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), NothingToOffer> {
        Facilitator::write_offer(self, service, resource, error, out)
    }

    fn write_offer_v1(
        &self,
        service: Amount,
        resource: ResourceRef<'_>,
        error: &str,
        out: &mut Vec<u8>,
    ) -> bool {
        Facilitator::write_offer_v1(self, service, resource, error, out)
    }

    fn networks(&self) -> Vec<NetworkInfo> {
        Facilitator::networks(self)
    }

    fn now_ms(&self) -> i64 {
        Facilitator::now_ms(self)
    }
}

impl Payments for Facilitator {
    fn in_version_2(&self, payment: v1::PaymentPayload) -> Result<PaymentPayload, v1::UnknownName> {
        Facilitator::in_version_2(self, payment)
    }

    fn pay(&self, payload: PaymentPayload, sale: Sale, waiting: Waiting) -> BoxFuture<'_, PayOutcome> {
        async move { Facilitator::pay_for(self, payload, sale, &waiting).await }.boxed()
    }

    fn recall<'a>(
        &'a self,
        payload: &'a PaymentPayload,
        sale: &'a Sale,
    ) -> BoxFuture<'a, Option<PayOutcome>> {
        Facilitator::recall(self, payload, sale).boxed()
    }

    fn on_record<'a>(&'a self, payload: &'a PaymentPayload) -> BoxFuture<'a, Option<PayOutcome>> {
        Facilitator::on_record(self, payload).boxed()
    }

    fn presented(&self, payload: &PaymentPayload) -> Option<Presented> {
        Facilitator::presented(self, payload)
    }

    fn copy_too_many<'a>(&'a self, payload: &'a PaymentPayload) -> BoxFuture<'a, PayOutcome> {
        Facilitator::copy_too_many(self, payload).boxed()
    }
}

impl Runs for Facilitator {
    fn draft(&self, grant: &Grant) -> (Draft, DraftReader) {
        Facilitator::draft(self, grant)
    }

    fn reader_max(&self) -> Duration {
        Facilitator::reader_max(self)
    }

    fn read_answer<'a>(
        &'a self,
        object: &'a AnswerObject,
        range: Range<u64>,
    ) -> BoxFuture<'a, Result<StoredAnswerReader, StoreError>> {
        Facilitator::read_answer(self, object, range).boxed()
    }

    fn finish(&self, grant: Grant, answer: StoredAnswer) -> BoxFuture<'_, Result<(), NotBooked>> {
        async move { Facilitator::finish(self, grant, answer).await.map_err(Into::into) }.boxed()
    }

    fn credit<'a>(&'a self, grant: Grant, reason: &'a str) -> BoxFuture<'a, Result<(), NotBooked>> {
        async move { Facilitator::credit(self, grant, reason).await.map_err(Into::into) }.boxed()
    }

    fn credit_unbegun<'a>(&'a self, grant: Grant, reason: &'a str) -> BoxFuture<'a, Result<(), NotBooked>> {
        async move { Facilitator::credit_unbegun(self, grant, reason).await.map_err(Into::into) }.boxed()
    }

    fn answer_sent(&self, payment: &PaymentId) {
        Facilitator::answer_sent(self, payment);
    }
}
