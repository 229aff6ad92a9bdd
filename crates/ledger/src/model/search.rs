//! What is looked for, and what is outstanding: as `ops::{search, outstanding}`.

use std::collections::BTreeMap;

use quittance_protocol::{Amount, Network};

use super::ModelLedger;
use super::rows::Database;
use crate::error::LedgerError;
use crate::ops::search::FOUND_MAX;
use crate::types::{DeliveryState, Origin, Outstanding, OutstandingKind, Payment, PaymentState, RunLimits};

impl ModelLedger {
    pub(crate) fn of_transaction(
        &self,
        network: &Network,
        transaction: &str,
    ) -> Result<Vec<Payment>, LedgerError> {
        self.read(|rows| {
            let is_of = |payment: &Payment| {
                let landed = payment.state == PaymentState::Settled
                    && payment.transaction.as_deref() == Some(transaction);
                let mut signed = rows.kept_attempts().filter(|one| one.payments.contains(&payment.id));
                payment.network == *network
                    && (landed || signed.any(|one| one.signed.transaction == transaction))
            };
            Ok(newest(rows.payments().filter(|payment| is_of(payment))))
        })
    }

    pub(crate) fn of_payer(&self, network: &Network, payer: &str) -> Result<Vec<Payment>, LedgerError> {
        self.read(|rows| {
            let is_of = |payment: &Payment| {
                let unanswered = payment.origin == Origin::Gate
                    && payment.first_answer_at_ms.is_none()
                    && !payment.state.is_final();
                payment.network == *network
                    && payment.payer == payer
                    && (payment.state == PaymentState::Settled || unanswered)
            };
            Ok(newest(rows.payments().filter(|payment| is_of(payment))))
        })
    }

    pub(crate) fn of_request(&self, request: &str) -> Result<Option<Payment>, LedgerError> {
        self.read(|rows| Ok(rows.payments().find(|payment| payment.request_id.as_str() == request).cloned()))
    }

    pub(crate) fn outstanding(
        &self,
        limits: RunLimits,
        answers_since_ms: i64,
    ) -> Result<Vec<Outstanding>, LedgerError> {
        self.read(|rows| Ok(rows.outstanding(limits, answers_since_ms)))
    }
}

fn newest<'a>(payments: impl Iterator<Item = &'a Payment>) -> Vec<Payment> {
    let mut found: Vec<Payment> = payments.cloned().collect();
    found.sort_by_key(|payment| std::cmp::Reverse((payment.created_at_ms, payment.id.clone())));
    found.truncate(usize::try_from(FOUND_MAX).unwrap_or(usize::MAX));
    found
}

impl Database {
    fn outstanding(&self, limits: RunLimits, answers_since_ms: i64) -> Vec<Outstanding> {
        // By the word, as the SQL sorts them.
        let mut found: BTreeMap<(Network, &'static str), (OutstandingKind, u64, u64)> = BTreeMap::new();
        for payment in self.payments() {
            let untaken = payment.origin == Origin::Gate && payment.first_answer_at_ms.is_none();
            let kind = match payment.delivery {
                DeliveryState::Owed => Some(OutstandingKind::Owed),
                DeliveryState::DeliveredInPart if untaken => Some(OutstandingKind::DeliveredInPart),
                DeliveryState::Credited if untaken && payment.has_runs_left(limits) => {
                    Some(OutstandingKind::Credit)
                }
                DeliveryState::Credited if untaken => Some(OutstandingKind::CreditUsedUp),
                _ => None,
            };
            let answer = self.by_id.get(&payment.id).and_then(|at| self.answers.get(at));
            let refused = answer.is_some_and(|answer| {
                let in_ledger =
                    answer.kept.as_ref().is_some_and(|kept| kept.object.is_none() && !kept.truncated);
                answer.refundable && in_ledger && answer.at_ms >= answers_since_ms
            });
            for kind in kind.into_iter().chain(refused.then_some(OutstandingKind::Refused)) {
                let sum = found.entry((payment.network.clone(), kind.as_str())).or_insert((kind, 0, 0));
                sum.1 = sum.1.saturating_add(1);
                sum.2 = sum.2.saturating_add(payment.amount.atomic());
            }
        }
        let sum = |((network, _), (kind, payments, amount))| Outstanding {
            network,
            kind,
            payments,
            amount: Amount::new(amount),
        };
        found.into_iter().map(sum).collect()
    }
}
