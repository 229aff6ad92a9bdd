//! What a payment on record is answered.

use std::sync::Arc;

use quittance_ledger::{Known, Origin, Payment, PaymentState};
use quittance_protocol::{ErrorCode, PaymentKey};
use tokio::time::Instant;

use crate::Inner;
use crate::admission::updates::Updates;
use crate::api::receipts::{PENDING_RETRY_SECONDS, conflict, pending_receipt, unavailable};
use crate::api::{PayOutcome, Rejection, Sale};
use crate::chain::Verified;
use crate::in_flight::entries::PaymentEntry;
use crate::in_flight::share_key::share_key;
use crate::network::used;

/// Said of a purchase whose transaction is, byte for byte, that of an earlier one.
const SAME_MESSAGE: &str = "your client made one and the same transaction for this request and for an \
     earlier one, which it bought; it was paid once. Sign again to buy this one (a memo makes each \
     transaction its own)";

/// The same where the transaction never landed.
const SAME_MESSAGE_UNPAID: &str = "your client made one and the same transaction for this request and for \
     an earlier one, and it did not land; nothing was paid. Sign again to buy this one (a memo makes each \
     transaction its own)";

/// Whoever shows a payment that is on record: what an answer from the ledger needs to know.
pub(crate) struct Holder {
    pub(crate) key: PaymentKey,
    pub(crate) payer: String,
    pub(crate) signature_digest: [u8; 32],
    /// As of [`Verified`].
    pub(crate) is_signed: bool,
    /// What was shown, if it passes the checks of today's configuration.
    verified: Option<Verified>,
}

impl Holder {
    /// Of a payment that passes the checks.
    pub(crate) fn of(verified: &Verified) -> Self {
        Self {
            key: verified.key,
            payer: verified.payer.clone(),
            signature_digest: verified.signature_digest,
            is_signed: verified.is_signed,
            verified: Some(verified.clone()),
        }
    }

    /// Of one that is known from the ledger alone.
    pub(crate) fn on_record(key: PaymentKey, payer: String, signature_digest: [u8; 32]) -> Self {
        Self { key, payer, signature_digest, is_signed: true, verified: None }
    }

    /// The payer, where the signature is its own for certain.
    pub(crate) fn signer(&self) -> Option<&str> {
        self.is_signed.then_some(self.payer.as_str())
    }

    /// What copies share places by.
    pub(crate) fn share_key(&self) -> PaymentKey {
        share_key(&self.key, &self.signature_digest, self.is_signed)
    }
}

impl Inner {
    /// What a payment that is in the ledger gets: no price, window or RPC check.
    /// `None` for an alias whose payment ends unpaid: it may be claimed itself.
    pub(crate) async fn answer_known(
        self: &Arc<Self>,
        mut known: Known,
        holder: &Holder,
        sale: &Sale,
        until: Instant,
    ) -> Option<PayOutcome> {
        if *known.signature_digest() != holder.signature_digest || known.payment.origin != Origin::Gate {
            return Some(other_holder(&known.payment));
        }
        // Where the driver of the payment itself announces.
        let entry = self.in_flight.entry(known.payment.key);
        if known.payment.fingerprint != sale.fingerprint && self.may_coincide(holder, &known.payment) {
            return Some(self.answer_coincidence(known.payment, &entry, until).await);
        }
        if known.payment.fingerprint != sale.fingerprint {
            let message = "this payment bought another request";
            return Some(conflict(ErrorCode::RequestMismatch, message, &known.payment));
        }
        let mut updates = Updates::of(&entry, until);
        let mut is_last = false;
        loop {
            if known.is_free() {
                return None;
            }
            if let Some(outcome) = self.answer_now(&known, sale).await {
                return Some(outcome);
            }
            if is_last {
                return Some(self.pending(&known.payment).await);
            }
            known.payment = updates.next(self, known.payment).await;
            is_last = updates.is_over();
        }
    }

    /// Whether two purchases may have become this one payment without anybody's fault.
    fn may_coincide(&self, holder: &Holder, known: &Payment) -> bool {
        let Some(net) = self.net(known.network.as_str()) else { return false };
        match &holder.verified {
            Some(verified) => verified.may_coincide,
            // The same key, so the same message.
            None => {
                self.context.stored.revive(net.chain.decode(), known).is_some_and(|kept| kept.may_coincide)
            }
        }
    }

    /// The client made one transaction of two purchases, so the money moves once
    /// and buys the first. The other is told to sign again, and not before that
    /// gives another transaction than the one under way (P5).
    async fn answer_coincidence(
        &self,
        mut known: Payment,
        entry: &Arc<PaymentEntry>,
        until: Instant,
    ) -> PayOutcome {
        let mut updates = Updates::of(entry, until);
        while !known.state.is_final() && !updates.is_over() {
            known = updates.next(self, known).await;
        }
        if !known.state.is_final() {
            let receipt = pending_receipt(&known);
            return PayOutcome::Pending { receipt, retry_after_seconds: PENDING_RETRY_SECONDS };
        }
        if let Some(net) = self.net(known.network.as_str()) {
            net.moment.pass();
        }
        let words = if known.state == PaymentState::Settled { SAME_MESSAGE } else { SAME_MESSAGE_UNPAID };
        PayOutcome::Refused(Rejection::new(ErrorCode::DuplicateSettlement, words).of(known.payer.clone()))
    }

    /// The answer, if there is one already.
    async fn answer_now(self: &Arc<Self>, known: &Known, sale: &Sale) -> Option<PayOutcome> {
        let payment = &known.payment;
        match payment.state {
            PaymentState::Claimed | PaymentState::Recorded => None,
            PaymentState::Refused => Some(PayOutcome::Refused(refusal_of(payment))),
            PaymentState::Expired => Some(PayOutcome::Refused(
                Rejection::new(
                    ErrorCode::PaymentExpired,
                    "the payment expired without landing; nothing was paid",
                )
                .of(payment.payer.clone()),
            )),
            PaymentState::Settled => {
                self.strangers.settled(&payment.payer);
                self.serve(known, sale).await
            }
        }
    }

    /// Durable before it is said: a client that repeats its call signs anew, and is
    /// answered from this payment only because it was told (P7).
    pub(crate) async fn pending(&self, known: &Payment) -> PayOutcome {
        if let Err(error) =
            self.context.ledger.note_pending_answer(&known.id, self.context.clock.now_ms()).await
        {
            return unavailable(&error);
        }
        PayOutcome::Pending { receipt: pending_receipt(known), retry_after_seconds: PENDING_RETRY_SECONDS }
    }
}

/// Who shows another signature over an authorization on record, or one that was
/// brought elsewhere. While it may land nobody hears that it is not paid (P5).
fn other_holder(known: &Payment) -> PayOutcome {
    if !known.state.is_final() {
        let receipt = pending_receipt(known);
        return PayOutcome::Pending { receipt, retry_after_seconds: PENDING_RETRY_SECONDS };
    }
    let message = "this authorization was brought before, with another signature or to another place; \
         sign a new one";
    PayOutcome::Refused(Rejection::new(ErrorCode::DuplicateSettlement, message).of(known.payer.clone()))
}

fn refusal_of(known: &Payment) -> Rejection {
    let (code, message) = known
        .refusal
        .clone()
        .unwrap_or((ErrorCode::UnexpectedSettleError, "the payment was refused".to_owned()));
    let transaction = used::named_in(code, &message);
    Rejection { transaction, ..Rejection::new(code, message).of(known.payer.clone()) }
}
