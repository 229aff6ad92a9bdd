//! Nonces whose attempts were replaced: as `ops::replaced`.

use std::collections::BTreeSet;

use quittance_protocol::{Network, PaymentId};
use serde_json::json;

use super::rows::{Attempt, Database, Defect, Replaced};
use crate::conn::unsigned;
use crate::error::LedgerError;
use crate::exposure::{DAY_MS, NATIVE_MAX};
use crate::ledger::Me;
use crate::ops::exposure::counted;
use crate::types::{AttemptId, PaymentState, ReplacedSlot};

const LIST_MAX: usize = crate::LIST_MAX as usize;

/// Network, wallet and nonce.
type Place = (Network, String, u64);

fn is_at(attempt: &Attempt, (network, wallet, nonce): &Place) -> bool {
    attempt.network == *network && attempt.wallet.as_ref() == Some(wallet) && attempt.nonce == Some(*nonce)
}

impl Database {
    /// Whether the attempt's fate is open for one of its payments: neither its share is in the books
    /// nor anything of another attempt at its nonce.
    pub(super) fn is_open(&self, of: &Attempt, id: &PaymentId) -> bool {
        let beside = |one: &Attempt| {
            of.nonce.is_some()
                && one.id != of.id
                && (&one.network, &one.wallet, one.nonce) == (&of.network, &of.wallet, of.nonce)
        };
        let is_booked = |one: &Attempt| self.is_booked(&one.network, &one.signed.transaction);
        !self.is_share_booked(of, id) && !self.kept_attempts().any(|one| beside(one) && is_booked(one))
    }

    /// What the nonce takes of the budget from now on.
    pub(super) fn may_replace(
        &self,
        me: &Me,
        place: &Place,
        replaces: AttemptId,
        unwedge: Option<(u64, u64)>,
        now_ms: i64,
    ) -> Result<u64, LedgerError> {
        let there: Vec<&Attempt> = self.kept_attempts().filter(|attempt| is_at(attempt, place)).collect();
        let newest = there.iter().map(|attempt| attempt.id).max();
        let newest = newest.ok_or(LedgerError::Corrupt { field: "attempts" })?;
        let is_booked = |one: &&Attempt| self.is_booked(&one.network, &one.signed.transaction);
        if newest != replaces || there.iter().any(is_booked) {
            return Err(LedgerError::NotReplaceable { newest });
        }
        let payments: BTreeSet<&PaymentId> = there.iter().flat_map(|attempt| &attempt.payments).collect();
        for id in payments {
            let payment = &self.get(id)?.payment;
            let is_open = matches!(payment.state, PaymentState::Claimed | PaymentState::Recorded);
            if is_open && !me.owns(payment) && !self.has(Defect::NotFenced) {
                return Err(LedgerError::NotOwner { payment: Box::new(payment.clone()) });
            }
        }
        let known = self.replaced.get(place).map_or(0, |row| row.native);
        let (shortfall, day) = unwedge.unwrap_or((0, 0));
        let wanted = known.max(shortfall);
        if self.has(Defect::ReplacedUnreserved) {
            return Ok(known);
        }
        if wanted > known {
            let left = day.saturating_sub(self.unwedged(&place.0, Some(place), now_ms));
            if wanted > left {
                return Err(LedgerError::UnwedgeSpent { wanted, left });
            }
        }
        Ok(wanted)
    }

    pub(super) fn take_replaced(&mut self, place: Place, native: u64, now_ms: i64) {
        let before = now_ms.saturating_sub(DAY_MS);
        self.replaced.retain(|(network, _, _), row| *network != place.0 || row.open || row.at_ms >= before);
        let native = native.min(NATIVE_MAX);
        self.replaced.insert(place, Replaced { native, at_ms: now_ms, open: true });
    }

    pub(super) fn unwedged(&self, network: &Network, without: Option<&Place>, now_ms: i64) -> u64 {
        let since = now_ms.saturating_sub(DAY_MS);
        let counts = |(place, row): &(&Place, &Replaced)| {
            place.0 == *network && Some(*place) != without && (row.open || row.at_ms >= since)
        };
        self.replaced.iter().filter(counts).map(|(_, row)| row.native).fold(0, u64::saturating_add)
    }

    pub(super) fn replaced_slots(&self, network: &Network) -> Vec<ReplacedSlot> {
        let open = self.replaced.iter().filter(|(place, row)| place.0 == *network && row.open);
        let mut found: Vec<ReplacedSlot> = open
            .map(|((_, wallet, nonce), row)| ReplacedSlot {
                wallet: wallet.clone(),
                nonce: *nonce,
                native: row.native,
                at_ms: row.at_ms,
            })
            .collect();
        found.sort_by(|a, b| (a.at_ms, &a.wallet, a.nonce).cmp(&(b.at_ms, &b.wallet, b.nonce)));
        found.truncate(LIST_MAX);
        found
    }

    pub(super) fn close_replaced(
        &mut self,
        me: &Me,
        place: &Place,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        unsigned(place.2, "nonce")?;
        if !self.replaced.get(place).is_some_and(|row| row.open) {
            return Ok(false);
        }
        let there: Vec<Attempt> =
            self.kept_attempts().filter(|attempt| is_at(attempt, place)).cloned().collect();
        let cost = |one: &Attempt| {
            let place = |item| (one.network.clone(), one.signed.transaction.clone(), item);
            let (_, share) = self.costs.range(place(0)..=place(u64::MAX)).next()?;
            Some(counted(share.whole.0))
        };
        let costs: Vec<u64> = there.iter().filter_map(cost).collect();
        let spent = if costs.is_empty() { u64::MAX } else { costs.into_iter().fold(0, u64::saturating_add) };
        let Some(row) = self.replaced.get_mut(place) else { return Ok(false) };
        (row.native, row.open) = (row.native.min(spent), false);
        let kept = row.native;
        let payments: BTreeSet<PaymentId> = there.into_iter().flat_map(|attempt| attempt.payments).collect();
        for id in payments {
            self.settle_up(&id);
        }
        let (network, wallet, nonce) = place;
        let detail =
            json!({"network": network, "wallet": wallet, "nonce": nonce, "unwedged": kept.to_string()});
        self.line(me, now_ms, None, "replaced_closed", detail);
        Ok(true)
    }
}
