//! A day's worth of rows, written by SQL: as many as a busy service makes, in the
//! time that a test has.

use quittance_ledger::testing::plans::Explainer;

use super::NOW;

/// Rows of one statement: on PostgreSQL each payment takes a lock until its commit, and a
/// server has room for some thousands.
const STATEMENT: usize = 2_000;

/// Writes `first..=last`, all of the last eight hours: payments of every fate, their
/// attempts, costs, answers, lines, names and what was told of them. Half of the
/// landings are not final.
pub(crate) async fn fill(session: &mut Explainer, first: u64, last: u64) {
    fill_only(session, |_| true, first, last).await;
}

/// The same, into some of the tables.
pub(crate) async fn fill_only(session: &mut Explainer, wanted: impl Fn(&str) -> bool, first: u64, last: u64) {
    let postgres = matches!(session, Explainer::Postgres(_));
    let hex = if postgres { "lpad(to_hex(i::bigint), 64, '0')" } else { "printf('%064x', i)" };
    let blob = if postgres { format!("decode({hex}, 'hex')") } else { format!("unhex({hex})") };
    let other = blob.replace("i::bigint", "i::bigint + 1000000000").replace(", i)", ", i + 1000000000)");
    let digest = if postgres { "sha256(i::text::bytea)".to_owned() } else { blob.clone() };
    let no = if postgres { "FALSE" } else { "0" };
    let yes = if postgres { "TRUE" } else { "1" };
    for (table, columns, values) in ROWS.iter().filter(|(table, ..)| wanted(table)) {
        let values = values
            .replace("{hex}", hex)
            .replace("{blob}", &blob)
            .replace("{other}", &other)
            .replace("{digest}", &digest)
            .replace("{no}", no)
            .replace("{yes}", yes)
            .replace("{at}", &format!("{NOW} - 28000000 + i"));
        for start in (first..=last).step_by(STATEMENT) {
            let end = last.min(start + STATEMENT as u64 - 1);
            let sql = format!(
                "WITH RECURSIVE n(i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i < {end}) \
                 INSERT INTO {table} ({columns}) SELECT {values}"
            );
            session.run(sql).await.unwrap();
        }
    }
    if postgres {
        session.run("ANALYZE".to_owned()).await.unwrap();
    }
}

/// Table, columns, and what to select from the numbers `n(i)`.
const ROWS: &[(&str, &str, &str)] = &[
    (
        "payments",
        "id, request_id, payment_key, network, origin, merchant, fingerprint, signature_digest, payer, pay_to, \
         asset, amount, service, gas, tariff, deadline_unit, deadline_value, watch_from, payload, resource, state, \
         delivery, runs, tx, landing, evidence, refusal_code, owner, owner_epoch, delivery_owner, delivery_epoch, \
         created_at_ms, verdict_at_ms, settled_at_ms, landed_block, finality, finality_at_ms, first_answer_at_ms, \
         merchant_answer_at_ms, delivered_in_part, runs_interrupted, owed",
        "'filled' || {hex}, 'request' || {hex}, {blob}, 'eip155:8453', \
         CASE WHEN i % 3 = 0 THEN 'merchant' ELSE 'gate' END, CASE WHEN i % 3 = 0 THEN 'shop' END, \
         {digest}, {blob}, 'payer' || (i % 500), 'pay_to', 'asset', 13938, 10000, 3938, 1, 'unix_seconds', \
         1800000600, 100, '{}', 'POST /v1/images', \
         CASE i % 10 WHEN 8 THEN 'refused' WHEN 9 THEN 'expired' ELSE 'settled' END, \
         CASE WHEN i % 10 < 8 AND i % 3 <> 0 THEN 'delivered' ELSE 'none' END, 1, 'tx' || {hex}, \
         CASE WHEN i % 10 < 8 THEN '{\"transaction\":\"tx\",\"block\":' || i || ',\"block_hash\":\"0x\",\
\"block_time\":1,\"cost_native\":1,\"paid_by_us\":true}' END, NULL, \
         CASE WHEN i % 10 = 8 THEN 'settlement_pending' END, 'one', 1, 'one', 1, {at}, {at}, \
         CASE WHEN i % 10 < 8 THEN {at} END, CASE WHEN i % 10 < 8 THEN i END, \
         CASE WHEN i % 10 < 4 THEN 'finalized' END, CASE WHEN i % 10 < 4 THEN {at} END, \
         CASE WHEN i % 10 < 7 AND i % 3 <> 0 THEN {at} END, \
         CASE WHEN i % 10 < 7 AND i % 3 = 0 THEN {at} END, {no}, 0, {no} FROM n",
    ),
    (
        "merchant_totals",
        "merchant, network, slot, payments",
        "'m' || (i % 7), 'eip155:8453', i / 7, 1 FROM n",
    ),
    (
        "wallets",
        "network, wallet, next_nonce",
        "'eip155:8453', 'filled' || {hex}, 1 FROM n WHERE i % 1000 = 1",
    ),
    (
        "slots",
        "network, wallet, nonce, created_at_ms",
        "'eip155:8453', w.wallet, i, {at} FROM n, (SELECT MIN(wallet) AS wallet FROM wallets \
         WHERE wallet LIKE 'filled%') AS w",
    ),
    (
        "attempts",
        "network, wallet, nonce, tx, raw, detail, created_at_ms",
        "'eip155:8453', w.wallet, i, 'tx' || {hex}, {blob}, '{}', {at} FROM n, \
         (SELECT MIN(wallet) AS wallet FROM wallets WHERE wallet LIKE 'filled%') AS w",
    ),
    (
        "attempt_payments",
        "payment, attempt, item",
        "'filled' || {hex}, a.id, 0 FROM n JOIN attempts a ON a.tx = 'tx' || {hex}",
    ),
    (
        "costs",
        "network, tx, item, payment, payer, native, usdc, earned, at_ms, whole, whole_usdc",
        "'eip155:8453', 'tx' || {hex}, 0, 'filled' || {hex}, 'payer' || (i % 500), '100', 100, {yes}, {at}, '100', 100 \
         FROM n",
    ),
    (
        "answers",
        "payment, status, headers, body, body_bytes, truncated, refundable, at_ms",
        "'filled' || {hex}, 200, '[]', {blob}, 32, {no}, {no}, {at} FROM n WHERE i % 10 < 8 AND i % 3 <> 0",
    ),
    (
        "usages",
        "payment, product, prompt_tokens_reserved, prompt_tokens, completion_tokens_reserved, completion_tokens, \
         reserved, metered, charged, at_ms",
        "'filled' || {hex}, 'a model', 10, 9, 10, 9, 10, 9, 10, {at} FROM n",
    ),
    (
        "merchant_answers",
        "payment, state, tellings, owner, owner_epoch, since_ms",
        "'filled' || {hex}, 'told', 1, 'one', 1, {at} FROM n WHERE i % 10 < 7 AND i % 3 = 0",
    ),
    (
        "answer_objects",
        "name, payment, run, key, bytes, state, instance, at_ms",
        "substr({hex}, 33, 32), 'filled' || {hex}, 1, {blob}, 1000, 'kept', 'one', {at} FROM n",
    ),
    (
        "journal",
        "payment, at_ms, instance, event, detail",
        "'filled' || {hex}, {at}, 'one', e.event, '{}' FROM n, \
         (SELECT 'claimed' AS event UNION ALL SELECT 'recorded' UNION ALL SELECT 'settled') AS e",
    ),
    (
        "aliases",
        "payment_key, payment, signature_digest, amount, at_ms",
        "{other}, 'filled' || {hex}, {blob}, 13938, {at} FROM n",
    ),
    (
        "identifiers",
        "scope, payer, identifier, payment",
        "'gate', 'payer' || (i % 500), {blob}, 'filled' || {hex} FROM n",
    ),
    (
        "tariffs",
        "network, number, gas, detail, created_at_ms, replaced_at_ms",
        "'eip155:8453', i * 10, 3938, '{}', {at}, {at} FROM n",
    ),
    (
        "check_leases",
        "payment_key, network, source, amount, fingerprint, signature_digest, until_ms",
        "{other}, 'eip155:8453', 'payer' || (i % 500), 13938, {blob}, {blob}, 9000000000000 + i FROM n",
    ),
    ("payers", "network, payer, paid, burnt", "'eip155:8453', 'filled' || {hex}, 3938, 0 FROM n"),
    (
        "cost_totals",
        "network, payer, slot, usdc, burnt_usdc, burnt_native",
        "'eip155:8453', 'filled' || {hex}, 3000000, 0, 1, 1 FROM n",
    ),
    (
        "reservations",
        "payment, network, payer, source, amount, usdc, native, funding, by_code",
        "'filled' || {hex}, 'eip155:' || (1 + i % 4), 'payer', 'payer', 0, 1, 1, 'stranger', {no} FROM n \
         WHERE i <= 500",
    ),
];
