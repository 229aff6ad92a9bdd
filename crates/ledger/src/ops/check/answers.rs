//! What payments bought: runs, answers, objects, and what foreign servers were told (P1, P6).

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule!(
        "delivery",
        "A delivery has the runs, the holder and the times of its state.",
        "SELECT id AS what, delivery || ' after ' || runs || ' runs' AS found FROM payments \
         WHERE (delivery <> 'none' AND runs = 0) OR (delivery = 'none' AND runs BETWEEN 1 AND 999999) \
         OR (delivery = 'running' AND (delivery_owner IS NULL OR delivery_epoch IS NULL OR delivery_since_ms IS NULL)) \
         OR (delivery = 'credited' AND credited_at_ms IS NULL) \
         OR (delivery <> 'delivered' AND first_answer_at_ms IS NOT NULL)",
    ),
    rule!(
        "answer",
        "A payment is delivered if, and only if, it has an answer.",
        "SELECT p.id AS what, p.delivery AS found FROM payments p LEFT JOIN answers a ON a.payment = p.id \
         WHERE (p.delivery = 'delivered') <> (a.payment IS NOT NULL)",
    ),
    rule!(
        "delivered_in_part",
        "Delivered in part is what nobody got whole and nothing is kept of, and nothing else.",
        "SELECT p.id AS what, CASE WHEN p.delivered_in_part THEN 'in part' ELSE 'whole' END AS found \
         FROM payments p JOIN answers a ON a.payment = p.id WHERE p.delivery = 'delivered' \
         AND (CASE WHEN p.delivered_in_part THEN 1 ELSE 0 END) <> \
         (CASE WHEN p.first_answer_at_ms IS NULL AND (a.truncated OR a.body IS NULL) THEN 1 ELSE 0 END)",
    ),
    rule!(
        "answer_object",
        "An object of an answer is kept if, and only if, an answer that is kept lies in it.",
        "SELECT a.payment AS what, a.object AS found FROM answers a LEFT JOIN answer_objects o \
         ON o.name = a.object AND o.payment = a.payment AND o.state = 'kept' \
         WHERE a.object IS NOT NULL AND (o.name IS NULL OR a.body IS NULL OR a.truncated) \
         UNION ALL SELECT o.payment, o.name FROM answer_objects o LEFT JOIN answers a \
         ON a.payment = o.payment AND a.object = o.name WHERE o.state = 'kept' AND a.payment IS NULL \
         UNION ALL SELECT o.payment, o.name FROM answer_objects o JOIN payments p ON p.id = o.payment \
         WHERE o.run > p.runs",
    ),
    rule!(
        "answer_objects_sum",
        "The sum of what is kept in objects is what they add up to.",
        "SELECT 'answer_object_totals' AS what, kept_bytes || ', and the rows ' || counted AS found \
         FROM answer_object_totals, (SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS counted \
         FROM answer_objects WHERE state = 'kept') AS kept WHERE kept_bytes <> counted",
    ),
    rule!(
        "usage",
        "What prepaid work used is written with the answer that it made.",
        "SELECT u.payment AS what, u.product AS found FROM usages u LEFT JOIN answers a ON a.payment = u.payment \
         WHERE a.payment IS NULL",
    ),
    rule!(
        "telling",
        "Only a foreign server's settled payment is told, and it has its time once it is.",
        "SELECT p.id AS what, m.state AS found FROM merchant_answers m JOIN payments p ON p.id = m.payment \
         WHERE p.origin <> 'merchant' OR p.state <> 'settled' OR (m.state = 'telling' AND m.holder IS NULL) \
         OR (m.state = 'told') <> (p.merchant_answer_at_ms IS NOT NULL) \
         UNION ALL SELECT id, 'told of' FROM payments WHERE merchant_answer_at_ms IS NOT NULL \
         AND origin <> 'merchant'",
    ),
];
