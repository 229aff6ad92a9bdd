//! Payments: what their columns, keys and names say of each other.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule!(
        "payment_state",
        "A payment has the times, the transaction and the evidence of its state, and no others.",
        "SELECT id AS what, state AS found FROM payments WHERE (state = 'settled') <> (settled_at_ms IS NOT NULL) \
         OR (state = 'settled') <> (landed_block IS NOT NULL) \
         OR (state = 'settled' AND (tx IS NULL OR settled_at_ms <> verdict_at_ms)) \
         OR (state = 'claimed' AND (tx IS NOT NULL OR recorded_at_ms IS NOT NULL)) \
         OR (state = 'recorded' AND (tx IS NULL OR recorded_at_ms IS NULL)) \
         OR (state = 'expired' AND evidence IS NULL AND pruned_at_ms IS NULL)",
    ),
    rule!(
        "landing",
        "A settled payment names the transaction and the block of its landing.",
        "SELECT id AS what, tx || ' in block ' || landed_block AS found FROM payments WHERE state = 'settled' \
         AND (json_extract(landing, '$.transaction') IS DISTINCT FROM tx \
         OR json_extract(landing, '$.block') IS DISTINCT FROM landed_block)",
        "SELECT id AS what, tx || ' in block ' || landed_block AS found FROM payments WHERE state = 'settled' \
         AND (landing::json ->> 'transaction' IS DISTINCT FROM tx \
         OR (landing::json ->> 'block')::BIGINT IS DISTINCT FROM landed_block)",
    ),
    rule!(
        "price",
        "What a gate's payment paid is the price of the work and the surcharge.",
        "SELECT id AS what, amount || ' of ' || service || ' and ' || gas AS found FROM payments \
         WHERE origin = 'gate' AND amount <> service + gas",
    ),
    rule!(
        "key",
        "A payment key is a payment's or an alias's, never both (I1).",
        "SELECT p.id AS what, 'alias of ' || a.payment AS found FROM aliases a \
         JOIN payments p ON p.payment_key = a.payment_key",
    ),
    rule!(
        "check_lease",
        "No money is held for a foreign server's question about what is claimed by now.",
        "SELECT p.id AS what, CAST(l.amount AS TEXT) AS found FROM check_leases l \
         JOIN payments p ON p.payment_key = l.payment_key",
    ),
    rule!(
        "identifier",
        "What a payer calls a purchase names a payment of that payer, at that gate or merchant.",
        "SELECT p.id AS what, i.scope || ' ' || i.payer AS found FROM identifiers i \
         JOIN payments p ON p.id = i.payment WHERE i.payer <> p.payer \
         OR i.scope <> CASE p.origin WHEN 'gate' THEN 'gate' ELSE 'merchant:' || p.merchant END",
    ),
    rule!(
        "merchant",
        "A payment that says who carries its cost names a merchant that there is.",
        "SELECT p.id AS what, p.merchant AS found FROM payments p LEFT JOIN merchants m ON m.name = p.merchant \
         WHERE p.fee_policy IS NOT NULL AND m.name IS NULL",
    ),
    rule!(
        "tariff",
        "Tariffs of a network are numbered without gaps, and the newest is the current one.",
        "SELECT network || ' tariff ' || number AS what, 'after ' || below AS found FROM ( \
         SELECT network, number, LAG(number) OVER w AS below, LAG(replaced_at_ms) OVER w AS ended_ms, \
         MAX(created_at_ms) OVER (PARTITION BY network) AS newest_ms FROM tariffs \
         WINDOW w AS (PARTITION BY network ORDER BY number)) AS numbered \
         WHERE number <> below + 1 AND ended_ms > newest_ms - 86400000 \
         UNION ALL SELECT t.network || ' tariff ' || t.number, 'replaced' FROM tariffs t \
         WHERE (t.replaced_at_ms IS NULL) <> (t.number = (SELECT MAX(n.number) FROM tariffs n WHERE n.network = t.network))",
    ),
    rule!(
        "payment_tariff",
        "A payment was charged by a tariff that there is, or that is pruned by now.",
        "SELECT p.id AS what, 'tariff ' || p.tariff AS found FROM payments p \
         LEFT JOIN tariffs t ON t.network = p.network AND t.number = p.tariff \
         LEFT JOIN (SELECT network, MIN(number) AS first FROM tariffs GROUP BY network) AS known \
         ON known.network = p.network \
         WHERE p.tariff IS NOT NULL AND t.number IS NULL AND (known.first IS NULL OR p.tariff >= known.first)",
    ),
    rule!(
        "owner",
        "What is under way belongs to a process that there was, in a life that it had.",
        "SELECT u.what AS what, u.owner || ' ' || u.epoch AS found FROM ( \
         SELECT id AS what, owner AS owner, owner_epoch AS epoch FROM payments WHERE state IN ('claimed', 'recorded') \
         UNION ALL SELECT id, owner, owner_epoch FROM payments WHERE state = 'settled' AND finality IS NULL \
         UNION ALL SELECT id, COALESCE(delivery_owner, ''), COALESCE(delivery_epoch, 0) FROM payments \
         WHERE delivery = 'running' \
         UNION ALL SELECT payment, owner, owner_epoch FROM merchant_answers WHERE state = 'telling') AS u \
         LEFT JOIN instances i ON i.name = u.owner WHERE i.name IS NULL OR u.epoch > i.epoch",
    ),
    rule!(
        "pruned",
        "Of a payment that is pruned nothing is left but its row, costs and what its answer was.",
        "SELECT l.payment AS what, 'attempt' AS found FROM attempt_payments l JOIN payments p ON p.id = l.payment \
         WHERE p.pruned_at_ms IS NOT NULL \
         UNION ALL SELECT a.payment, 'alias' FROM aliases a JOIN payments p ON p.id = a.payment \
         WHERE p.pruned_at_ms IS NOT NULL \
         UNION ALL SELECT m.payment, 'telling' FROM merchant_answers m JOIN payments p ON p.id = m.payment \
         WHERE p.pruned_at_ms IS NOT NULL \
         UNION ALL SELECT r.payment, 'reservation' FROM reservations r JOIN payments p ON p.id = r.payment \
         WHERE p.pruned_at_ms IS NOT NULL \
         UNION ALL SELECT a.payment, 'answer' FROM answers a JOIN payments p ON p.id = a.payment \
         WHERE p.pruned_at_ms IS NOT NULL AND a.body IS NOT NULL",
    ),
];
