//! Signed transactions and wallet nonces (I2, I10).

use super::{Rule, rule};

/// Wants how a database reads what a line of the journal says of a wallet's counter.
macro_rules! nonce_gap {
    ($raised:literal) => {
        concat!(
            "WITH placed AS (SELECT network, wallet, nonce, LAG(nonce) OVER w AS below, \
             LAG(created_at_ms) OVER w AS below_ms FROM slots WINDOW w AS (PARTITION BY network, wallet ORDER BY nonce) \
             ), ends AS ( \
             SELECT network, wallet, nonce, below, below_ms FROM placed WHERE nonce <> below + 1 \
             UNION ALL SELECT w.network, w.wallet, w.next_nonce, s.nonce, s.at_ms FROM wallets w JOIN ( \
             SELECT network, wallet, MAX(nonce) AS nonce, MAX(created_at_ms) AS at_ms FROM slots GROUP BY network, wallet \
             ) s ON s.network = w.network AND s.wallet = w.wallet WHERE w.next_nonce > s.nonce + 1 \
             ), pruned AS ( \
             SELECT network, MAX(verdict_at_ms) AS at_ms FROM payments WHERE pruned_at_ms IS NOT NULL GROUP BY network \
             ), raised AS MATERIALIZED (",
            $raised,
            " FROM journal \
             WHERE payment IS NULL AND event = 'wallet_counter') \
             SELECT e.network || ' ' || e.wallet AS what, 'none between ' || e.below || ' and ' || e.nonce AS found \
             FROM ends e LEFT JOIN pruned p ON p.network = e.network LEFT JOIN raised r \
             ON r.network = e.network AND r.wallet = e.wallet AND r.nonce = e.nonce \
             WHERE r.nonce IS NULL AND (p.at_ms IS NULL OR e.below_ms > p.at_ms)"
        )
    };
}

pub(super) const RULES: &[Rule] = &[
    rule!(
        "attempts_of_state",
        "A recorded payment has a signed transaction on its network, and a claimed one has none.",
        "SELECT p.id AS what, p.state AS found FROM payments p WHERE p.state IN ('claimed', 'recorded') \
         AND (p.state = 'recorded') <> EXISTS (SELECT 1 FROM attempt_payments l \
         JOIN attempts a ON a.id = l.attempt WHERE l.payment = p.id)",
    ),
    rule!(
        "attempt_network",
        "A transaction pays only payments of its own network.",
        "SELECT p.id AS what, a.network AS found FROM attempt_payments l JOIN attempts a ON a.id = l.attempt \
         JOIN payments p ON p.id = l.payment WHERE a.network <> p.network",
    ),
    rule!(
        "recorded_transaction",
        "A recorded payment names the newest of its transactions: it is what a pending answer shows.",
        "SELECT p.id AS what, COALESCE(p.tx, '') AS found FROM payments p WHERE p.state = 'recorded' \
         AND p.tx <> (SELECT a.tx FROM attempt_payments l JOIN attempts a ON a.id = l.attempt \
         WHERE l.payment = p.id ORDER BY a.id DESC LIMIT 1)",
    ),
    rule!(
        "attempt_items",
        "Each payment of a batch has a place of its own in it.",
        "SELECT 'attempt ' || attempt AS what, 'place ' || item AS found FROM attempt_payments \
         GROUP BY attempt, item HAVING COUNT(*) > 1",
    ),
    rule!(
        "replaced_in_place",
        "A transaction replaces an earlier one of its network, wallet and nonce.",
        "SELECT 'attempt ' || a.id AS what, 'replaces ' || b.id AS found FROM attempts a \
         JOIN attempts b ON b.id = a.replaces WHERE a.network <> b.network OR a.nonce IS NULL \
         OR a.wallet IS DISTINCT FROM b.wallet OR a.nonce IS DISTINCT FROM b.nonce OR a.id <= b.id",
    ),
    rule!(
        "replaced_once",
        "Of the transactions at a nonce each replaces the one before, so that they form one chain.",
        "SELECT MAX(network) || ' ' || wallet AS what, 'nonce ' || nonce AS found FROM attempts \
         WHERE wallet IS NOT NULL GROUP BY network, wallet, nonce \
         HAVING COUNT(DISTINCT replaces) <> COUNT(*) - 1",
    ),
    rule!(
        "nonce_below_counter",
        "No nonce is reserved that its wallet's counter has not reached.",
        "SELECT s.network || ' ' || s.wallet AS what, 'nonce ' || s.nonce AS found FROM slots s \
         JOIN wallets w ON w.network = s.network AND w.wallet = s.wallet WHERE s.nonce >= w.next_nonce",
    ),
    rule!(
        "nonce_gap",
        "No nonce below a wallet's counter is missing but those that the chain had used, and pruned ones.",
        nonce_gap!(
            "SELECT json_extract(detail, '$.network') AS network, \
             json_extract(detail, '$.wallet') AS wallet, json_extract(detail, '$.next_nonce') AS nonce"
        ),
        nonce_gap!(
            "SELECT detail::json ->> 'network' AS network, detail::json ->> 'wallet' AS wallet, \
             (detail::json ->> 'next_nonce')::BIGINT AS nonce"
        ),
    ),
    rule!(
        "nonce_signed",
        "Every nonce that is reserved has a transaction that pays somebody.",
        "SELECT s.network || ' ' || s.wallet AS what, 'nonce ' || s.nonce AS found FROM slots s \
         WHERE NOT EXISTS (SELECT 1 FROM attempts a JOIN attempt_payments l ON l.attempt = a.id \
         WHERE a.network = s.network AND a.wallet = s.wallet AND a.nonce = s.nonce)",
    ),
    rule!(
        "replaced_nonce",
        "What is watched as a replaced nonce has a transaction that replaces another there.",
        "SELECT r.network || ' ' || r.wallet AS what, 'nonce ' || r.nonce AS found FROM replaced_slots r \
         WHERE r.is_open AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.network = r.network \
         AND a.wallet = r.wallet AND a.nonce = r.nonce AND a.replaces IS NOT NULL)",
    ),
];
