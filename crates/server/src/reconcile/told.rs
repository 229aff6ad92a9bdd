//! What is shown of a comparison.

use std::ops::RangeInclusive;

use quittance_facilitator::reconcile::{Difference, Kind, Totals};
use quittance_protocol::Network;
use serde_json::{Value, json};

/// One address on one network.
pub(super) struct Account {
    pub(super) name: String,
    pub(super) network: Network,
    pub(super) pay_to: String,
    /// Everything that comes there is ours to explain; else it is a merchant's own.
    pub(super) is_own: bool,
    pub(super) blocks: RangeInclusive<u64>,
    pub(super) totals: Totals,
    pub(super) differences: u64,
    pub(super) shown: Vec<Difference>,
    /// Transactions that nothing in the ledger explains.
    pub(super) foreign: Vec<String>,
    pub(super) with_costs: bool,
}

/// All of them, once.
#[derive(Default)]
pub(super) struct Round {
    pub(super) accounts: Vec<Account>,
}

impl Round {
    pub(super) fn differences(&self) -> u64 {
        self.accounts.iter().fold(0, |sum, account| sum.saturating_add(account.differences))
    }

    pub(super) fn adds_up(&self) -> bool {
        self.differences() == 0
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for account in &self.accounts {
            text.push_str(&account.text());
        }
        match self.differences() {
            0 => text.push_str("it adds up\n"),
            differences => text.push_str(&format!("{differences} differences\n")),
        }
        text
    }
}

impl Account {
    /// Money that somebody sent is told apart from money that we lost track of.
    fn kind(&self, difference: &Difference) -> &'static str {
        let transaction = difference.on_chain.as_ref().map(|one| &one.transaction);
        let is_foreign = transaction.is_some_and(|one| self.foreign.contains(one));
        if difference.kind == Kind::NotInBooks && is_foreign {
            "foreign_transfer"
        } else {
            difference.kind.as_str()
        }
    }

    pub(super) fn document(&self) -> Value {
        let Totals {
            transfers,
            on_chain,
            payments,
            booked,
            matched,
            lost,
            by_others,
            cost_on_chain,
            cost_booked,
            differences: _,
        } = self.totals;
        let shown: Vec<Value> = self.shown.iter().map(|one| self.difference(one)).collect();
        json!({
            "name": self.name,
            "network": self.network,
            "pay_to": self.pay_to,
            "own": self.is_own,
            "first_block": self.blocks.start(),
            "last_block": self.blocks.end(),
            "transfers": transfers,
            "on_chain": on_chain.to_string(),
            "payments": payments,
            "booked": booked.to_string(),
            "matched": matched,
            "lost": lost,
            "landed_by_others": by_others,
            "cost_on_chain": self.with_costs.then(|| cost_on_chain.to_string()),
            "cost_booked": self.with_costs.then(|| cost_booked.to_string()),
            "differences": self.differences,
            "shown": shown,
        })
    }

    fn difference(&self, difference: &Difference) -> Value {
        let on_chain = difference.on_chain.as_ref().map(|one| {
            json!({
                "block": one.block,
                "transaction": one.transaction,
                "payer": one.payer,
                "amount": one.amount.to_string(),
                "cost": one.cost_native.map(|cost| cost.to_string()),
            })
        });
        let booked = difference.booked.as_ref().map(|one| {
            json!({
                "id": one.id,
                "block": one.block,
                "transaction": one.transaction,
                "payer": one.payer,
                "amount": one.amount,
                "cost": one.cost_native.map(|cost| cost.to_string()),
            })
        });
        json!({ "kind": self.kind(difference), "on_chain": on_chain, "booked": booked })
    }

    fn text(&self) -> String {
        let Totals { transfers, on_chain, payments, booked, matched, lost, .. } = self.totals;
        let (first, last) = (self.blocks.start(), self.blocks.end());
        let mut text = format!(
            "{} ({}) to {}, blocks {first} to {last}\n  chain: {transfers} transfers, {on_chain} atomic units\n  \
             books: {payments} payments, {booked} atomic units; {matched} match\n",
            self.name, self.network, self.pay_to
        );
        if lost > 0 {
            text.push_str(&format!("  {lost} payments are booked as lost to a reorganisation\n"));
        }
        if self.with_costs {
            let Totals { cost_on_chain, cost_booked, .. } = self.totals;
            text.push_str(&format!("  costs: {cost_on_chain} by receipts, {cost_booked} booked\n"));
        }
        for difference in &self.shown {
            let (chain, booked) = (difference.on_chain.as_ref(), difference.booked.as_ref());
            let transaction = chain.map(|one| &one.transaction).or(booked.map(|one| &one.transaction));
            let transaction = transaction.map(String::as_str).unwrap_or_default();
            let there =
                chain.map_or_else(|| "–".to_owned(), |one| format!("{} in block {}", one.amount, one.block));
            let here = booked.map_or_else(
                || "–".to_owned(),
                |one| format!("{} in block {} ({})", one.amount.atomic(), one.block, one.id),
            );
            text.push_str(&format!(
                "  {}: {transaction}: chain {there}, books {here}\n",
                self.kind(difference)
            ));
        }
        let left_out = self.differences.saturating_sub(u64::try_from(self.shown.len()).unwrap_or(u64::MAX));
        if left_out > 0 {
            text.push_str(&format!("  and {left_out} more\n"));
        }
        text
    }
}
