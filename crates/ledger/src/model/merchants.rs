//! What foreign servers are told: as `ops::merchants`.

use quittance_protocol::PaymentId;
use serde_json::json;

use super::rows::{Database, Defect, MerchantRow};
use crate::error::LedgerError;
use crate::ledger::Me;
use crate::merchant::{MerchantAnswer, MerchantAnswerEnd, MerchantCheck};
use crate::ops::merchants::told;

impl Database {
    pub(super) fn begin_merchant_answer(
        &mut self,
        me: &Me,
        id: &PaymentId,
        holder: &str,
        tellings_max: u32,
        now_ms: i64,
    ) -> Result<MerchantAnswer, LedgerError> {
        let at = self.at(id)?;
        if told(&self.payments[at].payment)? {
            return Ok(MerchantAnswer::Told);
        }
        let row = self.merchants.get(&at);
        if let Some(row) = row.filter(|row| row.telling) {
            let same = row.holder.as_deref() == Some(holder);
            let telling = row.tellings;
            return Ok(if same { MerchantAnswer::Begun { telling } } else { MerchantAnswer::Busy });
        }
        let check_until_ms = row.and_then(|row| row.check_until_ms);
        let before = row.map_or(0, |row| row.tellings);
        if before >= tellings_max {
            return Ok(MerchantAnswer::Told);
        }
        let telling = before.saturating_add(1);
        let row = MerchantRow {
            telling: true,
            tellings: telling,
            holder: Some(holder.to_owned()),
            owner: me.instance.to_string(),
            owner_epoch: me.epoch,
            check_until_ms,
        };
        self.merchants.insert(at, row);
        self.line(me, now_ms, Some(id), "merchant_telling", json!({"telling": telling}));
        Ok(MerchantAnswer::Begun { telling })
    }

    pub(super) fn end_merchant_answer(
        &mut self,
        me: &Me,
        id: &PaymentId,
        holder: &str,
        end: MerchantAnswerEnd,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let Some(at) = self.by_id.get(id).copied() else { return Ok(false) };
        let is_told = self.payments[at].payment.merchant_answer_at_ms.is_some();
        let Some(row) = self.merchants.get_mut(&at) else { return Ok(false) };
        let open = row.telling || (end == MerchantAnswerEnd::Told && !is_told);
        if !open || row.holder.as_deref() != Some(holder) {
            return Ok(false);
        }
        row.telling = false;
        if end == MerchantAnswerEnd::Unsaid {
            row.tellings = row.tellings.saturating_sub(1);
        }
        let tellings = row.tellings;
        if end == MerchantAnswerEnd::Told {
            self.payments[at].payment.merchant_answer_at_ms = Some(now_ms);
        }
        self.line(me, now_ms, Some(id), end.event(), json!({"tellings": tellings}));
        Ok(true)
    }

    pub(super) fn lease_merchant_check(
        &mut self,
        me: &Me,
        id: &PaymentId,
        tellings_max: u32,
        (lease_ms, lease_now_ms): (i64, i64),
        now_ms: i64,
    ) -> Result<MerchantCheck, LedgerError> {
        let at = self.at(id)?;
        if told(&self.payments[at].payment)? {
            return Ok(MerchantCheck::Told);
        }
        let fresh = || MerchantRow {
            telling: false,
            tellings: 0,
            holder: None,
            owner: me.instance.to_string(),
            owner_epoch: me.epoch,
            check_until_ms: None,
        };
        let row = self.merchants.entry(at).or_insert_with(fresh);
        if row.telling || row.check_until_ms.is_some_and(|until| until > lease_now_ms) {
            return Ok(MerchantCheck::Busy);
        }
        if row.tellings >= tellings_max {
            return Ok(MerchantCheck::Told);
        }
        let until_ms = lease_now_ms.saturating_add(lease_ms);
        row.check_until_ms = Some(until_ms);
        self.line(me, now_ms, Some(id), "merchant_check", json!({"until_ms": until_ms}));
        Ok(MerchantCheck::Leased)
    }

    pub(super) fn merchant_answers_begun(&self, me: &Me) -> Vec<(PaymentId, String)> {
        let mine =
            |row: &MerchantRow| row.telling && row.owner == *me.instance && row.owner_epoch == me.epoch;
        let mut found: Vec<_> = self
            .merchants
            .iter()
            .filter(|(_, row)| mine(row))
            .filter_map(|(at, row)| Some((self.payments[*at].payment.id.clone(), row.holder.clone()?)))
            .collect();
        found.sort();
        found
    }

    /// As [`crate::ops::merchants::take_over`].
    pub(super) fn take_over_tellings(&mut self, me: &Me, covers: impl Fn(&str) -> bool, now_ms: i64) {
        if self.has(Defect::TellingForgotten) {
            return;
        }
        let mut cut_off = Vec::new();
        for (at, row) in &mut self.merchants {
            let later = row.owner == *me.instance && row.owner_epoch >= me.epoch;
            if row.telling && covers(&row.owner) && !later {
                row.telling = false;
                cut_off.push((self.payments[*at].payment.id.clone(), row.tellings));
            }
        }
        for (id, tellings) in cut_off {
            let detail = json!({"tellings": tellings});
            self.line(me, now_ms, Some(&id), MerchantAnswerEnd::Lost.event(), detail);
        }
    }
}
