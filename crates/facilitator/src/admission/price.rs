//! Whether a new payment pays for its sale, and for being settled (I10).

use std::time::Duration;

use quittance_protocol::{Amount, ErrorCode};
use quittance_quote::Tariff;
use tokio::time::Instant;

use crate::Inner;
use crate::admission::decision::Stop;
use crate::api::{Rejection, Sale};
use crate::chain::Verified;
use crate::metrics::trouble::{self, Trouble};
use crate::network::configured::ConfiguredNetwork;
use crate::network::tariffs;

/// Pause between two rereadings of the tariffs for payments of unknown amounts.
const RELOAD_PAUSE: Duration = Duration::from_millis(200);

/// Whether `gas` still pays for what the current tariff says settling costs,
/// before markup, with the operator's budget (I10).
fn covers(net: &ConfiguredNetwork, gas: Amount, current: &Tariff, rent: bool, now_ms: i64) -> bool {
    // A tariff's rent is only spent by a payment that creates the account.
    if current.rent_included && !rent {
        return true;
    }
    net.allowed_native(gas, now_ms).is_some_and(|allowed| allowed >= current.cost_native)
}

impl Inner {
    /// The amount must be this body's own price plus a tariff of the window,
    /// and must still cover what a signature may cost (I10).
    pub(crate) async fn match_offer(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        sale: &Sale,
    ) -> Result<(Amount, i64), Stop> {
        let now_ms = self.context.clock.now_ms();
        let mut found = net.matching(payment.amount, sale.service, now_ms);
        if found.is_none() {
            self.reread_tariffs(net, now_ms).await;
            found = net.matching(payment.amount, sale.service, now_ms);
        }
        let mismatch = net.chain.facts().amount_mismatch;
        let refused =
            |code, message| Err(Stop::Refused(Rejection::new(code, message).of(payment.payer.clone())));
        let Some(tariff) = found else {
            let message = "the amount is not this request's price; pay the amount of a fresh offer";
            return refused(mismatch, message);
        };
        if payment.needs_rent && !tariff.rent_included {
            let code = ErrorCode::InvalidExactSvmPayloadTransactionInstructionsLength;
            return refused(code, "the recipient's token account exists; leave its creation out");
        }
        match net.open(now_ms) {
            Err(closed) => Err(closed.into()),
            // An old tariff is honoured unless it no longer covers the bound.
            Ok(current) if !covers(net, tariff.gas, &current, payment.needs_rent, now_ms) => {
                let message = "settlement became dearer than this offer covers; pay a fresh offer";
                refused(mismatch, message)
            }
            Ok(_) => Ok((tariff.gas, tariff.number)),
        }
    }

    /// Another replica may have offered a tariff we have not seen. A signature costs
    /// less than this read, so all who come with amounts of their own share one in a
    /// while, which began after they came.
    async fn reread_tariffs(&self, net: &ConfiguredNetwork, now_ms: i64) {
        let asked = Instant::now();
        let mut last = net.share.reloaded.lock().await;
        if last.is_some_and(|begun| begun >= asked) {
            return;
        }
        if let Some(begun) = *last {
            tokio::time::sleep_until(begun + RELOAD_PAUSE).await;
        }
        *last = Some(Instant::now());
        if let Err(error) = tariffs::reload(net, &*self.context.ledger, &self.policy, now_ms).await {
            trouble::note(Trouble::Tariffs, net.chain.network().as_str(), &error);
        }
    }

    /// What settling costs at a foreign server, which sets its own prices. Never under cost: the
    /// amount itself must pay for it, unless the merchant's own limits bound what somebody else
    /// carries (`is_floored` is false then).
    pub(crate) fn covers_cost(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        is_floored: bool,
    ) -> Result<Amount, Rejection> {
        let tariff = net.open(self.context.clock.now_ms()).map_err(|closed| {
            let message = format!(
                "this network cannot settle now ({}); send the same payment again later",
                closed.as_str()
            );
            Rejection::new(ErrorCode::NetworkUnavailable, message).retry_same()
        })?;
        if is_floored && payment.amount < tariff.gas {
            return Err(Rejection::new(
                ErrorCode::InvalidPaymentRequirements,
                format!("the amount is below the settlement cost of {} USDC", tariff.gas.to_usdc()),
            )
            .of(payment.payer.clone()));
        }
        Ok(tariff.gas)
    }
}
