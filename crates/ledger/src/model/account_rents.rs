//! What token accounts cost: as `ops::account_rents`.

use quittance_protocol::Network;
use serde_json::json;

use super::ModelLedger;
use super::rows::Database;
use crate::account_rents::{OWN_PAUSE_MS, OwnAccount, RentSums, admit, day_of};
use crate::conn::plain;
use crate::error::LedgerError;
use crate::exposure::{AccountRent, NATIVE_MAX};

impl ModelLedger {
    pub(crate) fn begin_own_account(&self, new: &OwnAccount, now_ms: i64) -> Result<bool, LedgerError> {
        plain(&new.account, "account")?;
        self.write(now_ms, |rows, me| {
            let sums = rows.rent_sums(&new.network, None, now_ms);
            admit(sums, &new.rent).map_err(LedgerError::NoRoom)?;
            let since = now_ms.saturating_sub(OWN_PAUSE_MS);
            let own = format!("own {} ", new.account);
            let is_begun = rows.rents.iter().any(|((network, id), (of, at_ms, _))| {
                *network == new.network && of.is_empty() && *at_ms > since && id.starts_with(&own)
            });
            if is_begun {
                return Ok(false);
            }
            let id = format!("own {} {now_ms}", new.account);
            rows.charge_rent((new.network.clone(), id), None, &new.rent, now_ms)?;
            let detail = json!({"network": new.network, "account": new.account,
                "native": new.rent.native.to_string()});
            rows.line(me, now_ms, None, "own_account_begun", detail);
            Ok(true)
        })
    }

    pub(crate) fn account_rents(&self, network: &Network, now_ms: i64) -> Result<u64, LedgerError> {
        self.read(|rows| Ok(rows.rent_sums(network, None, now_ms).all))
    }
}

impl Database {
    fn rent_sums(&self, network: &Network, payer: Option<&str>, now_ms: i64) -> RentSums {
        let is_today = |((of, _), (_, at_ms, _)): &(&(Network, String), &(String, i64, u64))| {
            of == network && day_of(*at_ms) == day_of(now_ms)
        };
        let today: Vec<_> = self.rents.iter().filter(is_today).map(|(_, row)| row).collect();
        let sum = |of: &dyn Fn(&str) -> bool| {
            today.iter().filter(|(who, ..)| of(who)).map(|(_, _, native)| *native).sum()
        };
        RentSums { all: sum(&|_| true), payer: payer.map(|payer| sum(&|who| who == payer)) }
    }

    pub(super) fn charge_rent(
        &mut self,
        place: (Network, String),
        payer: Option<String>,
        rent: &AccountRent,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let sums = self.rent_sums(&place.0, payer.as_deref(), now_ms);
        admit(sums, rent).map_err(LedgerError::NoRoom)?;
        self.rents
            .retain(|(network, _), (_, at_ms, _)| *network != place.0 || day_of(*at_ms) >= day_of(now_ms));
        self.rents.insert(place, (payer.unwrap_or_default(), now_ms, rent.native.min(NATIVE_MAX)));
        Ok(())
    }
}
