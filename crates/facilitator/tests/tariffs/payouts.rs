//! The accounts of the chain double that merchants are paid at.

use std::collections::BTreeMap;

use async_trait::async_trait;
use quittance_facilitator::chain::{ChainFault, Payout, Payouts};

use super::{COST_WEI, Chain, State};

/// What stands where an owner is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Missing,
    /// It is missing, and nobody's transaction makes it.
    Unmakeable,
    Unusable,
    Ready,
    /// The node does not say.
    Silent,
}

#[derive(Default)]
pub(super) struct Accounts {
    of: BTreeMap<String, Account>,
    looks: BTreeMap<String, usize>,
    created: Vec<String>,
}

impl Chain {
    /// Owners need an account before they can be paid; of others there is none. Before a process starts.
    pub(crate) fn set_account(&self, owner: &str, account: Account) {
        let mut accounts = self.0.accounts.lock().unwrap();
        accounts.get_or_insert_default().of.insert(owner.to_owned(), account);
    }

    /// How often an owner's account was looked at.
    pub(crate) fn looks_at(&self, owner: &str) -> usize {
        let accounts = self.0.accounts.lock().unwrap();
        accounts.as_ref().and_then(|accounts| accounts.looks.get(owner)).copied().unwrap_or_default()
    }

    /// For whom transactions were sent that make accounts, one after the other.
    pub(crate) fn created(&self) -> Vec<String> {
        self.0.accounts.lock().unwrap().as_ref().map(|accounts| accounts.created.clone()).unwrap_or_default()
    }
}

#[async_trait]
impl Payouts for State {
    async fn payout(&self, pay_to: &str) -> Result<Payout, ChainFault> {
        let mut accounts = self.accounts.lock().unwrap();
        let accounts = accounts.as_mut().unwrap();
        *accounts.looks.entry(pay_to.to_owned()).or_default() += 1;
        match accounts.of.get(pay_to).copied().unwrap_or(Account::Missing) {
            Account::Ready => Ok(Payout::Ready),
            Account::Unusable => Ok(Payout::Unusable("is a contract")),
            Account::Silent => Err(ChainFault("no answer".to_owned())),
            Account::Missing | Account::Unmakeable => {
                Ok(Payout::Missing { account: format!("account of {pay_to}"), native: COST_WEI })
            }
        }
    }

    async fn create_payout(&self, pay_to: &str) -> Result<String, ChainFault> {
        let mut accounts = self.accounts.lock().unwrap();
        let accounts = accounts.as_mut().unwrap();
        accounts.created.push(pay_to.to_owned());
        if accounts.of.get(pay_to) == Some(&Account::Unmakeable) {
            return Err(ChainFault("it did not land".to_owned()));
        }
        accounts.of.insert(pay_to.to_owned(), Account::Ready);
        Ok(format!("rent-{pay_to}"))
    }
}
