//! Calls that clients repeat by themselves, signing anew each time (P7), and what
//! payers call their purchases.

use quittance_ledger::{ClaimOutcome, Known, NewClaim, RepeatPolicy};
use quittance_protocol::ErrorCode;

use crate::admission::decision::{Claimed, NotTaken, Stop};
use crate::api::Rejection;
use crate::chain::Verified;
use crate::network::configured::ConfiguredNetwork;
use crate::network::strangers;
use crate::{Caller, Inner};

/// Said of a name that the same payer gave another purchase.
pub(crate) const NAMES_ANOTHER: &str = "this payment-identifier or Idempotency-Key was used with another \
     payment; send a new one to buy something else";

/// Most authorizations that are answered from one payment. A client that asks
/// every two seconds while Base takes half an hour to finalize stays below it.
const ALIASES_MAX: u32 = 1_000;

/// What `Retry-After` says beyond that.
pub(crate) const CROWDED_RETRY_SECONDS: u64 = 60;

/// By how much replicas' clocks may differ before two parallel calls could be
/// taken for one that was repeated.
const CLOCKS_DIFFER_MS: i64 = 5_000;

/// Whether the chain only found that the payer cannot pay once more. It has
/// looked whether the authorization is used by then, and it is not; but not yet at
/// the signature: one that only it could vouch for may be anybody's.
fn cannot_pay_again(payment: &Verified, rejection: &Rejection) -> bool {
    payment.is_signed && strangers::is_poverty(rejection.code)
}

impl Inner {
    pub(crate) fn repeat_policy(&self) -> RepeatPolicy {
        let waited_ms = self.limits.waited_ms.saturating_add(CLOCKS_DIFFER_MS);
        RepeatPolicy {
            runs: self.limits.runs,
            waiting_since_ms: self.context.clock.now_ms().saturating_sub(waited_ms),
            aliases_max: ALIASES_MAX,
        }
    }

    /// Whoever cannot, or may not, pay once more need not, if it repeats a call
    /// that it has paid. `refusal` is what the chain said, if it was asked: an
    /// authorization that is used on chain is public, and answers nobody.
    pub(crate) async fn answer_from_earlier(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        (draft, caller): (&NewClaim, Caller),
        refusal: Option<&Rejection>,
    ) -> Result<Option<Claimed>, Stop> {
        if refusal.is_some_and(|rejection| !cannot_pay_again(payment, rejection)) {
            return Ok(None);
        }
        let ledger = &self.context.ledger;
        // Before a node is asked: most who are refused have nothing to come back for.
        let reading = self.strangers.reading(payment.signer()).await;
        let earlier = ledger.earlier(draft).await.map_err(|error| Stop::unread(&error))?;
        drop(reading);
        if earlier.is_none() {
            return Ok(None);
        }
        if refusal.is_none() {
            match self.check_chain(net, payment, caller).await {
                Ok(_) => {}
                Err(NotTaken::Chain(rejection)) if cannot_pay_again(payment, &rejection) => {}
                // Nobody looked: whoever is to be answered from earlier asks again (P7).
                Err(NotTaken::Chain(rejection)) if rejection.code == ErrorCode::TooManyRequests => {
                    return Err(rejection.into());
                }
                Err(NotTaken::Chain(_)) => return Ok(None),
                Err(NotTaken::NoRoom(stop) | NotTaken::Wallet(stop) | NotTaken::Other(stop)) => {
                    return Err(stop);
                }
            }
        }
        let now_ms = self.context.clock.now_ms();
        let outcome =
            ledger.claim_alias(draft.clone(), now_ms).await.map_err(|error| Stop::unread(&error))?;
        Ok(outcome.map(|outcome| self.not_won(outcome)))
    }

    /// What a claim that became no payment of its own came to.
    pub(crate) fn not_won(&self, outcome: ClaimOutcome) -> Claimed {
        match outcome {
            ClaimOutcome::Aliased(known) => {
                self.context.metrics.aliased(&known.payment.network);
                tracing::info!(payment = %known.payment.id, "a fresh authorization is answered from it");
                Claimed::Known(*known)
            }
            ClaimOutcome::Exists(known) => Claimed::Known(*known),
            ClaimOutcome::Won(claim) => Claimed::Known(Known { payment: claim.into_payment(), alias: None }),
            ClaimOutcome::Named(_) => Claimed::Named,
            ClaimOutcome::Crowded(payment) => Claimed::Crowded(*payment),
        }
    }
}
