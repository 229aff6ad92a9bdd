//! What a payment's next signature may cost without earning, in the terms of the ledger's
//! reservations: of the claim, and of every signature after it.

use quittance_ledger::{AccountRent, Balance, Exposed, Reserve};
use quittance_protocol::{Amount, Family};

use crate::chain::{ChainView, Verified};
use crate::network::configured::ConfiguredNetwork;

impl ConfiguredNetwork {
    /// What a payment's source was seen to hold.
    pub(crate) fn seen(&self, view: &ChainView) -> Option<Balance> {
        // A block is whole when it is read; a slot may fill on after a simulation.
        let at = match self.chain.network().family() {
            Family::Eip155(_) => view.watch_from,
            Family::Solana => view.watch_from.saturating_sub(1),
        };
        view.balance.map(|amount| Balance { amount, at })
    }

    /// What a payment's next signature needs reserved; `None` while it cannot be
    /// priced or settling is dearer than what it is charged.
    pub(crate) fn reserve(&self, payment: &Verified, gas: Amount, now_ms: i64) -> Option<Reserve> {
        let allowed = self.allowed_native(gas, now_ms)?;
        let bound = self.chain.sign().ok()?.cost_bound(payment, allowed).ok()?;
        let account = match payment.needs_rent {
            true => Some(AccountRent { native: self.accounts.rent()?, limits: self.accounts.limits }),
            false => None,
        };
        let reserve = self.reserve_bound(payment.source.clone(), bound, now_ms)?;
        Some(Reserve { account, ..reserve })
    }

    /// The same for a bound that is known.
    pub(crate) fn reserve_bound(&self, source: String, bound_native: u128, now_ms: i64) -> Option<Reserve> {
        let usdc = self.cost_usdc(bound_native, now_ms)?;
        let native = u64::try_from(bound_native).ok()?;
        Some(Reserve {
            source,
            balance: None,
            hold_until_ms: None,
            bound: Exposed { usdc, native },
            by_code: false,
            account: None,
            limits: self.limits,
        })
    }
}
