//! Costs, sums and reservations (P3, I10).

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule!(
        "cost",
        "A cost of a payment has that payment's network and payer, and one of none has neither.",
        "SELECT COALESCE(c.payment, c.tx) AS what, c.tx AS found FROM costs c LEFT JOIN payments p ON p.id = c.payment \
         WHERE (c.payment IS NULL AND c.payer IS NOT NULL) \
         OR (p.id IS NOT NULL AND (p.network <> c.network OR c.payer IS DISTINCT FROM p.payer))",
    ),
    rule!(
        "cost_totals",
        "Each ten minutes' sum of costs, and of what was burnt, is what the costs add up to.",
        "SELECT network || ' slot ' || slot AS what, \
         CAST(SUM(usdc) AS TEXT) || ' spent and ' || CAST(SUM(burnt) AS TEXT) || ' burnt too much' AS found FROM ( \
         SELECT network, slot, usdc, burnt_usdc AS burnt FROM cost_totals WHERE payer = '' \
         UNION ALL SELECT network, slot, usdc, -burnt_usdc FROM cost_totals WHERE payer <> '' \
         UNION ALL SELECT network, at_ms / 600000, -COALESCE(usdc, 0), \
         CASE WHEN NOT earned AND COALESCE(payer, '') = '' THEN -COALESCE(usdc, 0) ELSE 0 END FROM costs \
         ) AS sums GROUP BY network, slot HAVING SUM(usdc) <> 0 OR SUM(burnt) <> 0",
    ),
    rule!(
        "payer_burnt",
        "What a payer's attempts burnt of the day's limits and of its own surcharges is what they cost.",
        "SELECT network || ' ' || payer AS what, CAST(SUM(usdc) AS TEXT) || ' too much' AS found FROM ( \
         SELECT network, payer, burnt_usdc AS usdc FROM cost_totals WHERE payer <> '' \
         UNION ALL SELECT network, payer, burnt FROM payers \
         UNION ALL SELECT network, payer, -COALESCE(usdc, 0) FROM costs WHERE NOT earned AND COALESCE(payer, '') <> '' \
         ) AS sums GROUP BY network, payer HAVING SUM(usdc) <> 0",
    ),
    rule!(
        "payer_paid",
        "What a payer has paid for settling is what its settled payments say, less those that were lost.",
        "SELECT network || ' ' || payer AS what, CAST(SUM(paid) AS TEXT) || ' too much' AS found FROM ( \
         SELECT network, payer, paid FROM payers \
         UNION ALL SELECT network, payer, -gas FROM payments WHERE state = 'settled' AND NOT owed \
         AND fee_policy IS NULL AND finality IS DISTINCT FROM 'reorged_loss' \
         ) AS sums GROUP BY network, payer HAVING SUM(paid) <> 0",
    ),
    rule!(
        "merchant_totals",
        "A merchant's sums are those of its payments, their costs and its token accounts.",
        "SELECT merchant || ' on ' || network AS what, CAST(SUM(payments) AS TEXT) || ' payments, ' || \
         CAST(SUM(amount) AS TEXT) || ' moved, ' || CAST(SUM(cost) AS TEXT) || ' spent too much' AS found FROM ( \
         SELECT merchant, network, payments, amount, charged, absorbed, billed, lost_payments, lost_amount, \
         lost_due, earned_cost + burnt_cost AS cost, burnt_cost, unpriced, accounts FROM merchant_totals \
         UNION ALL SELECT merchant, network, -1, -amount, -gas, \
         CASE WHEN fee_policy = 'absorbed' THEN -fee_carried ELSE 0 END, \
         CASE WHEN fee_policy = 'billed' THEN -fee_carried ELSE 0 END, \
         CASE WHEN finality = 'reorged_loss' THEN -1 ELSE 0 END, \
         CASE WHEN finality = 'reorged_loss' THEN -amount ELSE 0 END, \
         CASE WHEN finality = 'reorged_loss' THEN -gas - CASE WHEN fee_policy = 'billed' THEN fee_carried ELSE 0 END \
         ELSE 0 END, 0, 0, 0, 0 FROM payments WHERE state = 'settled' AND NOT owed AND fee_policy IS NOT NULL \
         UNION ALL SELECT p.merchant, c.network, 0, 0, 0, 0, 0, 0, 0, 0, -COALESCE(c.usdc, 0), \
         CASE WHEN c.earned THEN 0 ELSE -COALESCE(c.usdc, 0) END, CASE WHEN c.usdc IS NULL THEN -1 ELSE 0 END, 0 \
         FROM costs c JOIN payments p ON p.id = c.payment WHERE p.fee_policy IS NOT NULL \
         UNION ALL SELECT merchant, network, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1 FROM merchant_accounts \
         ) AS sums GROUP BY merchant, network HAVING SUM(payments) <> 0 OR SUM(amount) <> 0 OR SUM(charged) <> 0 \
         OR SUM(absorbed) <> 0 OR SUM(billed) <> 0 OR SUM(lost_payments) <> 0 OR SUM(lost_amount) <> 0 \
         OR SUM(lost_due) <> 0 OR SUM(cost) <> 0 OR SUM(burnt_cost) <> 0 OR SUM(unpriced) <> 0 OR SUM(accounts) <> 0",
    ),
    rule!(
        "reservation",
        "What is reserved is reserved for its payment's network, payer and merchant.",
        "SELECT r.payment AS what, r.network || ' ' || r.payer AS found FROM reservations r \
         JOIN payments p ON p.id = r.payment WHERE r.network <> p.network OR r.payer <> p.payer \
         OR r.merchant IS DISTINCT FROM CASE WHEN p.fee_policy IS NULL THEN NULL ELSE p.merchant END",
    ),
    rule!(
        "reservation_amount",
        "A payment without a verdict holds its money, and one with a verdict none.",
        "SELECT r.payment AS what, p.state || ', ' || r.amount || ' held' AS found FROM reservations r \
         JOIN payments p ON p.id = r.payment \
         WHERE r.amount <> CASE WHEN p.verdict_at_ms IS NULL THEN p.amount ELSE 0 END",
    ),
    rule!(
        "reservation_missing",
        "Every payment without a verdict has a reservation, so that its money and cost count.",
        "SELECT p.id AS what, p.state AS found FROM payments p LEFT JOIN reservations r ON r.payment = p.id \
         WHERE p.state IN ('claimed', 'recorded') AND r.payment IS NULL",
    ),
    rule!(
        "reservation_ended",
        "A reservation of a finished payment ends once nothing is held or may be burnt by it.",
        "SELECT r.payment AS what, p.state AS found FROM reservations r JOIN payments p ON p.id = r.payment \
         WHERE p.verdict_at_ms IS NOT NULL AND r.amount = 0 AND r.native = 0",
    ),
];
