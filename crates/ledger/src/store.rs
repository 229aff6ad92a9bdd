//! The port through which everything above sees a ledger.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use quittance_protocol::{Amount, ErrorCode, Evidence, Landing, Network, PaymentId, PaymentKey, SendOutcome};

use crate::SignedBytes;
use crate::error::LedgerError;
use crate::exposure::{ExposureSums, Reserve};
use crate::ledger::Ledger;
use crate::merchant::{
    CheckTerms, MerchantAnswer, MerchantAnswerEnd, MerchantCheck, NewCheck, NewCheckLease,
};
use crate::pruning::{FinishedPolicy, PruneCursor, Pruned};
use crate::repeats::{Alias, Known};
use crate::token::{ClaimOutcome, Recorded, SignFn};
use crate::types::{
    AttemptId, CostEntry, DeliveryStart, LeftoverObject, NewClaim, OpenWork, Payment, Retention, RunEnd,
    RunLimits, Slot, StoredAnswer, TariffRow,
};

/// One list of operations makes the trait and its implementation for
/// [`Ledger`], so that the two cannot drift apart.
macro_rules! operations {
    ($(async fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*) => {
        /// A ledger, as far as facilitating payments goes: each operation does
        /// and promises what the method of the same name does for [`Ledger`].
        /// A simulator implements it over a model.
        #[async_trait]
        pub trait Store: Send + Sync + 'static {
            $(
                #[doc = concat!("See [`Ledger::", stringify!($name), "`].")]
                async fn $name(&self, $($argument: $type),*) -> Result<$answer, LedgerError>;
            )*

            /// See [`Ledger::lease_ms`].
            fn lease_ms(&self) -> Option<i64>;

            /// See [`Ledger::clock_skew_ms`].
            fn clock_skew_ms(&self) -> Option<i64> {
                None
            }

            /// See [`Ledger::close`].
            async fn close(&self);
        }

        #[async_trait]
        impl Store for Ledger {
            $(
                async fn $name(&self, $($argument: $type),*) -> Result<$answer, LedgerError> {
                    Ledger::$name(self, $($argument),*).await
                }
            )*

            fn lease_ms(&self) -> Option<i64> {
                Ledger::lease_ms(self)
            }

            fn clock_skew_ms(&self) -> Option<i64> {
                Ledger::clock_skew_ms(self)
            }

            async fn close(&self) {
                Ledger::close(self.clone()).await;
            }
        }
    };
}

operations! {
    // Claims.
    async fn claim(new: NewClaim, now_ms: i64) -> ClaimOutcome;
    async fn claim_within(new: NewClaim, wanted: Reserve, now_ms: i64) -> ClaimOutcome;
    async fn payment(id: &PaymentId) -> Option<Payment>;
    async fn payment_by_key(key: &PaymentKey) -> Option<Payment>;
    async fn known(key: &PaymentKey) -> Option<Known>;
    async fn claim_alias(new: NewClaim, now_ms: i64) -> Option<ClaimOutcome>;
    async fn earlier(new: &NewClaim) -> Option<Payment>;
    async fn aliases(payment: &PaymentId) -> Vec<Alias>;

    // Attempts.
    async fn ensure_wallet(network: &Network, wallet: &str, chain_nonce: u64, now_ms: i64) -> u64;
    async fn record(payment: &PaymentId, signed: SignedBytes, now_ms: i64) -> Recorded;
    async fn record_with_nonce(payment: &PaymentId, wallet: &str, sign: SignFn, now_ms: i64) -> Recorded;
    async fn record_again(payments: &[PaymentId], slot: Slot, sign: SignFn, now_ms: i64) -> Recorded;
    async fn journal_send(attempt: AttemptId, outcome: &SendOutcome, now_ms: i64) -> ();
    async fn recorded_attempts(payment: &PaymentId) -> Vec<Recorded>;
    async fn attempts_from_nonce(network: &Network, wallet: &str, nonce: u64) -> Vec<Recorded>;

    // Verdicts.
    async fn settle(payment: &PaymentId, landing: &Landing, now_ms: i64) -> Payment;
    async fn settle_owed(payment: &PaymentId, landing: &Landing, now_ms: i64) -> Payment;
    async fn refuse(
        payment: &PaymentId,
        code: ErrorCode,
        why: &str,
        evidence: Option<&Evidence>,
        now_ms: i64,
    ) -> Payment;
    async fn expire(payment: &PaymentId, evidence: &Evidence, now_ms: i64) -> Payment;

    // What becomes of landings.
    async fn unfinal(network: &Network, blocks: RangeInclusive<u64>) -> Vec<Payment>;
    async fn has_unfinal(network: &Network) -> bool;
    async fn finalize(landings: Vec<(PaymentId, Landing)>, now_ms: i64) -> u64;
    async fn move_landing(payment: &PaymentId, landing: &Landing, now_ms: i64) -> bool;
    async fn book_reorged_loss(payment: &PaymentId, evidence: &Evidence, now_ms: i64) -> bool;

    // Deliveries.
    async fn start_delivery(payment: &PaymentId, limits: RunLimits, now_ms: i64) -> DeliveryStart;
    async fn finish_delivery(payment: &PaymentId, run: u32, answer: &StoredAnswer, now_ms: i64) -> ();
    async fn credit_delivery(payment: &PaymentId, run: u32, end: RunEnd, why: &str, now_ms: i64) -> ();
    async fn mark_answer_sent(payment: &PaymentId, now_ms: i64) -> ();
    async fn answer(payment: &PaymentId) -> Option<StoredAnswer>;
    async fn begin_answer_object(
        payment: &PaymentId,
        run: u32,
        name: &str,
        key: [u8; 32],
        now_ms: i64,
    ) -> ();
    async fn leftover_objects(now_ms: i64) -> Vec<LeftoverObject>;
    async fn drop_answer_object(name: &str, now_ms: i64) -> bool;
    async fn note_object_deleted(name: &str, now_ms: i64) -> ();
    async fn kept_object_bytes() -> u64;
    async fn erase_answer(payment: &PaymentId, now_ms: i64) -> bool;
    async fn note_pending_answer(payment: &PaymentId, now_ms: i64) -> ();

    // What foreign servers are told.
    async fn begin_merchant_answer(
        payment: &PaymentId,
        holder: &str,
        tellings_max: u32,
        now_ms: i64,
    ) -> MerchantAnswer;
    async fn end_merchant_answer(
        payment: &PaymentId,
        holder: &str,
        end: MerchantAnswerEnd,
        now_ms: i64,
    ) -> bool;
    async fn lease_merchant_check(
        payment: &PaymentId,
        tellings_max: u32,
        lease_ms: i64,
        now_ms: i64,
    ) -> MerchantCheck;
    async fn merchant_answers_begun() -> Vec<(PaymentId, String)>;
    async fn lease_new_check(
        check: NewCheck,
        wanted: Reserve,
        terms: CheckTerms,
        now_ms: i64,
    ) -> NewCheckLease;

    // Exposure.
    async fn room(network: &Network, payer: &str, wanted: Reserve, now_ms: i64) -> ();
    async fn reserve(payment: &PaymentId, wanted: Reserve, now_ms: i64) -> ();
    async fn release(payment: &PaymentId, now_ms: i64) -> bool;
    async fn return_cost(payment: &PaymentId, now_ms: i64) -> bool;
    async fn unaccounted(network: &Network) -> Vec<Payment>;
    async fn exposure(network: &Network, now_ms: i64) -> ExposureSums;
    async fn burnt_until(network: &Network, payer: &str, now_ms: i64) -> Option<i64>;

    // Books.
    async fn book_cost(entry: CostEntry, now_ms: i64) -> bool;
    async fn open_work(now_ms: i64) -> OpenWork;
    async fn unexplained(network: &Network, transactions: &[String]) -> Vec<String>;
    async fn put_tariff(network: &Network, gas: Amount, detail: serde_json::Value, now_ms: i64) -> i64;
    async fn tariffs_since(network: &Network, replaced_after_ms: i64) -> Vec<TariffRow>;

    // Instances.
    async fn unfinished() -> Vec<Payment>;
    async fn running() -> Vec<(PaymentId, u32)>;
    async fn adopt_orphans(now_ms: i64) -> Vec<Payment>;
    async fn ping() -> ();
    async fn heartbeat(now_ms: i64) -> ();
    async fn rejoin(now_ms: i64) -> ();
    async fn prune(policy: Retention, now_ms: i64) -> u64;
    async fn prune_finished(policy: FinishedPolicy, after: Option<PruneCursor>, now_ms: i64) -> Pruned;
}
