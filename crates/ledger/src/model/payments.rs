//! Claims, attempts and verdicts: as `ops::{claims, attempts, verdicts}`.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use quittance_protocol::{ErrorCode, Evidence, Landing, Network, PaymentId, SendOutcome};
use serde_json::json;

use super::rows::{Attempt, Database, Defect, Row};
use crate::attempt::{NewAttempt, Terms};
use crate::conn::{plain, reason, unsigned};
use crate::error::LedgerError;
use crate::ledger::Me;
use crate::ops::aliases::Before;
use crate::ops::claims::ROUNDS_MAX;
use crate::ops::exposure::counted;
use crate::ops::rows::check;
use crate::token::{Claim, ClaimOutcome, Recorded};
use crate::types::{AttemptId, DeliveryState, NewClaim, Payment, PaymentState, Slot};

const ATTEMPTS_MAX: usize = 1_000;

/// Where the bytes will go.
struct Place {
    network: Network,
    wallet: Option<String>,
    nonce: Option<u64>,
    replaces: Option<AttemptId>,
}

impl Database {
    pub(super) fn claim(&mut self, me: &Me, new: NewClaim, now_ms: i64) -> Result<ClaimOutcome, LedgerError> {
        check(&new)?;
        if !self.has(Defect::ClaimNotUnique) {
            for _ in 0..ROUNDS_MAX {
                let names = match self.before_claim(me, &new, now_ms) {
                    Before::Ends(outcome) => return Ok(outcome),
                    Before::Goes(names) => names,
                };
                let Some(known) = self.known(&new.key) else { break };
                self.drop_names(&new, &names);
                if !known.is_free() {
                    return Ok(ClaimOutcome::Exists(Box::new(known)));
                }
                self.release(me, &new.key, &known.payment.id, now_ms);
            }
        }
        let taken = |payment: &Payment| payment.id == new.id || payment.request_id == new.request_id;
        if self.by_id.contains_key(&new.id) || self.payments().any(taken) {
            return Err(LedgerError::Database("UNIQUE (id), UNIQUE (request_id)".into()));
        }
        let detail = json!({"amount": new.amount, "payer": new.payer, "resource": new.resource, "key": new.key.to_string()});
        let at = self.payments.len();
        let payment = claimed(me, new, now_ms);
        self.by_key.insert(payment.key, at);
        self.by_id.insert(payment.id.clone(), at);
        self.payments.push(Row { payment: payment.clone(), delivery_epoch: None });
        self.line(me, now_ms, Some(&payment.id), "claimed", detail);
        Ok(ClaimOutcome::Won(Claim(Box::new(payment))))
    }

    pub(super) fn ensure_wallet(
        &mut self,
        me: &Me,
        network: &Network,
        wallet: &str,
        chain_nonce: u64,
        now_ms: i64,
    ) -> Result<u64, LedgerError> {
        unsigned(chain_nonce, "chain_nonce")?;
        plain(wallet, "wallet")?;
        let place = (network.clone(), wallet.to_owned());
        let before = self.wallets.get(&place).copied();
        if before.is_none_or(|next| next < chain_nonce) {
            self.wallets.insert(place, chain_nonce);
            let detail = json!({"network": network, "wallet": wallet, "next_nonce": chain_nonce});
            self.line(me, now_ms, None, "wallet_counter", detail);
            return Ok(chain_nonce);
        }
        Ok(before.unwrap_or(chain_nonce))
    }

    pub(super) fn record(
        &mut self,
        me: &Me,
        attempt: NewAttempt,
        now_ms: i64,
    ) -> Result<Recorded, LedgerError> {
        let NewAttempt { terms, sign } = attempt;
        let (network, shortfall) = self.may_record(me, &terms)?;
        let Terms { payments, slot, unwedge_day, .. } = terms;
        let fresh = matches!(slot, Slot::Fresh { .. });
        let place = self.reserve(network, slot)?;
        let taken = match (place.replaces, &place.wallet, place.nonce) {
            (Some(replaces), Some(wallet), Some(nonce)) => {
                let slot = (place.network.clone(), wallet.clone(), nonce);
                let unwedge = unwedge_day.map(|day| (shortfall, day));
                let wanted = self.may_replace(me, &slot, replaces, unwedge, now_ms)?;
                Some((slot, wanted))
            }
            _ => None,
        };
        let signed = catch_unwind(AssertUnwindSafe(|| sign(place.nonce.unwrap_or(0))))
            .map_err(|_| LedgerError::Panicked)?
            .map_err(LedgerError::Sign)?;
        plain(&signed.transaction, "transaction")?;
        let same = |a: &Attempt| a.network == place.network && a.signed.transaction == signed.transaction;
        if self.kept_attempts().any(same) {
            return Err(LedgerError::Database("UNIQUE (network, tx)".into()));
        }
        if let Some((slot, native)) = taken {
            self.take_replaced(slot, native, now_ms);
        }
        if fresh && !self.has(Defect::NonceNotReserved) {
            let wallet = (place.network.clone(), place.wallet.clone().unwrap_or_default());
            self.wallets.insert(wallet, place.nonce.unwrap_or(0).saturating_add(1));
        }
        let id = AttemptId(i64::try_from(self.attempts.len()).unwrap_or(i64::MAX).saturating_add(1));
        let detail = json!({
            "attempt": id.0, "transaction": signed.transaction, "wallet": place.wallet,
            "nonce": place.nonce, "replaces": place.replaces.map(AttemptId::get), "payments": payments.len(),
        });
        for payment in &payments {
            let row = &mut self.get_mut(payment)?.payment;
            row.state = PaymentState::Recorded;
            row.transaction = Some(signed.transaction.clone());
            row.recorded_at_ms = row.recorded_at_ms.or(Some(now_ms));
            self.line(me, now_ms, Some(payment), "recorded", detail.clone());
        }
        if payments.is_empty() {
            self.line(me, now_ms, None, "recorded", detail);
        }
        let Place { network, wallet, nonce, replaces } = place;
        let pruned = false;
        let attempt =
            Attempt { id, payments, network, wallet, nonce, signed, replaces, at_ms: now_ms, pruned };
        let recorded = attempt.recorded();
        self.attempts.push(attempt);
        Ok(recorded)
    }

    /// Whether each payment may take this step, in the order in which the SQL asks.
    fn may_record(&self, me: &Me, terms: &Terms) -> Result<(Option<Network>, u64), LedgerError> {
        let mut first: Option<&Payment> = None;
        let mut reserved = 0_u64;
        let ordered: BTreeSet<&PaymentId> = terms.payments.iter().collect();
        for id in ordered {
            let payment = &self.get(id)?.payment;
            if payment.state != terms.from {
                let (from, to) = (payment.state, PaymentState::Recorded);
                return Err(LedgerError::Transition { from, to, payment: Box::new(payment.clone()) });
            }
            if !me.owns(payment) && !self.has(Defect::NotFenced) {
                return Err(LedgerError::NotOwner { payment: Box::new(payment.clone()) });
            }
            if first.is_some_and(|first| first.network != payment.network) {
                return Err(LedgerError::OutOfRange { field: "network of a batch" });
            }
            if let Some(known) = terms.newest.get(id) {
                self.check_beside(payment, *known, &terms.slot)?;
            }
            let held = self.reservations.get(id).map_or(0, |held| held.native);
            reserved = reserved.saturating_add(if terms.cost > 0 { held } else { 0 });
            first = first.or(Some(payment));
        }
        let cost = counted(terms.cost);
        let careless = self.has(Defect::NothingReserved) || self.has(Defect::SignedUnreserved);
        match first {
            Some(payment) if reserved < cost && !careless && !terms.may_unwedge() => {
                Err(LedgerError::NotReserved { payment: Box::new(payment.clone()), reserved, cost })
            }
            first => Ok((first.map(|payment| payment.network.clone()), cost.saturating_sub(reserved))),
        }
    }

    fn check_beside(&self, payment: &Payment, known: AttemptId, slot: &Slot) -> Result<(), LedgerError> {
        let mine = || self.kept_attempts().filter(|attempt| attempt.payments.contains(&payment.id));
        let newest =
            mine().map(|attempt| attempt.id).max().ok_or(LedgerError::Corrupt { field: "attempts" })?;
        let is_open = |of: &Attempt| self.is_open(of, &payment.id);
        if let Slot::Fresh { wallet } = slot
            && newest == known
            && mine().any(|one| one.wallet.as_ref().is_some_and(|of| of != wallet))
            && !self.has(Defect::OtherWalletSigns)
        {
            let wallet = wallet.clone();
            return Err(LedgerError::OtherWallet { payment: Box::new(payment.clone()), wallet });
        }
        let may_land = !matches!(slot, Slot::Same { .. }) && mine().any(is_open);
        let careless = self.has(Defect::SignedBeside) || self.has(Defect::OtherWalletSigns);
        if (newest == known && !may_land) || careless {
            return Ok(());
        }
        Err(LedgerError::AttemptBeside { payment: Box::new(payment.clone()), newest })
    }

    fn reserve(&self, network: Option<Network>, slot: Slot) -> Result<Place, LedgerError> {
        let no_network = || LedgerError::OutOfRange { field: "payments" };
        match slot {
            Slot::Unnumbered => {
                let network = network.ok_or_else(no_network)?;
                Ok(Place { network, wallet: None, nonce: None, replaces: None })
            }
            Slot::Fresh { wallet } => {
                let place = (network.ok_or_else(no_network)?, wallet);
                let nonce = self.wallets.get(&place).copied();
                let (network, wallet) = place;
                match nonce {
                    Some(_) => Ok(Place { network, wallet: Some(wallet), nonce, replaces: None }),
                    None => Err(LedgerError::UnknownWallet { network: network.to_string(), wallet }),
                }
            }
            Slot::Same { attempt } => {
                let old = self.attempt(attempt)?;
                if old.nonce.is_none() || network.is_some_and(|network| network != old.network) {
                    return Err(LedgerError::OutOfRange { field: "attempt to replace" });
                }
                Ok(Place {
                    network: old.network.clone(),
                    wallet: old.wallet.clone(),
                    nonce: old.nonce,
                    replaces: Some(attempt),
                })
            }
        }
    }

    fn attempt(&self, id: AttemptId) -> Result<&Attempt, LedgerError> {
        self.kept_attempts().find(|attempt| attempt.id == id).ok_or(LedgerError::UnknownAttempt(id))
    }

    pub(super) fn journal_send(
        &mut self,
        me: &Me,
        attempt: AttemptId,
        outcome: &SendOutcome,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let (outcome, why) = match outcome {
            SendOutcome::Accepted => ("accepted", None),
            SendOutcome::Refused { reason: why } => ("refused", Some(reason(why))),
            SendOutcome::Unknown { reason: why } => ("unknown", Some(reason(why))),
        };
        let detail = json!({"attempt": attempt.0, "outcome": outcome, "reason": why});
        let payments = self.attempt(attempt)?.payments.clone();
        if payments.is_empty() {
            self.line(me, now_ms, None, "broadcast", detail.clone());
        }
        for payment in &payments {
            self.line(me, now_ms, Some(payment), "broadcast", detail.clone());
        }
        Ok(())
    }

    pub(super) fn attempts_of(&self, payment: &PaymentId) -> Vec<Recorded> {
        let mine = self.kept_attempts().filter(|attempt| attempt.payments.contains(payment));
        mine.take(ATTEMPTS_MAX).map(Attempt::recorded).collect()
    }

    pub(super) fn attempts_from(&self, network: &Network, wallet: &str, nonce: u64) -> Vec<Recorded> {
        let open = |attempt: &&Attempt| {
            attempt.network == *network
                && attempt.wallet.as_deref() == Some(wallet)
                && attempt.nonce.is_some_and(|at| at >= nonce)
        };
        let mut found: Vec<&Attempt> = self.kept_attempts().filter(open).collect();
        found.sort_by_key(|attempt| (attempt.nonce, attempt.id));
        found.into_iter().take(ATTEMPTS_MAX).map(Attempt::recorded).collect()
    }

    pub(super) fn settle(
        &mut self,
        me: &Me,
        id: &PaymentId,
        landing: &Landing,
        owed: bool,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        unsigned(landing.block, "block")?;
        let granted = self.has(Defect::OwedGranted);
        let payment = self.verdict(me, id, PaymentState::Settled, true, now_ms)?;
        payment.transaction = Some(landing.transaction.clone());
        payment.landing = Some(landing.clone());
        payment.settled_at_ms = Some(now_ms);
        let mut detail = json!({"transaction": landing.transaction});
        if owed && !granted {
            payment.delivery = DeliveryState::Owed;
            detail["owed"] = json!(true);
        }
        let payment = payment.clone();
        self.verdict_frees(id, now_ms);
        self.line(me, now_ms, Some(id), "settled", detail);
        Ok(payment)
    }

    pub(super) fn refuse(
        &mut self,
        me: &Me,
        id: &PaymentId,
        why: (ErrorCode, &str),
        evidence: Option<&Evidence>,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        let (code, why) = (why.0, reason(why.1));
        let evidence = evidence.map(stored).transpose()?;
        let payment = self.verdict(me, id, PaymentState::Refused, false, now_ms)?;
        payment.refusal = Some((code, why.clone()));
        let payment = payment.clone();
        self.verdict_frees(id, now_ms);
        let detail = json!({"code": code.as_str(), "reason": why, "evidence": evidence});
        self.line(me, now_ms, Some(id), "refused", detail);
        Ok(payment)
    }

    pub(super) fn expire(
        &mut self,
        me: &Me,
        id: &PaymentId,
        evidence: &Evidence,
        now_ms: i64,
    ) -> Result<Payment, LedgerError> {
        let evidence = stored(evidence)?;
        let payment = self.verdict(me, id, PaymentState::Expired, false, now_ms)?.clone();
        self.verdict_frees(id, now_ms);
        self.line(me, now_ms, Some(id), "expired", json!({"evidence": evidence}));
        Ok(payment)
    }

    fn verdict(
        &mut self,
        me: &Me,
        id: &PaymentId,
        to: PaymentState,
        anybody: bool,
        now_ms: i64,
    ) -> Result<&mut Payment, LedgerError> {
        let careless = self.has(Defect::VerdictOverwritten);
        let payment = &mut self.get_mut(id)?.payment;
        if payment.state.is_final() && !careless {
            let from = payment.state;
            return Err(LedgerError::Transition { from, to, payment: Box::new(payment.clone()) });
        }
        if !anybody && !me.owns(payment) {
            return Err(LedgerError::NotOwner { payment: Box::new(payment.clone()) });
        }
        payment.state = to;
        payment.verdict_at_ms = Some(now_ms);
        Ok(payment)
    }
}

pub(super) fn stored(evidence: &Evidence) -> Result<String, LedgerError> {
    serde_json::to_string(evidence).map_err(|_| LedgerError::OutOfRange { field: "evidence" })
}

fn claimed(me: &Me, new: NewClaim, now_ms: i64) -> Payment {
    Payment {
        id: new.id,
        request_id: new.request_id,
        key: new.key,
        network: new.network,
        origin: new.origin,
        fingerprint: new.fingerprint,
        signature_digest: new.signature_digest,
        identifier: new.identifier,
        payer: new.payer,
        pay_to: new.pay_to,
        asset: new.asset,
        amount: new.amount,
        service: new.service,
        gas: new.gas,
        fee: new.fee,
        tariff: new.tariff,
        deadline: new.deadline,
        watch_from: new.watch_from,
        payload: new.payload,
        resource: new.resource,
        state: PaymentState::Claimed,
        delivery: DeliveryState::None,
        runs: 0,
        runs_interrupted: 0,
        runs_crashed: 0,
        transaction: None,
        landing: None,
        refusal: None,
        finality: None,
        finality_at_ms: None,
        owner: me.instance.to_string(),
        owner_epoch: me.epoch,
        delivery_owner: None,
        delivery_since_ms: None,
        credited_at_ms: None,
        created_at_ms: now_ms,
        recorded_at_ms: None,
        settled_at_ms: None,
        verdict_at_ms: None,
        first_answer_at_ms: None,
        merchant_answer_at_ms: None,
        pending_answer_at_ms: None,
        pruned_at_ms: None,
    }
}
