//! The gate's way: from a payment header to a grant, an answer or a refusal.

use std::sync::Arc;
use std::time::Duration;

use quittance_ledger::{ClaimOutcome, LedgerError, NewClaim, Origin, Payment, PaymentState};
use quittance_protocol::{
    Amount, ErrorCode, IdentifierHash, PaymentId, PaymentPayload, RequestId, RetryAction, SettleResponse,
    X402_VERSION,
};
use serde_json::Map;
use tokio::time::Instant;

use crate::api::{PayOutcome, Rejection, Sale};
use crate::board::Notice;
use crate::chain::{ChainPayment, CheckError};
use crate::desk::Desk;
use crate::settle::Driver;
use crate::{Inner, failpoint};

/// How often a waiter rereads the ledger when nobody in this process announces
/// anything: another replica may own the payment.
const REREAD_PAUSE: Duration = Duration::from_millis(500);

/// Said of an identifier that the same payer sent with another payment.
pub(crate) const NAMES_ANOTHER: &str =
    "this payment-identifier was used with another payment; send a new one";

/// What `Retry-After` says while a verdict is outstanding.
pub(crate) const PENDING_RETRY_SECONDS: u64 = 2;

/// What `Retry-After` says when a chain or the ledger cannot be reached.
pub(crate) const UNAVAILABLE_RETRY_SECONDS: u64 = 5;

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

    /// A `payment-identifier` names one payment; with another it is a mistake or an attack.
    async fn check_identifier(&self, sale: &Sale, payment: &ChainPayment) -> Result<(), PayOutcome> {
        match self.names_another(sale.identifier, payment).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(PayOutcome::Conflict {
                code: ErrorCode::RequestMismatch,
                message: NAMES_ANOTHER.to_owned(),
                receipt: None,
            }),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Whether the same payer sent this identifier with another payment.
    /// Identifiers are the clients' choice: another payer's is none of ours.
    pub(crate) async fn names_another(
        &self,
        identifier: Option<IdentifierHash>,
        payment: &ChainPayment,
    ) -> Result<bool, LedgerError> {
        let Some(identifier) = identifier.filter(|identifier| !identifier.is_offered()) else {
            return Ok(false);
        };
        let others = self.tools.ledger.payment_by_identifier(&identifier).await?;
        Ok(others.iter().any(|other| other.key != payment.key && other.payer == payment.payer))
    }

    /// The amount must be this body's own price plus a tariff of the window,
    /// and must still cover what a signature may cost (I10).
    async fn match_offer(
        &self,
        desk: &Desk,
        payment: &ChainPayment,
        sale: &Sale,
    ) -> Result<(Amount, i64), PayOutcome> {
        let now_ms = self.tools.clock.now_ms();
        let mut found = desk.matching(payment.amount, sale.service, now_ms);
        if found.is_none() {
            // Another replica may have offered a tariff we have not seen; the
            // signature is checked already, so this read cannot be had for free.
            if let Err(error) = crate::tariffs::reload(desk, &*self.tools.ledger, &self.policy, now_ms).await
            {
                tracing::warn!(%error, "cannot reread tariffs");
            }
            found = desk.matching(payment.amount, sale.service, now_ms);
        }
        let Some(tariff) = found else {
            return Err(PayOutcome::Refused(Rejection {
                code: desk.chain.amount_mismatch(),
                message: "the amount is not this request's price; pay the amount of a fresh offer".to_owned(),
                payer: Some(payment.payer.clone()),
            }));
        };
        if payment.needs_rent && !tariff.rent_included {
            return Err(PayOutcome::Refused(Rejection {
                code: ErrorCode::InvalidExactSvmPayloadTransactionInstructionsLength,
                message: "the recipient's token account exists; leave its creation out".to_owned(),
                payer: Some(payment.payer.clone()),
            }));
        }
        match desk.current(now_ms) {
            None => Err(PayOutcome::Unavailable { retry_after_seconds: desk.retry_after_seconds(now_ms) }),
            // An old tariff is honoured unless it no longer covers the bound.
            Some(current) if !covers(desk, tariff.gas, &current, payment.needs_rent, now_ms) => {
                Err(PayOutcome::Refused(Rejection {
                    code: desk.chain.amount_mismatch(),
                    message: "settlement became dearer than this offer covers; pay a fresh offer".to_owned(),
                    payer: Some(payment.payer.clone()),
                }))
            }
            Some(_) => Ok((tariff.gas, tariff.number)),
        }
    }

    /// Whose attempts cost gas and earned nothing, again and again, is refused
    /// before the next one (I10).
    pub(crate) async fn check_payer(&self, desk: &Desk, payer: &str) -> Result<(), PayOutcome> {
        let network = desk.chain.network();
        let now_ms = self.tools.clock.now_ms();
        match desk.ceilings.payer_is_over(&*self.tools.ledger, network, payer, now_ms).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(PayOutcome::Refused(Rejection {
                code: ErrorCode::InvalidTransactionState,
                message: "too many of this payer's transactions failed at our cost today; try again tomorrow"
                    .to_owned(),
                payer: Some(payer.to_owned()),
            })),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// One RPC call, plus at most one for the deadline.
    pub(crate) async fn check_chain(
        &self,
        desk: &Desk,
        payment: &ChainPayment,
    ) -> Result<Checked, PayOutcome> {
        let to_outcome = |error| match error {
            CheckError::Rejected(rejection) => PayOutcome::Refused(rejection),
            CheckError::Unreachable(reason) => {
                tracing::warn!(network = %desk.chain.network(), reason, "chain check impossible");
                PayOutcome::Unavailable { retry_after_seconds: UNAVAILABLE_RETRY_SECONDS }
            }
        };
        let view = desk.chain.check_chain(payment).await.map_err(to_outcome)?;
        let deadline = desk.chain.deadline(payment, &view).await.map_err(to_outcome)?;
        Ok(Checked { watch_from: view.watch_from, deadline })
    }

    /// What a payment that is in the ledger gets: no price, window or RPC check.
    async fn answer_known(
        self: &Arc<Self>,
        mut known: Payment,
        payment: &ChainPayment,
        sale: &Sale,
        notice: &Arc<Notice>,
        until: Instant,
    ) -> PayOutcome {
        if known.signature_digest != payment.signature_digest || known.origin != Origin::Gate {
            return PayOutcome::Refused(Rejection {
                code: ErrorCode::DuplicateSettlement,
                message: "this authorization is already being settled; sign a new one".to_owned(),
                payer: Some(payment.payer.clone()),
            });
        }
        if known.fingerprint != sale.fingerprint {
            return conflict(ErrorCode::RequestMismatch, "this payment bought another request", &known);
        }
        let mut changes = notice.subscribe();
        loop {
            if let Some(outcome) = self.answer_now(&known, sale).await {
                return outcome;
            }
            let pause = tokio::time::sleep_until(until.min(Instant::now() + REREAD_PAUSE));
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = pause => {}
            }
            match self.tools.ledger.payment(&known.id).await {
                Ok(Some(fresh)) => known = fresh,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "cannot reread a payment"),
            }
            if Instant::now() >= until {
                return match self.answer_now(&known, sale).await {
                    Some(outcome) => outcome,
                    None => self.pending(&known).await,
                };
            }
        }
    }

    /// The answer, if there is one already.
    async fn answer_now(self: &Arc<Self>, known: &Payment, sale: &Sale) -> Option<PayOutcome> {
        match known.state {
            PaymentState::Claimed | PaymentState::Recorded => None,
            PaymentState::Refused => Some(PayOutcome::Refused(refusal_of(known))),
            PaymentState::Expired => Some(PayOutcome::Refused(Rejection {
                code: ErrorCode::PaymentExpired,
                message: "the payment expired without landing; nothing was paid".to_owned(),
                payer: Some(known.payer.clone()),
            })),
            PaymentState::Settled => self.serve(known, sale).await,
        }
    }

    pub(crate) async fn pending(&self, known: &Payment) -> PayOutcome {
        if let Err(error) = self.tools.ledger.note_pending_answer(&known.id, self.tools.clock.now_ms()).await
        {
            tracing::warn!(%error, "cannot note a pending answer");
        }
        PayOutcome::Pending { receipt: pending_receipt(known), retry_after_seconds: PENDING_RETRY_SECONDS }
    }
}

/// What the chain said about a payment that may be claimed.
pub(crate) struct Checked {
    pub(crate) watch_from: u64,
    pub(crate) deadline: quittance_protocol::Deadline,
}

/// Whether `gas` still pays for what the current tariff says settling costs,
/// before markup, with the operator's budget (I10).
fn covers(desk: &Desk, gas: Amount, current: &quittance_quote::Tariff, rent: bool, now_ms: i64) -> bool {
    // A tariff's rent is only spent by a payment that creates the account.
    if current.rent_included && !rent {
        return true;
    }
    desk.allowed_native(gas, now_ms).is_some_and(|allowed| allowed >= current.cost_native)
}

pub(crate) fn reject(code: ErrorCode, message: &str) -> Rejection {
    Rejection { code, message: message.to_owned(), payer: None }
}

fn refusal_of(known: &Payment) -> Rejection {
    let (code, message) = known
        .refusal
        .clone()
        .unwrap_or((ErrorCode::UnexpectedSettleError, "the payment was refused".to_owned()));
    Rejection { code, message, payer: Some(known.payer.clone()) }
}

pub(crate) fn unavailable(error: &LedgerError) -> PayOutcome {
    tracing::error!(%error, "ledger");
    PayOutcome::Unavailable { retry_after_seconds: UNAVAILABLE_RETRY_SECONDS }
}

pub(crate) fn conflict(code: ErrorCode, message: &str, known: &Payment) -> PayOutcome {
    let settled = known.state == PaymentState::Settled;
    PayOutcome::Conflict { code, message: message.to_owned(), receipt: settled.then(|| receipt(known)) }
}

/// The receipt of a settled payment.
pub(crate) fn receipt(known: &Payment) -> SettleResponse {
    SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some(known.payer.clone()),
        transaction: known.transaction.clone().unwrap_or_default(),
        network: known.network.to_string(),
        amount: Some(known.amount.to_string()),
        payment_state: Some(known.state.to_string()),
        retry_action: None,
        retry_after_seconds: None,
        other: Map::new(),
    }
}

/// `settlement_pending`, with the hash once there is one (P5).
pub(crate) fn pending_receipt(known: &Payment) -> SettleResponse {
    SettleResponse {
        success: false,
        error_reason: Some(ErrorCode::SettlementPending),
        error_message: Some("send the same payment again".to_owned()),
        retry_action: Some(RetryAction::RetrySamePayment),
        retry_after_seconds: Some(PENDING_RETRY_SECONDS),
        payment_state: Some(pending_word(known).to_owned()),
        ..receipt(known)
    }
}

fn pending_word(known: &Payment) -> &'static str {
    if known.state == PaymentState::Settled { "settled" } else { "pending" }
}
