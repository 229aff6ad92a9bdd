//! What the chain is asked of a new payment.

use quittance_ledger::Balance;
use quittance_protocol::Deadline;

use crate::admission::decision::{NotTaken, Stop};
use crate::api::Rejection;
use crate::chain::{CheckError, Verified};
use crate::metrics::trouble::{self, Trouble};
use crate::network::configured::ConfiguredNetwork;
use crate::network::used;
use crate::{Caller, Inner};

/// What the chain said about a payment that may be claimed.
pub(crate) struct Checked {
    pub(crate) watch_from: u64,
    pub(crate) deadline: Deadline,
    /// What the payment's source held then.
    pub(crate) balance: Option<Balance>,
    /// Whether code of the payer's decides.
    pub(crate) by_code: bool,
}

impl Inner {
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

    /// The calls of the chain's check, plus at most two for the deadline; again while the newest
    /// block is too old.
    pub(crate) async fn check_chain(
        &self,
        net: &ConfiguredNetwork,
        payment: &Verified,
        caller: Caller,
    ) -> Result<Checked, NotTaken> {
        let failed = |error| match error {
            CheckError::Rejected(rejection) => NotTaken::Chain(rejection),
            CheckError::Unreachable(reason) => {
                trouble::note(Trouble::ChainCheck, net.chain.network().as_str(), &reason);
                NotTaken::Other(Stop::for_now("chain"))
            }
        };
        let view = self.view_in_time(net, payment, caller).await.map_err(failed)?;
        let chain = net.chain.verify().map_err(|error| failed(error.into()))?;
        let deadline = chain.deadline(payment, &view).await.map_err(failed)?;
        Ok(Checked { watch_from: view.watch_from, deadline, balance: net.seen(&view), by_code: view.by_code })
    }
}
