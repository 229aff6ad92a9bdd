//! What is asked of a foreign server's request before ledger or chain are.

use std::sync::Arc;

use quittance_protocol::{
    ErrorCode, Family, Fingerprint, PaymentKey, PaymentPayload, PaymentRequirements, SellerTerms, Term,
    VerifyRequest, X402_VERSION,
};

use super::Asker;
use super::own_terms::sells;
use crate::Inner;
use crate::api::Rejection;
use crate::api::receipts::reject;
use crate::chain::Verified;
use crate::network::configured::ConfiguredNetwork;

/// What a payment is bound to at its claim: the merchant and its terms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    terms: Fingerprint,
    /// What claims of releases hold that did not bind the terms.
    key_alone: Fingerprint,
}

impl Bound {
    pub(super) fn of(merchant: &str, terms: &PaymentRequirements, key: &PaymentKey) -> Self {
        Self {
            terms: Fingerprint::of_merchant(merchant, &SellerTerms::of(terms)),
            key_alone: Fingerprint::of_merchant_and_key(merchant, key),
        }
    }

    /// For a new claim.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.terms
    }

    /// Whether a claim was made for this sale.
    pub(super) fn covers(&self, claimed: &Fingerprint) -> bool {
        *claimed == self.terms || *claimed == self.key_alone
    }
}

impl Inner {
    /// What needs neither ledger nor chain.
    pub(super) fn check_terms(
        &self,
        request: &VerifyRequest,
        asker: &Asker,
    ) -> Result<(Arc<ConfiguredNetwork>, Verified), Rejection> {
        if request.x402_version != X402_VERSION {
            return Err(reject(ErrorCode::InvalidX402Version, "x402Version must be 2"));
        }
        let wanted = &request.payment_requirements;
        if wanted.scheme != "exact" {
            return Err(reject(ErrorCode::UnsupportedScheme, "only the scheme \"exact\" is supported"));
        }
        let net = self
            .selling(&wanted.network)
            .ok_or_else(|| reject(ErrorCode::InvalidNetwork, "see GET /supported for the networks"))?;
        let own = asker.paid_at(&net)?;
        if !sells(&net, own, wanted) {
            return Err(reject(
                ErrorCode::InvalidPaymentRequirements,
                match own {
                    None => "this facilitator settles only to its configured payTo and asset",
                    Some(_) => {
                        "this facilitator settles this merchant's payments only to its own payTo and asset"
                    }
                },
            ));
        }
        let accepted = &request.payment_payload.accepted;
        let agreed = check_accepted(&net, accepted, wanted);
        if accepted.scheme != wanted.scheme || accepted.network != wanted.network {
            agreed.clone()?;
        }
        // What was signed says more about a mistake than what was echoed, so its own
        // refusals come first. From here on the server's terms count, not the echo.
        let payload = PaymentPayload { accepted: wanted.clone(), ..request.payment_payload.clone() };
        let checked = match own {
            None => self.check_local(&payload)?,
            Some(own) => {
                let payment = net.chain.verify()?.check_local_to(&payload, &own.pay_to)?;
                (Arc::clone(&net), payment)
            }
        };
        agreed?;
        if let Some(own) = own {
            self.merchants.payouts.is_ready(&net, &own.pay_to)?;
        }
        Ok(checked)
    }
}

/// What the customer says it accepted must be what the server sells: a payment
/// made for other terms is another sale's.
fn check_accepted(
    net: &ConfiguredNetwork,
    accepted: &PaymentRequirements,
    wanted: &PaymentRequirements,
) -> Result<(), Rejection> {
    let Some(term) = SellerTerms::of(wanted).disagreement(&SellerTerms::of(accepted)) else {
        return Ok(());
    };
    let (code, what) = match term {
        Term::Scheme => (ErrorCode::UnsupportedScheme, "scheme"),
        Term::Network => (net.chain.facts().network_mismatch, "network"),
        Term::Amount => (net.chain.facts().amount_mismatch, "amount"),
        Term::Asset => (ErrorCode::InvalidPaymentRequirements, "asset"),
        Term::PayTo => (ErrorCode::InvalidPaymentRequirements, "payTo"),
        // Some clients echo `accepted` without `extra`; the server's memo counts then.
        Term::Memo if accepted.extra.is_empty() => return Ok(()),
        Term::Memo => match net.chain.network().family() {
            Family::Eip155(_) => (ErrorCode::InvalidPaymentRequirements, "extra.memo"),
            Family::Solana => (ErrorCode::InvalidExactSvmPayloadMemoMismatch, "extra.memo"),
        },
    };
    Err(Rejection::new(code, format!("`accepted.{what}` is not what paymentRequirements ask for")))
}
