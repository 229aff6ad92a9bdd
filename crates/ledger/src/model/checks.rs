//! What foreign servers ask about before anything is claimed: as `ops::checks`.

use quittance_protocol::{Amount, Network, PaymentKey};

use super::exposure::Asker;
use super::rows::{CheckLease, Database, Defect};
use crate::conn::{amount, plain};
use crate::error::LedgerError;
use crate::exposure::{NoRoom, Reserve};
use crate::merchant::{CheckTerms, NewCheck, NewCheckLease};

impl Database {
    pub(super) fn lease_new_check(
        &mut self,
        check: NewCheck,
        wanted: &Reserve,
        terms: CheckTerms,
        (lease_now_ms, now_ms): (i64, i64),
    ) -> Result<NewCheckLease, LedgerError> {
        plain(&check.payer, "payer")?;
        if let Some(known) = self.known(&check.key).filter(|known| !known.is_free()) {
            return Ok(NewCheckLease::Known(Box::new(known.payment)));
        }
        let same = |held: &NewCheck| {
            held.signature_digest == check.signature_digest && held.fingerprint == check.fingerprint
        };
        if let Some(lease) = self.check_leases.get(&check.key)
            && lease.until_ms > lease_now_ms
            && !same(&lease.check)
        {
            return Ok(NewCheckLease::Other);
        }
        let asker = Asker {
            network: &check.network,
            payer: &check.payer,
            payment: None,
            leases: Some((&check.key, lease_now_ms)),
        };
        let sums = self.sums(&asker, wanted, now_ms);
        self.admit(&sums, wanted, check.amount)?;
        if sums.leases >= u64::from(terms.leases_max) {
            return Err(LedgerError::NoRoom(NoRoom::PayerInFlight));
        }
        if let Some(merchant) = &check.merchant {
            let of = (merchant.as_str(), &check.network);
            self.admit_merchant(of, (check.amount, wanted), now_ms)?;
        }
        let source = plain(&wanted.source, "source")?.to_owned();
        amount(check.amount, "amount")?;
        self.check_leases.retain(|_, lease| lease.until_ms > lease_now_ms);
        let until_ms = lease_now_ms.saturating_add(terms.lease_ms);
        self.check_leases.insert(check.key, CheckLease { check, source, until_ms });
        Ok(NewCheckLease::Leased)
    }

    pub(super) fn leased(
        &self,
        network: &Network,
        source: &str,
        without: &PaymentKey,
        lease_now_ms: i64,
    ) -> (u64, Amount) {
        if self.has(Defect::CheckHoldsNothing) {
            return (0, Amount::ZERO);
        }
        let held = self.check_leases.iter().filter(|(key, lease)| {
            *key != without
                && lease.check.network == *network
                && lease.source == source
                && lease.until_ms > lease_now_ms
        });
        held.fold((0, Amount::ZERO), |(leases, sum), (_, lease)| {
            (leases + 1, Amount::new(sum.atomic().saturating_add(lease.check.amount.atomic())))
        })
    }
}
