-- The ledger's model on PostgreSQL. Times are milliseconds since the Unix epoch,
-- amounts atomic units, hashes 32 bytes, JSON and native costs text.
-- The SQLite file beside this one holds the same tables.

CREATE TABLE instances (
    name           TEXT PRIMARY KEY,
    epoch          BIGINT NOT NULL CHECK (epoch > 0),
    lease_until_ms BIGINT NOT NULL
);

CREATE TABLE tariffs (
    network        TEXT NOT NULL,
    number         BIGINT NOT NULL CHECK (number > 0),
    gas            BIGINT NOT NULL CHECK (gas >= 0),
    detail         TEXT NOT NULL,
    created_at_ms  BIGINT NOT NULL,
    replaced_at_ms BIGINT CHECK (replaced_at_ms >= created_at_ms),
    PRIMARY KEY (network, number)
);
CREATE UNIQUE INDEX tariffs_current ON tariffs (network) WHERE replaced_at_ms IS NULL;

CREATE TABLE payments (
    id                    TEXT PRIMARY KEY,
    request_id            TEXT NOT NULL UNIQUE,
    payment_key           BYTEA NOT NULL UNIQUE CHECK (length(payment_key) = 32),
    network               TEXT NOT NULL,
    origin                TEXT NOT NULL CHECK (origin IN ('gate', 'merchant')),
    merchant              TEXT CHECK ((origin = 'merchant') = (merchant IS NOT NULL)),
    fingerprint           BYTEA NOT NULL CHECK (length(fingerprint) = 32),
    signature_digest      BYTEA NOT NULL CHECK (length(signature_digest) = 32),
    identifier            BYTEA CHECK (length(identifier) = 32),
    payer                 TEXT NOT NULL,
    pay_to                TEXT NOT NULL,
    asset                 TEXT NOT NULL,
    amount                BIGINT NOT NULL CHECK (amount >= 0),
    service               BIGINT NOT NULL CHECK (service >= 0),
    gas                   BIGINT NOT NULL CHECK (gas >= 0),
    tariff                BIGINT,
    deadline_unit         TEXT NOT NULL CHECK (deadline_unit IN ('unix_seconds', 'block_height')),
    deadline_value        BIGINT NOT NULL CHECK (deadline_value >= 0),
    watch_from            BIGINT NOT NULL CHECK (watch_from >= 0),
    payload               TEXT NOT NULL,
    resource              TEXT NOT NULL,
    state                 TEXT NOT NULL CHECK (state IN ('claimed', 'recorded', 'settled', 'refused', 'expired')),
    delivery              TEXT NOT NULL CHECK (delivery IN ('none', 'running', 'delivered', 'credited')),
    runs                  BIGINT NOT NULL CHECK (runs >= 0),
    tx                    TEXT,
    landing               TEXT,
    evidence              TEXT,
    refusal_code          TEXT,
    refusal_reason        TEXT,
    owner                 TEXT NOT NULL,
    owner_epoch           BIGINT NOT NULL,
    delivery_owner        TEXT,
    delivery_epoch        BIGINT,
    delivery_since_ms     BIGINT,
    created_at_ms         BIGINT NOT NULL,
    recorded_at_ms        BIGINT,
    settled_at_ms         BIGINT,
    verdict_at_ms         BIGINT,
    first_answer_at_ms    BIGINT,
    merchant_answer_at_ms BIGINT,
    pending_answer_at_ms  BIGINT,
    CHECK (delivery = 'none' OR (state = 'settled' AND origin = 'gate')),
    CHECK ((state = 'settled') = (landing IS NOT NULL)),
    CHECK ((state = 'refused') = (refusal_code IS NOT NULL)),
    CHECK ((state IN ('claimed', 'recorded')) = (verdict_at_ms IS NULL))
);
CREATE INDEX payments_identifier ON payments (identifier) WHERE identifier IS NOT NULL;
CREATE INDEX payments_unfinished ON payments (owner) WHERE state IN ('claimed', 'recorded');
CREATE INDEX payments_running ON payments (delivery_owner) WHERE delivery = 'running';
CREATE INDEX payments_newest ON payments (created_at_ms, id);

-- One counter per wallet and network (invariant I2).
CREATE TABLE wallets (
    network    TEXT NOT NULL,
    wallet     TEXT NOT NULL,
    next_nonce BIGINT NOT NULL CHECK (next_nonce >= 0),
    PRIMARY KEY (network, wallet)
);

-- A reserved nonce. Several attempts may use it; one of them lands.
CREATE TABLE slots (
    network       TEXT NOT NULL,
    wallet        TEXT NOT NULL,
    nonce         BIGINT NOT NULL CHECK (nonce >= 0),
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (network, wallet, nonce),
    FOREIGN KEY (network, wallet) REFERENCES wallets (network, wallet)
);

-- A signed transaction: for one payment, several (a batch) or none (a no-op).
CREATE TABLE attempts (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network       TEXT NOT NULL,
    wallet        TEXT,
    nonce         BIGINT CHECK ((nonce IS NULL) = (wallet IS NULL)),
    tx            TEXT NOT NULL,
    raw           BYTEA NOT NULL,
    detail        TEXT NOT NULL,
    replaces      BIGINT REFERENCES attempts (id),
    created_at_ms BIGINT NOT NULL,
    UNIQUE (network, tx),
    FOREIGN KEY (network, wallet, nonce) REFERENCES slots (network, wallet, nonce)
);
CREATE INDEX attempts_slot ON attempts (network, wallet, nonce) WHERE wallet IS NOT NULL;

CREATE TABLE attempt_payments (
    payment TEXT NOT NULL REFERENCES payments (id),
    attempt BIGINT NOT NULL REFERENCES attempts (id),
    item    BIGINT NOT NULL CHECK (item >= 0),
    PRIMARY KEY (payment, attempt)
);
CREATE INDEX attempt_payments_attempt ON attempt_payments (attempt);

CREATE TABLE answers (
    payment     TEXT PRIMARY KEY REFERENCES payments (id),
    status      BIGINT NOT NULL CHECK (status BETWEEN 100 AND 999),
    headers     TEXT,
    body        BYTEA,
    body_bytes  BIGINT NOT NULL CHECK (body_bytes >= 0),
    truncated   BOOLEAN NOT NULL,
    refundable  BOOLEAN NOT NULL,
    at_ms       BIGINT NOT NULL,
    CHECK ((headers IS NULL) = (body IS NULL))
);
CREATE INDEX answers_kept ON answers (at_ms) WHERE body IS NOT NULL;

CREATE TABLE costs (
    network TEXT NOT NULL,
    tx      TEXT NOT NULL,
    payment TEXT REFERENCES payments (id),
    payer   TEXT,
    native  TEXT NOT NULL,
    usdc    BIGINT CHECK (usdc >= 0),
    earned  BOOLEAN NOT NULL,
    at_ms   BIGINT NOT NULL,
    PRIMARY KEY (network, tx)
);
CREATE INDEX costs_uncollected ON costs (network, at_ms) WHERE NOT earned;

CREATE TABLE journal (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment  TEXT REFERENCES payments (id),
    at_ms    BIGINT NOT NULL,
    instance TEXT NOT NULL,
    event    TEXT NOT NULL,
    detail   TEXT NOT NULL
);
CREATE INDEX journal_payment ON journal (payment) WHERE payment IS NOT NULL;

CREATE FUNCTION quittance_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0]; END $$;

CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE ON journal
FOR EACH ROW EXECUTE FUNCTION quittance_refuse('the journal is append-only');
CREATE TRIGGER journal_no_truncate BEFORE TRUNCATE ON journal
FOR EACH STATEMENT EXECUTE FUNCTION quittance_refuse('the journal is append-only');

-- Verdicts are final (invariant I6), whoever holds the SQL prompt.
CREATE TRIGGER payments_verdict_final BEFORE UPDATE OF state ON payments
FOR EACH ROW WHEN (OLD.state IN ('settled', 'refused', 'expired') AND NEW.state <> OLD.state)
EXECUTE FUNCTION quittance_refuse('a verdict is final');
CREATE TRIGGER payments_key_fixed
BEFORE UPDATE OF payment_key, network, fingerprint, payer, amount ON payments
FOR EACH ROW EXECUTE FUNCTION quittance_refuse('a claim does not change');
CREATE TRIGGER payments_no_delete BEFORE DELETE ON payments
FOR EACH ROW EXECUTE FUNCTION quittance_refuse('payment keys are kept');
CREATE TRIGGER payments_no_truncate BEFORE TRUNCATE ON payments
FOR EACH STATEMENT EXECUTE FUNCTION quittance_refuse('payment keys are kept');
