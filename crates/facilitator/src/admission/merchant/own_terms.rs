//! What a merchant's own row makes of a sale: where it is paid, and who carries the surcharge.

use std::sync::Arc;

use quittance_ledger::{FeePolicy, Merchant, MerchantFee, MerchantNetwork};
use quittance_protocol::{Amount, ErrorCode, Family, PaymentRequirements};

use super::Asker;
use crate::api::Rejection;
use crate::api::receipts::reject;
use crate::network::configured::ConfiguredNetwork;

/// What is charged within an amount, and what somebody else than the payer carries.
pub(super) struct Split {
    pub(super) service: Amount,
    pub(super) gas: Amount,
    pub(super) fee: Option<MerchantFee>,
}

impl Asker {
    /// Where the merchant is paid on this network, if it has a row; an error if that says nothing
    /// of it, or of another token than is sold here.
    pub(super) fn paid_at(&self, net: &ConfiguredNetwork) -> Result<Option<&MerchantNetwork>, Rejection> {
        let Some(row) = &self.row else { return Ok(None) };
        row_at(row, net).map(Some).ok_or_else(|| {
            reject(
                ErrorCode::InvalidNetwork,
                "this merchant sells nothing on this network; see GET /supported",
            )
        })
    }

    /// Whose limits a claim has to fit.
    pub(super) fn row_name(&self) -> Option<String> {
        self.row.as_ref().map(|row| row.name.clone())
    }

    /// Whether the amount itself has to pay for settling.
    pub(super) fn is_floored(&self) -> bool {
        self.row.as_ref().is_none_or(|row| row.fee_policy == FeePolicy::Added)
    }

    pub(super) fn split(&self, amount: Amount, gas: Amount) -> Split {
        let fee = |policy, carried| Some(MerchantFee { policy, carried });
        let service = amount.checked_sub(gas).unwrap_or(Amount::ZERO);
        match self.row.as_ref().map(|row| row.fee_policy) {
            None => Split { service, gas, fee: None },
            Some(policy @ FeePolicy::Added) => Split { service, gas, fee: fee(policy, Amount::ZERO) },
            Some(policy @ (FeePolicy::Absorbed | FeePolicy::Billed)) => {
                Split { service: amount, gas: Amount::ZERO, fee: fee(policy, gas) }
            }
        }
    }
}

/// The row's terms on a network, where they name the token that is sold there.
pub(super) fn row_at<'a>(row: &'a Arc<Merchant>, net: &ConfiguredNetwork) -> Option<&'a MerchantNetwork> {
    let own = row.networks.iter().find(|one| one.network == net.terms.network)?;
    same(&net.terms.network.family(), &own.asset, &net.terms.asset).then_some(own)
}

/// Whether a requirement names the token that is sold and the recipient that is paid.
pub(super) fn sells(
    net: &ConfiguredNetwork,
    own: Option<&MerchantNetwork>,
    wanted: &PaymentRequirements,
) -> bool {
    let Some(own) = own else { return net.sells(wanted) };
    let family = net.terms.network.family();
    same(&family, &wanted.asset, &net.terms.asset) && same(&family, &wanted.pay_to, &own.pay_to)
}

/// As the chain compares: EVM hex ignores case, base58 does not.
fn same(family: &Family, a: &str, b: &str) -> bool {
    match family {
        Family::Eip155(_) => a.eq_ignore_ascii_case(b),
        Family::Solana => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address that is nearly the merchant's is somebody else's.
    #[test]
    fn addresses_are_the_same_as_their_chain_compares_them() {
        let evm = Family::Eip155(8453);
        assert!(same(&evm, "0xAb", "0xaB"));
        assert!(!same(&evm, "0xAb", "0xAc"));
        assert!(same(&Family::Solana, "4Nd1", "4Nd1"));
        assert!(!same(&Family::Solana, "4Nd1", "4nD1"));
    }
}
