//! `/verify` and `/settle` for foreign servers.
//!
//! They send no request body, so each `success: true` runs a handler of
//! theirs; the first one is therefore journaled before it is sent.

use std::sync::Arc;

use quittance_ledger::{Known, MerchantAnswer, NewClaim, Origin, Payment, PaymentState};
use quittance_protocol::{
    Amount, ErrorCode, Fingerprint, IdentifierHash, PaymentId, PaymentPayload, RequestId, RetryAction,
    SettleRequest, SettleResponse, SupportedKind, SupportedResponse, VerifyRequest, VerifyResponse,
    X402_VERSION,
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::answer::{pending_receipt, receipt, reject};
use crate::api::{PayOutcome, Rejection};
use crate::board::Notice;
use crate::chain::{ChainPayment, CheckError};
use crate::desk::Desk;
use crate::repeats::{Claimed, NAMES_ANOTHER};
use crate::{Inner, failpoint};

impl Inner {
    /// See [`crate::Facilitator::verify`].
    pub(crate) async fn verify(self: &Arc<Self>, request: VerifyRequest) -> VerifyResponse {
        match self.verify_inner(&request).await {
            Ok(payment) => VerifyResponse {
                is_valid: true,
                invalid_reason: None,
                invalid_message: None,
                payer: Some(payment.payer),
                other: Map::new(),
            },
            Err(rejection) => {
                self.tools.metrics.refused(self.label(&request.payment_requirements.network), rejection.code);
                VerifyResponse {
                    is_valid: false,
                    invalid_reason: Some(rejection.code),
                    invalid_message: Some(rejection.message),
                    payer: rejection.payer,
                    other: Map::new(),
                }
            }
        }
    }

    /// One RPC call: nothing is claimed, so no deadline is read.
    async fn verify_inner(self: &Arc<Self>, request: &VerifyRequest) -> Result<ChainPayment, Rejection> {
        let (desk, payment) = self.check_terms(request)?;
        match self.tools.ledger.known(&payment.key).await {
            Ok(None) => desk.chain.check_window(&payment, self.tools.clock.now())?,
            Ok(Some(Known { payment: known, alias: None })) => {
                return self.verify_known(&known, payment, identifier_of(request));
            }
            Ok(Some(known)) if !known.is_free() => return Err(duplicate(&payment)),
            Ok(Some(_)) => desk.chain.check_window(&payment, self.tools.clock.now())?,
            Err(error) => {
                tracing::error!(%error, "ledger");
                return Err(reject(ErrorCode::UnexpectedVerifyError, "the ledger cannot be read; try again"));
            }
        }
        check_identifier(request)?;
        self.covers_cost(&desk, &payment)?;
        self.check_payer_alone(&desk, &payment).await?;
        match desk.chain.check_chain(&payment).await {
            Ok(_) => Ok(payment),
            Err(CheckError::Rejected(rejection)) => Err(rejection),
            Err(CheckError::Unreachable(reason)) => {
                tracing::warn!(network = %desk.chain.network(), reason, "chain check impossible");
                Err(unreachable_chain())
            }
        }
    }

    /// A known payment is valid while `/settle` would still say `success: true`:
    /// a server that works before it settles must get past this after a crash,
    /// and nobody may make it work again once it was told.
    fn verify_known(
        &self,
        known: &Payment,
        payment: ChainPayment,
        identifier: Option<IdentifierHash>,
    ) -> Result<ChainPayment, Rejection> {
        let same = known.signature_digest == payment.signature_digest;
        match known.state {
            _ if !same || matches!(known.origin, Origin::Gate) => Err(duplicate(&payment)),
            PaymentState::Claimed | PaymentState::Recorded => Err(Rejection::new(
                ErrorCode::SettlementPending,
                "this payment is being settled; send it again",
            )
            .of(payment.payer)),
            PaymentState::Settled if self.may_hear(known, identifier) => Ok(payment),
            PaymentState::Settled => Err(duplicate(&payment)),
            PaymentState::Refused | PaymentState::Expired => Err(ended(known)),
        }
    }

    /// What needs neither ledger nor chain.
    fn check_terms(&self, request: &VerifyRequest) -> Result<(Arc<Desk>, ChainPayment), Rejection> {
        if request.x402_version != X402_VERSION {
            return Err(reject(ErrorCode::InvalidX402Version, "x402Version must be 2"));
        }
        let wanted = &request.payment_requirements;
        if wanted.scheme != "exact" {
            return Err(reject(ErrorCode::UnsupportedScheme, "only the scheme \"exact\" is supported"));
        }
        let desk = self
            .desk(&wanted.network)
            .ok_or_else(|| reject(ErrorCode::InvalidNetwork, "see GET /supported for the networks"))?;
        if !desk.sells(wanted) {
            return Err(reject(
                ErrorCode::InvalidPaymentRequirements,
                "this facilitator settles only to its configured payTo and asset",
            ));
        }
        let accepted = &request.payment_payload.accepted;
        if accepted.scheme != wanted.scheme {
            return Err(reject(
                ErrorCode::UnsupportedScheme,
                "the payment's scheme is not the one asked for",
            ));
        }
        if accepted.network != wanted.network {
            return Err(reject(
                desk.chain.network_mismatch(),
                "the payment is for another network than asked for",
            ));
        }
        // From here on the server's terms count, not the customer's echo.
        let payload = PaymentPayload { accepted: wanted.clone(), ..request.payment_payload.clone() };
        self.check_local(&payload)
    }

    /// Never under cost: the amount itself must pay for its settlement.
    fn covers_cost(&self, desk: &Desk, payment: &ChainPayment) -> Result<Amount, Rejection> {
        let Some(tariff) = desk.current(self.tools.clock.now_ms()) else {
            return Err(reject(
                ErrorCode::NetworkUnavailable,
                "this network cannot settle now; try again later",
            ));
        };
        if payment.amount < tariff.gas {
            return Err(Rejection::new(
                ErrorCode::InvalidPaymentRequirements,
                format!("the amount is below the settlement cost of {} USDC", tariff.gas.to_usdc()),
            )
            .of(payment.payer.clone()));
        }
        Ok(tariff.gas)
    }

    async fn check_payer_alone(&self, desk: &Desk, payment: &ChainPayment) -> Result<(), Rejection> {
        self.check_payer(desk, &payment.payer).await.map_err(|outcome| match outcome {
            PayOutcome::Refused(rejection) => rejection,
            _ => reject(ErrorCode::NetworkUnavailable, "the ledger cannot be read now; try again"),
        })
    }

    async fn check_chain_alone(
        &self,
        desk: &Desk,
        payment: &ChainPayment,
    ) -> Result<crate::checks::Checked, Rejection> {
        self.check_chain(desk, payment).await.map_err(|outcome| match outcome {
            PayOutcome::Refused(rejection) => rejection,
            _ => unreachable_chain(),
        })
    }

    /// See [`crate::Facilitator::settle`].
    pub(crate) async fn settle(self: &Arc<Self>, request: SettleRequest, merchant: &str) -> SettleResponse {
        let network = request.payment_requirements.network.clone();
        let until = Instant::now() + self.limits.pending_wait;
        let (desk, payment) = match self.check_terms(&request) {
            Ok(checked) => checked,
            Err(rejection) => return self.refused(&network, rejection),
        };
        let notice = self.board.notice(payment.key);
        let identifier = identifier_of(&request);
        // Detached, so that a server that hangs up cannot strand a claim.
        let found = {
            let (inner, desk, payment) = (Arc::clone(self), Arc::clone(&desk), payment.clone());
            let (notice, merchant) = (Arc::clone(&notice), merchant.to_owned());
            let identifier = check_identifier(&request).map(|()| identifier);
            self.drivers.spawn(async move {
                inner.find_or_claim_for(&desk, &payment, &merchant, identifier, &notice).await
            })
        };
        let known = match found.await {
            Ok(Ok(known)) => known,
            Ok(Err(rejection)) => return self.refused(&network, rejection),
            Err(error) => {
                tracing::error!(%error, "settling task failed");
                return self.refused(&network, reject(ErrorCode::UnexpectedSettleError, "try again"));
            }
        };
        if known.signature_digest != payment.signature_digest
            || known.origin != Origin::Merchant(merchant.to_owned())
        {
            return duplicate_of(&known);
        }
        self.answer_merchant(known, identifier, &notice, until).await
    }

    async fn find_or_claim_for(
        self: &Arc<Self>,
        desk: &Arc<Desk>,
        payment: &ChainPayment,
        merchant: &str,
        identifier: Result<Option<IdentifierHash>, Rejection>,
        notice: &Arc<Notice>,
    ) -> Result<Payment, Rejection> {
        let mut turn = notice.turn.lock().await;
        let ledger_trouble = |error| {
            tracing::error!(%error, "ledger");
            reject(
                ErrorCode::UnexpectedSettleError,
                "the ledger cannot be used now; send the same payment again",
            )
        };
        match self.tools.ledger.known(&payment.key).await.map_err(ledger_trouble)? {
            Some(Known { payment: known, alias: None }) => return Ok(known),
            // A gate answers it from another payment, unless that ended unpaid.
            Some(known) if !known.is_free() => return Err(duplicate(payment)),
            _ => {}
        }
        desk.chain.check_window(payment, self.tools.clock.now())?;
        if let Some((digest, rejection)) = &turn.refused
            && *digest == payment.signature_digest
        {
            return Err(rejection.clone());
        }
        let identifier = identifier?;
        let gas = self.covers_cost(desk, payment)?;
        self.check_payer_alone(desk, payment).await?;
        let checked = match self.check_chain_alone(desk, payment).await {
            Ok(checked) => checked,
            Err(rejection) => {
                if rejection.code != ErrorCode::NetworkUnavailable {
                    // Another replica may have claimed and landed it meanwhile.
                    let known = self.tools.ledger.payment_by_key(&payment.key).await;
                    if let Some(known) = known.map_err(ledger_trouble)? {
                        return Ok(known);
                    }
                    turn.refused = Some((payment.signature_digest, rejection.clone()));
                }
                return Err(rejection);
            }
        };
        let service = payment.amount.checked_sub(gas).unwrap_or(Amount::ZERO);
        let new = NewClaim {
            id: PaymentId::from_random(self.tools.random.draw()),
            request_id: RequestId::from_random(self.tools.random.draw()),
            key: payment.key,
            network: desk.chain.network().clone(),
            origin: Origin::Merchant(merchant.to_owned()),
            fingerprint: Fingerprint::of_merchant(merchant, payment.key.as_bytes()),
            signature_digest: payment.signature_digest,
            identifier,
            idempotency: None,
            repeats: None,
            payer: payment.payer.clone(),
            pay_to: desk.terms.pay_to.clone(),
            asset: desk.terms.asset.clone(),
            amount: payment.amount,
            service,
            gas,
            tariff: None,
            deadline: checked.deadline,
            watch_from: checked.watch_from,
            payload: payment.form.clone(),
            resource: "POST /settle".to_owned(),
        };
        match self.claim(desk, new, notice).await.map_err(ledger_trouble)? {
            Claimed::Known(Known { payment: known, alias: None }) => Ok(known),
            Claimed::Known(_) => Err(duplicate(payment)),
            Claimed::Named | Claimed::Crowded(_) => {
                Err(reject(ErrorCode::RequestMismatch, NAMES_ANOTHER).of(payment.payer.clone()))
            }
        }
    }

    async fn answer_merchant(
        &self,
        mut known: Payment,
        identifier: Option<IdentifierHash>,
        notice: &Arc<Notice>,
        until: Instant,
    ) -> SettleResponse {
        let mut changes = notice.subscribe();
        while !known.state.is_final() && Instant::now() < until {
            let reread = tokio::time::sleep(std::time::Duration::from_millis(500));
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = reread => {}
                () = tokio::time::sleep_until(until) => {}
            }
            if let Ok(Some(fresh)) = self.tools.ledger.payment(&known.id).await {
                known = fresh;
            }
        }
        match known.state {
            PaymentState::Claimed | PaymentState::Recorded => {
                if let PayOutcome::Pending { receipt, .. } = self.pending(&known).await {
                    return receipt;
                }
                pending_receipt(&known)
            }
            PaymentState::Settled => self.first_success(&known, identifier).await,
            PaymentState::Refused | PaymentState::Expired => failure(known.network.as_str(), &ended(&known)),
        }
    }

    async fn first_success(&self, known: &Payment, identifier: Option<IdentifierHash>) -> SettleResponse {
        // The bytes are public by now: they are not the customer.
        if !shows_identifier(known, identifier) {
            return duplicate_of(known);
        }
        failpoint::hit("before_merchant_answer").await;
        let now_ms = self.tools.clock.now_ms();
        let answered = self.tools.ledger.answer_merchant(&known.id, now_ms).await;
        failpoint::hit("after_merchant_answer").await;
        match answered {
            Ok(MerchantAnswer::First) => receipt(known),
            Ok(MerchantAnswer::Again { .. }) if self.may_hear_again(known) => receipt(known),
            Ok(MerchantAnswer::Again { .. }) => duplicate_of(known),
            // Not journaled, so not said: the server asks again.
            Err(error) => {
                tracing::error!(%error, "ledger");
                pending_receipt(known)
            }
        }
    }

    /// Whether the next `/settle` of a settled payment succeeds.
    fn may_hear(&self, known: &Payment, identifier: Option<IdentifierHash>) -> bool {
        shows_identifier(known, identifier)
            && (known.merchant_answer_at_ms.is_none() || self.may_hear_again(known))
    }

    /// Who sent an identifier, or was told to come back, may hear it twice.
    fn may_hear_again(&self, known: &Payment) -> bool {
        let now_ms = self.tools.clock.now_ms();
        let after_pending =
            known.pending_answer_at_ms.is_some_and(|at| now_ms.saturating_sub(at) <= self.limits.replay_ms);
        known.identifier.is_some() || after_pending
    }

    fn refused(&self, network: &str, rejection: Rejection) -> SettleResponse {
        self.tools.metrics.refused(self.label(network), rejection.code);
        failure(network, &rejection)
    }

    /// See [`crate::Facilitator::supported`].
    pub(crate) fn supported(&self) -> SupportedResponse {
        let mut signers = Map::new();
        let mut kinds = Vec::new();
        for desk in &self.desks {
            let network = desk.chain.network();
            kinds.push(SupportedKind {
                x402_version: X402_VERSION,
                scheme: "exact".to_owned(),
                network: network.to_string(),
                extra: desk.chain.offer_extra(),
            });
            let family = network.as_str().split(':').next().unwrap_or_default();
            let list = signers.entry(format!("{family}:*")).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(json!(desk.chain.wallet()));
            }
        }
        SupportedResponse { kinds, extensions: vec!["payment-identifier".to_owned()], signers }
    }
}

fn unreachable_chain() -> Rejection {
    reject(ErrorCode::NetworkUnavailable, "the chain cannot be reached now; try again")
}

/// The customer's own word. One that an offer of ours suggested says nothing
/// here: foreign servers make their own offers.
fn identifier_of(request: &VerifyRequest) -> Option<IdentifierHash> {
    let identifier = request.payment_payload.payment_identifier().ok().flatten().map(IdentifierHash::of);
    identifier.filter(|identifier| !identifier.is_offered())
}

/// A word that is none names nothing: its sender would take it for a name.
fn check_identifier(request: &VerifyRequest) -> Result<(), Rejection> {
    match request.payment_payload.payment_identifier() {
        Ok(_) => Ok(()),
        Err(error) => Err(reject(ErrorCode::InvalidPayload, &error.to_string())),
    }
}

/// A claim's identifier is the customer's alone; without one, whoever has the bytes.
fn shows_identifier(known: &Payment, identifier: Option<IdentifierHash>) -> bool {
    known.identifier.is_none() || known.identifier == identifier
}

/// Why a payment that will never land did not.
fn ended(known: &Payment) -> Rejection {
    let (code, message) = known
        .refusal
        .clone()
        .unwrap_or((ErrorCode::PaymentExpired, "the payment expired without landing".to_owned()));
    Rejection::new(code, message).of(known.payer.clone())
}

fn duplicate(payment: &ChainPayment) -> Rejection {
    Rejection::new(ErrorCode::DuplicateSettlement, "this payment is already being settled")
        .of(payment.payer.clone())
}

fn duplicate_of(known: &Payment) -> SettleResponse {
    SettleResponse {
        success: false,
        error_reason: Some(ErrorCode::DuplicateSettlement),
        error_message: Some("this payment was settled before".to_owned()),
        retry_action: Some(RetryAction::DoNotRetry),
        ..receipt(known)
    }
}

fn failure(network: &str, rejection: &Rejection) -> SettleResponse {
    SettleResponse {
        success: false,
        error_reason: Some(rejection.code),
        error_message: Some(rejection.message.clone()),
        payer: rejection.payer.clone(),
        transaction: rejection.transaction.clone().unwrap_or_default(),
        network: network.to_owned(),
        amount: None,
        payment_state: Some("none".to_owned()),
        retry_action: Some(rejection.retry_action),
        retry_after_seconds: None,
        other: Map::new(),
    }
}
