//! What no constraint holds is checked: each rule finds what breaks it, and is silent on what the
//! ledger itself leaves behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::exercise::{burnt, ended, exercise, left_open, signed_one};
use common::{NOW, Store, WALLET, base};
use quittance_ledger::testing::planted::check_planted;
use quittance_ledger::{CheckedRule, LeaseClock, Ledger, LedgerOptions};

/// Verdicts and costs that come at once.
const PAIRS: u64 = 100;

/// A rule, and statements that break it; each of them changes something.
const PLANTED: &[(&str, &[&str])] = &[
    (
        "payment_state",
        &[
            "UPDATE payments SET settled_at_ms = settled_at_ms + 1 WHERE id = (SELECT MIN(id) FROM payments WHERE state = 'settled')",
        ],
    ),
    ("payment_state", &["UPDATE payments SET recorded_at_ms = NULL WHERE state = 'recorded'"]),
    ("payment_state", &["UPDATE payments SET landed_block = NULL WHERE state = 'settled'"]),
    (
        "landing",
        &[
            "UPDATE payments SET tx = '0xother' WHERE id = (SELECT MIN(id) FROM payments WHERE state = 'settled')",
        ],
    ),
    ("landing", &["UPDATE payments SET landed_block = landed_block + 1 WHERE state = 'settled'"]),
    (
        "price",
        &[
            "UPDATE payments SET service = service + 1 WHERE id = (SELECT MIN(id) FROM payments WHERE origin = 'gate')",
        ],
    ),
    (
        "key",
        &[
            "INSERT INTO aliases (payment_key, payment, signature_digest, amount, at_ms) SELECT payment_key, id, signature_digest, amount, 1 FROM payments WHERE state = 'claimed'",
        ],
    ),
    (
        "check_lease",
        &[
            "INSERT INTO check_leases (payment_key, network, source, amount, fingerprint, signature_digest, until_ms) SELECT payment_key, network, payer, amount, fingerprint, signature_digest, 1 FROM payments WHERE state = 'claimed'",
        ],
    ),
    ("identifier", &["UPDATE identifiers SET payer = 'somebody else'"]),
    ("identifier", &["UPDATE identifiers SET scope = 'merchant:shop'"]),
    ("merchant", &["UPDATE payments SET merchant = 'nobody' WHERE fee_policy IS NOT NULL"]),
    (
        "tariff",
        &[
            "INSERT INTO tariffs (network, number, gas, detail, created_at_ms, replaced_at_ms) SELECT network, number + 1, gas, detail, created_at_ms, created_at_ms FROM tariffs WHERE replaced_at_ms IS NULL",
        ],
    ),
    (
        "tariff",
        &[
            "UPDATE tariffs SET replaced_at_ms = created_at_ms WHERE replaced_at_ms IS NULL",
            "INSERT INTO tariffs (network, number, gas, detail, created_at_ms) SELECT network, number + 2, gas, detail, created_at_ms FROM tariffs WHERE number = (SELECT MAX(number) FROM tariffs)",
        ],
    ),
    ("payment_tariff", &["UPDATE payments SET tariff = 1000000 WHERE state = 'claimed'"]),
    ("owner", &["UPDATE payments SET owner = 'nobody' WHERE state = 'claimed'"]),
    ("owner", &["UPDATE payments SET owner_epoch = 1000 WHERE state = 'settled' AND finality IS NULL"]),
    (
        "owner",
        &[
            "UPDATE payments SET delivery = 'running', delivery_owner = NULL, runs = 1 WHERE id = (SELECT MIN(id) FROM payments WHERE delivery = 'credited')",
        ],
    ),
    (
        "pruned",
        &[
            "INSERT INTO aliases (payment_key, payment, signature_digest, amount, at_ms) SELECT fingerprint, id, signature_digest, amount, 1 FROM payments WHERE id = (SELECT MIN(id) FROM payments WHERE pruned_at_ms IS NOT NULL)",
        ],
    ),
    (
        "pruned",
        &[
            "UPDATE payments SET pruned_at_ms = 1 WHERE id = (SELECT MIN(p.id) FROM payments p JOIN attempt_payments l ON l.payment = p.id WHERE p.verdict_at_ms IS NOT NULL)",
        ],
    ),
    (
        "attempts_of_state",
        &["DELETE FROM attempt_payments WHERE payment IN (SELECT id FROM payments WHERE state = 'recorded')"],
    ),
    ("attempts_of_state", &["UPDATE payments SET state = 'claimed' WHERE state = 'recorded'"]),
    ("attempt_network", &["UPDATE payments SET network = 'eip155:1' WHERE state = 'recorded'"]),
    ("recorded_transaction", &["UPDATE payments SET tx = '0xother' WHERE state = 'recorded'"]),
    (
        "attempt_items",
        &[
            "INSERT INTO attempt_payments (payment, attempt, item) SELECT p.id, l.attempt, l.item FROM payments p, attempt_payments l WHERE p.state = 'claimed' AND l.attempt = (SELECT MIN(attempt) FROM attempt_payments)",
        ],
    ),
    (
        "replaced_in_place",
        &[
            "UPDATE attempts SET replaces = (SELECT MAX(id) FROM attempts) WHERE id = (SELECT MIN(id) FROM attempts)",
        ],
    ),
    (
        "replaced_once",
        &[
            "UPDATE attempts SET replaces = NULL WHERE id = (SELECT MAX(id) FROM attempts WHERE replaces IS NOT NULL)",
        ],
    ),
    (
        "replaced_once",
        &[
            "UPDATE attempts SET replaces = (SELECT MIN(b.replaces) FROM attempts b) WHERE id = (SELECT MAX(id) FROM attempts WHERE replaces IS NOT NULL)",
        ],
    ),
    ("nonce_below_counter", &["UPDATE wallets SET next_nonce = 0"]),
    ("nonce_gap", &["UPDATE wallets SET next_nonce = next_nonce + 1"]),
    (
        "nonce_signed",
        &["DELETE FROM attempt_payments WHERE payment IN (SELECT id FROM payments WHERE state = 'recorded')"],
    ),
    (
        "replaced_nonce",
        &[
            "INSERT INTO replaced_slots (network, wallet, nonce, native, at_ms, is_open) SELECT network, wallet, 999999, 1, 1, TRUE FROM wallets",
        ],
    ),
    ("delivery", &["UPDATE payments SET runs = 0 WHERE delivery = 'delivered'"]),
    ("delivery", &["UPDATE payments SET credited_at_ms = NULL WHERE delivery = 'credited'"]),
    ("delivery", &["UPDATE payments SET first_answer_at_ms = 1 WHERE delivery = 'none'"]),
    ("answer", &["DELETE FROM answers WHERE payment = (SELECT MIN(payment) FROM answers)"]),
    (
        "answer",
        &[
            "UPDATE answers SET payment = (SELECT MIN(id) FROM payments WHERE delivery = 'none') WHERE payment = (SELECT MIN(payment) FROM answers)",
        ],
    ),
    (
        "delivered_in_part",
        &["UPDATE payments SET delivered_in_part = TRUE WHERE first_answer_at_ms IS NOT NULL"],
    ),
    (
        "delivered_in_part",
        &[
            "UPDATE answers SET headers = NULL, body = NULL",
            "UPDATE payments SET first_answer_at_ms = NULL WHERE delivery = 'delivered' AND NOT delivered_in_part",
        ],
    ),
    (
        "answer_object",
        &["UPDATE answers SET object = 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' WHERE body IS NOT NULL"],
    ),
    (
        "answer_object",
        &[
            "INSERT INTO answer_objects (name, payment, run, key, bytes, state, instance, at_ms) SELECT 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk', id, 1, payment_key, 0, 'kept', owner, 1 FROM payments WHERE id = (SELECT MIN(id) FROM payments WHERE delivery = 'delivered')",
        ],
    ),
    ("answer_objects_sum", &["UPDATE answer_object_totals SET kept_bytes = kept_bytes + 1"]),
    (
        "usage",
        &[
            "UPDATE usages SET payment = (SELECT MIN(id) FROM payments WHERE delivery = 'none') WHERE payment = (SELECT MIN(payment) FROM usages)",
        ],
    ),
    (
        "telling",
        &["UPDATE payments SET merchant_answer_at_ms = NULL WHERE merchant_answer_at_ms IS NOT NULL"],
    ),
    (
        "telling",
        &[
            "UPDATE merchant_answers SET payment = (SELECT MIN(id) FROM payments WHERE origin = 'gate') WHERE payment = (SELECT MIN(payment) FROM merchant_answers)",
        ],
    ),
    ("cost", &["UPDATE costs SET payer = 'somebody else' WHERE payment = (SELECT MIN(payment) FROM costs)"]),
    ("cost", &["UPDATE costs SET payment = NULL WHERE payment = (SELECT MIN(payment) FROM costs)"]),
    ("cost_totals", &["UPDATE cost_totals SET usdc = usdc + 1 WHERE payer = ''"]),
    ("cost_totals", &["UPDATE cost_totals SET burnt_usdc = burnt_usdc + 1 WHERE payer = ''"]),
    ("cost_totals", &["DELETE FROM costs WHERE tx = (SELECT MIN(tx) FROM costs)"]),
    ("payer_burnt", &["UPDATE payers SET burnt = burnt + 1"]),
    ("payer_paid", &["UPDATE payers SET paid = paid + 1"]),
    ("payer_paid", &["DELETE FROM payers"]),
    ("merchant_totals", &["UPDATE merchant_totals SET amount = amount + 1"]),
    ("merchant_totals", &["UPDATE merchant_totals SET lost_due = lost_due + 1"]),
    ("merchant_totals", &["UPDATE merchant_totals SET accounts = accounts + 1"]),
    ("merchant_totals", &["UPDATE merchant_totals SET earned_cost = earned_cost + 1"]),
    ("reservation", &["UPDATE reservations SET payer = 'somebody else'"]),
    ("reservation", &["UPDATE reservations SET merchant = 'somebody else'"]),
    ("reservation_amount", &["UPDATE reservations SET amount = amount + 1"]),
    ("reservation_missing", &["DELETE FROM reservations"]),
    (
        "reservation_ended",
        &[
            "UPDATE reservations SET payment = (SELECT MIN(p.id) FROM payments p LEFT JOIN reservations r ON r.payment = p.id WHERE p.state = 'settled' AND r.payment IS NULL), amount = 0, usdc = 0, native = 0 WHERE payment = (SELECT MIN(payment) FROM reservations)",
        ],
    ),
];

fn broken(checked: &[CheckedRule]) -> Vec<&CheckedRule> {
    checked.iter().filter(|rule| rule.broken > 0).collect()
}

/// Everything once, and one payment of each state without a verdict.
async fn used(store: &Store) -> Ledger {
    // Long: some steps are hours later.
    let options = LedgerOptions {
        lease_ms: 1_000_000_000,
        lease_clock: LeaseClock::Database,
        ..LedgerOptions::new("one")
    };
    let ledger = Ledger::open(&store.url, options, NOW).await.unwrap();
    exercise(&ledger, 0).await;
    left_open(&ledger).await;
    ledger
}

mod cases {
    use super::*;

    pub(crate) async fn each_rule_finds_what_breaks_it_and_nothing_else_does(store: Store) {
        let ledger = used(&store).await;
        let sound = ledger.check(5).await.unwrap();
        assert_eq!(broken(&sound), Vec::<&CheckedRule>::new());
        let mut silent = Vec::new();
        for (rule, statements) in PLANTED {
            match check_planted(&ledger, rule, statements).await {
                Ok(caught) if caught.broken > 0 => assert_eq!(caught.violations.len() as u64, caught.broken),
                other => silent.push(format!("{rule} on {statements:?}: {other:?}")),
            }
        }
        assert!(silent.is_empty(), "{silent:#?}");
        let planted: BTreeSet<_> = PLANTED.iter().map(|(rule, _)| *rule).collect();
        assert_eq!(planted, sound.iter().map(|rule| rule.name).collect());
        assert_eq!(broken(&ledger.check(5).await.unwrap()), Vec::<&CheckedRule>::new(), "nothing stayed");
    }

    /// Counted are all, shown as many as are asked for; a reader finds the same.
    pub(crate) async fn violations_are_counted_beyond_what_is_shown(store: Store) {
        let ledger = used(&store).await;
        let plant = &["UPDATE payments SET service = service + 1 WHERE origin = 'gate'"];
        let rule = check_planted(&ledger, "price", plant).await.unwrap();
        assert!(
            rule.broken > 5 && rule.violations.iter().all(|one| one.what.starts_with("pay_")),
            "{rule:?}"
        );
        let mut options = LedgerOptions::new("looks");
        options.read_only = true;
        let reader = Ledger::open(&store.url, options, NOW).await.unwrap();
        assert_eq!(reader.check(0).await.unwrap(), ledger.check(1).await.unwrap());
    }

    /// Each of them would take the other for who ends the reservation, and nobody would.
    pub(crate) async fn a_verdict_and_a_cost_at_once_leave_no_reservation(store: Store) {
        let ledger = store.open().await;
        ledger.ensure_wallet(&base(), WALLET, 0, NOW).await.unwrap();
        let mut under_way = Vec::new();
        for key in 0..PAIRS {
            let (id, transaction) = signed_one(&ledger, key).await;
            let (verdict, cost) = (ledger.clone(), ledger.clone());
            let (of, booked) = (id.clone(), burnt(&id, &transaction));
            under_way.push(tokio::spawn(async move { verdict.expire(&of, &ended(), NOW).await.map(drop) }));
            under_way.push(tokio::spawn(async move { cost.book_cost(booked, NOW).await.map(drop) }));
        }
        for task in under_way {
            task.await.unwrap().unwrap();
        }
        let checked = ledger.check(5).await.unwrap();
        assert!(
            checked.iter().filter(|rule| rule.name == "reservation_ended").all(|rule| rule.broken == 0),
            "{:?}",
            broken(&checked)
        );
    }
}

on_both!(
    a_verdict_and_a_cost_at_once_leave_no_reservation,
    each_rule_finds_what_breaks_it_and_nothing_else_does,
    violations_are_counted_beyond_what_is_shown
);
