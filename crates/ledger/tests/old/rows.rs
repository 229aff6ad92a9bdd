//! Rows as a process of an earlier version left them when it was killed: payments in
//! every state that its schema knows, written by SQL.

use quittance_ledger::testing::plans::Explainer;
use quittance_protocol::PaymentId;

use crate::common::{NOW, WALLET};

/// Who is about to start: an earlier life of its own, of this epoch, left some of it.
pub(crate) const SELF: &str = "one";
pub(crate) const EPOCH: i64 = 2;
/// Another process, whose lease has passed.
pub(crate) const OTHER: &str = "gone";
pub(crate) const BASE: &str = "eip155:8453";
pub(crate) const SOLANA: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
pub(crate) const PAYER: &str = "0x00000000000000000000000000000000000000bb";
/// A name that two payments were given, of which one ended unpaid.
pub(crate) const NAME: u8 = 0x33;
/// Bytes of the answers in objects.
pub(crate) const OBJECT_BYTES: u64 = 5_000_000;

/// What a payment of the old books was doing; the number names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Was {
    Claimed = 1,
    ClaimedByMerchant,
    Recorded,
    RecordedOnSolana,
    Settled,
    Running,
    Credited,
    Delivered,
    NobodyFetched,
    TooLong,
    Pruned,
    Refused,
    Expired,
    Told,
    Untold,
    /// From 5 on.
    Telling,
    /// From 3 on.
    Final,
    Lost,
    /// From 8 on: its answer lies in an object.
    InObject,
    /// From 11 on.
    Owed,
    /// Claimed by a process that is gone.
    Orphaned,
    /// Expired, with the name of another payment.
    NamedBefore,
}

impl Was {
    pub(crate) const ALL: [Self; 22] = [
        Self::Claimed,
        Self::ClaimedByMerchant,
        Self::Recorded,
        Self::RecordedOnSolana,
        Self::Settled,
        Self::Running,
        Self::Credited,
        Self::Delivered,
        Self::NobodyFetched,
        Self::TooLong,
        Self::Pruned,
        Self::Refused,
        Self::Expired,
        Self::Told,
        Self::Untold,
        Self::Telling,
        Self::Final,
        Self::Lost,
        Self::InObject,
        Self::Owed,
        Self::Orphaned,
        Self::NamedBefore,
    ];

    /// The first schema that has it.
    pub(crate) const fn since(self) -> i64 {
        match self {
            Self::Telling => 5,
            Self::Final | Self::Lost => 3,
            Self::InObject => 8,
            Self::Owed => 11,
            _ => 1,
        }
    }

    pub(crate) fn id(self) -> PaymentId {
        PaymentId::from_stored(format!("pay_old{:02}", self as u8))
    }

    const fn state(self) -> &'static str {
        match self {
            Self::Claimed | Self::ClaimedByMerchant | Self::Orphaned => "claimed",
            Self::Recorded | Self::RecordedOnSolana => "recorded",
            Self::Refused => "refused",
            Self::Expired | Self::NamedBefore => "expired",
            _ => "settled",
        }
    }

    const fn delivery(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Credited => "credited",
            Self::Delivered
            | Self::NobodyFetched
            | Self::TooLong
            | Self::Pruned
            | Self::Final
            | Self::Lost
            | Self::InObject => "delivered",
            _ => "none",
        }
    }

    const fn is_merchants(self) -> bool {
        matches!(self, Self::ClaimedByMerchant | Self::Told | Self::Untold | Self::Telling)
    }

    const fn runs(self) -> u32 {
        match self {
            Self::Credited => 2,
            _ if matches!(self.delivery().as_bytes(), b"none") => 0,
            _ => 1,
        }
    }

    fn is_fetched(self) -> bool {
        matches!(self, Self::Delivered | Self::Final | Self::Lost)
    }

    /// Whether its landing counts as income of the payer's history.
    const fn is_earned(self) -> bool {
        matches!(self.state().as_bytes(), b"settled") && !matches!(self, Self::Lost | Self::Owed)
    }
}

/// Writes what the schema of `version` can hold.
pub(crate) async fn write(url: &str, version: i64) {
    let mut session = Explainer::open(url).await.unwrap();
    let writer = Writer { version, postgres: url.starts_with("postgres") };
    for sql in writer.all() {
        if let Err(error) = session.run(sql.clone()).await {
            panic!("schema {version}: {error}: {sql}");
        }
    }
}

struct Writer {
    version: i64,
    postgres: bool,
}

type Column = (i64, &'static str, String);

fn text(value: impl std::fmt::Display) -> String {
    format!("'{value}'")
}

fn null_unless(is: bool, value: impl std::fmt::Display) -> String {
    if is { value.to_string() } else { "NULL".to_owned() }
}

impl Writer {
    fn bytes(&self, of: u8, length: usize) -> String {
        let hex = format!("{of:02x}").repeat(length);
        if self.postgres { format!("'\\x{hex}'::bytea") } else { format!("x'{hex}'") }
    }

    fn flag(&self, is: bool) -> String {
        match (self.postgres, is) {
            (true, is) => is.to_string().to_uppercase(),
            (false, is) => i64::from(is).to_string(),
        }
    }

    /// One row, of the columns that this schema has.
    fn row(&self, table: &str, columns: Vec<Column>) -> String {
        let known: Vec<_> = columns.into_iter().filter(|(since, ..)| *since <= self.version).collect();
        let names: Vec<_> = known.iter().map(|(_, name, _)| *name).collect();
        let values: Vec<_> = known.iter().map(|(.., value)| value.as_str()).collect();
        format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "))
    }

    fn all(&self) -> Vec<String> {
        let there: Vec<Was> = Was::ALL.into_iter().filter(|was| was.since() <= self.version).collect();
        let mut sql = vec![
            self.row("instances", instance(SELF, EPOCH)),
            self.row("instances", instance(OTHER, 7)),
            format!(
                "INSERT INTO tariffs (network, number, gas, detail, created_at_ms) VALUES ('{BASE}', 1, 3938, '{{}}', {NOW} - 9000)"
            ),
            format!("INSERT INTO wallets (network, wallet, next_nonce) VALUES ('{BASE}', '{WALLET}', 8)"),
        ];
        for nonce in 5..=7 {
            sql.push(format!(
                "INSERT INTO slots (network, wallet, nonce, created_at_ms) VALUES ('{BASE}', '{WALLET}', {nonce}, {NOW} - 8000)"
            ));
        }
        for was in &there {
            sql.push(self.row("payments", self.payment(*was)));
            sql.push(format!(
                "INSERT INTO journal (payment, at_ms, instance, event, detail) VALUES ('{}', {NOW} - 8000, '{SELF}', 'claimed', '{{}}')",
                was.id()
            ));
        }
        sql.extend(self.attempts());
        for was in there.iter().filter(|was| was.delivery() == "delivered") {
            sql.push(self.row("answers", self.answer(*was)));
        }
        sql.extend(self.books(&there));
        sql.extend(self.later(&there));
        sql
    }

    #[allow(clippy::too_many_lines, reason = "a list of columns")]
    fn payment(&self, was: Was) -> Vec<Column> {
        let number = was as u8;
        let settled = was.state() == "settled";
        let open = matches!(was.state(), "claimed" | "recorded");
        let runs = was.delivery() != "none";
        let landing = format!(
            "'{{\"transaction\":\"0xlanded{number}\",\"block\":{},\"block_hash\":\"0xblock\",\"block_time\":1799999990,\"cost_native\":70,\"paid_by_us\":true}}'",
            100 + i64::from(number)
        );
        let named = matches!(was, Was::Claimed | Was::NamedBefore);
        let evidence = null_unless(
            was.state() == "expired",
            "'{\"kind\":\"expired\",\"block\":110,\"clock\":1799999999}'",
        );
        let own = if was == Was::Orphaned { (OTHER, 7) } else { (SELF, EPOCH) };
        let on_solana = was == Was::RecordedOnSolana;
        vec![
            (1, "id", text(was.id())),
            (1, "request_id", text(format_args!("req_old{number:02}"))),
            (1, "payment_key", self.bytes(number, 32)),
            (1, "network", text(if on_solana { SOLANA } else { BASE })),
            (1, "origin", text(if was.is_merchants() { "merchant" } else { "gate" })),
            (1, "merchant", null_unless(was.is_merchants(), "'shop'")),
            (1, "fingerprint", self.bytes(0x80 + number, 32)),
            (1, "signature_digest", self.bytes(number, 32)),
            (1, "identifier", null_unless(named, self.bytes(NAME, 32))),
            (1, "payer", text(PAYER)),
            (1, "pay_to", text("0xcc")),
            (1, "asset", text("0xdd")),
            (1, "amount", "13938".to_owned()),
            (1, "service", "10000".to_owned()),
            (1, "gas", "3938".to_owned()),
            (1, "tariff", "1".to_owned()),
            (1, "deadline_unit", text(if on_solana { "block_height" } else { "unix_seconds" })),
            (1, "deadline_value", if on_solana { "400".to_owned() } else { "1800000600".to_owned() }),
            (1, "watch_from", "90".to_owned()),
            (1, "payload", text("{\"signature\":\"0xOLD\"}")),
            (1, "resource", text("POST /v1/images")),
            (1, "state", text(was.state())),
            (1, "delivery", text(was.delivery())),
            (1, "runs", was.runs().to_string()),
            (
                1,
                "tx",
                null_unless(settled || was.state() == "recorded", text(format_args!("0xlanded{number}"))),
            ),
            (1, "landing", null_unless(settled, landing)),
            (1, "evidence", evidence),
            (1, "refusal_code", null_unless(was == Was::Refused, "'insufficient_funds'")),
            (1, "refusal_reason", null_unless(was == Was::Refused, "'broke'")),
            (1, "owner", text(own.0)),
            (1, "owner_epoch", own.1.to_string()),
            (1, "delivery_owner", null_unless(runs, text(SELF))),
            (1, "delivery_epoch", null_unless(runs, EPOCH)),
            (1, "delivery_since_ms", null_unless(runs, NOW - 7_000)),
            (1, "created_at_ms", (NOW - 9_000 + i64::from(number)).to_string()),
            (1, "recorded_at_ms", null_unless(settled || was.state() == "recorded", NOW - 8_500)),
            (1, "settled_at_ms", null_unless(settled, NOW - 8_000)),
            (1, "verdict_at_ms", null_unless(!open, NOW - 8_000)),
            (1, "first_answer_at_ms", null_unless(was.is_fetched(), NOW - 6_000)),
            (1, "merchant_answer_at_ms", null_unless(was == Was::Told, NOW - 6_000)),
            (3, "landed_block", null_unless(settled, 100 + i64::from(number))),
            (
                3,
                "finality",
                match was {
                    Was::Final => text("finalized"),
                    Was::Lost => text("reorged_loss"),
                    _ => "NULL".to_owned(),
                },
            ),
            (3, "finality_at_ms", null_unless(matches!(was, Was::Final | Was::Lost), NOW - 5_000)),
            (8, "delivered_in_part", self.flag(matches!(was, Was::TooLong | Was::Pruned))),
            (9, "credited_at_ms", null_unless(was == Was::Credited, NOW - 6_500)),
            (9, "runs_interrupted", u8::from(was == Was::Credited).to_string()),
            (11, "owed", self.flag(was == Was::Owed)),
        ]
    }

    /// Two for one payment at one nonce, one on Solana; a slot has none.
    fn attempts(&self) -> Vec<String> {
        let mut sql = Vec::new();
        let mut attempt = |of: &Was, tx: &str, nonce: Option<u64>, replaces: &str| {
            let (network, wallet) = match nonce {
                Some(_) => (BASE, text(WALLET)),
                None => (SOLANA, "NULL".to_owned()),
            };
            let nonce = nonce.map_or("NULL".to_owned(), |nonce| nonce.to_string());
            sql.push(format!(
                "INSERT INTO attempts (network, wallet, nonce, tx, raw, detail, replaces, created_at_ms) \
                 VALUES ('{network}', {wallet}, {nonce}, '{tx}', {}, '{{\"gas_limit\":120000}}', {replaces}, {NOW} - 8500)",
                self.bytes(0xaa, 100)
            ));
            sql.push(format!(
                "INSERT INTO attempt_payments (payment, attempt, item) SELECT '{}', id, 0 FROM attempts WHERE tx = '{tx}'",
                of.id()
            ));
        };
        attempt(&Was::Recorded, "0xfirst", Some(5), "NULL");
        attempt(&Was::Recorded, "0xlanded3", Some(5), "(SELECT id FROM attempts WHERE tx = '0xfirst')");
        attempt(&Was::Delivered, "0xlanded8", Some(6), "NULL");
        attempt(&Was::RecordedOnSolana, "0xlanded4", None, "NULL");
        sql
    }

    fn answer(&self, was: Was) -> Vec<Column> {
        let gone = was == Was::Pruned;
        let (bytes, body) = match was {
            Was::TooLong => (9_000_000, self.bytes(0, 0)),
            Was::InObject => (OBJECT_BYTES, self.bytes(0, 0)),
            _ => (4, self.bytes(0x61, 4)),
        };
        vec![
            (1, "payment", text(was.id())),
            (1, "status", "200".to_owned()),
            (1, "headers", null_unless(!gone, "'[[\"content-type\",\"746578742f706c61696e\"]]'")),
            (1, "body", null_unless(!gone, body)),
            (1, "body_bytes", bytes.to_string()),
            (1, "truncated", self.flag(was == Was::TooLong)),
            (1, "refundable", self.flag(was == Was::TooLong)),
            (1, "at_ms", (NOW - 6_500).to_string()),
            (8, "object", null_unless(was == Was::InObject, text("k".repeat(32)))),
        ]
    }

    /// Costs, and the sums that were kept of them by the versions that kept sums.
    fn books(&self, there: &[Was]) -> Vec<String> {
        let (yes, no) = (self.flag(true), self.flag(false));
        let mut sql = vec![
            self.cost(Was::Delivered, "0xlanded8", 70, 400, &yes),
            self.cost(Was::Expired, "0xburnt", 50, 300, &no),
        ];
        if self.version < 7 {
            return sql;
        }
        let slot = (NOW - 7_000) / 600_000;
        let earned = there.iter().filter(|was| was.is_earned()).count();
        sql.push(format!("INSERT INTO cost_totals VALUES ('{BASE}', '', {slot}, 700, 300, 50)"));
        sql.push(format!("INSERT INTO cost_totals VALUES ('{BASE}', '{PAYER}', {slot}, 0, 300, 50)"));
        sql.push(format!("INSERT INTO payers VALUES ('{BASE}', '{PAYER}', {}, 0)", 3_938 * earned));
        for was in there.iter().filter(|was| matches!(was.state(), "claimed" | "recorded")) {
            let network = if *was == Was::RecordedOnSolana { SOLANA } else { BASE };
            let until = null_unless(network == BASE, 1_800_000_660_000_i64);
            sql.push(format!(
                "INSERT INTO reservations (payment, network, payer, source, amount, hold_until_ms, usdc, native, funding, by_code) \
                 VALUES ('{}', '{network}', '{PAYER}', '{PAYER}', 13938, {until}, 3938, 90, 'history', {no})",
                was.id()
            ));
        }
        sql
    }

    /// What a transaction of one payment cost; from 23 on it is a share, of all of it.
    fn cost(&self, was: Was, tx: &str, native: u64, usdc: u64, earned: &str) -> String {
        let (columns, values) = if self.version < 23 {
            ("", String::new())
        } else {
            (", item, whole, whole_usdc", format!(", 0, '{native}', {usdc}"))
        };
        format!(
            "INSERT INTO costs (network, tx, payment, payer, native, usdc, earned, at_ms{columns}) \
                 VALUES ('{BASE}', '{tx}', '{}', '{PAYER}', '{native}', {usdc}, {earned}, {NOW} - 7000{values})",
            was.id()
        )
    }

    /// What later schemas brought.
    fn later(&self, there: &[Was]) -> Vec<String> {
        let mut sql = Vec::new();
        let since = |version| version <= self.version;
        if since(4) {
            sql.push(format!(
                "INSERT INTO usages VALUES ('{}', 'a model', 10, 9, 10, 9, 10000, 9000, 10000, {NOW} - 6500)",
                Was::Delivered.id()
            ));
        }
        if since(5) {
            for (was, state) in [(Was::Telling, "telling"), (Was::Told, "told")] {
                sql.push(format!(
                    "INSERT INTO merchant_answers (payment, state, tellings, holder, owner, owner_epoch, since_ms) \
                     VALUES ('{}', '{state}', 1, 'h', '{SELF}', {EPOCH}, {NOW} - 6000)",
                    was.id()
                ));
            }
        }
        if since(8) {
            for (name, was, state, bytes) in
                [("k", Was::InObject, "kept", OBJECT_BYTES), ("w", Was::Running, "writing", 0)]
            {
                sql.push(format!(
                    "INSERT INTO answer_objects (name, payment, run, key, bytes, state, instance, at_ms) \
                     VALUES ('{}', '{}', 1, {}, {bytes}, '{state}', '{SELF}', {NOW} - 6500)",
                    name.repeat(32),
                    was.id(),
                    self.bytes(7, 32)
                ));
            }
        }
        if since(9) {
            sql.push(format!(
                "INSERT INTO aliases (payment_key, payment, signature_digest, amount, at_ms) \
                 VALUES ({}, '{}', {}, 13938, {NOW} - 6000)",
                self.bytes(0xee, 32),
                Was::Settled.id(),
                self.bytes(0xee, 32)
            ));
            sql.push(format!(
                "INSERT INTO identifiers (scope, payer, identifier, payment) VALUES ('gate', '{PAYER}', {}, '{}')",
                self.bytes(NAME, 32),
                Was::Claimed.id()
            ));
        }
        if since(12) && there.contains(&Was::InObject) {
            sql.push(format!("UPDATE answer_object_totals SET kept_bytes = {OBJECT_BYTES}"));
        }
        sql
    }
}

fn instance(name: &str, epoch: i64) -> Vec<Column> {
    vec![
        (1, "name", text(name)),
        (1, "epoch", epoch.to_string()),
        (1, "lease_until_ms", (NOW - 1).to_string()),
    ]
}
