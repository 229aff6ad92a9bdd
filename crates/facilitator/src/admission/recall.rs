//! The ledger comes before the configuration.
//!
//! Whatever `pay_to`, asset, wallet or network is configured now, a payment that
//! is on record is answered from the record: it was claimed under terms that
//! were ours then, and its money may have moved. So before a payload is told that
//! it is none of ours, its key is read from the payload alone and looked up,
//! once and by an index.

use std::sync::Arc;

use quittance_ledger::{DeliveryState, Known, LedgerError, Origin, Payment, PaymentState};
use quittance_protocol::{ErrorCode, Network, PaymentPayload, VerifyRequest};
use tokio::time::Instant;

use crate::Inner;
use crate::admission::answer::Holder;
use crate::api::receipts::{conflict, reject, unavailable};
use crate::api::{PayOutcome, Rejection, Sale};
use crate::chain::{Identity, identify};
use crate::metrics::trouble::{self, Trouble};

impl Inner {
    /// The payment on record that a payload carries although the local checks
    /// refuse it, and the payload as an answer from the ledger wants it.
    ///
    /// `None` where nothing is on record, and also for a known key under a
    /// signature that is neither the stored one nor the payer's: whoever made
    /// that up learns nothing.
    pub(crate) async fn recall(
        &self,
        payload: &PaymentPayload,
    ) -> Result<Option<(Known, Holder)>, LedgerError> {
        let Some(identity) = self.identify(payload) else { return Ok(None) };
        let reading = self.strangers.reading(identity.signer()).await;
        let known = self.context.ledger.known(&identity.key).await?;
        drop(reading);
        let Some(known) = known else { return Ok(None) };
        let holds = identity.digests.contains(known.signature_digest());
        // One that is answered from another payment, which ended unpaid, is on record no more.
        if known.is_free() || (!holds && !identity.is_signed) {
            return Ok(None);
        }
        let signature_digest = match (holds, identity.digests.first()) {
            (true, _) | (false, None) => *known.signature_digest(),
            (false, Some(other)) => *other,
        };
        Ok(Some((known, Holder::on_record(identity.key, identity.payer, signature_digest))))
    }

    /// The payment on record that a request is about although its terms are not
    /// what is configured, or the reason for which the terms were refused; `unread`
    /// where the ledger was not read.
    pub(crate) async fn recall_for(
        &self,
        request: &VerifyRequest,
        rejection: Rejection,
        unread: ErrorCode,
    ) -> Result<(Payment, Holder), Rejection> {
        let asked = &request.payment_payload;
        // The server's terms name the token and network; the customer's echo may be empty.
        let by_terms = PaymentPayload { accepted: request.payment_requirements.clone(), ..asked.clone() };
        for payload in [&by_terms, asked] {
            match self.recall(payload).await {
                Ok(Some((Known { payment, alias: None }, presented))) => return Ok((payment, presented)),
                // A gate answers it from another payment.
                Ok(Some((_, presented))) => {
                    return Err(reject(
                        ErrorCode::DuplicateSettlement,
                        "this payment is already being settled",
                    )
                    .of(presented.payer)
                    .do_not_retry());
                }
                Ok(None) => {}
                Err(error) => {
                    trouble::note(Trouble::Ledger, "", &error);
                    let message = "the ledger cannot be read now; send the same payment again";
                    return Err(reject(unread, message).retry_same());
                }
            }
        }
        Err(rejection)
    }

    /// See [`crate::Facilitator::on_record`].
    pub(crate) async fn what_is_on_record(&self, payload: &PaymentPayload) -> Option<PayOutcome> {
        let (known, presented) = match self.recall(payload).await {
            Ok(found) => found?,
            Err(error) => return Some(unavailable(&error)),
        };
        if *known.signature_digest() != presented.signature_digest || known.payment.origin != Origin::Gate {
            return None;
        }
        match known.payment.state {
            PaymentState::Claimed | PaymentState::Recorded => Some(self.pending(&known.payment).await),
            PaymentState::Settled => {
                let message = "this payment bought a request that is not served any more";
                Some(conflict(ErrorCode::BodyTooLarge, message, &known.payment))
            }
            PaymentState::Refused | PaymentState::Expired => None,
        }
    }

    /// See [`crate::Facilitator::recall`]. Never grants: the host cannot say any
    /// more what the request is.
    pub(crate) async fn recall_unpriced(
        self: &Arc<Self>,
        payload: &PaymentPayload,
        sale: &Sale,
    ) -> Option<PayOutcome> {
        let (known, payment) = match self.recall(payload).await {
            Ok(found) => found?,
            Err(error) => return Some(unavailable(&error)),
        };
        let ours = *known.signature_digest() == payment.signature_digest
            && known.payment.fingerprint == sale.fingerprint
            && known.payment.origin == Origin::Gate;
        match (known.payment.state, known.payment.delivery) {
            _ if !ours => None,
            (PaymentState::Claimed | PaymentState::Recorded, _) | (_, DeliveryState::Running) => {
                Some(self.pending(&known.payment).await)
            }
            (PaymentState::Settled, DeliveryState::Delivered | DeliveryState::Owed) => {
                self.answer_known(known, &payment, sale, Instant::now()).await
            }
            (PaymentState::Settled | PaymentState::Refused | PaymentState::Expired, _) => None,
        }
    }

    pub(crate) fn identify(&self, payload: &PaymentPayload) -> Option<Identity> {
        let network = &payload.accepted.network;
        match self.net(network) {
            Some(net) => net.chain.decode().identify(payload),
            None => identify(&network.parse::<Network>().ok()?, payload),
        }
    }
}
