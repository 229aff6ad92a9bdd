-- The ledger's model on SQLite. Times are milliseconds since the Unix epoch,
-- amounts atomic units, hashes 32 bytes, JSON and native costs text.
-- The PostgreSQL file beside this one holds the same tables.

CREATE TABLE instances (
    name           TEXT PRIMARY KEY,
    epoch          INTEGER NOT NULL CHECK (epoch > 0),
    lease_until_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE tariffs (
    network        TEXT NOT NULL,
    number         INTEGER NOT NULL CHECK (number > 0),
    gas            INTEGER NOT NULL CHECK (gas >= 0),
    detail         TEXT NOT NULL,
    created_at_ms  INTEGER NOT NULL,
    replaced_at_ms INTEGER CHECK (replaced_at_ms >= created_at_ms),
    PRIMARY KEY (network, number)
) STRICT;
CREATE UNIQUE INDEX tariffs_current ON tariffs (network) WHERE replaced_at_ms IS NULL;

CREATE TABLE payments (
    id                    TEXT PRIMARY KEY,
    request_id            TEXT NOT NULL UNIQUE,
    payment_key           BLOB NOT NULL UNIQUE CHECK (length(payment_key) = 32),
    network               TEXT NOT NULL,
    origin                TEXT NOT NULL CHECK (origin IN ('gate', 'merchant')),
    merchant              TEXT CHECK ((origin = 'merchant') = (merchant IS NOT NULL)),
    fingerprint           BLOB NOT NULL CHECK (length(fingerprint) = 32),
    signature_digest      BLOB NOT NULL CHECK (length(signature_digest) = 32),
    identifier            BLOB CHECK (length(identifier) = 32),
    payer                 TEXT NOT NULL,
    pay_to                TEXT NOT NULL,
    asset                 TEXT NOT NULL,
    amount                INTEGER NOT NULL CHECK (amount >= 0),
    service               INTEGER NOT NULL CHECK (service >= 0),
    gas                   INTEGER NOT NULL CHECK (gas >= 0),
    tariff                INTEGER,
    deadline_unit         TEXT NOT NULL CHECK (deadline_unit IN ('unix_seconds', 'block_height')),
    deadline_value        INTEGER NOT NULL CHECK (deadline_value >= 0),
    watch_from            INTEGER NOT NULL CHECK (watch_from >= 0),
    payload               TEXT NOT NULL,
    resource              TEXT NOT NULL,
    state                 TEXT NOT NULL CHECK (state IN ('claimed', 'recorded', 'settled', 'refused', 'expired')),
    delivery              TEXT NOT NULL CHECK (delivery IN ('none', 'running', 'delivered', 'credited')),
    runs                  INTEGER NOT NULL CHECK (runs >= 0),
    tx                    TEXT,
    landing               TEXT,
    evidence              TEXT,
    refusal_code          TEXT,
    refusal_reason        TEXT,
    owner                 TEXT NOT NULL,
    owner_epoch           INTEGER NOT NULL,
    delivery_owner        TEXT,
    delivery_epoch        INTEGER,
    delivery_since_ms     INTEGER,
    created_at_ms         INTEGER NOT NULL,
    recorded_at_ms        INTEGER,
    settled_at_ms         INTEGER,
    verdict_at_ms         INTEGER,
    first_answer_at_ms    INTEGER,
    merchant_answer_at_ms INTEGER,
    pending_answer_at_ms  INTEGER,
    CHECK (delivery = 'none' OR (state = 'settled' AND origin = 'gate')),
    CHECK ((state = 'settled') = (landing IS NOT NULL)),
    CHECK ((state = 'refused') = (refusal_code IS NOT NULL)),
    CHECK ((state IN ('claimed', 'recorded')) = (verdict_at_ms IS NULL))
) STRICT;
CREATE INDEX payments_identifier ON payments (identifier) WHERE identifier IS NOT NULL;
CREATE INDEX payments_unfinished ON payments (owner) WHERE state IN ('claimed', 'recorded');
CREATE INDEX payments_running ON payments (delivery_owner) WHERE delivery = 'running';
CREATE INDEX payments_newest ON payments (created_at_ms, id);

-- One counter per wallet and network (invariant I2).
CREATE TABLE wallets (
    network    TEXT NOT NULL,
    wallet     TEXT NOT NULL,
    next_nonce INTEGER NOT NULL CHECK (next_nonce >= 0),
    PRIMARY KEY (network, wallet)
) STRICT;

-- A reserved nonce. Several attempts may use it; one of them lands.
CREATE TABLE slots (
    network       TEXT NOT NULL,
    wallet        TEXT NOT NULL,
    nonce         INTEGER NOT NULL CHECK (nonce >= 0),
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (network, wallet, nonce),
    FOREIGN KEY (network, wallet) REFERENCES wallets (network, wallet)
) STRICT;

-- A signed transaction: for one payment, several (a batch) or none (a no-op).
CREATE TABLE attempts (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    network       TEXT NOT NULL,
    wallet        TEXT,
    nonce         INTEGER CHECK ((nonce IS NULL) = (wallet IS NULL)),
    tx            TEXT NOT NULL,
    raw           BLOB NOT NULL,
    detail        TEXT NOT NULL,
    replaces      INTEGER REFERENCES attempts (id),
    created_at_ms INTEGER NOT NULL,
    UNIQUE (network, tx),
    FOREIGN KEY (network, wallet, nonce) REFERENCES slots (network, wallet, nonce)
) STRICT;
CREATE INDEX attempts_slot ON attempts (network, wallet, nonce) WHERE wallet IS NOT NULL;

CREATE TABLE attempt_payments (
    payment TEXT NOT NULL REFERENCES payments (id),
    attempt INTEGER NOT NULL REFERENCES attempts (id),
    item    INTEGER NOT NULL CHECK (item >= 0),
    PRIMARY KEY (payment, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_payments_attempt ON attempt_payments (attempt);

CREATE TABLE answers (
    payment     TEXT PRIMARY KEY REFERENCES payments (id),
    status      INTEGER NOT NULL CHECK (status BETWEEN 100 AND 999),
    headers     TEXT,
    body        BLOB,
    body_bytes  INTEGER NOT NULL CHECK (body_bytes >= 0),
    truncated   INTEGER NOT NULL CHECK (truncated IN (0, 1)),
    refundable  INTEGER NOT NULL CHECK (refundable IN (0, 1)),
    at_ms       INTEGER NOT NULL,
    CHECK ((headers IS NULL) = (body IS NULL))
) STRICT;
CREATE INDEX answers_kept ON answers (at_ms) WHERE body IS NOT NULL;

CREATE TABLE costs (
    network TEXT NOT NULL,
    tx      TEXT NOT NULL,
    payment TEXT REFERENCES payments (id),
    payer   TEXT,
    native  TEXT NOT NULL,
    usdc    INTEGER CHECK (usdc >= 0),
    earned  INTEGER NOT NULL CHECK (earned IN (0, 1)),
    at_ms   INTEGER NOT NULL,
    PRIMARY KEY (network, tx)
) STRICT;
CREATE INDEX costs_uncollected ON costs (network, at_ms) WHERE earned = 0;

CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    payment  TEXT REFERENCES payments (id),
    at_ms    INTEGER NOT NULL,
    instance TEXT NOT NULL,
    event    TEXT NOT NULL,
    detail   TEXT NOT NULL
) STRICT;
CREATE INDEX journal_payment ON journal (payment) WHERE payment IS NOT NULL;

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- Verdicts are final (invariant I6), whoever holds the SQL prompt.
CREATE TRIGGER payments_verdict_final BEFORE UPDATE OF state ON payments
WHEN OLD.state IN ('settled', 'refused', 'expired') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'a verdict is final'); END;
CREATE TRIGGER payments_key_fixed BEFORE UPDATE OF payment_key, network, fingerprint, payer, amount ON payments
BEGIN SELECT RAISE(ABORT, 'a claim does not change'); END;
CREATE TRIGGER payments_no_delete BEFORE DELETE ON payments
BEGIN SELECT RAISE(ABORT, 'payment keys are kept'); END;
