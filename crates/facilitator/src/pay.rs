//! The gate's way: from a payment header to a grant, an answer or a refusal.

use std::sync::Arc;

use quittance_ledger::{ClaimOutcome, LedgerError, NewClaim, Origin, Payment};
use quittance_protocol::{ErrorCode, PaymentId, PaymentPayload, RequestId, X402_VERSION};
use tokio::time::Instant;

use crate::answer::{UNAVAILABLE_RETRY_SECONDS, reject, unavailable};
use crate::api::{PayOutcome, Rejection, Sale};
use crate::board::Notice;
use crate::chain::ChainPayment;
use crate::desk::Desk;
use crate::settle::Driver;
use crate::{Inner, failpoint};

impl Inner {
    /// See [`crate::Facilitator::pay`].
    pub(crate) async fn pay(self: &Arc<Self>, payload: PaymentPayload, sale: Sale) -> PayOutcome {
        let until = Instant::now() + self.limits.pending_wait;
        let (desk, payment) = match self.check_local(&payload) {
            Ok(checked) => checked,
            // Its network is not connected yet: nothing is known of the payment,
            // not even whether it is on record (P5).
            Err(rejection) if rejection.code == ErrorCode::NetworkUnavailable => {
                return PayOutcome::Unavailable { retry_after_seconds: UNAVAILABLE_RETRY_SECONDS };
            }
            Err(rejection) => {
                self.tools.metrics.refused(self.label(&payload.accepted.network), rejection.code);
                return PayOutcome::Refused(rejection);
            }
        };
        let notice = self.board.notice(payment.key);
        // Detached: a client that hangs up between the claim's commit and the
        // driver's start must not leave a claim that nobody works on.
        let found = {
            let (inner, desk, payment) = (Arc::clone(self), Arc::clone(&desk), payment.clone());
            let (sale, notice) = (sale.clone(), Arc::clone(&notice));
            self.drivers.spawn(async move { inner.find_or_claim(&desk, &payment, &sale, &notice).await })
        };
        let found = match found.await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "claiming task failed");
                return PayOutcome::Unavailable { retry_after_seconds: UNAVAILABLE_RETRY_SECONDS };
            }
        };
        let known = match found {
            Ok(known) => known,
            Err(outcome) => {
                if let PayOutcome::Refused(rejection) = &outcome {
                    self.tools.metrics.refused(desk.chain.network().as_str(), rejection.code);
                }
                return outcome;
            }
        };
        self.answer_known(known, &payment, &sale, &notice, until).await
    }

    /// Version, network and whatever the chain crate can check without a chain or a clock.
    pub(crate) fn check_local(
        &self,
        payload: &PaymentPayload,
    ) -> Result<(Arc<Desk>, ChainPayment), Rejection> {
        if payload.x402_version != X402_VERSION {
            return Err(reject(ErrorCode::InvalidX402Version, "x402Version must be 2"));
        }
        let desk = self.desk(&payload.accepted.network).ok_or_else(|| {
            reject(ErrorCode::InvalidNetwork, "choose a network from this answer's `accepts`")
        })?;
        let payment = desk.chain.check_local(payload)?;
        Ok((desk, payment))
    }

    /// Ledger first; an unknown payment is checked against offer and chain and
    /// then claimed. Copies take turns, so they cost one chain check.
    async fn find_or_claim(
        self: &Arc<Self>,
        desk: &Arc<Desk>,
        payment: &ChainPayment,
        sale: &Sale,
        notice: &Arc<Notice>,
    ) -> Result<Payment, PayOutcome> {
        let mut turn = notice.turn.lock().await;
        match self.tools.ledger.payment_by_key(&payment.key).await {
            Ok(Some(known)) => return Ok(known),
            Ok(None) => {}
            Err(error) => return Err(unavailable(&error)),
        }
        desk.chain.check_window(payment, self.tools.clock.now()).map_err(PayOutcome::Refused)?;
        if let Some((digest, rejection)) = &turn.refused
            && *digest == payment.signature_digest
        {
            return Err(PayOutcome::Refused(rejection.clone()));
        }
        self.check_identifier(sale, payment).await?;
        let (gas, tariff) = self.match_offer(desk, payment, sale).await?;
        self.check_payer(desk, &payment.payer).await?;
        let claim = match self.check_chain(desk, payment).await {
            Ok(view) => view,
            Err(PayOutcome::Refused(rejection)) => {
                // Another replica may have claimed and landed it meanwhile: then
                // the chain refuses what the ledger knows, and whoever cannot read
                // the ledger knows nothing (P5).
                match self.tools.ledger.payment_by_key(&payment.key).await {
                    Ok(Some(known)) => return Ok(known),
                    Ok(None) => {}
                    Err(error) => return Err(unavailable(&error)),
                }
                turn.refused = Some((payment.signature_digest, rejection.clone()));
                return Err(PayOutcome::Refused(rejection));
            }
            Err(outcome) => return Err(outcome),
        };
        let new = NewClaim {
            id: PaymentId::from_random(self.tools.random.draw()),
            request_id: RequestId::from_random(self.tools.random.draw()),
            key: payment.key,
            network: desk.chain.network().clone(),
            origin: Origin::Gate,
            fingerprint: sale.fingerprint,
            signature_digest: payment.signature_digest,
            identifier: sale.identifier,
            payer: payment.payer.clone(),
            pay_to: desk.terms.pay_to.clone(),
            asset: desk.terms.asset.clone(),
            amount: payment.amount,
            service: sale.service,
            gas,
            tariff: Some(tariff),
            deadline: claim.deadline,
            watch_from: claim.watch_from,
            payload: payment.form.clone(),
            resource: sale.resource.clone(),
        };
        self.claim(desk, new, notice).await.map_err(|error| unavailable(&error))
    }

    /// Claims (I1) and starts the driver if the claim was won.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        desk: &Arc<Desk>,
        new: NewClaim,
        notice: &Arc<Notice>,
    ) -> Result<Payment, LedgerError> {
        failpoint::hit("before_claim").await;
        let (key, id) = (new.key, new.id.clone());
        let outcome = match self.tools.ledger.claim(new, self.tools.clock.now_ms()).await {
            Ok(ClaimOutcome::Won(claim)) => ClaimOutcome::Won(claim),
            Ok(ClaimOutcome::Exists(payment)) => return Ok(*payment),
            // The commit's answer was lost: a claim of this very id is ours.
            Err(error @ LedgerError::CommitUnknown(_)) => {
                let found = self.tools.ledger.payment_by_key(&key).await?;
                let Some(payment) = found else { return Err(error) };
                if payment.id != id {
                    return Ok(payment);
                }
                ClaimOutcome::Exists(Box::new(payment))
            }
            Err(error) => return Err(error),
        };
        failpoint::hit("after_claim").await;
        let payment = match outcome {
            ClaimOutcome::Won(claim) => claim.into_payment(),
            ClaimOutcome::Exists(payment) => *payment,
        };
        self.tools.metrics.reached(&payment.network, "claimed");
        let driver =
            Driver::claimed(Arc::clone(&self.tools), Arc::clone(desk), payment.clone(), Arc::clone(notice));
        self.drivers.spawn(driver.run());
        Ok(payment)
    }
}
