//! The claim of a payment (I1), and the start of its driver.

use std::sync::Arc;

use quittance_ledger::{
    ClaimOutcome, Known, LedgerError, MerchantFee, NewClaim, Origin, Payment, RepeatPolicy, Reserve,
};
use quittance_protocol::{Amount, Deadline, ErrorCode, Fingerprint, IdentifierHash, PaymentId, RequestId};

use crate::Inner;
use crate::admission::decision::Claimed;
use crate::api::Rejection;
use crate::api::receipts::reject;
use crate::chain::Verified;
use crate::context::failpoint;
use crate::in_flight::callers::Purchase;
use crate::in_flight::entries::PaymentEntry;
use crate::network::configured::ConfiguredNetwork;
use crate::settle::Driver;

/// What a claim says of the sale that it is made for.
pub(crate) struct Sold {
    pub(crate) origin: Origin,
    /// A merchant's own recipient, where it has one.
    pub(crate) pay_to: Option<String>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) identifier: Option<IdentifierHash>,
    pub(crate) idempotency: Option<IdentifierHash>,
    pub(crate) repeats: Option<RepeatPolicy>,
    pub(crate) service: Amount,
    /// What is charged for settling.
    pub(crate) gas: Amount,
    /// Who carries it, where that is a merchant's own affair.
    pub(crate) fee: Option<MerchantFee>,
    pub(crate) tariff: Option<i64>,
    pub(crate) resource: String,
}

impl Inner {
    /// A claim without what only the chain can tell.
    pub(crate) fn draft(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        sold: Sold,
    ) -> Result<NewClaim, Rejection> {
        let payload =
            payment.store().map_err(|error| reject(ErrorCode::InvalidPayload, &error.to_string()))?;
        let Sold { origin, fingerprint, identifier, idempotency, repeats, service, gas, fee, .. } = sold;
        let Sold { pay_to, tariff, resource, .. } = sold;
        Ok(NewClaim {
            id: PaymentId::from_random(self.context.random.draw()),
            request_id: RequestId::from_random(self.context.random.draw()),
            key: payment.key,
            network: net.chain.network().clone(),
            origin,
            fingerprint,
            signature_digest: payment.signature_digest,
            identifier,
            idempotency,
            repeats,
            payer: payment.payer.clone(),
            pay_to: pay_to.unwrap_or_else(|| net.terms.pay_to.clone()),
            asset: net.terms.asset.clone(),
            amount: payment.amount,
            service,
            gas,
            fee,
            tariff,
            deadline: Deadline::UnixSeconds(0),
            watch_from: 0,
            payload,
            resource,
        })
    }

    /// Claims (I1), reserves in the same commit (P3), and starts the driver if the
    /// claim was won.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        (net, verified): (&Arc<ConfiguredNetwork>, &Verified),
        mut new: NewClaim,
        reserve: Reserve,
        entry: &Arc<PaymentEntry>,
    ) -> Result<Claimed, LedgerError> {
        failpoint::hit("before_claim").await;
        let (key, id) = (new.key, new.id.clone());
        let reserved = (u128::from(reserve.bound.native), reserve.by_code);
        let now_ms = self.context.clock.now_ms();
        // Its caller left while it was checked, and may have called again since:
        // that call's payment, not served yet, is this one's.
        let callers = self.in_flight.entry(Purchase::claimed(&new).share_key());
        if let Some(policy) = new.repeats.as_mut().filter(|_| callers.callers().are_gone()) {
            policy.waiting_since_ms = now_ms;
        }
        let outcome = match self.context.ledger.claim_within(new, reserve, now_ms).await {
            Ok(outcome) => outcome,
            // The commit's answer was lost: a claim of this very id is ours.
            Err(error @ LedgerError::CommitUnknown(_)) => {
                let Some(known) = self.context.ledger.known(&key).await? else { return Err(error) };
                if known.payment.id == id {
                    return Ok(Claimed::Known(
                        self.drive((net, verified), known.payment, reserved, entry).await,
                    ));
                }
                ClaimOutcome::Exists(Box::new(known))
            }
            Err(error) => return Err(error),
        };
        match outcome {
            ClaimOutcome::Won(claim) => {
                let driven = (net, verified);
                Ok(Claimed::Known(self.drive(driven, claim.into_payment(), reserved, entry).await))
            }
            other => Ok(self.not_won(other)),
        }
    }

    /// Starts the driver of a payment that was just claimed.
    async fn drive(
        self: &Arc<Self>,
        (net, verified): (&Arc<ConfiguredNetwork>, &Verified),
        payment: Payment,
        reserved: (u128, bool),
        entry: &Arc<PaymentEntry>,
    ) -> Known {
        failpoint::hit("after_claim").await;
        // Whoever left before there was a claim could not be noted with it.
        let purchase = Purchase::of(&payment);
        if self.in_flight.entry(purchase.share_key()).callers().are_gone() {
            self.note_gone(purchase);
        }
        self.context.metrics.reached(&payment.network, "claimed");
        let (context, net) = (Arc::clone(&self.context), Arc::clone(net));
        let (claimed, entry) = (payment.clone(), Arc::clone(entry));
        let of = (Arc::clone(&net), self.dispatch(&net));
        let driver = Driver::claimed(context, of, claimed, verified.clone(), reserved, entry);
        self.drivers.spawn_on(driver.run(), &self.runtime);
        Known { payment, alias: None }
    }
}
