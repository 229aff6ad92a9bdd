//! Merchants, their limits and totals: as `ops::{merchant_rows, merchant_sums}`.

use quittance_protocol::{Amount, Network};
use serde_json::json;

use super::ModelLedger;
use super::rows::Database;
use crate::conn::{amount, plain};
use crate::error::LedgerError;
use crate::exposure::{
    AccountRent, DAY_MS, Exposed, NATIVE_MAX, NoRoom, Reserve, SLOT_MS, first_slot, slot_of,
};
use crate::ledger::Me;
use crate::merchant_room::{MerchantRoom, MerchantSums, admit};
use crate::ops::merchant_rows::check;
use crate::types::{
    CostEntry, FeePolicy, MERCHANT_KEYS_MAX, MERCHANTS_MAX, Merchant, MerchantKey, MerchantState,
    MerchantTotals, Payment, PayoutAccount,
};

impl ModelLedger {
    pub(crate) fn create_merchant(
        &self,
        merchant: &Merchant,
        key: &MerchantKey,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        check(merchant)?;
        self.write(now_ms, |rows, me| rows.create_merchant(me, merchant, key, now_ms))
    }

    pub(crate) fn set_merchant(&self, merchant: &Merchant, now_ms: i64) -> Result<bool, LedgerError> {
        check(merchant)?;
        self.write(now_ms, |rows, me| Ok(rows.set_merchant(me, merchant, now_ms)))
    }

    pub(crate) fn add_merchant_key(
        &self,
        name: &str,
        key: &MerchantKey,
        others_end_at_ms: i64,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        plain(name, "name")?;
        self.write(now_ms, |rows, me| rows.add_merchant_key(me, name, key, others_end_at_ms, now_ms))
    }

    pub(crate) fn close_merchant(&self, name: &str, now_ms: i64) -> Result<bool, LedgerError> {
        plain(name, "name")?;
        self.write(now_ms, |rows, me| {
            let Some(merchant) = rows.open_merchant(name) else { return Ok(false) };
            (merchant.state, merchant.changed_at_ms) = (MerchantState::Closed, now_ms);
            rows.line(me, now_ms, None, "merchant_closed", json!({ "merchant": name }));
            Ok(true)
        })
    }

    pub(crate) fn merchant_room(
        &self,
        merchant: &str,
        network: &Network,
        amount: Amount,
        wanted: Reserve,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        plain(merchant, "merchant")?;
        self.read(|rows| rows.admit_merchant((merchant, network), (amount, &wanted), now_ms))
    }

    pub(crate) fn list_merchants(&self, now_ms: i64) -> Result<Vec<Merchant>, LedgerError> {
        self.read(|rows| {
            let mut found: Vec<Merchant> = rows.merchant_list.values().cloned().collect();
            for merchant in &mut found {
                merchant.keys.retain(|key| key.lives(now_ms));
            }
            Ok(found)
        })
    }

    pub(crate) fn merchant_totals(&self, since_ms: i64) -> Result<Vec<MerchantTotals>, LedgerError> {
        let first = since_ms.div_euclid(DAY_MS).saturating_mul(DAY_MS / SLOT_MS);
        self.read(|rows| Ok(rows.totals_by_day(first)))
    }

    pub(crate) fn begin_payout_account(
        &self,
        account: &PayoutAccount,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        plain(&account.account, "account")?;
        self.write(now_ms, |rows, me| rows.begin_payout_account(me, account, now_ms))
    }

    pub(crate) fn end_payout_account(
        &self,
        network: &Network,
        account: &str,
        transaction: &str,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        self.write(now_ms, |rows, me| {
            let place = (network.clone(), account.to_owned());
            let Some((_, _, created)) = rows.merchant_accounts.get_mut(&place) else { return Ok(false) };
            if created.is_some() {
                return Ok(false);
            }
            *created = Some(transaction.to_owned());
            let detail = json!({"network": network, "account": account, "transaction": transaction});
            rows.line(me, now_ms, None, "merchant_account_created", detail);
            Ok(true)
        })
    }
}

impl Database {
    fn open_merchant(&mut self, name: &str) -> Option<&mut Merchant> {
        self.merchant_list.get_mut(name).filter(|merchant| merchant.state == MerchantState::Open)
    }

    fn create_merchant(
        &mut self,
        me: &Me,
        merchant: &Merchant,
        key: &MerchantKey,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        if self.merchant_list.len() >= MERCHANTS_MAX {
            return Err(LedgerError::OutOfRange { field: "merchants" });
        }
        if self.merchant_list.contains_key(&merchant.name) {
            return Ok(false);
        }
        let mut merchant = Merchant {
            state: MerchantState::Open,
            created_at_ms: now_ms,
            changed_at_ms: now_ms,
            keys: vec![key.clone()],
            ..merchant.clone()
        };
        merchant.networks.sort_by(|a, b| a.network.as_str().cmp(b.network.as_str()));
        let detail = json!({"merchant": merchant.name, "key": key.id, "fee_policy": merchant.fee_policy});
        self.merchant_list.insert(merchant.name.clone(), merchant);
        self.line(me, now_ms, None, "merchant_created", detail);
        Ok(true)
    }

    fn set_merchant(&mut self, me: &Me, new: &Merchant, now_ms: i64) -> bool {
        let Some(merchant) = self.open_merchant(&new.name) else { return false };
        merchant.fee_policy = new.fee_policy;
        merchant.in_flight_max = new.in_flight_max;
        merchant.accounts_max = new.accounts_max;
        merchant.changed_at_ms = now_ms;
        merchant.networks = new.networks.clone();
        merchant.networks.sort_by(|a, b| a.network.as_str().cmp(b.network.as_str()));
        let networks: Vec<_> = new
            .networks
            .iter()
            .map(|one| json!({"network": one.network, "pay_to": one.pay_to, "asset": one.asset}))
            .collect();
        let detail = json!({"merchant": new.name, "fee_policy": new.fee_policy, "networks": networks});
        self.line(me, now_ms, None, "merchant_changed", detail);
        true
    }

    fn add_merchant_key(
        &mut self,
        me: &Me,
        name: &str,
        key: &MerchantKey,
        others_end_at_ms: i64,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let Some(merchant) = self.open_merchant(name) else { return Ok(false) };
        let mut keys = merchant.keys.clone();
        for other in &mut keys {
            let ends = other.ends_at_ms.map_or(others_end_at_ms, |ends| ends.min(others_end_at_ms));
            other.ends_at_ms = Some(ends);
        }
        keys.retain(|key| key.lives(now_ms));
        if keys.len() >= MERCHANT_KEYS_MAX {
            return Err(LedgerError::OutOfRange { field: "living keys of one merchant" });
        }
        keys.push(key.clone());
        keys.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        (merchant.keys, merchant.changed_at_ms) = (keys, now_ms);
        let detail = json!({"merchant": name, "key": key.id, "others_end_at_ms": others_end_at_ms});
        self.line(me, now_ms, None, "merchant_key_added", detail);
        Ok(true)
    }

    fn begin_payout_account(
        &mut self,
        me: &Me,
        new: &PayoutAccount,
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let place = (new.network.clone(), new.account.clone());
        if let Some((merchant, tries, created)) = self.merchant_accounts.get_mut(&place) {
            if created.is_some() || *tries >= new.tries_max || *merchant != new.merchant {
                return Ok(false);
            }
            *tries += 1;
            return Ok(true);
        }
        let closed = || LedgerError::NoRoom(NoRoom::MerchantClosed);
        let merchant = self.merchant_list.get(&new.merchant).ok_or_else(closed)?;
        let paid = self.merchant_accounts.values().filter(|(of, ..)| *of == new.merchant).count();
        if paid >= merchant.accounts_max as usize {
            return Err(LedgerError::NoRoom(NoRoom::MerchantCost));
        }
        let (room, sums) = self.merchant_room((&new.merchant, &new.network), now_ms)?;
        let bound = Exposed { usdc: new.usdc, native: new.native };
        admit(&room, &MerchantSums { under_way: 0, ..sums }, Amount::ZERO, bound, None)
            .map_err(LedgerError::NoRoom)?;
        amount(new.usdc, "usdc")?;
        let rent = AccountRent { native: new.native, limits: new.limits };
        self.charge_rent(place.clone(), Some(format!("merchant {}", new.merchant)), &rent, now_ms)?;
        self.merchant_accounts.insert(place, (new.merchant.clone(), 1, None));
        let totals = self.sums_of(&new.merchant, &new.network, now_ms);
        totals.accounts += 1;
        totals.rent = plus(totals.rent, new.usdc);
        totals.native = totals.native.saturating_add(new.native.min(NATIVE_MAX));
        let detail = json!({"merchant": new.merchant, "network": new.network, "account": new.account,
            "native": new.native.to_string(), "usdc": new.usdc});
        self.line(me, now_ms, None, "merchant_account_begun", detail);
        Ok(true)
    }

    fn merchant_room(
        &self,
        (name, network): (&str, &Network),
        now_ms: i64,
    ) -> Result<(MerchantRoom, MerchantSums), LedgerError> {
        let closed = || LedgerError::NoRoom(NoRoom::MerchantClosed);
        let merchant = self.merchant_list.get(name).ok_or_else(closed)?;
        let sells = merchant.networks.iter().find(|one| one.network == *network);
        let room = MerchantRoom {
            state: merchant.state,
            in_flight_max: merchant.in_flight_max,
            limits: sells.map(|one| one.limits),
        };
        let mut sums = MerchantSums::default();
        for held in self.reservations.values().filter(|held| held.merchant.as_deref() == Some(name)) {
            sums.under_way += u64::from(held.amount > Amount::ZERO);
            if held.network == *network {
                sums.amount = plus(sums.amount, held.amount);
                sums.cost.usdc = plus(sums.cost.usdc, held.usdc);
                sums.cost.native = sums.cost.native.saturating_add(held.native);
                sums.unearned = plus(sums.unearned, held.usdc);
            }
        }
        for ((of, at, slot), one) in &self.merchant_sums {
            if of == name && at == network && *slot >= first_slot(now_ms) {
                sums.amount = plus(sums.amount, one.amount);
                let cost = plus(plus(one.earned_cost, one.burnt_cost), one.rent);
                sums.cost.usdc = plus(sums.cost.usdc, cost);
                sums.cost.native = sums.cost.native.saturating_add(one.native);
                sums.unearned = plus(sums.unearned, one.burnt_cost);
            }
        }
        Ok((room, sums))
    }

    pub(super) fn admit_merchant(
        &self,
        of: (&str, &Network),
        (amount, wanted): (Amount, &Reserve),
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let (room, sums) = self.merchant_room(of, now_ms)?;
        let soft = Some(wanted.limits.soft_day.usdc);
        admit(&room, &sums, amount, wanted.bound, soft).map_err(LedgerError::NoRoom)
    }

    fn sums_of(&mut self, merchant: &str, network: &Network, now_ms: i64) -> &mut MerchantTotals {
        let slot = slot_of(now_ms);
        let key = (merchant.to_owned(), network.clone(), slot);
        self.merchant_sums.entry(key).or_insert_with(|| empty(merchant, network, slot))
    }

    pub(super) fn merchant_settled(&mut self, payment: &Payment, now_ms: i64) {
        let (Some(merchant), Some(fee)) = (payment.merchant_row(), payment.fee) else { return };
        let totals = self.sums_of(merchant, &payment.network, now_ms);
        totals.payments += 1;
        totals.amount = plus(totals.amount, payment.amount);
        totals.charged = plus(totals.charged, payment.gas);
        match fee.policy {
            FeePolicy::Added => {}
            FeePolicy::Absorbed => totals.absorbed = plus(totals.absorbed, fee.carried),
            FeePolicy::Billed => totals.billed = plus(totals.billed, fee.carried),
        }
    }

    pub(super) fn merchant_lost(&mut self, payment: &Payment, now_ms: i64) {
        let Some(merchant) = payment.merchant_row() else { return };
        let totals = self.sums_of(merchant, &payment.network, now_ms);
        totals.lost_payments += 1;
        totals.lost_amount = plus(totals.lost_amount, payment.amount);
        totals.lost_due = plus(totals.lost_due, payment.due());
    }

    pub(super) fn merchant_booked(&mut self, entry: &CostEntry, payment: &Payment, now_ms: i64) {
        let Some(merchant) = payment.merchant_row() else { return };
        let totals = self.sums_of(merchant, &entry.network, now_ms);
        let cost = if entry.earned { &mut totals.earned_cost } else { &mut totals.burnt_cost };
        *cost = plus(*cost, entry.usdc.unwrap_or(Amount::ZERO));
        let native = u64::try_from(entry.native).unwrap_or(NATIVE_MAX).min(NATIVE_MAX);
        totals.native = totals.native.saturating_add(native);
        totals.unpriced += u64::from(entry.usdc.is_none());
    }

    fn totals_by_day(&self, first_slot: i64) -> Vec<MerchantTotals> {
        let mut days: Vec<MerchantTotals> = Vec::new();
        let mut ordered: Vec<_> = self.merchant_sums.iter().collect();
        ordered.sort_by(|((a, m, s), _), ((b, n, t), _)| (a, m.as_str(), s).cmp(&(b, n.as_str(), t)));
        for ((merchant, network, slot), one) in ordered {
            if *slot < first_slot {
                continue;
            }
            let day_ms = slot.div_euclid(DAY_MS / SLOT_MS).saturating_mul(DAY_MS);
            let same = |day: &&mut MerchantTotals| {
                day.merchant == *merchant && day.network == *network && day.day_ms == day_ms
            };
            match days.last_mut().filter(same) {
                Some(day) => add(day, one),
                None => days.push(MerchantTotals { day_ms, ..one.clone() }),
            }
        }
        days
    }
}

fn empty(merchant: &str, network: &Network, slot: i64) -> MerchantTotals {
    MerchantTotals {
        merchant: merchant.to_owned(),
        network: network.clone(),
        day_ms: slot,
        payments: 0,
        amount: Amount::ZERO,
        charged: Amount::ZERO,
        absorbed: Amount::ZERO,
        billed: Amount::ZERO,
        lost_payments: 0,
        lost_amount: Amount::ZERO,
        lost_due: Amount::ZERO,
        earned_cost: Amount::ZERO,
        burnt_cost: Amount::ZERO,
        native: 0,
        unpriced: 0,
        accounts: 0,
        rent: Amount::ZERO,
    }
}

fn add(day: &mut MerchantTotals, one: &MerchantTotals) {
    day.payments += one.payments;
    day.amount = plus(day.amount, one.amount);
    day.charged = plus(day.charged, one.charged);
    day.absorbed = plus(day.absorbed, one.absorbed);
    day.billed = plus(day.billed, one.billed);
    day.lost_payments += one.lost_payments;
    day.lost_amount = plus(day.lost_amount, one.lost_amount);
    day.lost_due = plus(day.lost_due, one.lost_due);
    day.earned_cost = plus(day.earned_cost, one.earned_cost);
    day.burnt_cost = plus(day.burnt_cost, one.burnt_cost);
    day.native = day.native.saturating_add(one.native);
    day.unpriced += one.unpriced;
    day.accounts += one.accounts;
    day.rent = plus(day.rent, one.rent);
}

fn plus(a: Amount, b: Amount) -> Amount {
    Amount::new(a.atomic().saturating_add(b.atomic()))
}
