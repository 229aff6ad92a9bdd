//! What a new payment is asked before it is claimed: price, payer, chain.

use std::time::Duration;

use quittance_ledger::Balance;
use quittance_protocol::{Amount, Deadline, ErrorCode};
use tokio::time::Instant;

use crate::admission::answer::not_now;
use crate::api::{PayOutcome, Rejection, Sale};
use crate::chain::{CheckError, Verified};
use crate::metrics::trouble::{self, Trouble};
use crate::network::configured::ConfiguredNetwork;
use crate::network::used;
use crate::{Caller, Inner};

/// Pause between two rereadings of the tariffs for payments of unknown amounts.
const RELOAD_PAUSE: Duration = Duration::from_millis(200);

/// What the chain said about a payment that may be claimed.
pub(crate) struct Checked {
    pub(crate) watch_from: u64,
    pub(crate) deadline: Deadline,
    /// What the payment's source held then.
    pub(crate) balance: Option<Balance>,
    /// Whether code of the payer's decides.
    pub(crate) by_code: bool,
}

/// Whether `gas` still pays for what the current tariff says settling costs,
/// before markup, with the operator's budget (I10).
fn covers(
    net: &ConfiguredNetwork,
    gas: Amount,
    current: &quittance_quote::Tariff,
    rent: bool,
    now_ms: i64,
) -> bool {
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
    ) -> Result<(Amount, i64), PayOutcome> {
        let now_ms = self.context.clock.now_ms();
        let mut found = net.matching(payment.amount, sale.service, now_ms);
        if found.is_none() {
            self.reread_tariffs(net, now_ms).await;
            found = net.matching(payment.amount, sale.service, now_ms);
        }
        let Some(tariff) = found else {
            return Err(PayOutcome::Refused(
                Rejection::new(
                    net.chain.facts().amount_mismatch,
                    "the amount is not this request's price; pay the amount of a fresh offer",
                )
                .of(payment.payer.clone()),
            ));
        };
        if payment.needs_rent && !tariff.rent_included {
            return Err(PayOutcome::Refused(
                Rejection::new(
                    ErrorCode::InvalidExactSvmPayloadTransactionInstructionsLength,
                    "the recipient's token account exists; leave its creation out",
                )
                .of(payment.payer.clone()),
            ));
        }
        match net.open(now_ms) {
            Err(closed) => Err(PayOutcome::Unavailable {
                retry_after_seconds: closed.retry_after_seconds(),
                reason: closed.as_str(),
            }),
            // An old tariff is honoured unless it no longer covers the bound.
            Ok(current) if !covers(net, tariff.gas, &current, payment.needs_rent, now_ms) => {
                Err(PayOutcome::Refused(
                    Rejection::new(
                        net.chain.facts().amount_mismatch,
                        "settlement became dearer than this offer covers; pay a fresh offer",
                    )
                    .of(payment.payer.clone()),
                ))
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
        if let Err(error) =
            crate::network::tariffs::reload(net, &*self.context.ledger, &self.policy, now_ms).await
        {
            trouble::note(Trouble::Tariffs, net.chain.network().as_str(), &error);
        }
    }

    /// Names the transaction that used up a payment which was never claimed here.
    pub(crate) async fn name_use(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        rejection: Rejection,
    ) -> Rejection {
        match used::is_already_used(rejection.code) {
            true => {
                let Ok(chain) = net.chain.verify() else { return rejection };
                used::name(rejection, chain.find_use(payment).await)
            }
            false => rejection,
        }
    }

    /// One RPC call, plus at most one for the deadline; more while the newest block is too old.
    pub(crate) async fn check_chain(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        caller: Caller,
    ) -> Result<Checked, PayOutcome> {
        let to_outcome = |error| match error {
            CheckError::Rejected(rejection) => PayOutcome::Refused(rejection),
            CheckError::Unreachable(reason) => {
                trouble::note(Trouble::ChainCheck, net.chain.network().as_str(), &reason);
                not_now("chain")
            }
        };
        let view = self.view_in_time(net, payment, caller).await.map_err(to_outcome)?;
        let chain = net.chain.verify().map_err(|error| to_outcome(error.into()))?;
        let deadline = chain.deadline(payment, &view).await.map_err(to_outcome)?;
        Ok(Checked { watch_from: view.watch_from, deadline, balance: net.seen(&view), by_code: view.by_code })
    }
}
